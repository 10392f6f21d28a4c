//! What each kind of event does to a task, and that no sequence of events breaks the rules.

use crate::base::time::{Now, Time};
use crate::hub::tasks::decision::{judge, judge_request};
use crate::hub::tasks::state::Task;
use crate::hub::tasks::step::{apply, apply_request};
use crate::hub::tasks::verdict::{Announcement, Attempt, ControlRefused, DropReason, Verdict};
use crate::wire::message::incoming::parse;
use crate::wire::message::{Control, Field, Status, TaskEvent, TaskPatch};
use proptest::prelude::*;

fn now(seconds: u64) -> Now {
    Now {
        at: Time::from_millis(seconds * 1000),
        wall_ms: 1_000_000 + seconds * 1000,
    }
}

const PROGRESS: Result<Announcement, DropReason> = Ok(Announcement::Progress);
const STARTED: Result<Announcement, DropReason> = Ok(Announcement::Lifecycle(TaskEvent::Started));

fn feed(
    task: &mut Task,
    second: u64,
    kind: TaskEvent,
    patch: &str,
) -> Result<Announcement, DropReason> {
    feed_as(task, second, kind, patch, false)
}

fn feed_as(
    task: &mut Task,
    second: u64,
    kind: TaskEvent,
    patch: &str,
    has_id: bool,
) -> Result<Announcement, DropReason> {
    let mut patch: TaskPatch = parse(patch).unwrap();
    // As the report's parser does: `restart` is no field of the task.
    patch.restart = patch.extra.iter().any(|(name, _)| &**name == "restart");
    patch.extra.retain(|(name, _)| &**name != "restart");
    let verdict: Verdict = judge(task, kind, &patch, now(second), has_id)?;
    apply(task, kind, verdict, patch, now(second));
    Ok(verdict.announcement)
}

fn task() -> Task {
    Task::new("t".into(), Time::ZERO)
}

fn request(task: &mut Task, control: Control, by: &str, now: Now) -> Result<(), ControlRefused> {
    if judge_request(task, control)? {
        apply_request(task, control, by.into(), now);
    }
    Ok(())
}

#[test]
fn progress_alone_makes_a_task_run() {
    let mut task = task();
    assert_eq!(
        feed(
            &mut task,
            0,
            TaskEvent::Progress,
            r#"{"current":1,"total":3}"#
        ),
        PROGRESS
    );
    assert_eq!(
        (task.view.status, task.view.progress),
        (Status::Running, 33.0)
    );
    assert_eq!(feed(&mut task, 1, TaskEvent::Started, "{}"), STARTED);
    assert_eq!(
        feed(&mut task, 2, TaskEvent::Started, "{}"),
        Err(DropReason::Repeat)
    );
}

#[test]
fn the_bar_never_goes_back_and_ends_at_99_until_completed() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Progress,
        r#"{"current":50,"total":50,"stage":"a"}"#,
    )
    .unwrap();
    assert_eq!(task.view.progress, 99.0);
    feed(
        &mut task,
        1,
        TaskEvent::Progress,
        r#"{"current":40,"message":"still counts"}"#,
    )
    .unwrap();
    assert_eq!(
        (task.view.current, task.view.message.as_deref()),
        (Some(50.0), Some("still counts"))
    );
    feed(
        &mut task,
        2,
        TaskEvent::Progress,
        r#"{"current":1,"total":70,"stage":"b"}"#,
    )
    .unwrap();
    assert_eq!((task.view.current, task.view.progress), (Some(1.0), 99.0));
    feed(
        &mut task,
        3,
        TaskEvent::Completed,
        r#"{"result":{"files":50}}"#,
    )
    .unwrap();
    assert_eq!(
        (task.view.status, task.view.progress),
        (Status::Completed, 100.0)
    );
}

