//! What an event may change (contract sections 4 and 5.3): the state machine of a task, and a progress bar that never goes back.
//!
//! [`judge`] decides and changes nothing; [`apply`] carries a verdict out and decides nothing. The two are apart because pending
//! progress must be flushed between them, while the task still holds its old state. Owns no task, and touches neither rooms nor the
//! store. Also holds the rules of control requests: when one is refused, and which event answers it.
//!
//! `pending -> running <-> paused -> completed | failed | cancelled`, where any state may be skipped. Within an attempt an ended
//! task stays ended and `progress` never falls; a new attempt resets both. An attempt that no event has named is unknown (`None`),
//! and the first number that comes names it without starting over.

use crate::base::time::{Now, Span};
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::own_fields::same;
use crate::hub::tasks::requested::Requested;
use crate::hub::tasks::state::Task;
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Control, Controls, Field, Status, TaskEvent, TaskPatch};

/// Without an event id a retried request looks like a second `restart`: within this time, and with no event between, it is taken for one.
const RESTART_REPEATS: Span = Span::from_secs(10);
/// Relative difference below which two totals are the same: producers that sum floats get other last digits each time.
const SAME_TOTAL: f64 = 1e-9;

/// What [`judge`] decided about an event that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub announcement: Announcement,
    pub attempt: Attempt,
    /// The task's status once the event is applied.
    pub status: Status,
    /// The producer's `seq` starts over with this event, so the last one known is no bound for it.
    pub counts_anew: bool,
}

impl Verdict {
    pub fn begins(&self) -> bool {
        matches!(self.attempt, Attempt::Begins(_))
    }

    /// Whether oversized fields are cut; otherwise the event is refused. A lifecycle event must count, or the task would never end;
    /// a progress event that carries a terminal status is one.
    pub fn may_be_cut(&self, kind: TaskEvent) -> bool {
        kind != TaskEvent::Progress || self.announcement != Announcement::Progress
    }
}

/// How an event that counts reaches subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Conflated: the newest state goes out with the next flush.
    Progress,
    /// Logged and sent at once, after pending progress.
    Lifecycle(TaskEvent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The event belongs to the current attempt, named or not.
    Same,
    /// The event gives the current, unnamed attempt its number.
    Named(u64),
    /// The event begins the attempt of this number.
    Begins(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The event id is known, a lifecycle event brings nothing new, or a restart is asked for a second time.
    Repeat,
    /// `seq` is not above the last of this attempt.
    OldSeq,
    OldAttempt,
    /// The task has ended, and the event begins no further attempt.
    Ended,
}

impl DropReason {
    /// In the order of [`DropReason::index`].
    pub const ALL: [Self; 4] = [Self::Repeat, Self::OldSeq, Self::OldAttempt, Self::Ended];

    /// As answers and statistics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::OldSeq => "oldSeq",
            Self::OldAttempt => "oldAttempt",
            Self::Ended => "ended",
        }
    }

    /// Below `ALL.len()`, for arrays with one counter per reason.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Decides what an event would do to a task. `has_id`: the event carries an id that was not seen before, so it is no repetition.
pub fn judge(
    task: &Task,
    kind: TaskEvent,
    patch: &TaskPatch,
    now: Now,
    has_id: bool,
) -> Result<Verdict, DropReason> {
    let attempt = attempt_of(task, kind, patch, now, has_id)?;
    let begins = matches!(attempt, Attempt::Begins(_));
    // `judged_status`, not `status`: the failure of a lost task is the hub's guess, and an event of its attempt disproves it.
    if !begins && task.judged_status().is_terminal() {
        return Err(DropReason::Ended);
    }
    // Naming the attempt does not begin one, but a worker that names it in its `started` has just started, and so has its counter.
    let counts_anew = begins || matches!(attempt, Attempt::Named(_)) && kind == TaskEvent::Started;
    let is_old = |(new, last): (u64, u64)| new <= last;
    if !counts_anew && patch.seq.zip(task.producer_seq).is_some_and(is_old) {
        return Err(DropReason::OldSeq);
    }
    // An attempt starts from `pending` whatever the status before, so that its first event is judged like that of a new task.
    let status = if begins {
        Status::Pending
    } else {
        task.judged_status()
    };
    let is_announced = !begins && task.announced;
    let (announcement, status) = announcement(kind, patch.status, status, is_announced);
    // Empty progress is not a repeat: it is a sign of life, and producers send it as a heartbeat.
    if kind != TaskEvent::Progress
        && announcement == Announcement::Progress
        && says_nothing(task, kind, patch)
    {
        return Err(DropReason::Repeat);
    }
    Ok(Verdict {
        announcement,
        attempt,
        status,
        counts_anew,
    })
}

