//! Tasks to and from the store: which rows the next batch must hold, and how they are restored.
//!
//! Writes no row itself: a changed task is listed in the journal once, and its row is made by [`Broadcaster::save`] when the batch is
//! taken, so that a task that changed a hundred times in between is written once.

use crate::base::time::Now;
use crate::hub::durable::journal::Journal;
use crate::hub::keys::TaskKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::Broadcaster;
use crate::hub::tasks::state::Task;

impl Broadcaster {
    /// Lists a task for the next batch, unless it is listed already.
    pub(in crate::hub) fn keep(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        self.list_unsaved(&mut scope.fanout.journal, key);
    }

    fn list_unsaved(&mut self, journal: &mut Journal, key: TaskKey) {
        if let Some(task) = self.tasks.task_mut(key).filter(|_| journal.is_on())
            && !std::mem::replace(&mut task.is_unsaved, true)
        {
            journal.tasks.push(key);
        }
    }

    /// Lists every task for the next batch, for a store that was emptied.
    pub fn list_all(&mut self, journal: &mut Journal) {
        for key in self.tasks.keys() {
            self.list_unsaved(journal, key);
        }
    }

    /// Restores a task. A row that cannot be read is kept as text and reported.
    pub fn restore(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        row: &str,
    ) -> Result<(), serde_json::Error> {
        let task = match Task::restored(id, row, scope.now) {
            Ok(task) => task,
            Err(fault) => {
                self.unread
                    .hold(id, row, scope.settings.broadcaster.max_tasks);
                return Err(fault);
            }
        };
        // Past `max_tasks` too: aging removes the surplus later, ended tasks first, once all rows are there.
        let key = self.tasks.insert(task);
        if let Some(room) = self.room_of(scope.directory, id) {
            scope.directory.set_has_task(room, true);
        }
        self.spare_the_silent(scope.now, scope.settings);
        self.watch(key, scope.settings);
        Ok(())
    }

    /// The id and row of a listed task, which may change again from here on; `None` when it has gone since.
    pub fn save(&mut self, key: TaskKey, now: Now) -> Option<(&str, String)> {
        let task = self.tasks.task_mut(key)?;
        task.is_unsaved = false;
        Some((&task.id, task.saved(now)))
    }
}
