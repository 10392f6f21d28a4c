//! What is counted: what has come in and gone out, and what strangers were refused.
//!
//! What is refused or ended because a stranger asked for too much, or for what is not his, is counted one by one, and told to the
//! log once a minute for each kind, so that strangers do not fill it.

use super::access::connection_rate::MINUTE;
use super::boundary::MemoryProbe;
use crate::base::counter::MinuteCounter;
use crate::base::time::{Now, Time};
use crate::hub::DropReason;
use serde::Serialize;
use std::cell::Cell;

/// Everything that is counted, and since when.
pub struct Counts {
    /// Messages of viewers, the application and echo peers.
    pub received: MinuteCounter,
    /// Messages to them.
    pub sent: MinuteCounter,
    /// WebSocket connections ever.
    pub connections: u64,
    /// Handshakes that came when the server was full, or too often from their address.
    pub refused: u64,
    /// Requests that came from a foreign page, or under a name that is not served.
    pub foreign: u64,
    /// Calls that were refused because the store was not read yet. Counted where nothing else changes.
    pub unread: Cell<u64>,
    pub notices: Notices,
    pub started: Now,
    pub memory: MemoryProbe,
}

impl Counts {
    pub fn new(started: Now, memory: MemoryProbe) -> Self {
        Self {
            received: MinuteCounter::default(),
            sent: MinuteCounter::default(),
            connections: 0,
            refused: 0,
            foreign: 0,
            unread: Cell::new(0),
            notices: Notices::default(),
            started,
            memory,
        }
    }
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A host is not served.
    Host,
    /// A page is foreign.
    Page,
    /// An address has too many connections.
    Connections,
    /// An address has too many clients.
    Clients,
    /// A connection sent too many control frames.
    ControlFrames,
    /// A message, a request or a line was begun and not finished in time.
    Late,
    /// What all had left unfinished was too much, and one of them had left the most.
    Unfinished,
}

impl Notice {
    // The last one, so that the array below has a place for each.
    const COUNT: usize = Self::Unfinished as usize + 1;
}

/// How often each has happened, and when it was told.
#[derive(Debug, Default)]
pub struct Notices([Entry; Notice::COUNT]);

#[derive(Debug, Default)]
struct Entry {
    total: u64,
    untold: u64,
    told_at: Option<Time>,
}

impl Notices {
    /// How often it has happened since the start.
    pub fn total(&self, notice: Notice) -> u64 {
        self.0[notice as usize].total
    }

    /// Counts one more, which `line` describes.
    pub fn count(&mut self, now: Time, notice: Notice, line: impl FnOnce() -> String) {
        let entry = &mut self.0[notice as usize];
        entry.total += 1;
        let is_silent = |at: Time| now.saturating_since(at) < MINUTE;
        if entry.told_at.is_some_and(is_silent) {
            entry.untold += 1;
            return log::debug!("{}", line());
        }
        entry.told_at = Some(now);
        match std::mem::take(&mut entry.untold) {
            0 => log::warn!("{}", line()),
            untold => log::warn!("{} ({untold} more since the last such line)", line()),
        }
    }
}

/// `reasons` of [`BroadcasterStats`](crate::BroadcasterStats), and of an answer to events: why some were dropped.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DropCounts {
    /// Their event id was known, nothing in them was new, or they asked once more for a restart that had just been.
    pub repeat: u64,
    /// Their `seq` was not above the last.
    pub old_seq: u64,
    /// They belonged to an earlier attempt.
    pub old_attempt: u64,
    /// Their task had ended.
    pub ended: u64,
}

impl DropCounts {
    pub fn of(count: impl Fn(DropReason) -> u64) -> Self {
        Self {
            repeat: count(DropReason::Repeat),
            old_seq: count(DropReason::OldSeq),
            old_attempt: count(DropReason::OldAttempt),
            ended: count(DropReason::Ended),
        }
    }
}
