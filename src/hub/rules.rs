//! What an event may change (contract sections 4 and 5.3): the state machine of a task and the bar that never goes back.

use super::task::{Task, TaskField, same};
use crate::base::time::Now;
use crate::wire::message::{Control, Field, Status, TaskEvent, TaskPatch};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The state has moved; progress is to be sent when it is due.
    Progress,
    /// The state has turned; the message goes out at once, after what is pending.
    Lifecycle(TaskEvent),
    /// Nothing has changed.
    Dropped(Drop),
}

/// Why an event was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// Its `seq` is not above the last.
    OldSeq,
    /// It belongs to an earlier attempt.
    OldAttempt,
    /// The task has ended, and the event begins no higher attempt.
    Terminal,
    /// The task is there already.
    Repeated,
}

/// Decides what an event would do, without doing it: pending progress must go out before a lifecycle event counts.
pub fn judge(task: &Task, kind: TaskEvent, patch: &TaskPatch) -> Verdict {
    let attempt = task.view.attempt.unwrap_or(1);
    let begins = begins_attempt(task, patch);
    if patch
        .attempt
        .is_some_and(|named| task.seq > 0 && named < attempt)
    {
        return Verdict::Dropped(Drop::OldAttempt);
    }
    if !begins {
        if patch
            .seq
            .zip(task.producer_seq)
            .is_some_and(|(new, last)| new <= last)
        {
            return Verdict::Dropped(Drop::OldSeq);
        }
        if task.standing().is_terminal() {
            return Verdict::Dropped(Drop::Terminal);
        }
    }
    let status = if begins {
        Status::Pending
    } else {
        task.standing()
    };
    match effective(kind, patch.status, status) {
        TaskEvent::Progress => Verdict::Progress,
        TaskEvent::Started if !begins && task.announced => Verdict::Dropped(Drop::Repeated),
        TaskEvent::Paused if status == Status::Paused => Verdict::Dropped(Drop::Repeated),
        lifecycle => Verdict::Lifecycle(lifecycle),
    }
}

/// Whether an event begins a higher attempt.
pub fn begins_attempt(task: &Task, patch: &TaskPatch) -> bool {
    let attempt = task.view.attempt.unwrap_or(1);
    patch.attempt.is_some_and(|named| named > attempt)
}

/// A progress report that names another status is the event which that status stands for.
fn effective(kind: TaskEvent, named: Option<Status>, status: Status) -> TaskEvent {
    match (kind, named) {
        (TaskEvent::Progress, Some(Status::Completed)) => TaskEvent::Completed,
        (TaskEvent::Progress, Some(Status::Failed)) => TaskEvent::Failed,
        (TaskEvent::Progress, Some(Status::Cancelled)) => TaskEvent::Cancelled,
        (TaskEvent::Progress, Some(Status::Paused)) if status != Status::Paused => {
            TaskEvent::Paused
        }
        _ => kind,
    }
}

/// Does what [`judge`] allowed.
pub fn apply(task: &mut Task, verdict: Verdict, patch: TaskPatch, now: Now) {
    let begins = begins_attempt(task, &patch);
    if begins {
        begin_attempt(task);
    }
    set(task, TaskField::Attempt, patch.attempt.map(Some), |view| {
        &mut view.attempt
    });
    task.seq = (task.seq + 1).max(patch.seq.unwrap_or(0));
    task.producer_seq = patch.seq.or(task.producer_seq);
    wake(task, now);
    task.last_event = now.at;
    task.pending_since.get_or_insert(now.at);
    let status = next_status(task.view.status, verdict, patch.status);
    turn_to(task, status, now);
    let context = Context {
        ordered: patch.seq.is_some(),
        begins,
        ended_well: status == Status::Completed,
        now,
    };
    let names_percent = patch.progress.value().is_some();
    apply_fields(task, patch, context);
    if matches!(verdict, Verdict::Lifecycle(TaskEvent::Started)) {
        task.announced = true;
    }
    if status == Status::Running {
        task.record_position(names_percent, now.at);
    }
    task.refresh_indeterminate();
    task.view.updated_at = now.wall_ms;
    task.mark(TaskField::UpdatedAt);
}

/// A viewer's request becomes visible, and stays until the worker has answered it.
pub fn request(task: &mut Task, control: Control, now: Now) {
    task.requested_at = now.wall_ms;
    task.pending_since.get_or_insert(now.at);
    set(task, TaskField::Requested, Some(Some(control)), |view| {
        &mut view.requested
    });
}

