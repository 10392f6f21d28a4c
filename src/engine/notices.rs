//! What is refused or ended because a stranger asked for too much, or for what is not his: counted one by one, and told to
//! the log once a minute for each kind, so that strangers do not fill it.

use crate::base::time::Time;
use crate::engine::access::connection_rate::MINUTE;

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
    /// How many there are; the last one is named.
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

    /// It has happened once more, as `line` says.
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
