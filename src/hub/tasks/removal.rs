//! Removing a task, and telling its subscribers in order with the messages before it (contract section 4).
//!
//! `task_removed` is not logged, because the log goes with the task. A client that lags, or whose connection refuses it, gets it as a
//! direct message, which follows the log entries that the client lacks. Clients that are away are not told.

use crate::hub::change::Change;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::durable::record::Table;
use crate::hub::keys::{ClientKey, RoomKey, TaskKey};
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::{Broadcaster, set_flush};
use crate::hub::tasks::state::Flush;
use crate::hub::tasks::step::Removal;
use crate::wire::message::TASK_REMOVED;
use crate::wire::message::envelope::push_string;
use smallvec::SmallVec;

impl Broadcaster {
    /// Removes a task for whose removal time or a limit is the reason.
    pub fn forget(&mut self, scope: &mut Scope<'_>, key: TaskKey, why: Removal) {
        if let Some(id) = self.tasks.task(key).map(|task| task.id.clone()) {
            self.remove(scope, &id, why);
        }
    }

    /// Removes a task, also one whose row could not be read; `false` when there is none.
    pub fn remove(&mut self, scope: &mut Scope<'_>, id: &str, why: Removal) -> bool {
        if self.tasks.find(id).is_none() && !self.unread.holds(id) {
            return false;
        }
        let room = self.room_of(scope.directory, id);
        if let Some(room) = room {
            announce(scope, room, id, why);
        }
        self.apply_removal(scope, id, why);
        if let Some(room) = room {
            scope.directory.forget_if_idle(room);
        }
        true
    }

    /// Removes a task, or its unreadable row, and what is left of it outside the table: its entries, and what members have seen of it. They
    /// stay subscribed, and get a snapshot if the task is created again.
    pub(in crate::hub) fn apply_removal(&mut self, scope: &mut Scope<'_>, id: &str, why: Removal) {
        let key = self.tasks.find(id);
        match key.and_then(|key| self.tasks.remove(key)) {
            Some(mut task) => set_flush(&mut self.planned, &mut task, Flush::Idle),
            None => drop(self.unread.remove(id)),
        }
        scope.fanout.changes.record(|| Change::TaskRemoved {
            at: scope.now,
            id: id.into(),
            why,
        });
        scope.fanout.journal.delete(Table::Task, id);
        if let Some(room) = self.room_of(scope.directory, id) {
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
    }
}

/// Publishes `task_removed` to the connected members of the task's room.
fn announce(scope: &mut Scope<'_>, room: RoomKey, task: &str, why: Removal) {
    let readers = scope.directory.room(room).connected_count();
    // Before the payload and a message id are made: most expired tasks have no watcher.
    if readers == 0 {
        return;
    }
    let payload = payload(task, why);
    let id = scope.fanout.next_id();
    let publication = Publication::new(TASK_REMOVED, &payload, scope.now, &id);
    let audience = scope.fanout.audience.begin();
    let mut lagging: SmallVec<[ClientKey; 8]> = SmallVec::new();
    for member in scope.directory.room(room).connected() {
        let reader = scope.directory.client(member.client);
        // A lagging reader has log entries to come, which this message must not overtake.
        match reader.is_lagging {
            true => lagging.push(member.client),
            false => audience.push(member.client, reader.connection),
        }
    }
    let delivered = scope.fanout.offer_all(&publication, Lane::Log, scope.out);
    lagging.extend(scope.fanout.audience.refused());
    scope
        .fanout
        .handle_broadcast(scope.now, scope.now.at, delivered);
    for client in lagging {
        // One message per client, each with a serial of its own: it is confirmed and resent like any direct message.
        scope.owe(client, TASK_REMOVED, &payload);
    }
}

fn payload(task: &str, why: Removal) -> String {
    let mut out = String::from("{\"taskId\":");
    push_string(&mut out, task);
    out.push_str(",\"reason\":\"");
    out.push_str(why.as_str());
    out.push_str("\"}");
    out
}
