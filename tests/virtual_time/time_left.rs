//! When a task will end (contract section 4): `estimatedTimeRemaining` and `estimatedEndAt`, read at any moment and in
//! any way, for work of many kinds.

use super::world::{PeerId, World};
use serde_json::{Value, json};

/// What is left by every way of asking, which all agree.
#[track_caller]
fn left_ms(world: &mut World) -> Option<f64> {
    let shown = world.document("/api/tasks/t");
    let listed = world.document("/api/tasks")["tasks"][0].clone();
    let viewer = world.viewer();
    world.send(viewer, &json!({"type": "subscribe", "taskIds": ["t"]}));
    let messages = world.messages(viewer);
    let snapshot = &messages[1];
    world.leave(viewer);
    for state in [&listed, &snapshot["payload"]] {
        for name in ["estimatedTimeRemaining", "estimatedEndAt", "rate"] {
            assert_eq!(state[name], shown[name], "{name}");
        }
    }
    agrees(snapshot);
    shown["estimatedTimeRemaining"].as_f64()
}

/// Both fields of one message name the same end.
#[track_caller]
fn agrees(message: &Value) {
    let payload = &message["payload"];
    let end_at = payload["estimatedEndAt"].as_u64();
    if let (Some(left_ms), Some(end_at)) = (payload["estimatedTimeRemaining"].as_f64(), end_at) {
        let told = message["timestamp"].as_f64().expect("a timestamp") + left_ms;
        let tolerance = f64::max(1_000.0, left_ms * 0.02);
        assert!((told - end_at as f64).abs() <= tolerance, "{message}");
    }
}

#[track_caller]
fn within(left_ms: Option<f64>, truth_ms: f64) {
    let left_ms = left_ms.expect("an estimate");
    let factor = (left_ms / truth_ms).max(truth_ms / left_ms);
    assert!(factor <= 1.5, "{left_ms} ms left, in truth {truth_ms}");
}

/// Reports at these moments, of which the last is the end of the work, and reads thrice between two of them: from the
/// first tenth on every reading is near the truth.
fn follow(world: &mut World, reports: &[(u64, Value)]) {
    let begin_ms = world.millis();
    let end_ms = reports.last().expect("an end").0;
    for pair in reports.windows(2) {
        let [(at_ms, body), (next_ms, _)] = pair else {
            unreachable!("pairs")
        };
        world.report("t", "progress", body.clone());
        for moment_ms in [*at_ms, (at_ms + next_ms) / 2, next_ms - 1] {
            world.run_for(begin_ms + moment_ms - world.millis());
            if moment_ms * 10 >= end_ms {
                within(left_ms(world), (end_ms - moment_ms) as f64);
            }
        }
        world.run_for(1);
    }
}

fn steps(first: u64, count: u64, gap_ms: u64) -> Vec<(u64, Value)> {
    let total = first + count;
    let step = |done| {
        (
            done * gap_ms,
            json!({"current": first + done, "total": total}),
        )
    };
    (0..=count).map(step).collect()
}

fn progress_of(world: &mut World, viewer: PeerId) -> Vec<Value> {
    let messages = world.messages(viewer);
    messages.iter().for_each(agrees);
    messages
        .into_iter()
        .map(|message| message["payload"].clone())
        .collect()
}

#[test]
fn steady_and_sparse_work_is_foretold_at_any_moment() {
    for (count, gap_ms) in [
        (100, 100),
        (60, 1_000),
        (40, 15_000),
        (48, 65_000),
        (20, 600_000),
    ] {
        follow(&mut World::new(|_| {}), &steps(0, count, gap_ms));
    }
}

#[test]
fn resumed_work_is_measured_from_where_it_goes_on() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"total": 1_351}));
    world.run_for(1_000);
    follow(&mut world, &steps(130, 1_221, 491));
}

#[test]
fn bursts_are_measured_by_their_period() {
    let burst = |index: u64| (index * 30_000, json!({"current": index * 20, "total": 400}));
    let bursts: Vec<_> = (0..=20).map(burst).collect();
    follow(&mut World::new(|_| {}), &bursts);
}

#[test]
fn percent_is_measured_in_percent_whatever_else_is_counted_a_second() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"rate": 120}));
    let percent = |done: u64| (done * 1_000, json!({"progress": done, "rate": 120}));
    let percents: Vec<_> = (0..=100).map(percent).collect();
    follow(&mut world, &percents);
    assert_eq!(
        world.document("/api/tasks/t")["rate"],
        120,
        "frames a second"
    );
}

