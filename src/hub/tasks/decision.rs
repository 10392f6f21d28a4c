//! Decides what an event does, without doing it.
//!
//! [`decide`] makes a [`Draft`] of one event: judged by the [`rules`], cut or refused by its [`size`], with the task that gives way to a
//! new one. A request of several events counts as a whole or not at all, and whether a later event fits depends on those before it:
//! [`Foresight`] tries them one after the other on a reduced copy of the task. Owns no task and changes none.

use crate::base::time::Now;
use crate::hub::keys::TaskKey;
use crate::hub::tasks::lost;
use crate::hub::tasks::outcome::{Outcome, Refused};
use crate::hub::tasks::rules::{self, Announcement};
use crate::hub::tasks::size::{self, Ledger, TooLarge, Truncated};
use crate::hub::tasks::state::{Task, View};
use crate::hub::tasks::step::Step;
use crate::hub::tasks::table::TaskTable;
use crate::wire::message::{Status, TaskEvent, TaskPatch};
use std::collections::HashSet;

/// What an event does once it is applied.
#[derive(Debug)]
pub struct Draft {
    /// `None`: the event creates its task.
    pub key: Option<TaskKey>,
    /// The ended task that gives way to the new one.
    pub gives_way: Option<TaskKey>,
    /// The status in which the lost task is revived first, with a message of its own.
    pub revival: Option<Status>,
    pub step: Step,
    pub truncated: Vec<Truncated>,
}

/// Decides about an event of the task `id`. `has_id`: it carries an event id that was not seen before. Otherwise it is no draft but what
/// became of it.
pub fn decide(
    tasks: &TaskTable,
    max_task_size: usize,
    id: &str,
    (kind, mut patch): (TaskEvent, Box<TaskPatch>),
    now: Now,
    has_id: bool,
) -> Result<Draft, Outcome> {
    let key = tasks.find(id);
    // A new task is judged before there is one: a dropped or refused event must not create it, let alone evict an ended one for it.
    let new = key.is_none().then(|| Task::new(Box::default(), now.at));
    let known = key.and_then(|key| tasks.task(key)).or(new.as_ref());
    let task = known.expect("a key that was just found, or a new task");
    let verdict = rules::judge(task, kind, &patch, now, has_id)
        .map_err(|reason| Outcome::Dropped(key, reason))?;
    let (size_bound, truncated) = size::admit(task, &mut patch, kind, &verdict, max_task_size)
        .map_err(|fault| Outcome::Refused(Refused::TooLarge(fault)))?;
    let gives_way = match key {
        Some(_) => None,
        None => tasks
            .room_for_one()
            .map_err(|_| Outcome::Refused(Refused::Limit("broadcaster.max_tasks")))?,
    };
    let revival = lost::revival(task, kind, verdict, &patch);
    // The message of a `started` says that the task is back; a second one would announce it twice.
    let is_started = verdict.announcement == Announcement::Lifecycle(TaskEvent::Started);
    Ok(Draft {
        key,
        gives_way,
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

/// A task as the events so far would have left it.
#[derive(Debug)]
pub struct Foresight {
    task: Task,
    ledger: Ledger,
    ids: HashSet<Box<str>>,
}

impl Foresight {
    /// Begins with the task as it is, or with a new one.
    pub fn of(known: Option<&Task>, id: &str, now: Now) -> Self {
        let mut task = Task::new(id.into(), now.at);
        if let Some(known) = known {
            // Exactly what `judge` reads; a clone would copy every text and JSON value of the task.
            task.seq = known.seq;
            task.producer_seq = known.producer_seq;
            task.announced = known.announced;
            task.lost = known.lost;
            task.restarted_at = known.restarted_at;
            task.view = View {
                status: known.view.status,
                attempt: known.view.attempt,
                stalled: known.view.stalled,
                requested: known.view.requested.clone(),
                ..View::default()
            };
        }
        Self {
            task,
            ledger: known.map_or_else(Ledger::default, Ledger::of),
            ids: HashSet::new(),
        }
    }

    /// Tries one more event, whose `id` was not accepted before this request. Fails when it would count and make the task too large.
    pub fn add(
        &mut self,
        now: Now,
        kind: TaskEvent,
        patch: &TaskPatch,
        id: Option<&str>,
        max_bytes: usize,
    ) -> Result<(), TooLarge> {
        if id.is_some_and(|id| self.ids.contains(id)) {
            return Ok(());
        }
        // Dropped when its turn comes: an answer for that event, and no reason to refuse the request.
        let Ok(verdict) = rules::judge(&self.task, kind, patch, now, id.is_some()) else {
            return Ok(());
        };
        if verdict.begins() {
            self.ledger.begin_attempt();
        }
        let may_be_cut = verdict.may_be_cut(kind);
        self.ledger
            .admit(&mut patch.clone(), may_be_cut, max_bytes)?;
        // Sizes are in the ledger, so only what the next verdict depends on is applied.
        let decisive = TaskPatch {
            seq: patch.seq,
            status: patch.status,
            attempt: patch.attempt,
            restart: patch.restart,
            ..TaskPatch::default()
        };
        // An event that counts revives a lost task.
        self.task.lost = None;
        rules::apply(&mut self.task, kind, verdict, decisive, now);
        self.ids.extend(id.map(Box::from));
        Ok(())
    }
}
