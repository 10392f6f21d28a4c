//! The directory's schedule of expiring logs, and what the store must still be told of rooms that were removed.
//!
//! At most one time is scheduled per room; it may be early, never late, because a log's oldest entry only gets younger.

use crate::base::time::Time;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::Directory;

impl Directory {
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