#[test]
fn terminal_is_final_but_for_a_higher_attempt() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Failed,
        r#"{"progress":70,"error":"boom","seq":9}"#,
    )
    .unwrap();
    for kind in [
        TaskEvent::Progress,
        TaskEvent::Started,
        TaskEvent::Completed,
    ] {
        assert_eq!(
            feed(&mut task, 1, kind, r#"{"seq":10}"#),
            Err(DropReason::Ended)
        );
    }
    let verdict = feed(&mut task, 2, TaskEvent::Started, r#"{"attempt":2,"seq":1}"#);
    assert_eq!(verdict, STARTED);
    assert_eq!(
        (task.view.status, task.view.progress),
        (Status::Running, 0.0)
    );
    assert!(task.view.error.is_none());
    assert_eq!(
        feed(&mut task, 3, TaskEvent::Progress, r#"{"attempt":1}"#),
        Err(DropReason::OldAttempt)
    );
}

#[test]
fn old_sequence_numbers_are_dropped() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Progress,
        r#"{"current":5,"total":10,"seq":5}"#,
    )
    .unwrap();
    assert_eq!(
        feed(
            &mut task,
            1,
            TaskEvent::Progress,
            r#"{"current":9,"seq":5}"#
        ),
        Err(DropReason::OldSeq)
    );
    feed(
        &mut task,
        2,
        TaskEvent::Progress,
        r#"{"current":3,"seq":6}"#,
    )
    .unwrap();
    assert_eq!(
        (task.view.current, task.view.progress, task.seq),
        (Some(3.0), 50.0, 6)
    );
}

#[test]
fn a_request_stays_until_it_is_answered() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, "{}").unwrap();
    request(&mut task, Control::Pause, "client_1", now(1)).unwrap();
    feed(&mut task, 2, TaskEvent::Progress, r#"{"progress":5}"#).unwrap();
    assert_eq!(pending(&task), Some(Control::Pause));
    assert_eq!(
        feed(&mut task, 3, TaskEvent::Paused, "{}"),
        Ok(Announcement::Lifecycle(TaskEvent::Paused))
    );
    assert_eq!(pending(&task), None);
    assert_eq!(feed(&mut task, 4, TaskEvent::Started, "{}"), STARTED);
}

#[test]
fn a_status_in_progress_is_the_event_it_stands_for() {
    let mut task = task();
    let verdict = feed(
        &mut task,
        0,
        TaskEvent::Progress,
        r#"{"status":"completed"}"#,
    );
    assert_eq!(verdict, Ok(Announcement::Lifecycle(TaskEvent::Completed)));
}

#[test]
fn a_delta_says_what_changed_and_null_what_went() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Progress,
        r#"{"progress":10,"message":"m","extra":[1]}"#,
    )
    .unwrap();
    task.commit();
    let seen = task.version();
    feed(
        &mut task,
        1,
        TaskEvent::Progress,
        r#"{"progress":20,"message":null,"extra":null}"#,
    )
    .unwrap();
    task.commit();
    let delta: serde_json::Value = serde_json::from_str(&task.delta(seen)).unwrap();
    let expected = serde_json::json!({
        "taskId":"t","seq":2,"status":"running","progress":20,"message":null,"updatedAt":1_001_000,"extra":null});
    assert_eq!(delta, expected);
}

fn pending(task: &Task) -> Option<Control> {
    task.view.requested.as_ref().map(|pending| pending.control)
}

fn standing(task: &Task) -> (Option<u64>, Status, f64) {
    (task.view.attempt, task.view.status, task.view.progress)
}

#[test]
fn the_first_named_attempt_sets_the_base() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Progress, r#"{"status":"pending"}"#).unwrap();
    assert_eq!(task.view.attempt, None);
    let started = r#"{"attempt":0,"total":4,"seq":1}"#;
    assert_eq!(feed(&mut task, 1, TaskEvent::Started, started), STARTED);
    let progress = r#"{"attempt":0,"current":2,"seq":2}"#;
    assert_eq!(feed(&mut task, 2, TaskEvent::Progress, progress), PROGRESS);
    assert_eq!(standing(&task), (Some(0), Status::Running, 50.0));
    feed(&mut task, 3, TaskEvent::Progress, r#"{"attempt":1}"#).unwrap();
    assert_eq!(standing(&task), (Some(1), Status::Running, 0.0));
    let late = feed(&mut task, 4, TaskEvent::Completed, r#"{"attempt":0}"#);
    assert_eq!(late, Err(DropReason::OldAttempt));
}

#[test]
fn a_number_that_comes_late_moves_no_bar() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, r#"{"seq":7}"#).unwrap();
    feed(
        &mut task,
        1,
        TaskEvent::Progress,
        r#"{"progress":70,"seq":8}"#,
    )
    .unwrap();
    feed(
        &mut task,
        2,
        TaskEvent::Progress,
        r#"{"attempt":3,"seq":9}"#,
    )
    .unwrap();
    assert_eq!(standing(&task), (Some(3), Status::Running, 70.0));
}

