//! Workers that are gone: their tasks count as failed after a long silence, and their next word takes that back.

use super::kept::{Store, durable, restarted_at, tell};
use super::visit::brief;
use super::world::{PeerId, World};
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

fn impatient(config: &mut joblight::Config) {
    config.websocket.control = joblight::config::Control::Anybody;
    config.broadcaster.lost_after = HOUR_MS;
    config.broadcaster.stall_timeout = 0;
}

/// A task that was heard of once and is lost since this moment, with a viewer who has heard all of it.
fn lost(world: &mut World, verb: &str, body: Value) -> PeerId {
    let viewer = world.watcher("t");
    world.report("t", verb, body);
    world.run_for(HOUR_MS);
    let last = world.messages(viewer).pop().expect("a message");
    assert_eq!(last["type"], "task_failed", "{last}");
    viewer
}

fn status(world: &mut World) -> Value {
    world.document("/api/tasks/t")["status"].clone()
}

#[test]
fn silent_task_fails_after_its_time_and_not_before() {
    let mut world = World::new(impatient);
    let viewer = world.watcher("t");
    let body = json!({"progress": 5, "stage": "printing", "estimatedTimeRemaining": 9});
    world.report("t", "progress", body);
    world.messages(viewer);
    world.run_for(HOUR_MS - 1);
    assert_eq!(world.messages(viewer), [Value::Null; 0]);
    world.run_for(1);
    let told = world.messages(viewer);
    assert_eq!(brief(&told), ["task_failed"]);
    assert_eq!(World::moment(&told[0]), HOUR_MS);
    assert_eq!(
        (&told[0]["room"], &told[0]["offset"]),
        (&json!("task:t"), &json!(1))
    );
    let payload = &told[0]["payload"];
    let error = json!({"code": "lost", "message": "no news for 1 h"});
    assert_eq!(
        (&payload["status"], &payload["error"]),
        (&json!("failed"), &error)
    );
    assert_eq!(
        (&payload["progress"], &payload["stage"]),
        (&json!(5), &json!("printing"))
    );
    assert_eq!(payload["estimatedTimeRemaining"], Value::Null);
    assert_eq!(
        world.document("/api/tasks?status=failed")["tasks"][0]["error"],
        error
    );
    world.run_for(10 * HOUR_MS);
    assert_eq!(world.messages(viewer), [Value::Null; 0], "it is lost once");
}

#[test]
fn any_word_of_the_attempt_revives_it_before_it_counts() {
    for (verb, body, expected, after) in [
        (
            "progress",
            json!({"progress": 9}),
            vec!["task_started", "task_progress"],
            "running",
        ),
        (
            "started",
            json!({"stage": "again"}),
            vec!["task_started"],
            "running",
        ),
        (
            "paused",
            json!({}),
            vec!["task_started", "task_paused"],
            "paused",
        ),
        (
            "completed",
            json!({}),
            vec!["task_started", "task_completed"],
            "completed",
        ),
        (
            "failed",
            json!({"error": "boom"}),
            vec!["task_started", "task_failed"],
            "failed",
        ),
        (
            "cancelled",
            json!({}),
            vec!["task_started", "task_cancelled"],
            "cancelled",
        ),
    ] {
        let mut world = World::new(impatient);
        let viewer = lost(&mut world, "started", json!({"progress": 5, "attempt": 2}));
        let body_text = body.to_string();
        assert_eq!(world.report("t", verb, body)["accepted"], 1, "{verb}");
        world.run_for(1_000);
        let told = world.messages(viewer);
        assert_eq!(brief(&told), expected, "{verb}");
        let revived = &told[0]["payload"];
        assert_eq!(
            (&revived["revived"], &revived["status"], &revived["error"]),
            (&json!(true), &json!("running"), &Value::Null),
            "{verb}"
        );
        assert_eq!(
            (&revived["progress"], &revived["attempt"]),
            (&json!(5), &json!(2))
        );
        let stage = if verb == "started" { "again" } else { "" };
        assert_eq!(revived["stage"], stage, "{body_text}");
        assert_eq!(told[0]["offset"], 3, "it is logged");
        assert_eq!(status(&mut world), after, "{verb}");
        let document = world.document("/api/tasks/t");
        assert_eq!(document.get("revived"), None, "it is no part of the state");
    }
}

