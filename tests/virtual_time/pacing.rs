//! How often progress goes out, and what it carries (contract section 4).

use super::world::{PeerId, World};
use serde_json::{Value, json};

fn progress_of(world: &mut World, viewer: PeerId) -> Vec<(u64, Value)> {
    let messages = world.messages(viewer).into_iter();
    messages
        .map(|message| {
            assert_eq!(message["type"], "task_progress", "{message}");
            (World::moment(&message), message["payload"].clone())
        })
        .collect()
}

#[test]
fn the_first_goes_at_once_and_then_the_newest_of_each_interval() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for step in 0..1_000 {
        world.report("t", "progress", json!({"current": step, "total": 1_000}));
        world.run_for(1);
    }
    let heard = progress_of(&mut world, viewer);
    let moments: Vec<u64> = heard.iter().map(|(at, _)| *at).collect();
    assert_eq!(
        moments,
        [0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]
    );
    let seen: Vec<&Value> = heard
        .iter()
        .map(|(_, payload)| &payload["current"])
        .collect();
    assert_eq!(seen[..3], [&json!(0), &json!(99), &json!(199)]);
    assert_eq!(seen[10], 999, "the newest state wins");
    world.run_for(10_000);
    let heard = progress_of(&mut world, viewer);
    let again = heard
        .iter()
        .filter(|(_, payload)| payload.get("current").is_some());
    assert_eq!(again.count(), 0, "nothing is said twice");
    let ends = heard
        .iter()
        .filter(|(_, payload)| payload.get("estimatedEndAt").is_some());
    assert_eq!(ends.count(), heard.len(), "but that the end moves away");
}

#[test]
fn a_snapshot_comes_first_and_then_only_what_has_changed() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report(
        "t",
        "progress",
        json!({"progress": 10, "message": "m", "stage": "s"}),
    );
    world.run_for(100);
    world.report("t", "progress", json!({"progress": 20, "message": null}));
    let heard = progress_of(&mut world, viewer);
    let snapshot = &heard[0].1;
    assert_eq!(
        (&snapshot["snapshot"], &snapshot["message"]),
        (&json!(true), &json!("m"))
    );
    let delta = heard[1].1.as_object().expect("an object");
    let names: Vec<&str> = delta.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "message",
            "progress",
            "seq",
            "status",
            "taskId",
            "updatedAt"
        ]
    );
    assert_eq!(delta["message"], Value::Null, "null clears a field");
}

#[test]
fn what_a_lifecycle_message_has_told_is_not_told_again() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "progress", json!({"progress": 10}));
    world.run_for(50);
    world.report("t", "paused", json!({"message": "lunch", "meta": {"a": 1}}));
    world.run_for(1_000);
    world.report("t", "progress", json!({"progress": 20}));
    let last = world.messages(viewer).pop().expect("progress");
    let delta = last["payload"].as_object().expect("an object");
    let names: Vec<&str> = delta.keys().map(String::as_str).collect();
    assert_eq!(names, ["progress", "seq", "status", "taskId", "updatedAt"]);
}

#[test]
fn without_increments_every_message_is_whole() {
    let mut world = World::new(|config| config.broadcaster.enable_incremental_updates = false);
    let viewer = world.watcher("t");
    for progress in [10, 20, 30] {
        world.report("t", "progress", json!({"progress": progress, "stage": "s"}));
        world.run_for(100);
    }
    let heard = progress_of(&mut world, viewer);
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[0].1["snapshot"], true);
    for (_, payload) in &heard {
        assert_eq!(
            (&payload["stage"], &payload["status"]),
            (&json!("s"), &json!("running"))
        );
    }
}

#[test]
fn small_movement_waits_ten_intervals_at_most() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "progress", json!({"progress": 10}));
    world.run_for(150);
    world.report("t", "progress", json!({"progress": 10.4}));
    world.run_for(849);
    assert_eq!(progress_of(&mut world, viewer).len(), 1);
    world.run_for(1);
    let held = progress_of(&mut world, viewer);
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].0, &held[0].1["progress"]), (1_000, &json!(10.4)));
}

#[test]
fn small_movement_goes_once_it_adds_up() {
    let mut world = World::new(|config| config.broadcaster.min_change_threshold = 5.0);
    let viewer = world.watcher("t");
    for step in 0..20 {
        world.report("t", "progress", json!({"progress": step}));
        world.run_for(100);
    }
    let seen: Vec<Value> = progress_of(&mut world, viewer)
        .into_iter()
        .map(|(_, payload)| payload["progress"].clone())
        .collect();
    assert_eq!(seen, [0, 5, 10, 15]);
}