#[test]
fn an_own_rate_in_the_units_of_the_total_counts() {
    let mut world = World::new(|_| {});
    world.report(
        "t",
        "progress",
        json!({"current": 100, "total": 1_000, "rate": 10}),
    );
    assert_eq!(left_ms(&mut world), Some(90_000.0));
}

#[test]
fn a_stage_in_other_units_is_measured_on_its_own() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for (_, body) in steps(0, 400, 50) {
        world.report("t", "progress", body);
        world.run_for(50);
    }
    let begins = json!({"stage": "upload", "current": 0, "total": 100});
    world.report("t", "progress", begins);
    world.run_for(1_000);
    assert_eq!(left_ms(&mut world), None, "nothing is known of uploads yet");
    for done in 1..=6 {
        world.report("t", "progress", json!({"current": done}));
        world.run_for(1_000);
    }
    within(left_ms(&mut world), 93_000.0);
    world.report("t", "progress", json!({"stage": null}));
    assert_eq!(left_ms(&mut world), None, "no stage is another stage");
    assert!(!progress_of(&mut world, viewer).is_empty());
}

#[test]
fn sparse_work_is_not_stalled_and_its_end_stands_still() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for (_, body) in steps(0, 10, 65_000) {
        world.report("t", "progress", body);
        world.run_for(65_000);
    }
    let told = progress_of(&mut world, viewer);
    let stalls = told.iter().filter(|payload| payload["stalled"] == true);
    assert_eq!(stalls.count(), 2, "before the pace is known: {told:?}");
    let end = |payload: &&Value| payload.get("estimatedEndAt").is_some_and(Value::is_u64);
    let ends: Vec<&Value> = told.iter().filter(end).collect();
    assert!(ends.len() <= 3, "it does not move: {ends:?}");
    world.run_for(194_999);
    assert_ne!(world.document("/api/tasks/t")["stalled"], true);
    world.run_for(1);
    let last = progress_of(&mut world, viewer).pop().expect("a stall");
    assert_eq!(last["stalled"], true, "after four gaps");
}

#[test]
fn a_steady_task_says_its_end_once_and_a_slower_one_says_it_again() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for done in 0..=30 {
        world.report("t", "progress", json!({"current": done, "total": 1_000}));
        world.run_for(1_000);
    }
    let told = progress_of(&mut world, viewer);
    let ends: Vec<&Value> = told
        .iter()
        .filter_map(|payload| payload.get("estimatedEndAt"))
        .collect();
    assert_eq!(ends, [&json!(World::wall_ms(1_000_000))]);
    let lefts = told
        .iter()
        .filter(|payload| payload.get("estimatedTimeRemaining").is_some());
    assert!(
        lefts.count() > 20,
        "the time left goes on with each message"
    );
    for done in 31..=40 {
        world.report("t", "progress", json!({"current": done, "total": 1_000}));
        world.run_for(5_000);
    }
    let told = progress_of(&mut world, viewer);
    assert!(
        told.iter()
            .any(|payload| payload["estimatedEndAt"].is_u64())
    );
}

#[test]
fn a_pause_has_no_end_and_its_length_leaves_no_trace() {
    for own in [false, true] {
        let mut world = World::new(|_| {});
        let viewer = world.watcher("t");
        for done in 0..=30 {
            world.report("t", "progress", json!({"current": done, "total": 100}));
            world.run_for(1_000);
        }
        if own {
            world.report("t", "progress", json!({"estimatedTimeRemaining": 69_000}));
        }
        world.report("t", "paused", json!({}));
        let paused = progress_of(&mut world, viewer).pop().expect("a pause");
        assert!(paused.get("estimatedEndAt").is_none(), "{paused}");
        within(paused["estimatedTimeRemaining"].as_f64(), 69_000.0);
        world.run_for(3_600_000);
        within(left_ms(&mut world), 69_000.0);
        world.report("t", "started", json!({}));
        let goes_on = progress_of(&mut world, viewer).pop().expect("a start");
        within(goes_on["estimatedTimeRemaining"].as_f64(), 69_000.0);
        assert_eq!(
            goes_on["estimatedEndAt"],
            World::wall_ms(world.millis() + 69_000)
        );
    }
}