#[test]
fn a_retry_that_names_its_attempt_is_heard_though_its_numbers_begin_anew() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, r#"{"seq":1}"#).unwrap();
    feed(
        &mut task,
        1,
        TaskEvent::Progress,
        r#"{"progress":70,"seq":50}"#,
    )
    .unwrap();
    let started = r#"{"attempt":1,"seq":1}"#;
    assert_eq!(feed(&mut task, 2, TaskEvent::Started, started), PROGRESS);
    let progress = r#"{"attempt":1,"progress":80,"seq":2}"#;
    assert_eq!(feed(&mut task, 3, TaskEvent::Progress, progress), PROGRESS);
}

#[test]
fn after_an_unnamed_end_only_a_named_start_begins_anew() {
    let mut ended = task();
    feed(&mut ended, 0, TaskEvent::Failed, r#"{"progress":40}"#).unwrap();
    for kind in [
        TaskEvent::Progress,
        TaskEvent::Completed,
        TaskEvent::Paused,
        TaskEvent::Failed,
    ] {
        let straggler = feed(&mut ended, 1, kind, r#"{"attempt":1}"#);
        assert_eq!(straggler, Err(DropReason::Ended), "{kind:?}");
    }
    let unnamed = feed(&mut ended, 2, TaskEvent::Started, "{}");
    assert_eq!(unnamed, Err(DropReason::Ended));
    let named = r#"{"attempt":1,"seq":1}"#;
    assert_eq!(feed(&mut ended, 3, TaskEvent::Started, named), STARTED);
    assert_eq!(standing(&ended), (Some(1), Status::Running, 0.0));
}

#[test]
fn a_restart_begins_the_next_attempt_whatever_the_state() {
    let restart = r#"{"restart":true}"#;
    let mut fresh = task();
    assert_eq!(feed(&mut fresh, 0, TaskEvent::Started, restart), STARTED);
    assert_eq!(fresh.view.attempt, Some(1), "nothing ran before");
    for (kind, fields, next) in [
        (TaskEvent::Progress, r#"{"progress":30,"seq":9}"#, 2),
        (TaskEvent::Completed, "{}", 2),
        (TaskEvent::Failed, r#"{"attempt":4}"#, 5),
        (TaskEvent::Cancelled, r#"{"attempt":0}"#, 1),
        (TaskEvent::Paused, r#"{"attempt":7}"#, 8),
    ] {
        let mut task = task();
        feed(&mut task, 0, kind, fields).unwrap();
        assert_eq!(feed(&mut task, 1, TaskEvent::Started, restart), STARTED);
        assert_eq!(standing(&task), (Some(next), Status::Running, 0.0));
        assert_eq!(
            feed(&mut task, 2, TaskEvent::Progress, r#"{"seq":1}"#),
            PROGRESS
        );
    }
}

#[test]
fn a_second_restart_within_ten_seconds_is_a_repeat_unless_something_tells_it_apart() {
    let restart = r#"{"restart":true}"#;
    let ended = |task: &mut Task| feed(task, 0, TaskEvent::Failed, "{}").unwrap();
    let mut asked_twice = task();
    ended(&mut asked_twice);
    feed(&mut asked_twice, 1, TaskEvent::Started, restart).unwrap();
    let repeat = feed(&mut asked_twice, 11, TaskEvent::Started, restart);
    assert_eq!(repeat, Err(DropReason::Repeat));
    let later = feed(&mut asked_twice, 12, TaskEvent::Started, restart);
    assert_eq!((later, asked_twice.view.attempt), (STARTED, Some(3)));
    let named = feed_as(&mut asked_twice, 13, TaskEvent::Started, restart, true);
    assert_eq!(
        (named, asked_twice.view.attempt),
        (STARTED, Some(4)),
        "its id is new"
    );
    feed(&mut asked_twice, 14, TaskEvent::Progress, "{}").unwrap();
    let after = feed(&mut asked_twice, 15, TaskEvent::Started, restart);
    assert_eq!(
        (after, asked_twice.view.attempt),
        (STARTED, Some(5)),
        "an event was between"
    );
}

#[test]
fn a_restart_that_names_its_attempt_counts_once() {
    let restart = r#"{"restart":true,"attempt":2}"#;
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Failed, r#"{"attempt":1}"#).unwrap();
    assert_eq!(feed(&mut task, 1, TaskEvent::Started, restart), STARTED);
    feed(&mut task, 2, TaskEvent::Progress, r#"{"progress":9}"#).unwrap();
    let repeat = feed(&mut task, 3, TaskEvent::Started, restart);
    assert_eq!(repeat, Err(DropReason::Repeat));
    assert_eq!(task.view.progress, 9.0);
}

#[test]
fn what_is_announced_already_counts_like_progress() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, "{}").unwrap();
    let again = r#"{"total":40,"stage":"two","message":"m","status":"pending"}"#;
    assert_eq!(feed(&mut task, 1, TaskEvent::Started, again), PROGRESS);
    assert_eq!(
        (task.view.total, task.view.status),
        (Some(40.0), Status::Running)
    );
    assert_eq!(task.view.stage.as_deref(), Some("two"));
    feed(&mut task, 2, TaskEvent::Paused, "{}").unwrap();
    let again = r#"{"message":"still held","current":3}"#;
    assert_eq!(feed(&mut task, 3, TaskEvent::Paused, again), PROGRESS);
    assert_eq!(task.view.status, Status::Paused);
    assert_eq!(task.view.message.as_deref(), Some("still held"));
    assert_eq!(
        feed(&mut task, 4, TaskEvent::Started, "{}"),
        STARTED,
        "it goes on"
    );
}

#[test]
fn a_straggler_does_not_resume_a_paused_task() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, r#"{"total":10}"#).unwrap();
    feed(&mut task, 1, TaskEvent::Paused, "{}").unwrap();
    for straggler in [
        r#"{"current":3}"#,
        r#"{"current":4,"seq":9}"#,
        r#"{"status":"pending"}"#,
    ] {
        feed(&mut task, 2, TaskEvent::Progress, straggler).unwrap();
        assert_eq!(task.view.status, Status::Paused, "{straggler}");
    }
    assert_eq!(task.view.current, Some(4.0));
    feed(&mut task, 3, TaskEvent::Progress, r#"{"status":"running"}"#).unwrap();
    assert_eq!(task.view.status, Status::Running);
}

#[test]
fn cancel_excludes_other_requests_and_displaces_them() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Started, "{}").unwrap();
    let mut ask = |control, by| request(&mut task, control, by, now(1));
    assert_eq!(ask(Control::Pause, "one"), Ok(()));
    assert_eq!(ask(Control::Cancel, "two"), Ok(()));
    let pending = Err(ControlRefused::Pending(Control::Cancel));
    assert_eq!(ask(Control::Pause, "one"), pending);
    assert_eq!(ask(Control::Resume, "one"), pending);
    assert_eq!(ask(Control::Cancel, "three"), Ok(()));
    let requested = task.view.requested.as_ref().unwrap();
    assert_eq!(
        (&*requested.by, requested.control),
        ("two", Control::Cancel)
    );
    feed(&mut task, 2, TaskEvent::Paused, "{}").unwrap();
    assert!(task.view.requested.is_some(), "a pause answers no cancel");
    feed(&mut task, 3, TaskEvent::Cancelled, "{}").unwrap();
    assert!(task.view.requested.is_none());
}

#[test]
fn a_pause_of_a_paused_task_is_answered_by_the_next_paused() {
    let mut task = task();
    feed(&mut task, 0, TaskEvent::Paused, "{}").unwrap();
    request(&mut task, Control::Pause, "one", now(1)).unwrap();
    feed(&mut task, 2, TaskEvent::Progress, r#"{"current":1}"#).unwrap();
    assert_eq!(
        pending(&task),
        Some(Control::Pause),
        "numbers answer nothing"
    );
    feed(&mut task, 3, TaskEvent::Paused, "{}").unwrap();
    assert_eq!(pending(&task), None);
}

#[test]
fn a_worker_declares_what_it_honours() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Started,
        r#"{"controls":["cancel","cancel"],"attempt":1}"#,
    )
    .unwrap();
    let refused = request(&mut task, Control::Pause, "one", now(1));
    assert!(matches!(refused, Err(ControlRefused::NotHonoured(_))));
    assert_eq!(request(&mut task, Control::Cancel, "one", now(1)), Ok(()));
    let shown: serde_json::Value = serde_json::from_str(&task.whole(true)).unwrap();
    assert_eq!(shown["controls"], serde_json::json!(["cancel"]));
    feed(&mut task, 2, TaskEvent::Started, r#"{"attempt":2}"#).unwrap();
    assert_eq!(
        request(&mut task, Control::Pause, "one", now(3)),
        Ok(()),
        "another worker"
    );
}

#[test]
fn a_fraction_that_binary_cannot_say_shows_its_percent() {
    for (current, total, percent) in [
        ("0.29", "1", 29.0),
        ("0.57", "1", 57.0),
        ("1.1", "2.2", 50.0),
        ("0.07", "0.1", 70.0),
        ("29", "100", 29.0),
        ("1", "3", 33.0),
        ("2", "3", 66.0),
        ("0.2899", "1", 28.0),
        ("99.9999", "100", 99.0),
        ("1", "1", 99.0),
    ] {
        let mut task = task();
        let patch = format!("{{\"current\":{current},\"total\":{total}}}");
        feed(&mut task, 0, TaskEvent::Progress, &patch).unwrap();
        assert_eq!(task.view.progress, percent, "{current} of {total}");
    }
}

#[test]
fn sequence_numbers_stop_where_json_does() {
    let mut task = task();
    feed(
        &mut task,
        0,
        TaskEvent::Progress,
        r#"{"seq":9007199254740991}"#,
    )
    .unwrap();
    feed(&mut task, 1, TaskEvent::Progress, r#"{"current":1}"#).unwrap();
    assert_eq!(task.seq, 9_007_199_254_740_991);
}

#[test]
fn cleared_fields_are_told_once_and_then_forgotten() {
    let mut task = task();
    for number in 0..100 {
        feed(
            &mut task,
            0,
            TaskEvent::Progress,
            &format!("{{\"f{number}\":1}}"),
        )
        .unwrap();
    }
    task.commit();
    let seen = task.version();
    feed(&mut task, 1, TaskEvent::Progress, r#"{"f1":null}"#).unwrap();
    task.commit();
    assert!(task.has_delta(seen));
    assert!(task.delta(seen).contains("\"f1\":null"));
    for number in 2..100 {
        feed(
            &mut task,
            2,
            TaskEvent::Progress,
            &format!("{{\"f{number}\":null}}"),
        )
        .unwrap();
    }
    task.commit();
    assert!(
        task.view.own.tombstones() < 40,
        "{}",
        task.view.own.tombstones()
    );
    assert!(
        !task.has_delta(seen),
        "whoever has seen no more is sent the whole state"
    );
    assert!(task.has_delta(task.version()));
}

proptest! {
    #[test]
    fn whatever_comes_progress_never_falls_within_an_attempt(
        events in prop::collection::vec(
            (0usize..6, 0u32..100, 0u32..20, prop::option::of(0u64..4), prop::option::of(0u64..50)),
            1..80,
        )
    ) {
        let kinds = [
            TaskEvent::Started, TaskEvent::Progress, TaskEvent::Progress,
            TaskEvent::Paused, TaskEvent::Completed, TaskEvent::Failed,
        ];
        let mut task = task();
        for (second, (kind, progress, current, attempt, seq)) in events.into_iter().enumerate() {
            let before = (task.view.progress, task.view.status);
            let patch = TaskPatch {
                progress: if progress % 3 == 0 { Field::Absent } else { Field::Set(f64::from(progress)) },
                current: Field::Set(f64::from(current)), total: Field::Set(20.0), attempt, seq, ..Default::default()
            };
            let now = now(second as u64);
            let Ok(verdict) = judge(&task, kinds[kind], &patch, now, false) else {
                continue;
            };
            let begins = matches!(verdict.attempt, Attempt::Begins(_));
            apply(&mut task, kinds[kind], verdict, patch, now);
            if !begins {
                prop_assert!(task.view.progress >= before.0);
                prop_assert!(!before.1.is_terminal());
            }
        }
    }
}
