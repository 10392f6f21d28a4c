//! Decides what an event does, without doing it (contract sections 4, 5.3 and 7).
//!
//! [`decide`] makes a [`Draft`] of one event: judged, cut or refused by its [`size`], with the task that gives way to a new one. A
//! request of several events counts as a whole or not at all, and whether a later event fits depends on those before it: [`Foresight`]
//! tries them one after the other on a copy of the task. Changes no task of the hub.
//!
//! `pending -> running <-> paused -> completed | failed | cancelled`, where any state may be skipped. Within an attempt an ended
//! task stays ended and `progress` never falls; a new attempt resets both. An attempt that no event has named is unknown (`None`),
//! and the first number that comes names it without starting over.

use crate::base::time::{Now, Span};
use crate::hub::keys::TaskKey;
use crate::hub::settings::BroadcasterConfig;
use crate::hub::tasks::outcome::{Dropped, Ingested, Refused, Subject};
use crate::hub::tasks::size::{self, TooLarge, Truncated};
use crate::hub::tasks::state::Task;
use crate::hub::tasks::step::{Step, is_answered, reported};
use crate::hub::tasks::table::TaskTable;
use crate::hub::tasks::verdict::{Announcement, Attempt, ControlRefused, DropReason, Verdict};
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Control, Status, TaskEvent, TaskPatch};
use std::collections::HashSet;

/// Without an event id a retried request looks like a second `restart`: within this time, and with no event between, it is taken for one.
const RESTART_REPEATS: Span = Span::from_secs(10);

/// What an event does once it is applied.
#[derive(Debug)]
pub struct Draft {
    /// `None`: the event creates its task.
    pub key: Option<TaskKey>,
    /// The ended task that gives way to the new one.
    pub gives_way: Option<TaskKey>,
    pub outcome: Outcome,
}

/// What an event does to its task.
#[derive(Debug)]
pub struct Outcome {
    /// The status in which the lost task is revived first, with a message of its own.
    pub revival: Option<Status>,
    pub step: Step,
    pub truncated: Vec<Truncated>,
}

/// Why an event does nothing to its task.
#[derive(Debug)]
enum Rejection {
    Dropped(DropReason),
    TooLarge(TooLarge),
}

/// Decides about an event of the task `id`. `has_id`: it carries an event id that was not seen before. Otherwise it is no draft but what
/// became of it.
pub fn decide(
    tasks: &TaskTable,
    limits: &BroadcasterConfig,
    id: &str,
    event: (TaskEvent, Box<TaskPatch>),
    now: Now,
    has_id: bool,
) -> Result<Draft, Ingested> {
    let key = tasks.find(id);
    // A new task is judged before there is one: a dropped or refused event must not create it, let alone evict an ended one for it.
    let new = key.is_none().then(|| Task::new(Box::default(), now.at));
    let known = key.and_then(|key| tasks.task(key)).or(new.as_ref());
    let task = known.expect("a key that was just found, or a new task");
    let outcome = decide_for(task, limits.max_task_size, event, now, has_id);
    let outcome = outcome.map_err(|rejection| match rejection {
        Rejection::TooLarge(fault) => Ingested::Refused(Refused::TooLarge(fault)),
        Rejection::Dropped(reason) => Ingested::Dropped(Dropped {
            task: key,
            subject: Subject::Task(id.into()),
            reason,
        }),
    })?;
    let gives_way = match key {
        Some(_) => None,
        None => tasks
            .room_for_one(limits.max_tasks)
            .map_err(|_| Ingested::Refused(Refused::Limit("broadcaster.max_tasks")))?,
    };
    Ok(Draft {
        key,
        gives_way,
        outcome,
    })
}

/// Inlined, because every event passes here and its outcome is large to move.
#[inline]
fn decide_for(
    task: &Task,
    max_task_size: usize,
    (kind, mut patch): (TaskEvent, Box<TaskPatch>),
    now: Now,
    has_id: bool,
) -> Result<Outcome, Rejection> {
    let verdict = judge(task, kind, &patch, now, has_id).map_err(Rejection::Dropped)?;
    let (size_bound, truncated) = size::admit(task, &mut patch, kind, &verdict, max_task_size)
        .map_err(Rejection::TooLarge)?;
    let revival = revival_by(task, kind, verdict, &patch);
    // The message of a `started` says that the task is back; a second one would announce it twice.
    let is_started = verdict.announcement == Announcement::Lifecycle(TaskEvent::Started);
    Ok(Outcome {
        revival: revival.filter(|_| !is_started),
        step: Step::Event {
            kind,
            verdict,
            patch,
            size_bound,
            revives: revival.filter(|_| is_started),
        },
        truncated,
    })
}

/// A copy of a task, to which the events of a request are tried one after the other.
#[derive(Debug)]
pub struct Foresight {
    task: Task,
    /// Of events that would have counted.
    event_ids: HashSet<Box<str>>,
}

impl Foresight {
    /// Begins with the task as it is, or with a new one.
    pub fn of(known: Option<&Task>, now: Now) -> Self {
        let task = known.cloned();
        Self {
            task: task.unwrap_or_else(|| Task::new(Box::default(), now.at)),
            event_ids: HashSet::new(),
        }
    }

    /// Tries one more event, whose id was not accepted before this request. Fails when it would count and make the task too large.
    pub fn add(
        &mut self,
        event: (TaskEvent, Box<TaskPatch>),
        event_id: Option<&str>,
        max_task_size: usize,
        now: Now,
    ) -> Result<(), TooLarge> {
        if event_id.is_some_and(|event_id| self.event_ids.contains(event_id)) {
            return Ok(());
        }
        match decide_for(&self.task, max_task_size, event, now, event_id.is_some()) {
            Ok(outcome) => {
                if let Some(status) = outcome.revival {
                    Step::Revived { status }.apply(&mut self.task, now);
                }
                outcome.step.apply(&mut self.task, now);
                self.event_ids.extend(event_id.map(Box::from));
                Ok(())
            }
            Err(Rejection::TooLarge(fault)) => Err(fault),
            // Dropped when its turn comes: an answer for that event, and no reason to refuse the request.
            Err(Rejection::Dropped(_)) => Ok(()),
        }
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

/// The status in which an event that counts revives a lost task; `None` when the task is not lost, or the event begins an attempt.
pub fn revival_by(
    task: &Task,
    kind: TaskEvent,
    verdict: Verdict,
    patch: &TaskPatch,
) -> Option<Status> {
    let before = task.status_before_lost?;
    if matches!(verdict.attempt, Attempt::Begins(_)) {
        return None;
    }
    match (kind, patch.status) {
        // An ending event revives to `running` too: pages see `started`, then the end, as for any other task.
        (TaskEvent::Progress, Some(Status::Pending)) => Some(before),
        _ => Some(Status::Running),
    }
}

/// Whether a control request would change anything; `false` when it is pending already, which counts as a success.
pub fn judge_request(task: &Task, control: Control) -> Result<bool, ControlRefused> {
    if task.view.status.is_terminal() {
        return Err(ControlRefused::Ended(task.view.status));
    }
    if let Some(controls) = task.view.controls
        && !controls.contains(control)
    {
        return Err(ControlRefused::NotHonoured(controls));
    }
    match task.view.requested.as_ref().map(|pending| pending.control) {
        // A worker that polls sees one request only: a `pause` in its place would hide the `cancel`.
        Some(Control::Cancel) if control != Control::Cancel => {
            Err(ControlRefused::Pending(Control::Cancel))
        }
        pending => Ok(pending != Some(control)),
    }
}
