//! How long what has ended is kept, by how it ended, and its log with it.

use super::kept::{Store, ask, durable, restarted_at, say, tell};
use super::world::World;
use joblight::internals::hub::Table;
use serde_json::{Value, json};

const DAY_MS: u64 = 24 * 3_600_000;

fn names(world: &mut World) -> Vec<String> {
    let tasks = world.document("/api/tasks");
    let tasks = tasks["tasks"].as_array().expect("a list").iter();
    let mut names: Vec<String> = tasks
        .map(|task| task["taskId"].as_str().expect("an id").to_owned())
        .collect();
    names.sort();
    names
}

fn document(world: &mut World, task: &str) {
    let payload = json!({"taskId": task});
    world.post(
        "/api/events",
        json!({"type": "document_generated", "payload": payload}),
    );
}

fn logged(world: &mut World, room: &str) -> Vec<String> {
    let (status, history) = world.call("GET", &format!("/api/rooms/{room}/history"), &Value::Null);
    let messages = history["messages"].as_array().filter(|_| status == 200);
    let kinds = messages.into_iter().flatten();
    kinds
        .map(|message| message["type"].as_str().expect("a type").to_owned())
        .collect()
}

#[test]
fn completed_and_cancelled_tasks_are_kept_a_week_and_failed_ones_a_month() {
    let mut world = World::new(|_| {});
    for verb in ["completed", "cancelled", "failed"] {
        world.report(verb, verb, json!({}));
    }
    world.run_for(7 * DAY_MS - 1);
    assert_eq!(names(&mut world), ["cancelled", "completed", "failed"]);
    world.run_for(1);
    assert_eq!(names(&mut world), ["failed"]);
    world.run_for(23 * DAY_MS - 1);
    assert_eq!(names(&mut world), ["failed"]);
    world.run_for(1);
    assert_eq!(names(&mut world), [""; 0]);
    world.assert_empty();
}

#[test]
fn zero_keeps_for_ever() {
    for (completed, failed, left) in [(0, 1_000, "completed"), (1_000, 0, "failed")] {
        let mut world = World::new(|config| {
            config.broadcaster.keep_completed = completed;
            config.broadcaster.keep_failed = failed;
        });
        for verb in ["completed", "failed"] {
            world.report(verb, verb, json!({}));
        }
        world.run_for(300 * DAY_MS);
        assert_eq!(names(&mut world), [left]);
    }
}

#[test]
fn log_lives_as_long_as_its_task() {
    let mut world = World::new(|config| config.broadcaster.lost_after = 0);
    for task in ["good", "bad"] {
        world.report(task, "started", json!({}));
        document(&mut world, task);
    }
    say(&mut world, "lobby", 1);
    world.run_for(10 * DAY_MS);
    assert_eq!(
        logged(&mut world, "lobby"),
        [""; 0],
        "other rooms' logs age"
    );
    world.report("good", "completed", json!({}));
    world.report("bad", "failed", json!({}));
    let whole = |end: &str| ["task_started", "document_generated", end].map(str::to_owned);
    world.run_for(7 * DAY_MS - 1);
    assert_eq!(logged(&mut world, "task:good"), whole("task_completed"));
    world.run_for(1);
    assert_eq!(logged(&mut world, "task:good"), [""; 0]);
    world.run_for(22 * DAY_MS);
    assert_eq!(logged(&mut world, "task:bad"), whole("task_failed"));
}

#[test]
fn room_that_was_there_before_its_task_ages_no_more() {
    let mut world = World::new(|config| config.broadcaster.lost_after = 0);
    say(&mut world, "task:t", 1);
    world.run_for(DAY_MS);
    world.report("t", "started", json!({}));
    world.run_for(30 * DAY_MS);
    say(&mut world, "task:t", 2);
    let expected = ["room_broadcast", "task_started", "room_broadcast"];
    assert_eq!(logged(&mut world, "task:t"), expected);
    world.call("DELETE", "/api/tasks/t", &Value::Null);
    world.assert_empty();
}

