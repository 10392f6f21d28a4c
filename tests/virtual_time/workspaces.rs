//! Workspaces in virtual time: their timestamps, a reader that stalls, and runs that repeat.

use super::world::{PeerId, World};
use serde_json::{Value, json};

/// When a world begins, in milliseconds since 1970.
const BEGINNING: u64 = 1_700_000_000_000;

fn create(world: &mut World, author: PeerId, name: &str) -> Value {
    world.send(
        author,
        &json!({"type": "workspace.create", "data": {"name": name}}),
    );
    world.messages(author)[0]["data"].clone()
}

#[test]
fn timestamps_are_the_moments_of_creation_and_of_the_last_update() {
    let mut world = World::new(|_| {});
    let author = world.upgrade("/", "");
    world.run_for(5_000);
    let (first, second) = (
        create(&mut world, author, "one"),
        create(&mut world, author, "two"),
    );
    world.run_for(1_500);
    let (one, two) = (&first["id"], &second["id"]);
    world.send(
        author,
        &json!({"type": "workspace.update", "data": {"id": one, "colour": "red", "updatedAt": 1}}),
    );
    world.send(
        author,
        &json!({"type": "workspace.reorder", "data": {"ids": [two, one]}}),
    );
    world.messages(author);
    world.send(author, &json!({"type": "workspace.list"}));
    let list = world.messages(author)[0]["data"]["workspaces"].clone();
    let times = |place: usize| {
        let moment = |field: &str| list[place][field].as_u64().expect("a time") - BEGINNING;
        (moment("createdAt"), moment("updatedAt"))
    };
    assert_eq!(list[0]["id"], *two);
    assert_eq!(times(0), (5_000, 5_000), "a new place is no update");
    assert_eq!(times(1), (5_000, 6_500));
}