#[test]
fn a_stalled_task_has_no_end_and_what_comes_after_is_measured_as_before() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for done in 0..=50 {
        world.report("t", "progress", json!({"current": done, "total": 100}));
        world.run_for(1_000);
    }
    progress_of(&mut world, viewer);
    world.run_for(600_000);
    let stalled = progress_of(&mut world, viewer).pop().expect("a stall");
    for name in ["estimatedTimeRemaining", "estimatedEndAt", "etaSource"] {
        assert_eq!(stalled.get(name), Some(&Value::Null), "{name}: {stalled}");
    }
    assert_eq!(left_ms(&mut world), None);
    world.report("t", "progress", json!({"message": "here again"}));
    within(left_ms(&mut world), 50_000.0);
    world.run_for(500);
    world.report("t", "progress", json!({"current": 51}));
    within(left_ms(&mut world), 49_000.0);
    let rate = world.document("/api/tasks/t")["rate"].as_f64();
    assert!((0.7..1.5).contains(&rate.expect("a rate")), "{rate:?}");
}

#[test]
fn a_stalled_task_keeps_the_rate_that_it_had_however_it_is_read() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for done in 0..=50 {
        world.report("t", "progress", json!({"current": done, "total": 100}));
        world.run_for(1_000);
    }
    let rate = |world: &mut World| world.document("/api/tasks/t")["rate"].as_f64();
    let before = rate(&mut world);
    progress_of(&mut world, viewer);
    world.run_for(100_000);
    let stalled = progress_of(&mut world, viewer).pop().expect("a stall");
    assert_eq!(stalled["stalled"], true, "{stalled}");
    for _ in 0..5 {
        assert_eq!(rate(&mut world), before);
        // Lists and snapshots agree with the task on its own.
        assert_eq!(left_ms(&mut world), None);
        world.run_for(3_600_000);
    }
}

#[test]
fn what_is_shown_alike_goes_on_with_the_base_line() {
    let mut world = World::new(|_| {});
    for done in 0..=20_u32 {
        let total = [100.0, 100.0 + 1e-12, 100.00000001][(done % 3) as usize];
        let stage = [Value::Null, json!("")][(done % 2) as usize].clone();
        world.report(
            "t",
            "progress",
            json!({"current": done, "total": total, "stage": stage}),
        );
        world.run_for(1_000);
    }
    within(left_ms(&mut world), 79_000.0);
    world.report("t", "progress", json!({"total": 100.001}));
    assert_eq!(left_ms(&mut world), None, "another total");
    (21..=24).for_each(|done| {
        world.report("t", "progress", json!({"current": done}));
        world.run_for(1_000);
    });
    within(left_ms(&mut world), 75_000.0);
    world.report("t", "progress", json!({"stage": "last"}));
    assert_eq!(left_ms(&mut world), None, "another stage");
}

#[test]
fn without_a_stall_timeout_nothing_stalls() {
    let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
    for done in 0..=50 {
        world.report("t", "progress", json!({"current": done, "total": 100}));
        world.run_for(1_000);
    }
    world.run_for(30_000);
    assert!(left_ms(&mut world).is_some());
    world.run_for(86_400_000);
    assert_eq!(world.document("/api/tasks/t").get("stalled"), None);
}

#[test]
fn a_word_of_the_application_is_silent_when_its_time_is_over_or_the_task_stalls() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report(
        "t",
        "progress",
        json!({"progress": 5, "estimatedTimeRemaining": 100_000}),
    );
    let said = progress_of(&mut world, viewer).pop().expect("progress");
    assert_eq!(said["estimatedEndAt"], World::wall_ms(100_000));
    world.run_for(30_000);
    assert_eq!(left_ms(&mut world), Some(70_000.0));
    world.run_for(31_000);
    assert_eq!(left_ms(&mut world), None, "stalled");
    world.report("t", "progress", json!({"message": "m"}));
    assert_eq!(left_ms(&mut world), Some(39_000.0));
    world.run_for(39_000);
    assert_eq!(left_ms(&mut world), None, "its time is over");
    world.report("t", "progress", json!({"message": "n"}));
    world.run_for(1_000);
    let last = progress_of(&mut world, viewer).pop().expect("progress");
    assert_eq!(last.get("estimatedEndAt"), Some(&Value::Null), "{last}");
}

