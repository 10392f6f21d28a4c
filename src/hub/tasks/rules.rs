//! What an event may change (contract sections 4 and 5.3): the state machine of a task and the bar that never goes back.
//!
//! [`judge`] looks and decides, [`apply`] does what was decided. An attempt that nobody has named is unknown: the first number
//! that comes names it.

use crate::base::time::{Now, Span};
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::own_fields::same;
use crate::hub::tasks::requested::Requested;
use crate::hub::tasks::state::Task;
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Control, Controls, Field, Status, TaskEvent, TaskPatch};

/// A second `restart` within this time, with nothing between that tells it from the first, repeats it.
const RESTART_REPEATS: Span = Span::from_secs(10);
/// Totals within this part of each other are the same.
const SAME_TOTAL: f64 = 1e-9;

/// What is to become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How it counts for viewers.
    pub turn: Turn,
    /// What becomes of the attempt.
    pub attempt: Attempt,
    /// The status afterwards.
    pub status: Status,
    /// Whether the producer counts its events anew from here.
    pub counts_anew: bool,
}

impl Verdict {
    /// Whether the event begins an attempt.
    pub fn begins(&self) -> bool {
        matches!(self.attempt, Attempt::Begins(_))
    }

    /// Whether an event of that kind counts however large it is: its fields are cut rather than that it is refused.
    pub fn is_cut(&self, kind: TaskEvent) -> bool {
        kind != TaskEvent::Progress || self.turn != Turn::Progress
    }
}

/// How an event that counts is told to viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Progress is sent when it is due.
    Progress,
    /// A lifecycle message goes out at once, after what is pending.
    Lifecycle(TaskEvent),
}

/// What an event does to the number of the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It belongs to the one that is known, or that nobody has named.
    Same,
    /// It names the one that nobody has named yet.
    Named(u64),
    /// It begins this one.
    Begins(u64),
}

/// Why an event was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Its event id is known, nothing in it is new, or it asks once more for the restart that has just been.
    Repeat,
    /// Its `seq` is not above the last.
    OldSeq,
    /// It belongs to an earlier attempt.
    OldAttempt,
    /// The task has ended, and the event begins no further attempt.
    Ended,
}

impl DropReason {
    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [Self; 4] = [Self::Repeat, Self::OldSeq, Self::OldAttempt, Self::Ended];

    /// The word in answers and statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::OldSeq => "oldSeq",
            Self::OldAttempt => "oldAttempt",
            Self::Ended => "ended",
        }
    }

    /// A number below the count of reasons, for tables.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Decides what an event would do, without doing it: pending progress must go out before a lifecycle event counts.
/// `has_id`: the event has an id of its own, and that is unknown.
pub fn judge(
    task: &Task,
    kind: TaskEvent,
    patch: &TaskPatch,
    now: Now,
    has_id: bool,
) -> Result<Verdict, DropReason> {
    let attempt = place(task, kind, patch, now, has_id)?;
    let begins = matches!(attempt, Attempt::Begins(_));
    if !begins && task.standing().is_terminal() {
        return Err(DropReason::Ended);
    }
    // A worker that names its attempt as it starts counts its events anew as well.
    let counts_anew = begins || matches!(attempt, Attempt::Named(_)) && kind == TaskEvent::Started;
    let is_old = |(new, last): (u64, u64)| new <= last;
    if !counts_anew && patch.seq.zip(task.producer_seq).is_some_and(is_old) {
        return Err(DropReason::OldSeq);
    }
    let status = if begins {
        Status::Pending
    } else {
        task.standing()
    };
    let is_announced = !begins && task.announced;
    let (turn, status) = turn(kind, patch.status, status, is_announced);
    if kind != TaskEvent::Progress && turn == Turn::Progress && says_nothing(task, kind, patch) {
        return Err(DropReason::Repeat);
    }
    Ok(Verdict {
        turn,
        attempt,
        status,
        counts_anew,
    })
}

/// Whether a lifecycle event that is announced already brings nothing else, and answers nothing.
fn says_nothing(task: &Task, kind: TaskEvent, patch: &TaskPatch) -> bool {
    let answers = task.view.requested.as_ref().is_some_and(|pending| {
        is_answered(pending.control, task.view.status, reported(kind, None))
    });
    let names = patch.attempt.is_some() && task.view.attempt.is_none();
    patch.is_empty() && patch.seq.is_none() && !names && !answers && !task.view.stalled
}