#[test]
fn a_reader_that_stalls_gets_every_change_in_order() {
    let mut world = World::new(|_| {});
    let (author, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    world.stall(reader, 10);
    for number in 0..50 {
        create(&mut world, author, &format!("n{number}"));
    }
    assert!(world.messages(reader).is_empty());
    world.read(reader, None);
    let messages = world.messages(reader);
    let names: Vec<String> = messages
        .iter()
        .map(|message| message["data"]["name"].as_str().expect("a name").to_owned())
        .collect();
    let expected: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn the_largest_list_reaches_whoever_asks() {
    let mut world = World::new(|config| config.workspaces.max_total_size = 2_000_000);
    let author = world.upgrade("/", "");
    let text = "x".repeat(60_000);
    let mut refused = 0;
    for _ in 0..40 {
        world.send(
            author,
            &json!({"type": "workspace.create", "data": {"name": "n", "text": text}}),
        );
        refused += usize::from(world.messages(author)[0]["type"] == "error");
    }
    assert_eq!(refused, 7, "33 of them fit");
    world.send(author, &json!({"type": "workspace.list"}));
    let list = &world.messages(author)[0];
    assert_eq!(
        list["data"]["workspaces"].as_array().map(Vec::len),
        Some(33)
    );
}

#[test]
fn made_ids_come_from_the_seed() {
    let ids = |seed: u64| {
        let mut world = World::with_seed(seed, |_| {});
        let author = world.upgrade("/", "");
        [
            create(&mut world, author, "a")["id"].clone(),
            create(&mut world, author, "b")["id"].clone(),
        ]
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1)[0], ids(1)[1]);
    assert_ne!(ids(1)[0], ids(2)[0]);
}

/// What a client makes of what it hears: the documents in their order, by id and name.
#[derive(Debug, Default)]
struct Screen(Vec<(String, String)>);

impl Screen {
    fn show(&mut self, messages: &[Value]) {
        for message in messages {
            let data = &message["data"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let place = |id: &str| self.0.iter().position(|(known, _)| known == id);
            match message["type"].as_str().expect("a type") {
                "workspace.created" => self.0.push((text(&data["id"]), text(&data["name"]))),
                "workspace.updated" => {
                    let place = place(&text(&data["id"])).expect("it is known");
                    self.0[place].1 = text(&data["name"]);
                }
                "workspace.deleted" => {
                    drop(self.0.remove(place(&text(&data["id"])).expect("known")))
                }
                "workspace.reordered" => {
                    let ids = data["ids"].as_array().expect("an array");
                    let ids = ids.iter().map(|id| place(id.as_str().expect("text")));
                    self.0 = ids
                        .map(|place| self.0[place.expect("known")].clone())
                        .collect();
                }
                "workspace.list" => {
                    let list = data["workspaces"].as_array().expect("an array");
                    let shown = list
                        .iter()
                        .map(|one| (text(&one["id"]), text(&one["name"])));
                    self.0 = shown.collect();
                }
                other => panic!("{other}"),
            }
        }
    }
}

fn wish(world: &mut World, author: PeerId, kind: &str, data: Value) {
    world.send(
        author,
        &json!({"type": format!("workspace.{kind}"), "data": data}),
    );
}

fn narrow(config: &mut joblight::Config) {
    config.websocket.max_outbox_size = 4_000;
    config.websocket.max_outbox_messages = 8;
}

#[test]
fn a_slow_reader_is_not_closed_by_what_others_change_and_gets_the_newest_of_each() {
    let mut world = World::new(narrow);
    let (author, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    let (mut truth, mut screen) = (Screen::default(), Screen::default());
    for id in ["a", "b", "c"] {
        wish(&mut world, author, "create", json!({"id": id, "name": id}));
    }
    screen.show(&world.messages(reader));
    world.stall(reader, 0);
    for number in 0..500 {
        let text = "x".repeat(500);
        let data = json!({"id": "a", "name": format!("a{number}"), "text": text});
        wish(&mut world, author, "update", data);
        wish(
            &mut world,
            author,
            "update",
            json!({"id": "b", "name": format!("b{number}")}),
        );
    }
    wish(&mut world, author, "delete", json!({"id": "c"}));
    wish(
        &mut world,
        author,
        "create",
        json!({"id": "c", "name": "c again"}),
    );
    wish(
        &mut world,
        author,
        "create",
        json!({"id": "d", "name": "d"}),
    );
    wish(
        &mut world,
        author,
        "create",
        json!({"id": "e", "name": "e"}),
    );
    wish(&mut world, author, "delete", json!({"id": "d"}));
    assert!(world.unsent_bytes(reader) < 16_000);
    truth.show(&world.messages(author));
    let mut count = 0;
    while world.unsent_bytes(reader) > 0 {
        world.read(reader, Some(100));
        let messages = world.messages(reader);
        count += messages.len();
        screen.show(&messages);
    }
    assert_eq!(screen.0, truth.0);
    assert!(count < 40, "{count} messages");
    world.read(reader, None);
    wish(
        &mut world,
        author,
        "update",
        json!({"id": "e", "name": "live"}),
    );
    screen.show(&world.messages(reader));
    truth.show(&world.messages(author));
    assert_eq!(screen.0, truth.0);
    assert!(!world.is_closed(reader) && !world.is_half_closed(reader));
    let mut clients = world.engine.inspect().clients();
    assert!(clients.all(|client| !client.lacks_news_of_workspaces));
}

#[test]
fn a_slow_reader_that_lacks_much_or_the_order_gets_one_list() {
    for is_much in [true, false] {
        let mut world = World::new(narrow);
        let (author, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
        world.stall(reader, 0);
        let count = if is_much { 400 } else { 40 };
        let mut ids: Vec<String> = (0..count).map(|number| format!("w{number}")).collect();
        for id in &ids {
            wish(&mut world, author, "create", json!({"id": id, "name": id}));
        }
        ids.reverse();
        if !is_much {
            wish(&mut world, author, "reorder", json!({"ids": ids}));
        }
        let (mut truth, mut screen) = (Screen::default(), Screen::default());
        truth.show(&world.messages(author));
        world.read(reader, None);
        let messages = world.messages(reader);
        let lists = messages
            .iter()
            .filter(|message| message["type"] == "workspace.list");
        assert_eq!(lists.count(), 1);
        screen.show(&messages);
        assert_eq!(screen.0, truth.0);
    }
}

#[test]
fn a_reader_of_workspaces_that_reads_nothing_is_closed_after_a_while() {
    let mut world = World::new(|config| {
        narrow(config);
        config.websocket.max_backlog_age = 20_000;
    });
    let (author, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    world.stall(reader, 0);
    for number in 0..40 {
        wish(
            &mut world,
            author,
            "create",
            json!({"name": format!("n{number}")}),
        );
    }
    world.run_for(19_000);
    assert!(!world.is_half_closed(reader));
    world.run_for(10_000);
    assert!(world.is_closed(reader) || world.is_half_closed(reader));
}

#[test]
fn readers_of_one_list_share_its_bytes() {
    let mut world = World::new(|_| {});
    let author = world.upgrade("/", "");
    let pack = "Sec-WebSocket-Protocol: joblight.msgpack\r\n";
    for number in 0..20 {
        let data = json!({"name": format!("n{number}"), "text": "x".repeat(30_000)});
        wish(&mut world, author, "create", data);
    }
    for headers in ["", pack] {
        let readers = [(); 3].map(|()| world.upgrade("/", headers));
        for reader in readers {
            world.stall(reader, 0);
            wish(&mut world, reader, "list", json!({}));
        }
        let places: Vec<*const u8> = readers
            .iter()
            .map(|reader| world.unsent_place(*reader))
            .collect();
        assert_eq!(places, [places[0]; 3]);
        for reader in readers {
            world.read(reader, None);
            assert_eq!(world.messages(reader).len(), 1);
        }
    }
}
