//! Logs that grow old, and what the store has yet to learn of those that are gone.

use crate::base::time::Time;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::Directory;

impl Directory {
    /// Plans a look at a room's log, unless one is planned already.
    pub fn age_log(&mut self, key: RoomKey, at: Time) {
        let log = self.rooms[key.slot()].log.as_mut();
        if let Some(log) = log.filter(|log| log.aging.is_none()) {
            log.aging = Some(at);
            self.aging.insert((at, key));
        }
    }

    /// When the first log is to be looked at.
    pub fn next_aging(&self) -> Option<Time> {
        self.aging.first().map(|(at, _)| *at)
    }

    /// The next room whose log is to be looked at now.
    pub fn poll_aging(&mut self, now: Time) -> Option<RoomKey> {
        let first = self.aging.first().filter(|(at, _)| *at <= now)?;
        let (_, key) = *first;
        self.aging.pop_first();
        if let Some(log) = &mut self.room_mut(key).log {
            log.aging = None;
        }
        Some(key)
    }

    /// Rooms with a stored log that have gone since the last call, and have not come anew.
    pub fn take_forgotten(&mut self) -> Vec<Box<str>> {
        let mut names = std::mem::take(&mut self.forgotten);
        names.retain(|name| {
            self.find(name)
                .is_none_or(|room| self.room(room).log.is_none())
        });
        names
    }

    /// Entries of such rooms, gone since the last call.
    pub fn take_forgotten_entries(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten_entries)
    }

    /// Whether a room has gone since the last call of [`Directory::take_forgotten`].
    pub fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty()
    }
}
