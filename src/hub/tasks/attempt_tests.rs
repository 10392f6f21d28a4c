//! Attempts that are named or begun, `seq`, and when `current` may go back.

use crate::base::time::{Now, Time};
use crate::hub::tasks::decision::judge;
use crate::hub::tasks::state::Task;
use crate::hub::tasks::step::apply;
use crate::hub::tasks::step::{lose, revive};
use crate::hub::tasks::verdict::{Announcement, Attempt, DropReason};
use crate::wire::message::incoming::parse;
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Status, TaskEvent, TaskPatch};

const KINDS: [TaskEvent; 6] = [
    TaskEvent::Started,
    TaskEvent::Progress,
    TaskEvent::Paused,
    TaskEvent::Completed,
    TaskEvent::Failed,
    TaskEvent::Cancelled,
];
const ENDS: [TaskEvent; 3] = [
    TaskEvent::Completed,
    TaskEvent::Failed,
    TaskEvent::Cancelled,
];

/// Applies an event. All come at the same moment: nothing here depends on time.
fn feed(task: &mut Task, kind: TaskEvent, patch: &str) -> Result<Attempt, DropReason> {
    let mut patch: TaskPatch = parse(patch).unwrap();
    patch.restart = patch.extra.iter().any(|(name, _)| &**name == "restart");
    patch.extra.retain(|(name, _)| &**name != "restart");
    let now = Now::default();
    let verdict = judge(task, kind, &patch, now, false)?;
    apply(task, kind, verdict, patch, now);
    Ok(verdict.attempt)
}

/// A task after these events, all of which count.
fn task(events: &[(TaskEvent, &str)]) -> Task {
    let mut task = Task::new("t".into(), Time::ZERO);
    for (kind, patch) in events {
        feed(&mut task, *kind, patch).unwrap();
    }
    task
}

