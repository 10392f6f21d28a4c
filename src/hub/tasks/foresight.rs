//! What the events of one request would do to a task, one after the other, without doing it.
//!
//! A request of several events counts as a whole or not at all, and whether a later event fits depends on those before it. Owns a
//! reduced copy of the task, with only the fields that [`rules::judge`] reads, and a [`Ledger`] of its sizes. Never touches the task.

use crate::base::time::Now;
use crate::hub::tasks::rules;
use crate::hub::tasks::size::{Ledger, TooLarge};
use crate::hub::tasks::state::{Task, View};
use crate::wire::message::{TaskEvent, TaskPatch};
use std::collections::HashSet;

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
        let is_cut = verdict.is_cut(kind);
        self.ledger.admit(&mut patch.clone(), is_cut, max_bytes)?;
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
