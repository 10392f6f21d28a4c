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
