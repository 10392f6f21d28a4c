//! What happens to a task, and what the task is then (contract sections 4 and 5.3): the content of a task's
//! [`Change`](crate::hub::change::Change), and a progress bar that never goes back.
//!
//! [`Step::apply`] is the only code that alters what a task is; what viewers are told of its speed and end moves with delivery as well.
//! It decides nothing, and takes the time at which the step was decided, so that the same steps lead to the same task on any hub. It
//! touches neither rooms nor the store.
//!
//! A task whose worker is gone is *lost*: failed after a long silence, provisionally, and revived by the next event or item of the same
//! attempt. `pending | running -> lost (shown as failed) -> the status before, or running`; meanwhile `status_before_lost` keeps it.

use crate::base::time::Now;
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::own_fields::same;
use crate::hub::tasks::requested::Requested;
use crate::hub::tasks::state::Task;
use crate::hub::tasks::verdict::{Announcement, Attempt, Verdict};
use crate::wire::message::envelope::push_string;
use crate::wire::message::{Control, Field, Status, TaskEvent, TaskPatch};
use serde_json::value::RawValue;

/// Relative difference below which two totals are the same: producers that sum floats get other last digits each time.
const SAME_TOTAL: f64 = 1e-9;

/// Sets a field and marks it, unless it has that value already: what is not marked is in no delta and causes no flush.
macro_rules! set {
    ($task:ident, $field:ident, $slot:ident, $change:expr) => {
        if let Some(value) = $change
            && $task.view.$slot != value
        {
            $task.view.$slot = value;
            $task.mark(TaskField::$field);
        }
    };
}

/// The same for a field of any JSON.
macro_rules! set_raw {
    ($task:ident, $field:ident, $slot:ident, $change:expr) => {
        if let Some(value) = $change.into_change()
            && !same(&$task.view.$slot, &value)
        {
            $task.view.$slot = value;
            $task.mark(TaskField::$field);
        }
    };
}

#[derive(Debug, Clone)]
pub enum Step {
    /// An event that counts and fits.
    Event {
        kind: TaskEvent,
        verdict: Verdict,
        patch: Box<TaskPatch>,
        /// The task's `size_bound` from now on.
        size_bound: usize,
        /// The event revives the lost task in this status, and its own message says so.
        revives: Option<Status>,
    },
    /// An item: a sign of life that changes no field.
    Item,
    Requested {
        control: Control,
        /// Who asked: a client's id, or `api`.
        by: Box<str>,
    },
    /// The task was silent for too long.
    Stalled,
    /// Its worker was silent for so long that it is given up.
    Lost {
        /// The text of the task's `error`.
        message: String,
    },
    /// The worker of a lost task is back.
    Revived { status: Status },
}

/// Why a task was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// By request.
    Deleted,
    /// It was kept long enough, or gave way to another.
    Expired,
}

impl Removal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }
}

impl Step {
    pub fn announcement(&self) -> Announcement {
        match self {
            Self::Event { verdict, .. } => verdict.announcement,
            Self::Lost { .. } => Announcement::Lifecycle(TaskEvent::Failed),
            Self::Revived { .. } => Announcement::Lifecycle(TaskEvent::Started),
            Self::Item | Self::Requested { .. } | Self::Stalled => Announcement::Progress,
        }
    }

    /// Whether the message that announces it says that the task is back.
    pub fn revives(&self) -> bool {
        match self {
            Self::Event { revives, .. } => revives.is_some(),
            Self::Revived { .. } => true,
            _ => false,
        }
    }

    /// Whether pending progress must go out before: a subscriber must not see `completed` before the progress that led there. What a lost
    /// task has pending goes with the message that it is back.
    pub fn follows_progress(&self) -> bool {
        !matches!(self, Self::Revived { .. }) && self.announcement() != Announcement::Progress
    }

    pub fn apply(self, task: &mut Task, at: Now) {
        let announcement = self.announcement();
        match self {
            Self::Event {
                kind,
                verdict,
                patch,
                size_bound,
                revives,
            } => {
                task.size_bound = size_bound;
                if let Some(status) = revives {
                    revive(task, status, at);
                }
                apply(task, kind, verdict, *patch, at);
            }
            // Items are never judged: they carry neither `attempt` nor `seq`, and may follow the end of their task.
            Self::Item if task.view.status.is_terminal() => {}
            Self::Item => {
                wake(task, at);
                task.last_event = at.at;
                task.restarted_at = None;
            }
            Self::Requested { control, by } => apply_request(task, control, by, at),
            Self::Stalled => {
                task.pending_since.get_or_insert(at.at);
                set_stalled(task, true);
            }
            Self::Lost { message } => lose(task, &message, at),
            Self::Revived { status } => revive(task, status, at),
        }
        // A message with the whole state follows, so that nothing is pending any more.
        if announcement != Announcement::Progress {
            task.refresh_estimate(at);
            task.commit();
        }
    }
}