#[test]
fn any_other_field_counts_with_the_next_interval() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "progress", json!({"progress": 10}));
    world.run_for(10);
    world.report("t", "progress", json!({"progress": 10.1}));
    world.run_for(30);
    world.report("t", "progress", json!({"message": "look"}));
    world.run_for(60);
    let heard = progress_of(&mut world, viewer);
    assert_eq!(heard.len(), 2);
    assert_eq!(
        (heard[1].0, &heard[1].1["message"], &heard[1].1["progress"]),
        (100, &json!("look"), &json!(10.1))
    );
    world.run_for(500);
    world.report("t", "progress", json!({"meta": {"a": 1}}));
    let heard = progress_of(&mut world, viewer);
    assert_eq!(heard[0].0, 600, "at once, when the interval is over");
}

#[test]
fn what_is_pending_goes_before_a_lifecycle_message() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "started", json!({"total": 10}));
    world.report("t", "progress", json!({"current": 1}));
    world.run_for(10);
    world.report("t", "progress", json!({"current": 7}));
    world.run_for(10);
    world.report("t", "failed", json!({"error": "boom"}));
    let messages = world.messages(viewer);
    let kinds: Vec<&Value> = messages.iter().map(|message| &message["type"]).collect();
    assert_eq!(
        kinds,
        [
            "task_started",
            "task_progress",
            "task_progress",
            "task_failed"
        ]
    );
    assert_eq!(messages[2]["payload"]["current"], 7);
    assert_eq!(World::moment(&messages[2]), 20);
    assert_eq!(World::moment(&messages[3]), 20);
    assert_eq!(
        (&messages[0]["offset"], &messages[3]["offset"]),
        (&json!(1), &json!(2))
    );
    assert!(messages[1].get("offset").is_none(), "progress is in no log");
}

#[test]
fn an_interval_of_nothing_sends_each_at_once() {
    let mut world = World::new(|config| {
        config.broadcaster.broadcast_interval = 0;
        config.broadcaster.min_change_threshold = 0.0;
    });
    let viewer = world.watcher("t");
    for step in 0..50 {
        world.report("t", "progress", json!({"current": step, "total": 10_000}));
    }
    let heard = progress_of(&mut world, viewer);
    assert_eq!(heard.len(), 50);
    assert!(heard.iter().all(|(at, _)| *at == 0));
}

#[test]
fn a_late_viewer_gets_the_newest_state_and_no_timer_ran_for_nobody() {
    let mut world = World::new(|config| {
        (
            config.broadcaster.stall_timeout,
            config.broadcaster.lost_after,
        ) = (0, 0);
    });
    for step in 0..100 {
        world.report("t", "progress", json!({"current": step, "total": 100}));
        assert_eq!(world.engine.poll_timeout(), None, "nobody watches");
        world.run_for(7);
    }
    let viewer = world.viewer();
    world.send(viewer, &json!({"type": "subscribe", "taskIds": ["t"]}));
    let messages = world.messages(viewer);
    assert_eq!(messages.len(), 2);
    let payload = &messages[1]["payload"];
    assert_eq!(
        (&payload["snapshot"], &payload["current"]),
        (&json!(true), &json!(99))
    );
    world.run_for(5_000);
    let messages = world.messages(viewer).into_iter();
    let again = messages.filter(|message| message["payload"].get("current").is_some());
    assert_eq!(again.count(), 0);
}

#[test]
fn a_batching_client_gets_a_turn_in_one_frame() {
    let mut world = World::new(|config| config.broadcaster.batch_size = 3);
    let viewer = world.upgrade("/ws?batch=1", "");
    world.send(
        viewer,
        &json!({"type": "subscribe", "taskIds": ["a", "b", "c", "d"]}),
    );
    world.heard(viewer);
    let events: Vec<Value> = ["a", "b", "c", "d"]
        .iter()
        .map(|task| json!({"type": "task_progress", "payload": {"taskId": task, "progress": 5}}))
        .collect();
    world.post("/api/events", json!(events));
    let heard = world.heard(viewer);
    assert_eq!(heard[0].1, super::world::Heard::Batch(3));
    assert_eq!(
        heard.len(),
        5,
        "three in a batch, one on its own: {heard:?}"
    );
}
