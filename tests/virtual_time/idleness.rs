//! What time alone does to tasks: stalled, forgotten; and what an idle server costs, which is nothing.

use super::world::World;
use serde_json::{Value, json};

#[test]
fn a_server_that_nobody_uses_never_wakes() {
    let mut world = World::new(|_| {});
    world.assert_empty();
}

#[test]
fn a_silent_task_is_marked_and_its_next_word_unmarks_it() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "progress", json!({"progress": 5}));
    world.run_for(59_999);
    assert_eq!(world.messages(viewer).len(), 1);
    world.run_for(1);
    let marked = world.messages(viewer);
    assert_eq!(marked.len(), 1, "{marked:?}");
    assert_eq!(
        (World::moment(&marked[0]), &marked[0]["payload"]["stalled"]),
        (60_000, &json!(true))
    );
    assert_eq!(world.document("/api/tasks/t")["stalled"], true);
    world.run_for(5_000);
    world.report("t", "progress", json!({"progress": 6}));
    assert_eq!(world.messages(viewer)[0]["payload"]["stalled"], false);
    world.run_for(60_000);
    assert_eq!(
        world.messages(viewer)[0]["payload"]["stalled"],
        true,
        "and again"
    );
}

#[test]
fn an_item_is_a_sign_of_life_and_silence_after_it_is_noticed() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    let item = json!({"type": "document_generated", "payload": {"taskId": "t", "documentId": "d"}});
    world.report("t", "progress", json!({"progress": 5}));
    world.run_for(61_000);
    world.messages(viewer);
    world.post("/api/events", item);
    let messages = world.messages(viewer);
    assert_eq!(messages[0]["type"], "document_generated");
    assert_eq!(messages[1]["payload"]["stalled"], false);
    world.run_for(60_000);
    let messages = world.messages(viewer);
    assert_eq!(messages.len(), 1, "silent for a minute again: {messages:?}");
    assert_eq!(messages[0]["payload"]["stalled"], true);
}

#[test]
fn a_paused_or_ended_task_does_not_stall() {
    let mut world = World::new(|_| {});
    for verb in ["paused", "completed"] {
        let viewer = world.watcher(verb);
        world.report(verb, "progress", json!({"progress": 5}));
        world.report(verb, verb, json!({}));
        world.messages(viewer);
        world.run_for(200_000);
        assert_eq!(world.messages(viewer), [Value::Null; 0]);
    }
}

#[test]
fn an_ended_task_is_forgotten_with_all_that_is_its() {
    let mut world = World::new(|config| config.broadcaster.keep_completed = 3_600_000);
    let viewer = world.watcher("a");
    for task in ["a", "b", "c"] {
        world.report(task, "started", json!({"total": 2}));
        world.report(task, "progress", json!({"current": 1}));
        world.post(
            "/api/events",
            json!({"type": "document_generated", "payload": {"taskId": task}}),
        );
        world.run_for(1_000);
        world.report(task, "completed", json!({}));
    }
    world.post(
        "/api/rooms/lobby/broadcast",
        json!({"payload": {"hello": 1}}),
    );
    world.leave(viewer);
    world.run_for(3_600_000 - 2_001);
    assert_eq!(
        world.document("/api/tasks")["tasks"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    world.run_for(1);
    assert_eq!(
        world.call("GET", "/api/tasks/a", &Value::Null).0,
        404,
        "to the millisecond"
    );
    world.run_for(2_000);
    world.assert_empty();
}

#[test]
fn a_task_that_is_tried_again_is_not_forgotten_meanwhile() {
    let mut world = World::new(|config| {
        (
            config.broadcaster.keep_completed,
            config.broadcaster.keep_failed,
        ) = (10_000, 10_000);
    });
    world.report("t", "failed", json!({"error": "boom"}));
    world.run_for(9_000);
    world.report("t", "started", json!({"attempt": 2}));
    world.run_for(30_000);
    assert_eq!(world.document("/api/tasks/t")["status"], "running");
    world.report("t", "completed", json!({}));
    world.run_for(10_000);
    assert_eq!(world.call("GET", "/api/tasks/t", &Value::Null).0, 404);
    world.run_for(60_000);
    world.assert_empty();
}

#[test]
fn retries_leave_no_timers_behind() {
    let mut world = World::new(|config| {
        config.broadcaster.stall_timeout = 0;
        config.broadcaster.keep_failed = 10_000;
    });
    for attempt in 1..200 {
        world.report("t", "failed", json!({"attempt": attempt}));
        world.run_for(1_000);
    }
    let timers = world.engine.inspect().timers();
    assert!(timers < 20, "{timers} timers for one task");
    world.run_for(20_000);
    world.assert_empty();
}

#[test]
fn a_repeated_event_is_dropped_within_the_window_only() {
    let event = json!({"type": "document_generated", "id": "e1", "payload": {"taskId": "t"}});
    let mut world = World::new(|config| config.broadcaster.deduplication_window = 60_000);
    assert_eq!(world.post("/api/events", event.clone())["accepted"], 1);
    world.run_for(59_999);
    assert_eq!(world.post("/api/events", event.clone())["dropped"], 1);
    world.run_for(1);
    assert_eq!(world.post("/api/events", event.clone())["accepted"], 1);
}

#[test]
fn a_window_of_nothing_drops_nothing() {
    let event = json!({"type": "document_generated", "id": "e1", "payload": {"taskId": "t"}});
    let mut world = World::new(|config| config.broadcaster.deduplication_window = 0);
    for _ in 0..2 {
        assert_eq!(world.post("/api/events", event.clone())["accepted"], 1);
    }
}
