//! What ends because it asked too much of the server: counted one by one, and told to the log once a minute.

use super::addresses::MINUTE;
use crate::base::time::Time;

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It sent too many control frames.
    ControlFrames,
    /// It began a message, a request or a line and did not finish it in time.
    Late,
    /// What all had left unfinished was too much, and it had left the most.
    Unfinished,
}

/// How often each has happened.
#[derive(Debug, Default)]
pub struct Notices {
    entries: [Entry; 3],
}

#[derive(Debug, Default)]
struct Entry {
    count: u64,
    told: u64,
    told_at: Option<Time>,
}

impl Notices {
    /// How often it has happened since the start.
    pub fn total(&self, notice: Notice) -> u64 {
        self.entries[notice as usize].count
    }

    /// It has happened once more, as `line` says.
    pub fn count(&mut self, now: Time, notice: Notice, line: impl FnOnce() -> String) {
        let entry = &mut self.entries[notice as usize];
        entry.count += 1;
        let is_silent = |at: Time| now.saturating_since(at) < MINUTE;
        if entry.told_at.is_some_and(is_silent) {
            return;
        }
        let untold = entry.count - entry.told - 1;
        (entry.told, entry.told_at) = (entry.count, Some(now));
        match untold {
            0 => log::warn!("{}", line()),
            _ => log::warn!("{} (and {untold} others before)", line()),
        }
    }
}