/// Sets the mark of a task that has not been heard of for long.
pub fn set_stalled(task: &mut Task, stalled: bool) {
    if task.view.stalled != stalled {
        task.view.stalled = stalled;
        task.mark(TaskField::Stalled);
    }
}

/// An event is a sign of life. Call it before the event becomes the last one.
pub fn wake(task: &mut Task, now: Now) {
    if task.view.stalled {
        let silence = now.at.saturating_since(task.last_event);
        task.estimator.wake(silence);
        set_stalled(task, false);
    }
}

/// What the fields are measured by.
struct Context {
    /// The event carries a `seq`, so what it says is newer than what is known.
    ordered: bool,
    /// It begins an attempt.
    begins: bool,
    /// It completes the task.
    ended_well: bool,
    /// When it came.
    now: Now,
}

fn begin_attempt(task: &mut Task) {
    task.producer_seq = None;
    task.announced = false;
    task.app_rate = false;
    (task.has_progress, task.lost) = (false, None);
    task.estimator = Default::default();
    task.view.status = Status::Pending;
    task.mark(TaskField::Status);
    task.view.progress = 0.0;
    task.mark(TaskField::Progress);
    set(task, TaskField::Current, Some(None), |view| {
        &mut view.current
    });
    set(task, TaskField::Stage, Some(None), |view| &mut view.stage);
    set(task, TaskField::StartedAt, Some(None), |view| {
        &mut view.started_at
    });
    set(task, TaskField::Message, Some(None), |view| {
        &mut view.message
    });
    set(task, TaskField::Requested, Some(None), |view| {
        &mut view.requested
    });
    set_raw(task, TaskField::Result, Field::Clear, |view| {
        &mut view.result
    });
    set_raw(task, TaskField::Error, Field::Clear, |view| &mut view.error);
    task.set_rate(None);
    task.set_estimate(None, None);
}

fn next_status(status: Status, verdict: Verdict, named: Option<Status>) -> Status {
    match verdict {
        Verdict::Dropped(_) => status,
        Verdict::Lifecycle(TaskEvent::Completed) => Status::Completed,
        Verdict::Lifecycle(TaskEvent::Failed) => Status::Failed,
        Verdict::Lifecycle(TaskEvent::Cancelled) => Status::Cancelled,
        Verdict::Lifecycle(TaskEvent::Paused) => Status::Paused,
        Verdict::Lifecycle(TaskEvent::Started | TaskEvent::Progress) => Status::Running,
        Verdict::Progress => match named {
            Some(Status::Pending) => status,
            Some(Status::Paused) => Status::Paused,
            _ => Status::Running,
        },
    }
}

fn turn_to(task: &mut Task, status: Status, now: Now) {
    if status == Status::Running {
        task.estimator.resume(now.at);
        if task.view.started_at.is_none() {
            set(
                task,
                TaskField::StartedAt,
                Some(Some(now.wall_ms)),
                |view| &mut view.started_at,
            );
        }
    } else {
        task.estimator.pause(now.at);
        task.announced = false;
    }
    if answers(task.view.requested, status) {
        set(task, TaskField::Requested, Some(None), |view| {
            &mut view.requested
        });
    }
    if task.view.status != status {
        task.view.status = status;
        task.mark(TaskField::Status);
    }
}

/// Whether a status is what was requested, or makes the request pointless.
fn answers(requested: Option<Control>, status: Status) -> bool {
    match requested {
        None => false,
        Some(_) if status.is_terminal() => true,
        Some(Control::Cancel) => false,
        Some(Control::Pause) => status == Status::Paused,
        Some(Control::Resume) => status == Status::Running,
    }
}

