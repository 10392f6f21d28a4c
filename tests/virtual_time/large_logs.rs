//! Long logs and large messages: what asking for much at once, or saying much at once, must not break.

use super::visit::{Visit, position_of, publish, settle};
use super::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Rooms whose logs hold about four megabytes each, and where each began.
fn large_logs(world: &mut World, count: usize) -> (Vec<String>, serde_json::Map<String, Value>) {
    let rooms: Vec<String> = (0..count).map(|room| format!("old{room}")).collect();
    let mut since = serde_json::Map::new();
    for room in &rooms {
        since.insert(room.clone(), position_of(world, room));
        for _ in 0..5 {
            publish(world, room, "x".repeat(800_000));
        }
    }
    (rooms, since)
}

/// Where the entries stand that were heard.
fn places(heard: &[Value]) -> Vec<String> {
    let entries = heard.iter().filter(|message| message["offset"].is_u64());
    entries
        .map(|message| format!("{}:{}", message["room"], message["offset"]))
        .collect()
}

#[test]
fn many_tasks_that_a_subscriber_asks_for_come_once() {
    let mut world = World::new(|_| {});
    let mut since = serde_json::Map::new();
    for task in 0..80 {
        let room = format!("task:t{task}");
        world.report(&format!("t{task}"), "started", json!({}));
        since.insert(room.clone(), position_of(&mut world, &room));
        for number in 0..20 {
            let item =
                json!({"taskId": format!("t{task}"), "n": number, "text": "x".repeat(2_500)});
            world.post(
                "/api/events",
                json!({"type": "document_generated", "payload": item}),
            );
        }
    }
    let visit = Visit::new(&mut world, &[]);
    let rooms: Vec<&String> = since.keys().collect();
    let wish = json!({"type": "subscribe", "rooms": rooms, "since": since});
    world.send(visit.peer, &wish);
    world.run_for(1_000);
    let places = places(&world.messages(visit.peer));
    let once: BTreeSet<&String> = places.iter().collect();
    assert_eq!((places.len(), once.len()), (1600, 1600), "each entry once");
}

#[test]
fn long_logs_that_a_subscriber_asks_for_repeat_nothing_that_it_was_sent() {
    let mut world = World::new(|_| {});
    let (rooms, since) = large_logs(&mut world, 6);
    let visit = Visit::new(&mut world, &["b"]);
    world.set_answers_pings(visit.peer, false);
    for number in 1..4 {
        publish(&mut world, "b", number);
    }
    assert_eq!(visit.heard(&mut world), ["b 1", "b 2", "b 3"]);
    let wish = json!({"type": "subscribe", "rooms": rooms, "since": since});
    world.send(visit.peer, &wish);
    world.run_for(100);
    let places = places(&world.messages(visit.peer));
    let again = places.iter().filter(|place| place.starts_with("\"b\""));
    assert_eq!(again.count(), 0, "they were sent before");
    let once: BTreeSet<&String> = places.iter().collect();
    assert_eq!((places.len(), once.len()), (30, 30), "each entry once");
}

#[test]
fn a_task_that_has_grown_large_can_still_end_before_its_watchers() {
    let mut world = World::new(|config| config.broadcaster.max_task_size = 0);
    let watcher = world.watcher("t");
    for number in 0..20 {
        let mut body = serde_json::Map::new();
        body.insert(format!("field{number}"), json!("x".repeat(900_000)));
        world.report("t", "progress", Value::Object(body));
        world.run_for(1_000);
    }
    assert!(!world.messages(watcher).is_empty());
    world.report("t", "completed", json!({}));
    world.run_for(600_000);
    let heard: Vec<String> = world
        .messages(watcher)
        .iter()
        .map(|message| message["type"].to_string())
        .collect();
    assert!(
        !world.is_closed(watcher),
        "it reads everything at once, and has heard {heard:?}"
    );
    assert!(
        heard.contains(&"\"task_completed\"".to_owned()),
        "{heard:?}"
    );
}

#[test]
fn a_large_message_does_not_keep_other_rooms_from_whoever_comes_back() {
    let mut world = World::new(|config| config.http.max_body_size = 0);
    let mut visit = Visit::new(&mut world, &["a", "b"]);
    settle(&mut world);
    publish(&mut world, "a", "x".repeat(17 * 1_048_576));
    for number in 0..5 {
        publish(&mut world, "b", number);
    }
    let mut heard = visit.heard(&mut world);
    for _ in 0..5 {
        world.run_for(200_000);
        heard.extend(visit.heard(&mut world));
        if world.is_closed(visit.peer) {
            visit = visit.again(&mut world);
            heard.extend(visit.missed());
        }
    }
    heard.retain(|message| message.starts_with('b'));
    assert_eq!(heard, ["b 0", "b 1", "b 2", "b 3", "b 4"]);
}

#[test]
fn whoever_comes_back_and_reads_nothing_holds_no_more_than_an_outbox() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["old0", "old1", "old2", "old3"]);
    settle(&mut world);
    world.leave(visit.peer);
    large_logs(&mut world, 4);
    let deaf = visit.again_reading(&mut world, 0);
    let unsent = world.unsent_bytes(deaf);
    assert!(
        unsent <= 2 * 1_048_576,
        "{unsent} bytes that nobody else shares; websocket.max_outbox_size is 1048576"
    );
}
