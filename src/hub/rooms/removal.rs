//! The end of rooms: the schedule of expiring logs, the removal of idle rooms, and what others must be told of it.
//!
//! At most one time is scheduled per room; it may be early, never late, because a log's oldest entry only gets younger.

use crate::base::time::Time;
use crate::hub::change::Change;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::log::RoomLog;
use std::collections::VecDeque;

impl Directory {
    /// Removes a room if it has no entries, and no members but clients that are away and then keep its name.
    pub fn forget_if_idle(&mut self, key: RoomKey) {
        self.recount(key);
        self.keep_names_if_left(key);
        let room = &self.rooms[key.0];
        // A directory that follows another has its logs removed by changes.
        if room.is_forgettable() && !(self.follows && room.log.is_some()) {
            self.remove_room(key);
        }
    }

    fn remove_room(&mut self, key: RoomKey) {
        self.names.remove(&self.rooms[key.0].name, key);
        let Some(room) = self.rooms.remove(key.0) else {
            return;
        };
        if let Some(log) = room.log {
            self.end_log(key, room.name, room.epoch, *log);
        }
    }

    /// Removes a room's log, and the room unless it has members.
    pub fn remove_log(&mut self, key: RoomKey) {
        let room = &mut self.rooms[key.0];
        if room.members.is_empty() {
            return self.remove_room(key);
        }
        if let Some(log) = room.log.take() {
            let (name, epoch) = (room.name.clone(), room.epoch);
            self.end_log(key, name, epoch, *log);
            self.recount(key);
        }
    }

    fn end_log(&mut self, key: RoomKey, name: Box<str>, epoch: u64, mut log: RoomLog) {
        if let Some(at) = log.aging {
            self.aging.remove(&(at, key));
        }
        // A room of the same name may be created again: a client away must still learn that entries may be gone.
        self.viewer_rooms.note_lost(log.lost_serial());
        if let Some(removals) = &mut self.removals {
            let room = name.clone();
            removals.push_back(Change::RoomRemoved { room, epoch });
        }
        if log.is_stored() {
            self.forgotten_entries.extend(log.take_dropped(1));
            self.forgotten.push(name);
        }
    }

    /// Records removals of rooms that have a log from now on.
    pub fn record_removals(&mut self) {
        self.removals.get_or_insert_default();
    }

    pub fn poll_removal(&mut self) -> Option<Change> {
        self.removals.as_mut()?.pop_front()
    }

    /// Follows or is followed like another one that this one replaces.
    pub fn inherit(&mut self, before: &Self) {
        self.removals = before.removals.as_ref().map(|_| VecDeque::new());
        self.follows = before.follows;
    }

    /// Has logs removed by changes only.
    pub fn follow(&mut self) {
        self.follows = true;
    }

    /// Schedules the check of a room's log, unless one is scheduled already.
    pub fn age_log(&mut self, key: RoomKey, at: Time) {
        let log = self.room_mut(key).log.as_mut();
        if let Some(log) = log.filter(|log| log.aging.is_none()) {
            log.aging = Some(at);
            self.aging.insert((at, key));
        }
    }

    pub fn next_aging(&self) -> Option<Time> {
        self.aging.first().map(|(at, _)| *at)
    }

    /// The next room whose log is due.
    pub fn poll_aging(&mut self, now: Time) -> Option<RoomKey> {
        let first = self.aging.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = *first;
        self.aging.pop_first();
        // The key may be as old as the oldest log.
        self.find_room(key)?;
        if let Some(log) = &mut self.room_mut(key).log {
            log.aging = None;
        }
        Some(key)
    }

    /// Rooms with a stored log that were removed since the last call. Those that have a log again are left out: deleting their row now
    /// would delete the new one.
    pub fn take_forgotten(&mut self) -> Vec<Box<str>> {
        let mut names = std::mem::take(&mut self.forgotten);
        names.retain(|name| {
            self.find(name)
                .is_none_or(|room| self.room(room).log.is_none())
        });
        names
    }

    /// Serials of entries that these rooms had dropped and not reported.
    pub fn take_forgotten_entries(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten_entries)
    }

    pub fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty()
    }
}
