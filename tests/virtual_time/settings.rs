//! A configuration that is assigned while the server runs holds for all that comes next.

use super::world::{World, limit_messages};
use joblight::Config;
use serde_json::json;

/// A world that begins without limits, and its configuration.
fn begin() -> (World, Config) {
    let mut known = Config::default();
    let world = World::new(|config| known = config.clone());
    (world, known)
}

#[test]
fn length_of_logs_holds_for_the_next_entry() {
    let (mut world, mut config) = begin();
    let history = |world: &mut World| {
        let page = world.document("/api/rooms/news/history");
        let messages = page["messages"].as_array().expect("a list").iter();
        let numbers = messages.map(|message| message["payload"]["n"].as_u64().expect("a number"));
        numbers.collect::<Vec<u64>>()
    };
    let publish = |world: &mut World, number: u64| {
        let message = json!({"type": "news", "payload": {"n": number}});
        world.post("/api/rooms/news/broadcast", message);
    };
    (1..=4).for_each(|number| publish(&mut world, number));
    assert_eq!(history(&mut world), [1, 2, 3, 4]);
    config.websocket.message_queue_size = 2;
    world.reload(&config);
    publish(&mut world, 5);
    assert_eq!(history(&mut world), [4, 5]);
    world.check_follower();
}

#[test]
fn number_of_rooms_holds_for_the_next_room() {
    let (mut world, mut config) = begin();
    let message = json!({"type": "news", "payload": {}});
    world.post("/api/rooms/a/broadcast", message.clone());
    config.websocket.max_rooms = 1;
    world.reload(&config);
    let (status, problem) = world.call("POST", "/api/rooms/b/broadcast", &message);
    assert!(status >= 400, "{status} {problem}");
    config.websocket.max_rooms = 2;
    world.reload(&config);
    world.post("/api/rooms/b/broadcast", message);
}

#[test]
fn rate_of_messages_holds_for_clients_that_are_here() {
    let (mut world, mut config) = begin();
    let viewer = world.viewer();
    let ask = |world: &mut World| {
        world.send(viewer, &json!({"type": "ping"}));
        world.messages(viewer).pop().expect("an answer")["type"].clone()
    };
    for _ in 0..10 {
        assert_eq!(ask(&mut world), "pong");
    }
    limit_messages(&mut config, 1);
    world.reload(&config);
    assert_eq!(ask(&mut world), "pong");
    assert_eq!(ask(&mut world), "error");
}

#[test]
fn silence_of_lost_tasks_holds_for_their_next_event() {
    let (mut world, mut config) = begin();
    config.broadcaster.stall_timeout = 0;
    config.broadcaster.lost_after = 3_600_000;
    world.reload(&config);
    world.report("t", "progress", json!({"progress": 1}));
    config.broadcaster.lost_after = 60_000;
    world.reload(&config);
    world.report("t", "progress", json!({"progress": 2}));
    world.run_for(59_999);
    assert_eq!(world.document("/api/tasks/t")["status"], "running");
    world.run_for(1);
    let task = world.document("/api/tasks/t");
    assert_eq!(task["error"]["message"], "no news for 1 min", "{task}");
    world.check_follower();
}

#[test]
fn logs_that_are_to_be_kept_for_ever_lose_nothing_that_was_due_to_expire() {
    let (mut world, mut config) = begin();
    let message = json!({"type": "news", "payload": {}});
    world.post("/api/rooms/a/broadcast", message);
    config.broadcaster.keep_completed = 0;
    world.reload(&config);
    world.run_for(30 * 24 * 3_600_000);
    let page = world.document("/api/rooms/a/history");
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(1), "{page}");
    world.check_follower();
}