#[test]
fn a_started_that_names_the_attempt_lets_seq_begin_anew_and_no_other_event_does() {
    for attempt in [0, 1] {
        for (more, next) in [
            ("", 1),
            (r#","total":4"#, 1),
            (r#","seq":null"#, 1),
            (r#","seq":0"#, 1),
            (r#","seq":3"#, 4),
        ] {
            let mut task = task(&[(TaskEvent::Progress, r#"{"seq":50}"#)]);
            let started = format!(r#"{{"attempt":{attempt}{more}}}"#);
            let placed = feed(&mut task, TaskEvent::Started, &started);
            assert_eq!(placed, Ok(Attempt::Named(attempt)), "{started}");
            let progress = format!(r#"{{"seq":{next}}}"#);
            let placed = feed(&mut task, TaskEvent::Progress, &progress);
            assert_eq!(placed, Ok(Attempt::Same), "{started} {progress}");
            let again = feed(&mut task, TaskEvent::Progress, &progress);
            assert_eq!(again, Err(DropReason::OldSeq), "it counts from there");
            assert!(task.seq > 50, "viewers count on");
        }
    }
    for kind in [TaskEvent::Progress, TaskEvent::Paused] {
        let mut task = task(&[(TaskEvent::Started, r#"{"seq":50}"#)]);
        let old = feed(&mut task, kind, r#"{"attempt":1,"seq":2}"#);
        assert_eq!(old, Err(DropReason::OldSeq), "{kind:?}");
        feed(&mut task, kind, r#"{"attempt":1}"#).unwrap();
        let old = feed(&mut task, kind, r#"{"seq":2}"#);
        assert_eq!(old, Err(DropReason::OldSeq), "{kind:?}");
    }
}

#[test]
fn an_attempt_that_begins_lets_seq_begin_anew_whoever_begins_it() {
    for kind in KINDS {
        for seq in ["", r#","seq":1"#] {
            let mut task = task(&[(TaskEvent::Progress, r#"{"attempt":1,"seq":50}"#)]);
            let patch = format!(r#"{{"attempt":2{seq}}}"#);
            assert_eq!(feed(&mut task, kind, &patch), Ok(Attempt::Begins(2)));
            if !ENDS.contains(&kind) {
                let next = feed(&mut task, TaskEvent::Progress, r#"{"seq":2}"#);
                assert_eq!(next, Ok(Attempt::Same), "{kind:?} {patch}");
            }
        }
    }
    for seq in ["", r#","seq":1"#] {
        let mut task = task(&[(TaskEvent::Progress, r#"{"seq":50}"#)]);
        let restart = format!(r#"{{"restart":true{seq}}}"#);
        feed(&mut task, TaskEvent::Started, &restart).unwrap();
        let next = feed(&mut task, TaskEvent::Progress, r#"{"seq":2}"#);
        assert_eq!(next, Ok(Attempt::Same), "{restart}");
    }
}

#[test]
fn clearing_current_needs_no_seq() {
    for first in [r#"{"current":5,"total":9}"#, r#"{"current":5,"seq":7}"#] {
        for kind in [TaskEvent::Progress, TaskEvent::Started, TaskEvent::Paused] {
            let mut task = task(&[(TaskEvent::Progress, first)]);
            feed(&mut task, kind, r#"{"current":null}"#).unwrap();
            assert_eq!(task.view.current, None, "{first} {kind:?}");
            feed(&mut task, TaskEvent::Progress, r#"{"current":2}"#).unwrap();
            assert_eq!(task.view.current, Some(2.0), "it begins from nothing");
        }
    }
}

#[test]
fn current_goes_back_with_another_stage_or_total_and_not_with_the_same() {
    let before = r#"{"current":50,"total":100,"stage":"copy"}"#;
    for (patch, current) in [
        (r#"{"current":3}"#, 50.0),
        (r#"{"current":3,"stage":"copy"}"#, 50.0),
        (r#"{"current":3,"total":100}"#, 50.0),
        (r#"{"current":3,"total":1e2,"stage":"copy"}"#, 50.0),
        (r#"{"current":3,"stage":"pack"}"#, 3.0),
        (r#"{"current":3,"stage":null}"#, 3.0),
        (r#"{"current":3,"total":60}"#, 3.0),
        (r#"{"current":3,"total":null}"#, 3.0),
        (r#"{"stage":"copy","total":null,"current":3}"#, 3.0),
        (r#"{"total":100,"current":3,"stage":null}"#, 3.0),
        (r#"{"current":3,"stage":null,"total":null}"#, 3.0),
    ] {
        for kind in [TaskEvent::Progress, TaskEvent::Paused] {
            let mut task = task(&[(TaskEvent::Progress, before)]);
            feed(&mut task, kind, patch).unwrap();
            assert_eq!(task.view.current, Some(current), "{kind:?} {patch}");
        }
    }
    for patch in [
        r#"{"current":3,"stage":null}"#,
        r#"{"current":3,"total":null}"#,
    ] {
        let mut task = task(&[(TaskEvent::Progress, r#"{"current":50}"#)]);
        feed(&mut task, TaskEvent::Progress, patch).unwrap();
        assert_eq!(task.view.current, Some(50.0), "{patch} clears nothing");
    }
}

#[test]
fn a_restart_that_names_the_attempt_that_ended_begins_the_next() {
    for known in [0, 1, 7] {
        let named = format!(r#"{{"attempt":{known},"seq":9}}"#);
        let restart = format!(r#"{{"attempt":{known},"restart":true,"seq":1}}"#);
        for end in ENDS {
            let mut task = task(&[(end, &named)]);
            let begun = feed(&mut task, TaskEvent::Started, &restart);
            assert_eq!(begun, Ok(Attempt::Begins(known + 1)), "{end:?} {restart}");
            assert_eq!(
                (task.view.attempt, task.view.status),
                (Some(known + 1), Status::Running)
            );
            let again = feed(&mut task, TaskEvent::Started, &restart);
            assert_eq!(again, Err(DropReason::OldAttempt), "it is another's now");
        }
        for at_work in [TaskEvent::Started, TaskEvent::Progress, TaskEvent::Paused] {
            let mut task = task(&[(at_work, &named)]);
            let repeat = feed(&mut task, TaskEvent::Started, &restart);
            assert_eq!(repeat, Err(DropReason::Repeat), "{at_work:?} {restart}");
            assert_eq!(task.view.attempt, Some(known));
        }
    }
    let named = format!(r#"{{"attempt":{MAX_COUNT}}}"#);
    let mut task = task(&[(TaskEvent::Failed, &named)]);
    let restart = format!(r#"{{"attempt":{MAX_COUNT},"restart":true}}"#);
    let begun = feed(&mut task, TaskEvent::Started, &restart);
    assert_eq!(begun, Ok(Attempt::Begins(MAX_COUNT)), "no number is higher");
}

#[test]
fn the_number_that_viewers_see_stops_where_json_does() {
    for seq in [MAX_COUNT - 1, MAX_COUNT] {
        for kind in KINDS {
            let mut task = task(&[(TaskEvent::Started, &format!(r#"{{"seq":{seq}}}"#))]);
            for number in 0..3 {
                feed(
                    &mut task,
                    TaskEvent::Progress,
                    &format!(r#"{{"own":{number}}}"#),
                )
                .unwrap();
            }
            let _ = feed(&mut task, kind, r#"{"message":"m"}"#);
            assert_eq!(task.seq, MAX_COUNT, "{kind:?}");
            lose(&mut task, "no news", Now::default());
            assert_eq!(task.seq, MAX_COUNT, "lost");
            revive(&mut task, Status::Running, Now::default());
            assert_eq!(task.seq, MAX_COUNT, "revived");
        }
    }
    let mut task = task(&[]);
    for (named, expected) in [
        (None, 1),
        (Some(5), 5),
        (Some(5), 6),
        (Some(2), 7),
        (None, 8),
    ] {
        task.count_event(named);
        assert_eq!(task.seq, expected, "it always rises below that");
    }
}

#[test]
fn a_verdict_says_which_events_are_cut() {
    for kind in KINDS {
        let task = task(&[(TaskEvent::Started, "{}")]);
        let patch: TaskPatch = parse(r#"{"message":"m"}"#).unwrap();
        let verdict = judge(&task, kind, &patch, Now::default(), false).unwrap();
        assert_eq!(
            verdict.may_be_cut(kind),
            kind != TaskEvent::Progress,
            "{kind:?}"
        );
        assert!(!verdict.begins() && !verdict.counts_anew, "{kind:?}");
    }
    for status in ["completed", "failed", "cancelled", "paused"] {
        let task = task(&[(TaskEvent::Started, "{}")]);
        let patch: TaskPatch = parse(&format!(r#"{{"status":"{status}"}}"#)).unwrap();
        let verdict = judge(&task, TaskEvent::Progress, &patch, Now::default(), false).unwrap();
        assert_ne!(verdict.announcement, Announcement::Progress);
        assert!(verdict.may_be_cut(TaskEvent::Progress), "{status}");
    }
}