#[test]
fn item_revives_it_as_it_was() {
    for (verb, body, before) in [
        ("started", json!({}), "running"),
        ("progress", json!({"status": "pending"}), "pending"),
    ] {
        let mut world = World::new(impatient);
        let viewer = lost(&mut world, verb, body);
        let item = json!({"type": "document_generated", "payload": {"taskId": "t"}});
        assert_eq!(world.post("/api/events", item)["accepted"], 1);
        let told = world.messages(viewer);
        assert_eq!(brief(&told), ["task_started", "document_generated"]);
        assert_eq!(told[0]["payload"]["status"], before);
        assert_eq!(status(&mut world), before);
    }
}

#[test]
fn task_that_waits_is_lost_too_and_says_that_it_still_waits() {
    let mut world = World::new(impatient);
    let viewer = lost(&mut world, "progress", json!({"status": "pending"}));
    world.report("t", "progress", json!({"status": "pending"}));
    let told = world.messages(viewer);
    assert_eq!(told[0]["payload"]["status"], "pending");
    assert_eq!(status(&mut world), "pending");
    world.run_for(HOUR_MS);
    assert_eq!(status(&mut world), "failed", "and again");
}

#[test]
fn what_would_be_dropped_revives_nothing() {
    let mut world = World::new(impatient);
    let viewer = lost(&mut world, "started", json!({"attempt": 2, "seq": 7}));
    for body in [json!({"attempt": 1}), json!({"seq": 7}), json!({"seq": 3})] {
        let answer = world.report("t", "progress", body.clone());
        assert_eq!(answer["dropped"], 1, "{body}");
    }
    assert_eq!(world.messages(viewer), [Value::Null; 0]);
    assert_eq!(status(&mut world), "failed");
}

#[test]
fn higher_attempt_begins_anew_and_revives_nothing() {
    let mut world = World::new(impatient);
    let viewer = lost(&mut world, "started", json!({"progress": 5}));
    world.report("t", "started", json!({"attempt": 2}));
    let told = world.messages(viewer);
    assert_eq!(brief(&told), ["task_started"]);
    assert_eq!(told[0]["payload"].get("revived"), None);
    assert_eq!(told[0]["payload"]["progress"], 0);
    world.report("t", "failed", json!({"error": "boom"}));
    let answer = world.report("t", "progress", json!({}));
    assert_eq!(answer["dropped"], 1, "an end of its own is final");
}

#[test]
fn further_attempt_of_a_lost_run_without_a_number_revives_nothing() {
    for body in [json!({"attempt": 2}), json!({"restart": true})] {
        let mut world = World::new(impatient);
        let viewer = lost(&mut world, "started", json!({"progress": 5}));
        world.report("t", "started", body.clone());
        let told = world.messages(viewer);
        assert_eq!(brief(&told), ["task_started"], "{body}");
        let payload = &told[0]["payload"];
        assert_eq!(
            (
                &payload["attempt"],
                &payload["progress"],
                payload.get("revived")
            ),
            (&json!(2), &json!(0), None),
            "{body}"
        );
        assert_eq!(payload.get("error"), None);
    }
}

#[test]
fn first_number_of_a_lost_run_names_it() {
    let mut world = World::new(impatient);
    let viewer = lost(&mut world, "started", json!({"progress": 5}));
    world.report("t", "started", json!({"attempt": 1}));
    let payload = &world.messages(viewer)[0]["payload"];
    assert_eq!(
        [
            &payload["attempt"],
            &payload["revived"],
            &payload["progress"]
        ],
        [&json!(1), &json!(true), &json!(5)]
    );
}

#[test]
fn every_word_counts_as_news() {
    let mut world = World::new(impatient);
    world.report("t", "started", json!({}));
    for round in 0..6 {
        world.run_for(HOUR_MS - 1);
        match round % 2 {
            0 => world.report("t", "progress", json!({"progress": round})),
            _ => world.post(
                "/api/events",
                json!({"type": "document_failed", "payload": {"taskId": "t"}}),
            ),
        };
    }
    assert_eq!(status(&mut world), "running");
    world.run_for(HOUR_MS);
    assert_eq!(status(&mut world), "failed");
}

#[test]
fn paused_and_ended_tasks_are_never_lost() {
    let mut world = World::new(impatient);
    for verb in ["paused", "completed", "failed", "cancelled"] {
        world.report(verb, "progress", json!({"progress": 5}));
        world.report(verb, verb, json!({"message": "by its worker"}));
    }
    world.run_for(20 * HOUR_MS);
    for verb in ["paused", "completed", "failed", "cancelled"] {
        let state = world.document(&format!("/api/tasks/{verb}"));
        assert_eq!(
            (&state["status"], &state["error"]),
            (&json!(verb), &Value::Null)
        );
    }
}

#[test]
fn zero_gives_no_task_up() {
    let mut world = World::new(|config| config.broadcaster.lost_after = 0);
    world.report("t", "started", json!({}));
    world.run_for(300 * 24 * HOUR_MS);
    assert_eq!(status(&mut world), "running");
}

