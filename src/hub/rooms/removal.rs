//! The end of rooms: the schedule of expiring logs, the removal of idle rooms, and what others must be told of it.
//!
//! At most one time is scheduled per room; it may be early, never late, because a log's oldest entry only gets younger.

use crate::base::time::Time;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::log::{EndedLog, RoomLog};

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
        let dropped = log.is_stored.then(|| log.take_dropped(1));
        self.ended_logs.push(EndedLog {
            room: name,
            epoch,
            dropped,
        });
    }

    pub fn take_ended_logs(&mut self) -> Vec<EndedLog> {
        std::mem::take(&mut self.ended_logs)
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
}