#[test]
fn a_count_without_a_total_has_a_rate_and_an_end_by_percent_alone() {
    let mut world = World::new(|_| {});
    for second in 0..50 {
        world.report("t", "progress", json!({"current": second * 3}));
        world.run_for(1_000);
    }
    let state = world.document("/api/tasks/t");
    assert_eq!(state["rate"], 3);
    assert_eq!(left_ms(&mut world), None);
    for second in 50..80 {
        let percent = (second - 49) as f64 / 2.0;
        world.report(
            "t",
            "progress",
            json!({"current": second * 3, "progress": percent}),
        );
        world.run_for(1_000);
    }
    assert_eq!(world.document("/api/tasks/t")["rate"], 3);
    within(left_ms(&mut world), 169_000.0);
}

#[test]
fn a_total_of_nothing_says_nothing() {
    let mut world = World::new(|_| {});
    for second in 0..20 {
        world.report(
            "t",
            "progress",
            json!({"current": 0, "total": 0, "progress": second}),
        );
        world.run_for(1_000);
    }
    let state = world.document("/api/tasks/t");
    assert_eq!(state["progress"], 19, "as it was said");
    within(left_ms(&mut world), 80_000.0);
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"current": 0, "total": 0}));
    world.run_for(10_000);
    assert_eq!(left_ms(&mut world), None);
    assert_eq!(world.document("/api/tasks/t")["progress"], 0);
}

#[test]
fn all_steps_done_is_not_the_end() {
    let mut world = World::new(|_| {});
    for (_, body) in steps(0, 20, 1_000) {
        world.report("t", "progress", body);
        world.run_for(1_000);
    }
    assert_eq!(left_ms(&mut world), None, "it has not said that it is done");
    world.report("t", "completed", json!({}));
    let state = world.document("/api/tasks/t");
    assert_eq!(
        (
            &state["estimatedTimeRemaining"],
            state.get("estimatedEndAt")
        ),
        (&json!(0), None)
    );
}

#[test]
fn growing_totals_are_known_again_after_five_advances() {
    let mut world = World::new(|_| {});
    let mut total = 100;
    for done in 0..150 {
        if done % 25 == 0 {
            total += 40;
        }
        world.report("t", "progress", json!({"current": done, "total": total}));
        world.run_for(200);
        if done % 25 >= 5 && done > 15 {
            within(left_ms(&mut world), f64::from(total - done) * 200.0 - 200.0);
        }
    }
}

#[test]
fn an_end_beyond_a_year_is_left_out() {
    let mut world = World::new(|_| {});
    for done in 0..10 {
        world.report("t", "progress", json!({"current": done, "total": 1e9}));
        world.run_for(1_000);
    }
    assert_eq!(left_ms(&mut world), None);
    assert_eq!(world.document("/api/tasks/t")["rate"], 1);
}

#[test]
fn slow_work_has_a_rate() {
    let mut world = World::new(|_| {});
    for (_, body) in steps(0, 5, 7_200_000) {
        world.report("t", "progress", body);
        world.run_for(7_200_000);
    }
    assert_eq!(world.document("/api/tasks/t")["rate"], 0.000_138_9);
}

#[test]
fn an_end_named_by_a_producer_is_no_field_of_its_own() {
    let mut world = World::new(|_| {});
    world.report("t", "progress", json!({"progress": 5, "estimatedEndAt": 7}));
    assert_eq!(world.document("/api/tasks/t").get("estimatedEndAt"), None);
}

#[test]
fn a_reader_who_was_behind_is_told_what_is_left_now() {
    let mut world = World::new(|config| config.broadcaster.min_change_threshold = 0.0);
    let viewer = world.watcher("t");
    for done in 0..=50 {
        world.report(
            "t",
            "progress",
            json!({"current": done, "total": 100, "message": "m".repeat(900)}),
        );
        world.run_for(1_000);
    }
    world.messages(viewer);
    world.stall(viewer, 0);
    for done in 51..=60 {
        world.report(
            "t",
            "progress",
            json!({"current": done, "message": "n".repeat(40_000 + done)}),
        );
        world.run_for(1_000);
    }
    let before = world.document("/api/tasks/t")["estimatedTimeRemaining"].clone();
    world.run_for(20_000);
    world.read(viewer, None);
    let told = world.messages(viewer).pop().expect("the newest state");
    assert_eq!(
        World::moment(&told),
        world.millis(),
        "sent late: {}",
        told["timestamp"]
    );
    assert_ne!(told["payload"]["estimatedTimeRemaining"], before);
    agrees(&told);
    assert_eq!(
        told["payload"]["estimatedTimeRemaining"],
        world.document("/api/tasks/t")["estimatedTimeRemaining"]
    );
}
