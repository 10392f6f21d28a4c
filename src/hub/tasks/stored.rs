//! Tasks and the store: what the next batch must hold of them, and how they come back.

use crate::base::time::Now;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Restored, Table};
use crate::hub::keys::TaskKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::Broadcaster;
use crate::hub::tasks::state::Task;

impl Broadcaster {
    /// Marks a task for the next batch to the store.
    pub(in crate::hub) fn keep(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let journal = &mut scope.fanout.journal;
        if let Some(task) = self.tasks.task_mut(key).filter(|_| journal.is_on())
            && !std::mem::replace(&mut task.is_unsaved, true)
        {
            journal.tasks.push(key);
        }
    }

    /// Marks every task for the next batch to the store.
    pub fn mark_all(&mut self, journal: &mut Journal) {
        for (id, row) in self.unread.iter() {
            journal.put(Table::Task, id, row.to_owned());
        }
        for key in self.tasks.keys() {
            if let Some(task) = self.tasks.task_mut(key)
                && !std::mem::replace(&mut task.is_unsaved, true)
            {
                journal.tasks.push(key);
            }
        }
    }

    /// Puts every remembered id into the next batch to the store.
    pub fn keep_ids(&self, journal: &mut Journal) {
        self.repeats.keep_all(journal);
    }

    /// Takes back the ids that a store has kept.
    pub fn restore_ids(&mut self, scope: &mut Scope<'_>, restored: &Restored) {
        self.repeats.restore(scope.now, restored);
    }

    /// All that a store has kept is there.
    pub fn finish_restoring(&mut self, scope: &mut Scope<'_>) {
        self.repeats
            .finish_restoring(scope.now.at, &mut scope.fanout.journal);
    }

    /// Takes back a task that a store has kept.
    pub fn restore(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        row: &str,
    ) -> Result<(), serde_json::Error> {
        let task = match Task::restored(id, row, scope.now) {
            Ok(task) => task,
            Err(fault) => {
                self.unread.hold(id, row);
                return Err(fault);
            }
        };
        let key = self.tasks.insert(task);
        if let Some(room) = self.room_of(scope.directory, id) {
            scope.directory.set_has_task(room, true);
        }
        self.spare_the_silent(scope.now);
        self.watch(key);
        Ok(())
    }

    /// The row of a task that the store has yet to learn of.
    pub fn save(&mut self, key: TaskKey, now: Now) -> Option<(&str, String)> {
        let task = self.tasks.task_mut(key)?;
        task.is_unsaved = false;
        Some((&task.id, task.saved(now)))
    }
}