fn apply_fields(task: &mut Task, patch: TaskPatch, context: Context) {
    let stage_changed = patch
        .stage
        .value()
        .is_some_and(|stage| task.view.stage.as_ref() != Some(stage));
    let total_changed = patch
        .total
        .value()
        .is_some_and(|total| task.view.total != Some(*total));
    let may_go_back = context.ordered || context.begins || stage_changed || total_changed;
    let stage_cleared = patch.stage == Field::Clear && task.view.stage.is_some();
    let total_cleared = patch.total == Field::Clear && task.view.total.is_some();
    if stage_changed || total_changed || stage_cleared || total_cleared {
        task.estimator.begin_base_line();
    }
    set(task, TaskField::Total, patch.total.into_change(), |view| {
        &mut view.total
    });
    set(task, TaskField::Stage, patch.stage.into_change(), |view| {
        &mut view.stage
    });
    let current = patch
        .current
        .into_change()
        .filter(|new| may_go_back || *new >= task.view.current);
    set(task, TaskField::Current, current, |view| &mut view.current);
    match patch.progress {
        Field::Absent => {}
        Field::Clear => task.has_progress = false,
        Field::Set(_) => task.has_progress = true,
    }
    raise_progress(task, patch.progress.value().copied(), context.ended_well);
    task.take_own_word(patch.estimated_time_remaining, patch.rate, context.now);
    set(
        task,
        TaskField::Message,
        patch.message.into_change(),
        |view| &mut view.message,
    );
    set(
        task,
        TaskField::StartedAt,
        patch.started_at.into_change(),
        |view| &mut view.started_at,
    );
    set(
        task,
        TaskField::ParentId,
        patch.parent_id.into_change(),
        |view| &mut view.parent_id,
    );
    set_raw(task, TaskField::Result, patch.result, |view| {
        &mut view.result
    });
    set_raw(task, TaskField::Error, patch.error, |view| &mut view.error);
    set_raw(task, TaskField::Meta, patch.meta, |view| &mut view.meta);
    for (name, value) in patch.extra {
        if let Some(value) = value.into_change() {
            task.set_extra(name, value);
        }
    }
}

/// `progress` only rises within an attempt. Left out, it follows `current` of `total`, and says 100 only at the end.
fn raise_progress(task: &mut Task, named: Option<f64>, ended_well: bool) {
    let counted = || match (task.view.current, task.view.total) {
        (Some(current), Some(total)) if total > 0.0 => {
            Some((100.0 * current / total).floor().min(99.0))
        }
        _ => None,
    };
    let progress = if ended_well {
        Some(100.0)
    } else {
        named.or_else(counted)
    };
    if let Some(progress) = progress.filter(|progress| *progress > task.view.progress) {
        task.view.progress = progress;
        task.mark(TaskField::Progress);
    }
}

fn set<T: PartialEq>(
    task: &mut Task,
    field: TaskField,
    change: Option<Option<T>>,
    slot: impl Fn(&mut super::task::View) -> &mut Option<T>,
) {
    if let Some(value) = change
        && *slot(&mut task.view) != value
    {
        *slot(&mut task.view) = value;
        task.mark(field);
    }
}

type Raw = Option<Box<serde_json::value::RawValue>>;