/// Whether a lifecycle event that was announced before carries nothing new: no field, no `seq`, no attempt number, no answer to a
/// control request, no sign of life for a stalled task.
fn says_nothing(task: &Task, kind: TaskEvent, patch: &TaskPatch) -> bool {
    let answers = task.view.requested.as_ref().is_some_and(|pending| {
        is_answered(pending.control, task.view.status, reported(kind, None))
    });
    let names = patch.attempt.is_some() && task.view.attempt.is_none();
    patch.is_empty() && patch.seq.is_none() && !names && !answers && !task.view.stalled
}

/// Which attempt an event belongs to. The order of the arms matters: each leaves fewer cases to those after it.
fn attempt_of(
    task: &Task,
    kind: TaskEvent,
    patch: &TaskPatch,
    now: Now,
    has_id: bool,
) -> Result<Attempt, DropReason> {
    let is_new = task.seq == 0;
    let has_ended = task.judged_status().is_terminal();
    let is_at_work = task.judged_status() != Status::Pending;
    match (task.view.attempt, patch.attempt) {
        (None, Some(named)) if is_new => Ok(Attempt::Named(named)),
        (None, Some(named)) if patch.restart => Ok(Attempt::Begins(named)),
        // A number alone does not reopen an ended task: a straggler of the attempt that ended may carry it just as well.
        (None, Some(_)) if has_ended && kind != TaskEvent::Started => Err(DropReason::Ended),
        (None, Some(named)) if has_ended => Ok(Attempt::Begins(named)),
        // Attempt 1 may be the unnamed one that runs. A `started` for 2 or more cannot be: that worker follows one without a number.
        (None, Some(named)) if named > 1 && kind == TaskEvent::Started && is_at_work => {
            Ok(Attempt::Begins(named))
        }
        (None, Some(named)) => Ok(Attempt::Named(named)),
        (Some(known), Some(named)) if named > known => Ok(Attempt::Begins(named)),
        // A supervisor that restarts a job may know only the number that has failed.
        (Some(known), Some(_)) if patch.restart && has_ended => {
            Ok(Attempt::Begins((known + 1).min(MAX_COUNT)))
        }
        (Some(known), Some(named)) if named < known => Err(DropReason::OldAttempt),
        // The attempt that this restart asks for is the one that runs.
        (Some(_), Some(_)) if patch.restart => Err(DropReason::Repeat),
        (Some(_), Some(_)) => Ok(Attempt::Same),
        (known, None) if patch.restart => {
            let since = task.restarted_at.map(|at| now.at.saturating_since(at));
            if !has_id && since.is_some_and(|since| since <= RESTART_REPEATS) {
                return Err(DropReason::Repeat);
            }
            // An unnamed attempt before this one counts as the first.
            let before = known.unwrap_or(u64::from(!is_new));
            Ok(Attempt::Begins((before + 1).min(MAX_COUNT)))
        }
        (_, None) => Ok(Attempt::Same),
    }
}