/// Carries out the verdict about an event. Pending progress must have been flushed before a lifecycle event.
pub fn apply(task: &mut Task, kind: TaskEvent, verdict: Verdict, patch: TaskPatch, now: Now) {
    let reported = reported(kind, patch.status);
    let begins = verdict.begins();
    // The order below matters: an attempt begins before its number is set, and the silence of a stalled task is measured (`wake`)
    // before this event becomes the last one.
    if begins {
        begin_attempt(task);
    }
    if let Attempt::Named(attempt) | Attempt::Begins(attempt) = verdict.attempt {
        set!(task, Attempt, attempt, Some(Some(attempt)));
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
pub fn reported(kind: TaskEvent, named: Option<Status>) -> Option<Status> {
    match kind {
        TaskEvent::Started => Some(Status::Running),
        TaskEvent::Paused => Some(Status::Paused),
        TaskEvent::Progress => named,
        TaskEvent::Completed | TaskEvent::Failed | TaskEvent::Cancelled => None,
    }
}

/// Records a control request as the `requested` field, which stays until the worker answers it.
pub fn apply_request(task: &mut Task, control: Control, by: Box<str>, now: Now) {
    task.pending_since.get_or_insert(now.at);
    let at = now.wall_ms;
    let requested = Some(Some(Box::new(Requested { control, by, at })));
    set!(task, Requested, requested, requested);
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
    (task.has_progress, task.status_before_lost) = (false, None);
    task.estimator = Default::default();
    task.view.status = Status::Pending;
    task.mark(TaskField::Status);
    // The only place where `progress` falls.
    task.view.progress = 0.0;
    task.mark(TaskField::Progress);
    set!(task, Current, current, Some(None));
    set!(task, Stage, stage, Some(None));
    set!(task, StartedAt, started_at, Some(None));
    set!(task, Message, message, Some(None));
    set!(task, Requested, requested, Some(None));
    set!(task, Controls, controls, Some(None));
    set_raw!(task, Result, result, Field::Clear);
    set_raw!(task, Error, error, Field::Clear);
    task.set_rate(None);
    task.set_estimate(None, None);
}

fn move_to(task: &mut Task, status: Status, reported: Option<Status>, now: Now) {
    if status == Status::Running {
        task.estimator.resume(now.at);
        if task.view.started_at.is_none() {
            set!(task, StartedAt, started_at, Some(Some(now.wall_ms)));
        }
    } else {
        task.estimator.pause(now.at);
        // A `started` after a pause is announced again, as the resumption.
        task.announced = false;
    }
    let pending = task.view.requested.as_ref().map(|pending| pending.control);
    if pending.is_some_and(|control| is_answered(control, status, reported)) {
        set!(task, Requested, requested, Some(None));
    }
    if task.view.status != status {
        task.view.status = status;
        task.mark(TaskField::Status);
    }
}

/// Whether an event answers a control request or makes it pointless. `status`: where it leads; `reported`: what it names itself.
pub fn is_answered(control: Control, status: Status, reported: Option<Status>) -> bool {
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
    set!(task, Total, total, patch.total.into_change());
    set!(task, Stage, stage, patch.stage.into_change());
    let current = patch
        .current
        .into_change()
        .filter(|new| may_go_back || new.is_none() || *new >= task.view.current);
    set!(task, Current, current, current);
    match patch.progress {
        Field::Absent => {}
        Field::Clear => task.has_progress = false,
        Field::Set(_) => task.has_progress = true,
    }
    raise_progress(task, patch.progress.value().copied(), rules.ended_well);
    task.apply_app_estimate(patch.estimated_time_remaining, patch.rate, rules.now);
    set!(task, Message, message, patch.message.into_change());
    set!(task, StartedAt, started_at, patch.started_at.into_change());
    set!(task, ParentId, parent_id, patch.parent_id.into_change());
    set_raw!(task, Result, result, patch.result);
    set_raw!(task, Error, error, patch.error);
    set_raw!(task, Meta, meta, patch.meta);
    set!(task, Controls, controls, patch.controls.into_change());
    // A worker may narrow `controls` after a viewer has asked: a request that nothing will answer is withdrawn.
    let requested = task.view.requested.as_ref();
    let is_honoured = |pending: &Requested| {
        let controls = task.view.controls;
        controls.is_none_or(|controls| controls.contains(pending.control))
    };
    if requested.is_some_and(|pending| !is_honoured(pending)) {
        set!(task, Requested, requested, Some(None));
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

/// Fails a task as lost. A pending control request stays, for the worker that comes back.
pub fn lose(task: &mut Task, message: &str, now: Now) {
    wake(task, now);
    task.status_before_lost = Some(task.view.status);
    task.announced = false;
    task.estimator.pause(now.at);
    let error = error(message);
    // The hub's own error is not refused by `max_task_size`, but later events must know that it is there.
    task.size_bound += error.get().len();
    task.view.error = Some(error);
    task.mark(TaskField::Error);
    task.set_estimate(None, None);
    set_status(task, Status::Failed, now);
}

/// Undoes [`lose`]: the task is in `status` again. The silence in between is a pause to the estimator.
pub fn revive(task: &mut Task, status: Status, now: Now) {
    task.status_before_lost = None;
    // The message that says so is a `task_started`.
    task.announced = status == Status::Running;
    task.view.error = None;
    task.mark(TaskField::Error);
    if status == Status::Running {
        task.estimator.resume(now.at);
    }
    set_status(task, status, now);
}

fn set_status(task: &mut Task, status: Status, now: Now) {
    task.count_event(None);
    task.last_event = now.at;
    task.view.status = status;
    task.mark(TaskField::Status);
    task.refresh_indeterminate();
    task.view.updated_at = now.wall_ms;
    task.mark(TaskField::UpdatedAt);
}

fn error(message: &str) -> Box<RawValue> {
    let mut text = String::from("{\"code\":\"lost\",\"message\":");
    push_string(&mut text, message);
    text.push('}');
    RawValue::from_string(text).expect("an object of two strings is JSON")
}