#[test]
fn entries_expire_one_by_one_and_a_following_hub_sees_the_same() {
    let mut world = World::new(|_| {});
    say(&mut world, "lobby", 1);
    world.run_for(DAY_MS);
    say(&mut world, "lobby", 2);
    world.run_for(6 * DAY_MS);
    assert_eq!(logged(&mut world, "lobby"), ["room_broadcast"]);
    world.check_follower();
    world.run_for(DAY_MS);
    world.assert_empty();
}

#[test]
fn failed_tasks_make_room_last() {
    let mut world = World::new(|config| config.broadcaster.max_tasks = 4);
    for (task, verb) in [
        ("a", "failed"),
        ("b", "completed"),
        ("c", "failed"),
        ("d", "cancelled"),
    ] {
        world.report(task, verb, json!({}));
        world.run_for(1_000);
    }
    for (new, left) in [
        ("1", ["1", "a", "c", "d"]),
        ("2", ["1", "2", "a", "c"]),
        ("3", ["1", "2", "3", "c"]),
        ("4", ["1", "2", "3", "4"]),
    ] {
        world.report(new, "started", json!({}));
        assert_eq!(names(&mut world), left);
    }
    let (status, _) = world.call("POST", "/api/tasks/5/started", &json!({}));
    assert_eq!(status, 503);
}

#[test]
fn task_that_begins_anew_goes_by_its_last_end() {
    let mut world = World::new(|config| config.broadcaster.max_tasks = 2);
    world.report("a", "failed", json!({}));
    world.report("b", "completed", json!({}));
    world.run_for(1_000);
    world.report("a", "completed", json!({"attempt": 2}));
    world.report("b", "started", json!({"attempt": 2}));
    world.report("c", "started", json!({}));
    assert_eq!(names(&mut world), ["b", "c"]);
    world.run_for(6 * DAY_MS);
    assert_eq!(names(&mut world), ["b", "c"]);
}

#[test]
fn restart_prolongs_nothing() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    tell(&mut world, "good", "completed", json!({}));
    tell(&mut world, "bad", "failed", json!({}));
    tell(&mut world, "late", "started", json!({}));
    let payload = json!({"taskId": "good"});
    let item = json!({"type": "document_generated", "payload": payload});
    ask(&mut world, "POST", "/api/events", &item);
    world.run_for(DAY_MS);
    tell(&mut world, "late", "completed", json!({}));
    kept.take(&mut world);
    let mut world = restarted_at(7 * DAY_MS - 10, &kept, |_| {});
    assert_eq!(names(&mut world), ["bad", "good", "late"]);
    world.run_for(9);
    assert_eq!(logged(&mut world, "task:good").len(), 2);
    world.run_for(1);
    assert_eq!(names(&mut world), ["bad", "late"]);
    world.run_for(DAY_MS);
    assert_eq!(names(&mut world), ["bad"]);
    let mut world = restarted_at(30 * DAY_MS, &kept, |_| {});
    world.run_for(0);
    assert_eq!(names(&mut world), [""; 0]);
    kept.take(&mut world);
    assert_eq!((kept.count(Table::Task), kept.count(Table::Room)), (0, 0));
    assert_eq!(kept.entries.len(), 0);
}

#[test]
fn what_is_over_after_a_restart_goes_a_few_at_a_time() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    for task in 0..1_000 {
        tell(&mut world, &format!("t{task}"), "completed", json!({}));
    }
    kept.take(&mut world);
    let mut world = restarted_at(8 * DAY_MS, &kept, |_| {});
    let left = |world: &World| world.engine.inspect().task_ids().count();
    let mut before = left(&world);
    for _ in 0..10 {
        world.run_for(1);
        let after = left(&world);
        assert!(before - after <= 512, "{} in a millisecond", before - after);
        before = after;
    }
    assert_eq!(before, 0);
}

#[test]
fn lower_limit_of_tasks_is_reached_after_a_restart() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    for task in 0..300 {
        tell(&mut world, &format!("t{task:03}"), "completed", json!({}));
        world.run_for(1);
    }
    tell(&mut world, "failed", "failed", json!({}));
    tell(&mut world, "running", "started", json!({}));
    kept.take(&mut world);
    let mut world = restarted_at(DAY_MS / 2, &kept, |config| config.broadcaster.max_tasks = 3);
    world.run_for(10);
    assert_eq!(names(&mut world), ["failed", "running", "t299"]);
}
