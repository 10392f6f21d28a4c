//! Rate and remaining time (contract section 4, `rate`, `estimatedTimeRemaining`, `etaSource`).

use super::world::World;
use serde_json::{Value, json};

/// A task that does ten units a second, in ten steps.
fn steady(world: &mut World, from: u64, seconds: u64) {
    for second in from..from + seconds {
        for step in 0..10 {
            let current = second * 10 + step;
            world.report("t", "progress", json!({"current": current, "total": 1_000}));
            world.run_for(100);
        }
    }
}

fn close_to(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!(
        (value - expected).abs() < expected * 0.03,
        "{value} is not {expected}"
    );
}

#[test]
fn nothing_is_said_before_three_advances_and_three_seconds() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for current in 0..3 {
        world.report("t", "progress", json!({"current": current, "total": 100}));
        world.run_for(5_000);
    }
    for message in world.messages(viewer) {
        assert!(message["payload"].get("rate").is_none(), "{message}");
        assert_eq!(
            message["payload"]
                .get("estimatedTimeRemaining")
                .unwrap_or(&Value::Null),
            &Value::Null
        );
    }
    let mut hasty = World::new(|_| {});
    let viewer = hasty.watcher("t");
    steady(&mut hasty, 0, 3);
    let messages = hasty.messages(viewer);
    let early = messages
        .iter()
        .filter(|message| World::moment(message) < 3_000);
    assert!(
        early
            .into_iter()
            .all(|message| message["payload"].get("rate").is_none())
    );
}

#[test]
fn a_steady_task_is_foretold() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    steady(&mut world, 0, 50);
    let state = world.document("/api/tasks/t");
    close_to(&state["rate"], 10.0);
    close_to(&state["estimatedTimeRemaining"], 50_000.0);
    assert_eq!(state["etaSource"], "rate");
    let last = world.messages(viewer).pop().expect("progress");
    assert!(last["payload"]["estimatedTimeRemaining"].is_u64(), "{last}");
    world.report("t", "completed", json!({}));
    let state = world.document("/api/tasks/t");
    assert_eq!(state["estimatedTimeRemaining"], 0);
}

#[test]
fn whoever_only_asks_is_told_as_well() {
    let mut world = World::new(|_| {});
    steady(&mut world, 0, 50);
    let state = world.document("/api/tasks/t");
    close_to(&state["rate"], 10.0);
    close_to(&state["estimatedTimeRemaining"], 50_000.0);
}

#[test]
fn a_pause_freezes_the_estimate_and_leaves_no_trace() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    steady(&mut world, 0, 30);
    world.report("t", "paused", json!({}));
    let before = world.document("/api/tasks/t");
    world.run_for(3_600_000);
    let mut after = world.document("/api/tasks/t");
    assert_eq!(before, after, "an hour's pause changes nothing");
    world.report("t", "started", json!({}));
    steady(&mut world, 30, 5);
    after = world.document("/api/tasks/t");
    close_to(&after["rate"], 10.0);
    close_to(&after["estimatedTimeRemaining"], 65_000.0);
    assert!(world.messages(viewer).len() > 30, "a message a percent");
}

#[test]
fn the_applications_own_word_wins() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    steady(&mut world, 0, 10);
    world.report(
        "t",
        "progress",
        json!({"estimatedTimeRemaining": 91_234, "rate": 7}),
    );
    let said = world.document("/api/tasks/t");
    assert_eq!(said["estimatedTimeRemaining"], 91_234, "as it was said");
    assert_eq!(said["estimatedEndAt"], World::wall_ms(101_234));
    world.run_for(1_000);
    steady(&mut world, 11, 5);
    let state = world.document("/api/tasks/t");
    assert_eq!(
        (
            &state["estimatedTimeRemaining"],
            &state["etaSource"],
            &state["rate"]
        ),
        (&json!(85_234), &json!("app"), &json!(7)),
        "six seconds later"
    );
    assert_eq!(state["estimatedEndAt"], said["estimatedEndAt"]);
    world.report(
        "t",
        "progress",
        json!({"estimatedTimeRemaining": null, "rate": null}),
    );
    world.run_for(1_000);
    steady(&mut world, 17, 5);
    let state = world.document("/api/tasks/t");
    assert_eq!(state["etaSource"], "rate", "taken back");
    assert!(state["rate"].as_f64().expect("a rate") > 8.0);
    drop(world.messages(viewer));
}

#[test]
fn a_new_attempt_is_estimated_anew() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    steady(&mut world, 0, 20);
    world.report("t", "failed", json!({"error": "boom"}));
    world.report("t", "started", json!({"attempt": 2, "total": 1_000}));
    let last = world.messages(viewer).pop().expect("the second start");
    let payload = &last["payload"];
    assert_eq!(
        (&payload["progress"], &payload["attempt"]),
        (&json!(0), &json!(2))
    );
    assert!(payload.get("rate").is_none() && payload.get("error").is_none());
    assert_eq!(payload["estimatedTimeRemaining"], Value::Null);
}

#[test]
fn whoever_joins_is_told_what_is_true_now_and_disturbs_nobody() {
    let mut world = World::new(|_| {});
    let first = world.watcher("t");
    steady(&mut world, 0, 20);
    world.run_for(20_000);
    world.messages(first);
    let before = world.document("/api/tasks/t");
    let second = world.viewer();
    world.send(second, &json!({"type": "subscribe", "taskIds": ["t"]}));
    let snapshot = &world.messages(second)[1]["payload"];
    assert_eq!(snapshot["rate"], before["rate"]);
    assert_eq!(world.document("/api/tasks/t"), before);
    assert_eq!(world.messages(first), [Value::Null; 0]);
}