fn set_raw(
    task: &mut Task,
    field: TaskField,
    change: Field<Box<serde_json::value::RawValue>>,
    slot: impl Fn(&mut super::task::View) -> &mut Raw,
) {
    if let Some(value) = change.into_change()
        && !same(slot(&mut task.view), &value)
    {
        *slot(&mut task.view) = value;
        task.mark(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Time;
    use crate::wire::message::incoming::parse;
    use proptest::prelude::*;

    fn now(seconds: u64) -> Now {
        Now {
            at: Time::from_millis(seconds * 1000),
            wall_ms: 1_000_000 + seconds * 1000,
        }
    }

    fn feed(task: &mut Task, second: u64, kind: TaskEvent, patch: &str) -> Verdict {
        let patch: TaskPatch = parse(patch).unwrap();
        let verdict = judge(task, kind, &patch);
        if !matches!(verdict, Verdict::Dropped(_)) {
            apply(task, verdict, patch, now(second));
        }
        verdict
    }

    fn task() -> Task {
        Task::new("t".into(), Time::ZERO)
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
            Verdict::Progress
        );
        assert_eq!(
            (task.view.status, task.view.progress),
            (Status::Running, 33.0)
        );
        assert_eq!(
            feed(&mut task, 1, TaskEvent::Started, "{}"),
            Verdict::Lifecycle(TaskEvent::Started)
        );
        assert_eq!(
            feed(&mut task, 2, TaskEvent::Started, "{}"),
            Verdict::Dropped(Drop::Repeated)
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
        );
        assert_eq!(task.view.progress, 99.0);
        feed(
            &mut task,
            1,
            TaskEvent::Progress,
            r#"{"current":40,"message":"still counts"}"#,
        );
        assert_eq!(
            (task.view.current, task.view.message.as_deref()),
            (Some(50.0), Some("still counts"))
        );
        feed(
            &mut task,
            2,
            TaskEvent::Progress,
            r#"{"current":1,"total":70,"stage":"b"}"#,
        );
        assert_eq!((task.view.current, task.view.progress), (Some(1.0), 99.0));
        feed(
            &mut task,
            3,
            TaskEvent::Completed,
            r#"{"result":{"files":50}}"#,
        );
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
        );
        for kind in [
            TaskEvent::Progress,
            TaskEvent::Started,
            TaskEvent::Completed,
        ] {
            assert_eq!(
                feed(&mut task, 1, kind, r#"{"seq":10}"#),
                Verdict::Dropped(Drop::Terminal)
            );
        }
        let verdict = feed(&mut task, 2, TaskEvent::Started, r#"{"attempt":2,"seq":1}"#);
        assert_eq!(verdict, Verdict::Lifecycle(TaskEvent::Started));
        assert_eq!(
            (task.view.status, task.view.progress),
            (Status::Running, 0.0)
        );
        assert!(task.view.error.is_none());
        assert_eq!(
            feed(&mut task, 3, TaskEvent::Progress, r#"{"attempt":1}"#),
            Verdict::Dropped(Drop::OldAttempt)
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
        );
        assert_eq!(
            feed(
                &mut task,
                1,
                TaskEvent::Progress,
                r#"{"current":9,"seq":5}"#
            ),
            Verdict::Dropped(Drop::OldSeq)
        );
        feed(
            &mut task,
            2,
            TaskEvent::Progress,
            r#"{"current":3,"seq":6}"#,
        );
        assert_eq!(
            (task.view.current, task.view.progress, task.seq),
            (Some(3.0), 50.0, 6)
        );
    }

    #[test]
    fn a_request_stays_until_it_is_answered() {
        let mut task = task();
        feed(&mut task, 0, TaskEvent::Started, "{}");
        request(&mut task, Control::Pause, now(1));
        feed(&mut task, 2, TaskEvent::Progress, r#"{"progress":5}"#);
        assert_eq!(task.view.requested, Some(Control::Pause));
        assert_eq!(
            feed(&mut task, 3, TaskEvent::Paused, "{}"),
            Verdict::Lifecycle(TaskEvent::Paused)
        );
        assert_eq!(task.view.requested, None);
        assert_eq!(
            feed(&mut task, 4, TaskEvent::Started, "{}"),
            Verdict::Lifecycle(TaskEvent::Started)
        );
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
        assert_eq!(verdict, Verdict::Lifecycle(TaskEvent::Completed));
    }

    #[test]
    fn a_delta_says_what_changed_and_null_what_went() {
        let mut task = task();
        feed(
            &mut task,
            0,
            TaskEvent::Progress,
            r#"{"progress":10,"message":"m","extra":[1]}"#,
        );
        task.commit();
        let seen = task.version();
        feed(
            &mut task,
            1,
            TaskEvent::Progress,
            r#"{"progress":20,"message":null,"extra":null}"#,
        );
        task.commit();
        let delta: serde_json::Value = serde_json::from_str(&task.delta(seen)).unwrap();
        let expected = serde_json::json!({"taskId":"t","seq":2,"progress":20,"message":null,"updatedAt":1_001_000,"extra":null});
        assert_eq!(delta, expected);
    }

    proptest! {
        #[test]
        fn whatever_comes_progress_never_falls_within_an_attempt(
            events in prop::collection::vec(
                (0usize..6, 0u32..100, 0u32..20, prop::option::of(1u32..4), prop::option::of(0u64..50)),
                1..80,
            )
        ) {
            let kinds = [
                TaskEvent::Started, TaskEvent::Progress, TaskEvent::Progress,
                TaskEvent::Paused, TaskEvent::Completed, TaskEvent::Failed,
            ];
            let mut task = task();
            for (second, (kind, progress, current, attempt, seq)) in events.into_iter().enumerate() {
                let before = (task.view.attempt.unwrap_or(1), task.view.progress, task.view.status);
                let patch = TaskPatch {
                    progress: if progress % 3 == 0 { Field::Absent } else { Field::Set(f64::from(progress)) },
                    current: Field::Set(f64::from(current)), total: Field::Set(20.0), attempt, seq, ..Default::default()
                };
                let verdict = judge(&task, kinds[kind], &patch);
                if !matches!(verdict, Verdict::Dropped(_)) {
                    apply(&mut task, verdict, patch, now(second as u64));
                }
                if task.view.attempt.unwrap_or(1) == before.0 {
                    prop_assert!(task.view.progress >= before.1);
                    prop_assert!(!before.2.is_terminal() || task.view.status == before.2);
                }
            }
        }
    }
}