/// Which attempt an event belongs to.
fn place(
    task: &Task,
    kind: TaskEvent,
    patch: &TaskPatch,
    now: Now,
    has_id: bool,
) -> Result<Attempt, DropReason> {
    let is_new = task.seq == 0;
    let has_ended = task.standing().is_terminal();
    let is_at_work = task.standing() != Status::Pending;
    match (task.view.attempt, patch.attempt) {
        (None, Some(named)) if is_new => Ok(Attempt::Named(named)),
        (None, Some(named)) if patch.restart => Ok(Attempt::Begins(named)),
        (None, Some(_)) if has_ended && kind != TaskEvent::Started => Err(DropReason::Ended),
        (None, Some(named)) if has_ended => Ok(Attempt::Begins(named)),
        // A second attempt or later follows one that ran without a number.
        (None, Some(named)) if named > 1 && kind == TaskEvent::Started && is_at_work => {
            Ok(Attempt::Begins(named))
        }
        (None, Some(named)) => Ok(Attempt::Named(named)),
        (Some(known), Some(named)) if named > known => Ok(Attempt::Begins(named)),
        // It names an attempt that has ended, and wants the next.
        (Some(known), Some(_)) if patch.restart && has_ended => {
            Ok(Attempt::Begins((known + 1).min(MAX_COUNT)))
        }
        (Some(known), Some(named)) if named < known => Err(DropReason::OldAttempt),
        (Some(_), Some(_)) if patch.restart => Err(DropReason::Repeat),
        (Some(_), Some(_)) => Ok(Attempt::Same),
        (known, None) if patch.restart => {
            let since = task.restarted_at.map(|at| now.at.saturating_since(at));
            if !has_id && since.is_some_and(|since| since <= RESTART_REPEATS) {
                return Err(DropReason::Repeat);
            }
            // Whatever ran before without a number was the first.
            let before = known.unwrap_or(u64::from(!is_new));
            Ok(Attempt::Begins((before + 1).min(MAX_COUNT)))
        }
        (_, None) => Ok(Attempt::Same),
    }
}

/// How an event of that kind turns a task. A progress report that names another status is the event which that status
/// stands for; what is announced already is not announced twice, and its fields count like progress.
fn turn(
    kind: TaskEvent,
    named: Option<Status>,
    status: Status,
    is_announced: bool,
) -> (Turn, Status) {
    let lifecycle = |event, status| (Turn::Lifecycle(event), status);
    match kind {
        TaskEvent::Started if is_announced => (Turn::Progress, status),
        TaskEvent::Started => lifecycle(TaskEvent::Started, Status::Running),
        TaskEvent::Paused if status == Status::Paused => (Turn::Progress, Status::Paused),
        TaskEvent::Paused => lifecycle(TaskEvent::Paused, Status::Paused),
        TaskEvent::Completed => lifecycle(TaskEvent::Completed, Status::Completed),
        TaskEvent::Failed => lifecycle(TaskEvent::Failed, Status::Failed),
        TaskEvent::Cancelled => lifecycle(TaskEvent::Cancelled, Status::Cancelled),
        TaskEvent::Progress => match named {
            Some(Status::Completed) => lifecycle(TaskEvent::Completed, Status::Completed),
            Some(Status::Failed) => lifecycle(TaskEvent::Failed, Status::Failed),
            Some(Status::Cancelled) => lifecycle(TaskEvent::Cancelled, Status::Cancelled),
            Some(Status::Paused) if status != Status::Paused => {
                lifecycle(TaskEvent::Paused, Status::Paused)
            }
            Some(Status::Paused | Status::Pending) => (Turn::Progress, status),
            Some(Status::Running) => (Turn::Progress, Status::Running),
            // A straggler says nothing of whether the worker goes on.
            None if status == Status::Paused => (Turn::Progress, status),
            None => (Turn::Progress, Status::Running),
        },
    }
}

/// Does what [`judge`] allowed.
pub fn apply(task: &mut Task, kind: TaskEvent, verdict: Verdict, patch: TaskPatch, now: Now) {
    let reported = reported(kind, patch.status);
    let begins = verdict.begins();
    if begins {
        begin_attempt(task);
    }
    if let Attempt::Named(attempt) | Attempt::Begins(attempt) = verdict.attempt {
        set(task, TaskField::Attempt, Some(Some(attempt)), |view| {
            &mut view.attempt
        });
    }
    task.restarted_at = patch.restart.then_some(now.at);
    task.count_event(patch.seq);
    let known = task.producer_seq.filter(|_| !verdict.counts_anew);
    task.producer_seq = patch.seq.or(known);
    wake(task, now);
    task.last_event = now.at;
    task.pending_since.get_or_insert(now.at);
    turn_to(task, verdict.status, reported, now);
    let context = Context {
        ordered: patch.seq.is_some(),
        begins,
        ended_well: verdict.status == Status::Completed,
        now,
    };
    let names_percent = patch.progress.value().is_some();
    apply_fields(task, patch, context);
    if verdict.turn == Turn::Lifecycle(TaskEvent::Started) {
        task.announced = true;
    }
    if verdict.status == Status::Running {
        task.record_position(names_percent, now.at);
    }
    task.refresh_indeterminate();
    task.view.updated_at = now.wall_ms;
    task.mark(TaskField::UpdatedAt);
}

/// The status that an event speaks of, if it does.
fn reported(kind: TaskEvent, named: Option<Status>) -> Option<Status> {
    match kind {
        TaskEvent::Started => Some(Status::Running),
        TaskEvent::Paused => Some(Status::Paused),
        TaskEvent::Progress => named,
        TaskEvent::Completed | TaskEvent::Failed | TaskEvent::Cancelled => None,
    }
}