/// How an event reaches subscribers, and the status it leads to. `named`: the `status` that a progress event carries; a terminal one
/// makes it the lifecycle event of that name. What was announced before is not announced again: its fields count like progress.
fn announcement(
    kind: TaskEvent,
    named: Option<Status>,
    status: Status,
    is_announced: bool,
) -> (Announcement, Status) {
    let lifecycle = |event, status| (Announcement::Lifecycle(event), status);
    match kind {
        TaskEvent::Started if is_announced => (Announcement::Progress, status),
        TaskEvent::Started => lifecycle(TaskEvent::Started, Status::Running),
        TaskEvent::Paused if status == Status::Paused => (Announcement::Progress, Status::Paused),
        TaskEvent::Paused => lifecycle(TaskEvent::Paused, Status::Paused),
        // Ends need no such guard: `judge` drops a second end of the same attempt.
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
            Some(Status::Paused | Status::Pending) => (Announcement::Progress, status),
            Some(Status::Running) => (Announcement::Progress, Status::Running),
            // Reports sent before the pause may arrive after it, and say nothing of whether the worker goes on.
            None if status == Status::Paused => (Announcement::Progress, status),
            None => (Announcement::Progress, Status::Running),
        },
    }
}

/// Carries out a verdict of [`judge`] on the same task and event. Pending progress must have been flushed before a lifecycle event.
pub fn apply(task: &mut Task, kind: TaskEvent, verdict: Verdict, patch: TaskPatch, now: Now) {
    let reported = reported(kind, patch.status);
    let begins = verdict.begins();
    // The order below matters: an attempt begins before its number is set, and the silence of a stalled task is measured (`wake`)
    // before this event becomes the last one.
    if begins {
        begin_attempt(task);
    }
    if let Attempt::Named(attempt) | Attempt::Begins(attempt) = verdict.attempt {
        set(task, TaskField::Attempt, Some(Some(attempt)), |view| {
            &mut view.attempt
        });
    }
    // Any event in between, even an empty one, makes the next restart a new one.
    task.restarted_at = patch.restart.then_some(now.at);
    task.count_event(patch.seq);
    // An event without `seq` keeps the bound: stragglers numbered below it stay old.
    let known = task.producer_seq.filter(|_| !verdict.counts_anew);
    task.producer_seq = patch.seq.or(known);
    wake(task, now);
    task.last_event = now.at;
    task.pending_since.get_or_insert(now.at);
    // Before the fields: estimates are settled by the new status, and a `startedAt` of the event's own wins over the one set here.
    move_to(task, verdict.status, reported, now);
    let rules = FieldRules {
        ordered: patch.seq.is_some(),
        begins,
        ended_well: verdict.status == Status::Completed,
        now,
    };
    let names_percent = patch.progress.value().is_some();
    apply_fields(task, patch, rules);
    if verdict.announcement == Announcement::Lifecycle(TaskEvent::Started) {
        task.announced = true;
    }
    // Positions reported while paused or at the end are no samples of speed.
    if verdict.status == Status::Running {
        task.record_position(names_percent, now.at);
    }
    task.refresh_indeterminate();
    task.view.updated_at = now.wall_ms;
    task.mark(TaskField::UpdatedAt);
    debug_assert_eq!(task.view.status, verdict.status);
}

