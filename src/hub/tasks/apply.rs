//! Applies changes of tasks: the way in for everything that alters the table.
//!
//! Besides the task itself a change touches what this process alone keeps of it: when its progress goes out, when to look at it again, its
//! mark for the store. Decides nothing; the commands are in [`broadcaster`](crate::hub::tasks::broadcaster) and
//! [`aging`](crate::hub::tasks::aging).

use crate::hub::change::Change;
use crate::hub::durable::record::Table;
use crate::hub::keys::TaskKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::{Broadcaster, set_flush};
use crate::hub::tasks::removal;
use crate::hub::tasks::rules::Announcement;
use crate::hub::tasks::state::{Flush, Task};
use crate::hub::tasks::step::{Removal, Step};

impl Broadcaster {
    /// The task of that id, created by the change that is applied next if there is none.
    pub(in crate::hub) fn find_or_create(&mut self, scope: &mut Scope<'_>, id: &str) -> TaskKey {
        if let Some(key) = self.tasks.find(id) {
            return key;
        }
        self.unread.remove(id);
        if let Some(room) = self.room_of(scope.directory, id) {
            scope.directory.set_has_task(room, true);
        }
        self.tasks.insert(Task::new(id.into(), scope.now.at))
    }

    pub(in crate::hub) fn apply(&mut self, scope: &mut Scope<'_>, key: TaskKey, step: Step) {
        if let Some(task) = self.tasks.task(key) {
            scope.fanout.changes.record(|| Change::Task {
                at: scope.now,
                id: task.id.clone(),
                step: step.clone(),
            });
        }
        if step.follows_progress() {
            self.flush(scope, key);
        }
        let announcement = step.announcement();
        if let Some(task) = self.tasks.task_mut(key) {
            step.apply(task, scope.now);
        }
        if announcement == Announcement::Progress {
            self.plan_flush(scope, key);
        }
        self.watch(key);
        self.keep(scope, key);
    }

    /// Removes a task, or its unreadable row, and what is left of it outside the table: its entries, and what members have seen of it. They
    /// stay subscribed, and get a snapshot if the task is created again. `false`: there is none.
    pub(in crate::hub) fn apply_removal(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        why: Removal,
    ) -> bool {
        let key = self.tasks.find(id);
        if let Some(mut task) = key.and_then(|key| self.tasks.remove(key)) {
            set_flush(&mut self.planned, &mut task, Flush::Idle);
        } else if !self.unread.remove(id) {
            return false;
        }
        scope.fanout.changes.record(|| Change::TaskRemoved {
            at: scope.now,
            id: id.into(),
            why,
        });
        scope.fanout.journal.delete(Table::Task, id);
        if let Some(room) = self.room_of(scope.directory, id) {
            removal::announce(scope, room, id, why);
            for place in 0..scope.directory.room(room).members().len() {
                let member = scope.directory.room(room).members()[place];
                // A task created again starts at version 1, which an old `seen` could pass for.
                scope.directory.membership_mut(member).forget();
            }
            if let Some(log) = &mut scope.directory.room_mut(room).log {
                // Emptied, not dropped: for members that stay the log goes on counting offsets in its epoch, so their positions stay valid.
                log.drop_until(u64::MAX);
            }
            scope.fanout.keep_expiry(scope.directory, room);
            scope.directory.set_has_task(room, false);
        }
        true
    }
}
