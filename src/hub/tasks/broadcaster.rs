//! Owns the task table, the event ids, the pace and the tasks whose progress is to go out, for everything that is done with tasks:
//! [`commands`](crate::hub::tasks::commands), [`aging`](crate::hub::tasks::aging), [`removal`](crate::hub::tasks::removal), and sending
//! ([`progress`](crate::hub::delivery::progress)).
//!
//! A task's pending progress is a state and not a queue ([`Flush`]): `Idle -> Marked` (goes out at the end of this turn) or
//! `Idle -> Armed` (goes out with its timer) `-> Idle`. Invariants: `planned` counts the tasks that are not `Idle`; every `Marked` task
//! is in `marked`; nothing of a task's progress is pending when its lifecycle message goes out, so no subscriber sees `completed` before
//! the progress that led there.

use crate::base::time::{Now, Time};
use crate::hub::change::Change;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::durable::unread_rows::UnreadRows;
use crate::hub::keys::{RoomKey, TaskKey};
use crate::hub::rooms::directory::Directory;
use crate::hub::scope::Scope;
use crate::hub::tasks::deduplication::{EventIds, IdKey};
use crate::hub::tasks::pace::Pace;
use crate::hub::tasks::state::{Flush, Task};
use crate::hub::tasks::table::TaskTable;
use crate::hub::tasks::verdict::DropReason;
use crate::wire::message::name::TASK_ROOM_PREFIX;

#[derive(Debug)]
pub struct Broadcaster {
    pub(in crate::hub) tasks: TaskTable,
    pub(in crate::hub) event_ids: EventIds,
    pub(in crate::hub) pace: Pace,
    /// Tasks to flush at the end of this turn.
    pub(in crate::hub) marked: Vec<TaskKey>,
    /// Tasks whose `flush` is not `Idle`.
    pub(in crate::hub) planned: usize,
    pub(in crate::hub::tasks) dropped: [u64; DropReason::ALL.len()],
    /// Scratch space for `task:<id>`, so that finding a task's room allocates nothing.
    room_name: String,
    /// Rows of tasks that this version cannot read.
    pub(in crate::hub) unread: UnreadRows,
    /// No task is lost before this moment, so that workers can find the server again after a restart.
    pub(in crate::hub) none_lost_before: Time,
}

impl Broadcaster {
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            tasks: TaskTable::new(seed),
            event_ids: EventIds::new(seed),
            pace: Pace::default(),
            marked: Vec::new(),
            planned: 0,
            dropped: [0; DropReason::ALL.len()],
            room_name: String::new(),
            unread: UnreadRows::default(),
            none_lost_before: Time::ZERO,
        }
    }

    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Tasks whose progress waits to be sent, for statistics.
    pub fn queue_len(&self) -> usize {
        self.planned
    }

    /// Forgets event ids up to a serial.
    pub fn forget_ids(&mut self, serial: u64, fanout: &mut Fanout) {
        fanout
            .changes
            .record(|| Change::EventIdsForgotten { serial });
        self.event_ids.forget_until(serial, &mut fanout.journal);
    }

    /// Remembers the id of an accepted event.
    pub fn remember(&mut self, now: Now, key: IdKey, fanout: &mut Fanout) {
        fanout.changes.record(|| Change::EventId { at: now, key });
        self.event_ids.remember(now, key, &mut fanout.journal);
    }

    /// The task of a room, by the room's name.
    pub fn task_of(&self, directory: &Directory, room: RoomKey) -> Option<TaskKey> {
        self.tasks
            .find(directory.room(room).name.strip_prefix(TASK_ROOM_PREFIX)?)
    }

    /// The room of a task, if one exists.
    pub fn room_of(&mut self, directory: &Directory, id: &str) -> Option<RoomKey> {
        directory.find(room_name(&mut self.room_name, id))
    }

    pub(in crate::hub) fn room_of_task(
        &mut self,
        directory: &Directory,
        key: TaskKey,
    ) -> Option<RoomKey> {
        let task = self.tasks.task(key)?;
        directory.find(room_name(&mut self.room_name, &task.id))
    }

    /// Whether a task's room has members, connected or away.
    pub(in crate::hub) fn is_watched(&mut self, directory: &Directory, key: TaskKey) -> bool {
        let room = self.room_of_task(directory, key);
        room.is_some_and(|room| !directory.room(room).members().is_empty())
    }

    /// The room of a task, created if there is none: lifecycle messages and items are logged even without a subscriber.
    pub(in crate::hub::tasks) fn find_or_create_room(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
    ) -> Option<RoomKey> {
        let name = room_name(&mut self.room_name, id);
        scope.directory.find_or_create(name, scope.settings).ok()
    }
}

fn room_name<'a>(name: &'a mut String, id: &str) -> &'a str {
    name.clear();
    name.push_str(TASK_ROOM_PREFIX);
    name.push_str(id);
    name
}

/// The only writer of `Task::flush`, which keeps `planned` in step.
pub(in crate::hub) fn set_flush(planned: &mut usize, task: &mut Task, flush: Flush) {
    let was = std::mem::replace(&mut task.flush, flush);
    *planned = *planned + usize::from(flush != Flush::Idle) - usize::from(was != Flush::Idle);
}