/// The status by which an event may answer a control request. Ends answer any request, whatever they report.
fn reported(kind: TaskEvent, named: Option<Status>) -> Option<Status> {
    match kind {
        TaskEvent::Started => Some(Status::Running),
        TaskEvent::Paused => Some(Status::Paused),
        TaskEvent::Progress => named,
        TaskEvent::Completed | TaskEvent::Failed | TaskEvent::Cancelled => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestRefused {
    /// The task has ended with this status.
    Ended(Status),
    /// This request is pending: a `cancel`, which only the task's end answers.
    Pending(Control),
    /// The worker declared that it honours only these.
    NotHonoured(Controls),
}

/// Whether a control request would change anything; `false` when it is pending already, which counts as a success.
pub fn judge_request(task: &Task, control: Control) -> Result<bool, RequestRefused> {
    if task.view.status.is_terminal() {
        return Err(RequestRefused::Ended(task.view.status));
    }
    if let Some(controls) = task.view.controls
        && !controls.contains(control)
    {
        return Err(RequestRefused::NotHonoured(controls));
    }
    match task.view.requested.as_ref().map(|pending| pending.control) {
        // A worker that polls sees one request only: a `pause` in its place would hide the `cancel`.
        Some(Control::Cancel) if control != Control::Cancel => {
            Err(RequestRefused::Pending(Control::Cancel))
        }
        pending => Ok(pending != Some(control)),
    }
}

/// Records a control request as the `requested` field, which stays until the worker answers it.
pub fn apply_request(task: &mut Task, control: Control, by: Box<str>, now: Now) {
    task.pending_since.get_or_insert(now.at);
    let at = now.wall_ms;
    let requested = Some(Some(Box::new(Requested { control, by, at })));
    set(task, TaskField::Requested, requested, |view| {
        &mut view.requested
    });
}

/// Sets `stalled`, the mark of a running task without recent events.
pub fn set_stalled(task: &mut Task, stalled: bool) {
    if task.view.stalled != stalled {
        task.view.stalled = stalled;
        task.mark(TaskField::Stalled);
    }
}

/// Clears `stalled`. Call it before `last_event` moves: the estimator leaves the silence out of the task's speed.
pub fn wake(task: &mut Task, now: Now) {
    if task.view.stalled {
        let silence = now.at.saturating_since(task.last_event);
        task.estimator.wake(silence);
        set_stalled(task, false);
    }
}

/// What decides whether fields may go back.
struct FieldRules {
    /// The event carries a `seq` above the last, so a lower `current` is news and not a straggler.
    ordered: bool,
    /// The event begins an attempt.
    begins: bool,
    ended_well: bool,
    now: Now,
}

fn begin_attempt(task: &mut Task) {
    // What describes the task stays (`parentId`, `meta`, `total`, own fields); what describes the attempt goes.
    task.producer_seq = None;
    task.announced = false;
    task.app_rate = false;
    (task.has_progress, task.lost) = (false, None);
    task.estimator = Default::default();
    task.view.status = Status::Pending;
    task.mark(TaskField::Status);
    // The only place where `progress` falls.
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

fn move_to(task: &mut Task, status: Status, reported: Option<Status>, now: Now) {
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
        // A `started` after a pause is announced again, as the resumption.
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

/// Whether an event answers a control request or makes it pointless. `status`: where it leads; `reported`: what it names itself.
fn is_answered(control: Control, status: Status, reported: Option<Status>) -> bool {
    match control {
        _ if status.is_terminal() => true,
        Control::Cancel => false,
        // A straggler leaves a paused task `paused` without being an answer, so here the event must say so itself.
        Control::Pause => reported == Some(Status::Paused),
        Control::Resume => status == Status::Running,
    }
}

/// Whether the event counts other work than before: another stage or total. Compared as viewers see them, where absent is "" and 0.
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

/// Sets the fields that an event names. Without `seq` the order of two events is unknown, and a lower `current` is most likely the
/// older one: it is ignored, but the event's other fields count, or a message or a result would be lost. Whether the event counts
/// other work is asked first: once `total` and `stage` are set, nothing differs.
fn apply_fields(task: &mut Task, patch: TaskPatch, rules: FieldRules) {
    let counts_something_else = names_other_work(&patch, task);
    if counts_something_else {
        task.estimator.begin_base_line();
    }
    let may_go_back = rules.ordered || rules.begins || counts_something_else;
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
    raise_progress(task, patch.progress.value().copied(), rules.ended_well);
    task.take_own_word(patch.estimated_time_remaining, patch.rate, rules.now);
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
    // A worker may narrow `controls` after a viewer has asked: a request that nothing will answer is withdrawn.
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

/// Raises `progress`, never lowers it. An event that names none counts `current` of `total`, at most 99 until the task completes,
/// because 100 means done. A cleared `progress` stays where it is: `indeterminate` says that it means nothing.
fn raise_progress(task: &mut Task, named: Option<f64>, ended_well: bool) {
    let counted = || match (task.view.current, task.view.total) {
        (Some(current), Some(total)) if total > 0.0 => {
            // Rounded before the floor: 100 * 0.29 is 28.999999999999996 in binary.
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

/// Sets a field and marks it, unless it has that value already: what is not marked is in no delta and causes no flush.
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