/// Why a control request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestRefused {
    /// The task has ended.
    Ended(Status),
    /// That one is pending, and nothing but the task's end answers it.
    Pending(Control),
    /// The worker has declared that it honours these only.
    NotHonoured(Controls),
}

/// A viewer's request becomes visible, and stays until the worker has answered it.
pub fn request(
    task: &mut Task,
    control: Control,
    by: &str,
    now: Now,
) -> Result<(), RequestRefused> {
    if task.view.status.is_terminal() {
        return Err(RequestRefused::Ended(task.view.status));
    }
    if let Some(controls) = task.view.controls
        && !controls.contains(control)
    {
        return Err(RequestRefused::NotHonoured(controls));
    }
    match task.view.requested.as_ref().map(|pending| pending.control) {
        Some(Control::Cancel) if control != Control::Cancel => {
            return Err(RequestRefused::Pending(Control::Cancel));
        }
        Some(pending) if pending == control => return Ok(()),
        _ => {}
    }
    task.pending_since.get_or_insert(now.at);
    let requested = Requested {
        control,
        by: by.into(),
        at: now.wall_ms,
    };
    set(
        task,
        TaskField::Requested,
        Some(Some(Box::new(requested))),
        |view| &mut view.requested,
    );
    Ok(())
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
    set(task, TaskField::Controls, Some(None), |view| {
        &mut view.controls
    });
    set_raw(task, TaskField::Result, Field::Clear, |view| {
        &mut view.result
    });
    set_raw(task, TaskField::Error, Field::Clear, |view| &mut view.error);
    task.set_rate(None);
    task.set_estimate(None, None);
}

fn turn_to(task: &mut Task, status: Status, reported: Option<Status>, now: Now) {
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
    let pending = task.view.requested.as_ref().map(|pending| pending.control);
    if pending.is_some_and(|control| is_answered(control, status, reported)) {
        set(task, TaskField::Requested, Some(None), |view| {
            &mut view.requested
        });
    }
    if task.view.status != status {
        task.view.status = status;
        task.mark(TaskField::Status);
    }
}

/// Whether an event is what was requested, or makes the request pointless. `status`: what it made of the task; `reported`: the
/// status that it spoke of.
fn is_answered(control: Control, status: Status, reported: Option<Status>) -> bool {
    match control {
        _ if status.is_terminal() => true,
        Control::Cancel => false,
        Control::Pause => reported == Some(Status::Paused),
        Control::Resume => status == Status::Running,
    }
}

/// Whether stage or total change, as they are shown. A total that producers sum up anew differs in its last digits.
fn names_other_work(patch: &TaskPatch, task: &Task) -> bool {
    let other_stage = patch.stage.changes(&task.view.stage) && {
        let new = patch.stage.value().map_or("", |stage| stage);
        new != task.view.stage.as_deref().unwrap_or("")
    };
    let other_total = patch.total.changes(&task.view.total) && {
        let new = patch.total.value().copied().unwrap_or(0.0);
        let known = task.view.total.unwrap_or(0.0);
        (new - known).abs() > known.abs().max(new.abs()) * SAME_TOTAL
    };
    other_stage || other_total
}

fn apply_fields(task: &mut Task, patch: TaskPatch, context: Context) {
    let counts_something_else = names_other_work(&patch, task);
    if counts_something_else {
        task.estimator.begin_base_line();
    }
    let may_go_back = context.ordered || context.begins || counts_something_else;
    set(task, TaskField::Total, patch.total.into_change(), |view| {
        &mut view.total
    });
    set(task, TaskField::Stage, patch.stage.into_change(), |view| {
        &mut view.stage
    });
    let current = patch
        .current
        .into_change()
        .filter(|new| may_go_back || new.is_none() || *new >= task.view.current);
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
    set(
        task,
        TaskField::Controls,
        patch.controls.into_change(),
        |view| &mut view.controls,
    );
    let requested = task.view.requested.as_ref();
    let is_honoured = |pending: &Requested| {
        let controls = task.view.controls;
        controls.is_none_or(|controls| controls.contains(pending.control))
    };
    if requested.is_some_and(|pending| !is_honoured(pending)) {
        set(task, TaskField::Requested, Some(None), |view| {
            &mut view.requested
        });
    }
    for (name, value) in patch.extra {
        if let Some(value) = value.into_change() {
            task.set_own(name, value);
        }
    }
}

/// `progress` only rises within an attempt. Left out, it follows `current` of `total`, and says 100 only at the end.
fn raise_progress(task: &mut Task, named: Option<f64>, ended_well: bool) {
    let counted = || match (task.view.current, task.view.total) {
        (Some(current), Some(total)) if total > 0.0 => {
            // 100 * 0.29 is less than 29 in binary.
            let percent = (100.0 * current / total * 1e9).round() / 1e9;
            Some(percent.floor().min(99.0))
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
    slot: impl Fn(&mut crate::hub::tasks::state::View) -> &mut Option<T>,
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
    slot: impl Fn(&mut crate::hub::tasks::state::View) -> &mut Raw,
) {
    if let Some(value) = change.into_change()
        && !same(slot(&mut task.view), &value)
    {
        *slot(&mut task.view) = value;
        task.mark(field);
    }
}
