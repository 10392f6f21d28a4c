//! What a client may wish for at once, and what it is told of it.

use super::visit::{Visit, publish};
use super::world::World;
use serde_json::{Value, json};

/// The answer to a subscription to rooms of these names.
fn answer(world: &mut World, kind: &str, rooms: &[String]) -> Value {
    let viewer = world.viewer();
    world.messages(viewer);
    world.send(viewer, &json!({"type": kind, "rooms": rooms}));
    world.messages(viewer).remove(0)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("r{number}")).collect()
}

#[test]
fn a_name_that_is_repeated_counts_once() {
    let mut world = World::new(|config| config.websocket.max_message_size = 1_048_576);
    let rooms = vec!["a".to_owned(); 200_000];
    let ack = answer(&mut world, "subscribe", &rooms);
    assert_eq!(ack["payload"]["rooms"], json!(["a"]), "{}", ack["type"]);
    let names = "\"\",".repeat(200_000) + "\"\"";
    let rooms: Vec<String> = serde_json::from_str(&format!("[{names}]")).unwrap();
    let ack = answer(&mut world, "subscribe", &rooms);
    let denied = ack["payload"]["denied"].as_array().map(Vec::len);
    assert_eq!(denied, Some(1), "one name, one refusal");
}

#[test]
fn more_names_than_a_client_may_have_rooms_are_refused_together() {
    let mut world = World::new(|config| config.websocket.max_rooms_per_client = 2_000);
    for kind in ["subscribe", "unsubscribe"] {
        let error = answer(&mut world, kind, &names(2_001));
        assert_eq!(
            error["payload"]["code"], "limit_exceeded",
            "{}",
            error["type"]
        );
        let reason = error["payload"]["message"].as_str().unwrap_or_default();
        assert!(
            reason.contains("websocket.max_rooms_per_client"),
            "{reason}"
        );
    }
    assert_eq!(world.document("/api/rooms")["rooms"], json!([]));
    let ack = answer(&mut world, "subscribe", &names(2_000));
    assert_eq!(ack["payload"]["denied"], json!([]));
    let mut world = World::new(|config| config.websocket.max_rooms_per_client = 0);
    let error = answer(&mut world, "subscribe", &names(10_001));
    let reason = error["payload"]["message"].as_str().unwrap_or_default();
    assert!(reason.contains("10000"), "{reason}");
}

#[test]
fn a_history_without_a_limit_is_one_with_the_limit_0() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    for number in 0..3 {
        publish(&mut world, "a", number);
    }
    world.messages(visit.peer);
    let wish = json!({"type": "history", "room": "a", "limit": 0});
    world.send(visit.peer, &wish);
    let page = world.messages(visit.peer).remove(0);
    let messages = page["payload"]["messages"].as_array().map(Vec::len);
    assert_eq!(messages, Some(3), "{page}");
}

#[test]
fn a_room_that_is_not_there_is_not_named_at_length() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.messages(viewer);
    let wish = json!({"type": "history", "room": "x".repeat(100_000)});
    world.send(viewer, &wish);
    let error = world.messages(viewer).remove(0).to_string();
    assert!(error.contains("not_found") && error.len() < 400, "{error}");
}

#[test]
fn without_sessions_nobody_is_given_a_secret() {
    let mut world = World::new(|config| config.websocket.session_ttl = 0);
    let peer = world.upgrade("/ws", "");
    let greeting = world.messages(peer).remove(0);
    assert_eq!(greeting["type"], "connected");
    assert_eq!(greeting["payload"].get("session"), None, "{greeting}");
}

#[test]
fn what_a_connection_refused_for_good_is_counted() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 2);
    let (reader, lost) = (Visit::new(&mut world, &["a"]), world.upgrade("/", ""));
    world.stall(reader.peer, 0);
    for number in 0..9 {
        publish(&mut world, "a", number);
    }
    let failed =
        |world: &mut World| world.document("/api/broadcaster/stats")["failedSends"].clone();
    assert_eq!(failed(&mut world), 0, "it follows from the log");
    world.stall(lost, 0);
    for number in 0..9 {
        world.post("/api/broadcast", json!({"payload": number}));
    }
    assert_eq!(failed(&mut world), 1, "then the connection was closed");
}
