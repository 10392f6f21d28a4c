//! Answers that their peer does not read: the next request is handled when there is room for more.

use super::masked::{TEXT, masked};
use super::world::{PeerId, World, request};
use joblight::internals::engine::{Input, Restored, Services};
use serde_json::{Value, json};

const OUTBOX: usize = 64 * 1024;
const ENTRY: usize = 100_000;

/// A world in which the answer about the room `r` is longer than an outbox may be.
fn world() -> World {
    let mut world = World::new(|config| {
        config.websocket.max_outbox_size = OUTBOX;
        config.websocket.echo_path = "/echo".to_owned();
    });
    for _ in 0..4 {
        world.post(
            "/api/rooms/r/broadcast",
            json!({"payload": "x".repeat(ENTRY)}),
        );
    }
    world
}

/// What the server holds for a peer that asks over and over and reads nothing.
fn unsent(world: &mut World, peer: PeerId, wish: &[u8]) -> usize {
    world.stall(peer, 0);
    for _ in 0..10 {
        world.say(peer, &wish.repeat(20));
        world.run_for(10);
    }
    world.unsent_bytes(peer)
}

#[test]
fn whoever_leaves_answers_unread_is_given_no_more() {
    let history = masked(TEXT, br#"{"type":"history","room":"r"}"#);
    let wrong = masked(TEXT, b"wrong");
    let long = masked(TEXT, json!("x".repeat(5_000)).to_string().as_bytes());
    let call = request("GET", "/api/rooms/r/history", &Value::Null);
    let nothing = request("GET", "/nothing", &Value::Null);
    for (path, wish, largest) in [
        ("/ws", &history[..], 5 * ENTRY),
        ("/ws", &wrong, 1_000),
        ("/echo", &long, 5_100),
        ("/echo", &masked(TEXT, b"0"), 1_000),
        ("", call.as_bytes(), 5 * ENTRY),
        ("", nothing.as_bytes(), 1_000),
    ] {
        let mut world = world();
        let peer = match path {
            "" => world.connect(Services::HTTP, [127, 0, 0, 1]),
            path => world.upgrade(path, ""),
        };
        let unsent = unsent(&mut world, peer, wish);
        assert!(unsent <= OUTBOX + largest, "{path}: {unsent}");
        world.heard(peer);
        world.read(peer, None);
        world.run_for(0);
        assert_eq!(
            world.heard(peer).len(),
            200,
            "{path}: all are answered in the end"
        );
    }
}

#[test]
fn one_list_at_a_time_waits_for_the_store() {
    let mut world = World::new(|config| config.workspaces.max_size = 0);
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    let (writer, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    let create = json!({"type": "workspace.create", "data": {"name": "x".repeat(ENTRY)}});
    world.send(writer, &create);
    let batch = world.batch().expect("a change is to be kept");
    world.stall(reader, 0);
    let list = masked(TEXT, br#"{"type":"workspace.list"}"#);
    world.say(reader, &list.repeat(30));
    world.turn(|world| {
        world.engine.handle_input(
            now,
            Input::Appended {
                seq: batch.seq,
                result: Ok(()),
            },
        )
    });
    world.run_for(0);
    let unsent = world.unsent_bytes(reader);
    assert!(unsent < 6 * ENTRY, "{unsent} bytes");
    world.read(reader, None);
    world.run_for(0);
    let lists = world.messages(reader).into_iter();
    let lists = lists.filter(|message| message["type"] == "workspace.list");
    assert_eq!(lists.count(), 30);
}

#[test]
fn lists_of_workspaces_are_made_as_far_as_a_turn_has_room() {
    let mut world = World::new(|_| {});
    let clients: Vec<_> = (0..3).map(|_| world.upgrade("/", "")).collect();
    world.postpone_readers();
    let create = json!({"type": "workspace.create", "data": {"name": "x".repeat(1_000)}});
    let list = masked(TEXT, br#"{"type":"workspace.list"}"#);
    world.send(clients[0], &create);
    for client in &clients {
        // What changes between them makes each list another.
        world.send(*client, &create);
        world.say(*client, &list.repeat(3));
    }
    world.run_for(10);
    for client in clients {
        let heard = world.messages(client).into_iter();
        let lists = heard.filter(|message| message["type"] == "workspace.list");
        assert_eq!(lists.count(), 3);
    }
}

#[test]
fn one_answer_is_no_longer_than_a_page_and_the_pages_hold_everything() {
    let mut world = World::new(|_| {});
    for number in 0..15 {
        let payload = json!({"n": number, "text": "x".repeat(200_000)});
        world.post("/api/rooms/r/broadcast", json!({"payload": payload}));
        let meta = json!({"text": "x".repeat(200_000)});
        world.report(&format!("t{number}"), "progress", json!({"meta": meta}));
    }
    let viewer = world.viewer();
    let (mut since, mut heard) = (json!("start"), 0);
    loop {
        world.send(
            viewer,
            &json!({"type": "history", "room": "r", "since": since}),
        );
        let page = world.messages(viewer).remove(0)["payload"].clone();
        assert!(page.to_string().len() <= 1024 * 1024);
        heard += page["messages"].as_array().expect("messages").len();
        since = page["position"].clone();
        if page["more"] != true {
            break;
        }
    }
    assert_eq!(heard, 15);
    let (mut path, mut tasks) = ("/api/tasks".to_owned(), 0);
    loop {
        let page = world.document(&path);
        assert!(page.to_string().len() <= 2 * 1024 * 1024);
        tasks += page["tasks"].as_array().expect("tasks").len();
        let Some(cursor) = page["cursor"].as_str() else {
            break;
        };
        path = format!("/api/tasks?cursor={cursor}");
    }
    assert_eq!(tasks, 15);
}

#[test]
fn whoever_goes_on_after_its_end_is_not_read_for_long() {
    let mut world = World::new(|_| {});
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.set_leaves(peer, false);
    world.say(
        peer,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n",
    );
    let mut sent = 0;
    while !world.is_closed(peer) && sent < 64 * 1024 * 1024 {
        world.say(peer, &[b'x'; 65_536]);
        sent += 65_536;
    }
    assert!(
        sent > 1024 * 1024,
        "a client that is slow to stop hears why"
    );
    assert!(sent < 32 * 1024 * 1024);
}
