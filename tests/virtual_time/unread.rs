//! Answers that their peer does not read: the next request is handled when there is room for more.

use super::masked::{TEXT, masked};
use super::world::{PeerId, World, request};
use joblight::engine::{Restored, Services};
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
    let batch = world
        .engine
        .poll_batch(now)
        .expect("a change is to be kept");
    world.stall(reader, 0);
    let list = masked(TEXT, br#"{"type":"workspace.list"}"#);
    world.say(reader, &list.repeat(30));
    world.turn(|world| world.engine.handle_stored(now, batch.seq, Ok(())));
    world.run_for(0);
    let unsent = world.unsent_bytes(reader);
    assert!(unsent < 6 * ENTRY, "{unsent} bytes");
    world.read(reader, None);
    world.run_for(0);
    let lists = world.messages(reader).into_iter();
    let lists = lists.filter(|message| message["type"] == "workspace.list");
    assert_eq!(lists.count(), 30);
}
