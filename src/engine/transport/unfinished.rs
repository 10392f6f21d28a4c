//! What peers have begun and not ended, and what waits to be handled: bounded in time for each, and in bytes for all
//! together.
//!
//! A whole message that comes in one piece never gets here. When there is too much of it, whoever has left the most goes
//! first, so that an attack does not end those who have left little.

use crate::base::time::{Span, Time};
use crate::base::wheel::Wheel;
use crate::engine::settings::Settings;
use crate::engine::timer::{Alarm, Timer};
use crate::hub::ConnectionId;
use std::collections::{BTreeSet, HashMap};

/// The memory that the unfinished input of all connections may take together, unless single messages and bodies may be so
/// long that this would be no room for several.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// [`MAX_BYTES`] where messages or bodies may have any length.
const MAX_UNLIMITED_BYTES: usize = 4 * MAX_BYTES;
/// How many of the longest messages or bodies must have room.
pub const LONGEST_AT_ONCE: usize = 4;
/// What an allocation takes beside its bytes, and an entry here.
pub const ENTRY_COST: usize = 160;

/// The unfinished input of all connections.
#[derive(Debug, Default)]
pub struct Unfinished {
    entries: HashMap<ConnectionId, Entry>,
    by_size: BTreeSet<(usize, ConnectionId)>,
    /// Connections that must finish in time, by when they began.
    by_age: BTreeSet<(Time, ConnectionId)>,
    bytes: usize,
    timer: Alarm,
}

impl Unfinished {
    /// Whether so many bytes more would not be too much.
    pub fn has_room(&self, bytes: usize, settings: &Settings) -> bool {
        self.bytes.saturating_add(bytes) <= max_bytes(settings)
    }

    /// The memory that all of it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when a connection has something unfinished that must end in time.
    pub fn since(&self, connection: ConnectionId) -> Option<Time> {
        self.entries.get(&connection)?.since
    }

    pub fn set(&mut self, connection: ConnectionId, entry: Entry) {
        self.remove(connection);
        self.entries.insert(connection, entry);
        self.by_size.insert((entry.bytes, connection));
        self.by_age
            .extend(entry.since.map(|since| (since, connection)));
        self.bytes += entry.bytes;
        self.check_invariants();
    }

    /// Whatever must end in time begins now.
    pub fn forgive(&mut self, now: Time) {
        for (_, connection) in std::mem::take(&mut self.by_age) {
            if let Some(entry) = self.entries.get_mut(&connection) {
                entry.since = Some(now);
                self.by_age.insert((now, connection));
            }
        }
    }

    /// What each has left, the most first.
    pub fn by_size(&self) -> impl Iterator<Item = (usize, ConnectionId)> {
        self.by_size.iter().rev().copied()
    }

    /// Connections that began longer than `timeout` ago. The timer that asks for them has gone off.
    pub fn begun_before(&mut self, now: Time, timeout: Span) -> Vec<ConnectionId> {
        self.timer.handle_expiry();
        let late = self.by_age.iter();
        let late = late.take_while(|(since, _)| *since + timeout <= now);
        late.map(|(_, connection)| *connection).collect()
    }

    /// Sees to it that the timer is set if, and only if, somebody must finish something.
    pub fn arm(&mut self, wheel: &mut Wheel<Timer>, timeout: Span) {
        let first = self.by_age.first().map(|(since, _)| *since);
        let first = first.filter(|_| !timeout.is_zero());
        let due = first.map(|since| since + timeout);
        self.timer.keep(due, Timer::Unfinished, wheel);
    }

    /// A connection has nothing unfinished any more.
    pub fn remove(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.entries.remove(&connection) {
            self.by_size.remove(&(entry.bytes, connection));
            if let Some(since) = entry.since {
                self.by_age.remove(&(since, connection));
            }
            self.bytes -= entry.bytes;
        }
        self.check_invariants();
    }

    fn check_invariants(&self) {
        debug_assert_eq!(self.entries.len(), self.by_size.len());
        debug_assert!(self.by_age.len() <= self.entries.len());
        debug_assert!(!self.entries.is_empty() || self.bytes == 0);
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub bytes: usize,
    /// When what must end in time began; `None`: it waits for the server.
    pub since: Option<Time>,
}

/// The memory that all of it may take: several of the longest messages and bodies must have room.
pub fn max_bytes(settings: &Settings) -> usize {
    let longest = [
        settings.websocket.max_message_size,
        settings.http.max_body_size,
    ];
    let room = |longest: usize| match longest {
        0 => MAX_UNLIMITED_BYTES,
        longest => longest.saturating_mul(LONGEST_AT_ONCE),
    };
    longest.map(room).into_iter().fold(MAX_BYTES, usize::max)
}