#[test]
fn stall_comes_first_and_goes_with_the_loss() {
    let mut world = World::new(|config| config.broadcaster.lost_after = HOUR_MS);
    let viewer = world.watcher("t");
    world.report("t", "started", json!({}));
    world.run_for(HOUR_MS);
    let told = world.messages(viewer);
    assert_eq!(
        brief(&told),
        ["task_started", "task_progress", "task_failed"]
    );
    assert_eq!(told[1]["payload"]["stalled"], true);
    assert_eq!(told[2]["payload"].get("stalled"), None);
}

#[test]
fn message_is_in_the_language_of_the_server() {
    let mut world = World::new(|config| {
        config.locale = joblight::config::Locale::SimplifiedChinese;
        config.broadcaster.lost_after = 90_000;
    });
    world.report("t", "started", json!({}));
    world.run_for(90_000);
    let error = &world.document("/api/tasks/t")["error"];
    assert_eq!(error["message"], "已有 90 s 没有消息");
}

#[test]
fn viewers_request_waits_for_the_worker_that_comes_back() {
    let mut world = World::new(|config| {
        impatient(config);
        config.websocket.control = joblight::config::Control::Anybody;
    });
    let viewer = world.watcher("t");
    world.report("t", "started", json!({}));
    let cancel = json!({"type": "task_control", "taskId": "t", "action": "cancel"});
    world.send(viewer, &cancel);
    world.run_for(HOUR_MS);
    assert_eq!(status(&mut world), "failed");
    let answer = world.report("t", "progress", json!({"progress": 1}));
    assert_eq!(answer["control"][0]["action"], "cancel", "{answer}");
}

#[test]
fn silence_while_the_server_was_down_counts_and_workers_have_a_fair_chance() {
    let mut world = durable(impatient);
    let mut kept = Store::default();
    tell(&mut world, "t", "started", json!({"progress": 5}));
    tell(&mut world, "u", "started", json!({}));
    kept.take(&mut world);
    let mut world = restarted_at(10 * HOUR_MS, &kept, impatient);
    world.run_for(59_999);
    assert_eq!(status(&mut world), "running");
    tell(&mut world, "u", "progress", json!({"progress": 1}));
    world.run_for(1);
    assert_eq!(status(&mut world), "failed");
    assert_eq!(world.document("/api/tasks/u")["status"], "running");
    let mut world = restarted_at(HOUR_MS / 2, &kept, impatient);
    world.run_for(HOUR_MS / 2 - 1);
    assert_eq!(status(&mut world), "running");
    world.run_for(1);
    assert_eq!(status(&mut world), "failed", "an hour since the last news");
}

#[test]
fn lost_task_is_revived_after_a_restart() {
    let mut world = durable(impatient);
    let mut kept = Store::default();
    tell(&mut world, "t", "started", json!({"progress": 5}));
    world.run_for(HOUR_MS);
    kept.take(&mut world);
    let mut world = restarted_at(2 * HOUR_MS, &kept, impatient);
    assert_eq!(world.document("/api/tasks/t")["error"]["code"], "lost");
    let viewer = world.watcher("t");
    world.messages(viewer);
    tell(&mut world, "t", "completed", json!({}));
    let told = world.messages(viewer);
    assert_eq!(brief(&told), ["task_started", "task_completed"]);
    assert_eq!(told[0]["payload"]["revived"], true);
}

#[test]
fn lost_task_is_kept_as_a_failed_one() {
    let mut world = World::new(|config| {
        impatient(config);
        (
            config.broadcaster.keep_completed,
            config.broadcaster.keep_failed,
        ) = (1_000, HOUR_MS);
    });
    let viewer = lost(&mut world, "started", json!({}));
    world.run_for(HOUR_MS - 1);
    assert_eq!(status(&mut world), "failed");
    world.run_for(1);
    assert_eq!(brief(&world.messages(viewer)), ["task_removed"]);
    world.leave(viewer);
    world.assert_empty();
}

#[test]
fn tasks_that_are_lost_together_hold_no_turn() {
    let mut world = World::new(impatient);
    for task in 0..1_000 {
        world.report(&format!("t{task}"), "started", json!({}));
    }
    let failed = |world: &World| {
        let held = world.engine.inspect();
        let tasks = held.task_ids().filter_map(|id| held.task(id));
        tasks.filter(|task| task.status == "failed").count()
    };
    world.run_for(HOUR_MS);
    assert_eq!(failed(&world), 256);
    world.run_for(3);
    assert_eq!(failed(&world), 1_000);
}
