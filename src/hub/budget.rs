//! What a turn costs. Everything that outsiders can ask for is counted here as it is done: things looked at and bytes
//! encoded. What is due to single readers (replays, snapshots, states that they missed) has a measure for each turn, so
//! that many of them together do not hold the loop; the rest is postponed, reader by reader, and goes on in later turns.

use crate::hub::keys::ClientId;
use std::collections::{BTreeSet, VecDeque};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Rooms, log entries, names and the like that were looked at.
    pub visited: u64,
    /// Bytes of messages and answers that were encoded.
    pub encoded: u64,
}

/// One turn's measure of what is due to single readers.
const DUE: Work = Work {
    visited: 16_384,
    encoded: 1024 * 1024,
};

/// Beyond this, what has not been read yet waits for the next turn.
const FULL: Work = Work {
    visited: 65_536,
    encoded: 4 * 1024 * 1024,
};

/// Queues of a crowd are given back when it is served.
const MAX_IDLE_QUEUE: usize = 1024;

impl Work {
    fn reaches(self, measure: Self) -> bool {
        self.visited >= measure.visited || self.encoded >= measure.encoded
    }

    fn max(self, other: Self) -> Self {
        Self {
            visited: self.visited.max(other.visited),
            encoded: self.encoded.max(other.encoded),
        }
    }
}

/// The work of this turn, and the readers whose share of it is put off.
#[derive(Debug)]
pub struct Workload {
    turn: Work,
    /// Of that, what was done for single readers.
    due: Work,
    max_due: Work,
    peak: Work,
    postponed: VecDeque<ClientId>,
    /// The same, to be found.
    waiting: BTreeSet<ClientId>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            turn: Work::default(),
            due: Work::default(),
            max_due: DUE,
            peak: Work::default(),
            postponed: VecDeque::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl Workload {
    /// Another measure of what a turn does for single readers: with a small one, a test sees all that can be postponed.
    pub fn set_measure(&mut self, max_due: Work) {
        self.max_due = max_due;
    }

    /// Counts things that were looked at.
    pub fn visit(&mut self, count: usize) {
        self.turn.visited += count as u64;
    }

    /// Counts bytes that were encoded.
    pub fn encode(&mut self, bytes: usize) {
        self.turn.encoded += bytes as u64;
    }

    /// Counts what was done since `before` as done for single readers.
    pub fn charge(&mut self, before: Work) {
        self.due.visited += self.turn.visited - before.visited;
        self.due.encoded += self.turn.encoded - before.encoded;
    }

    /// What this turn has done so far.
    pub fn turn(&self) -> Work {
        self.turn
    }

    /// The most that one turn has done.
    pub fn peak(&self) -> Work {
        self.peak.max(self.turn)
    }

    /// Whether this turn has done enough for single readers.
    pub fn is_spent(&self) -> bool {
        self.due.reaches(self.max_due)
    }

    /// Whether this turn has done so much that further input waits for the next.
    pub fn is_full(&self) -> bool {
        self.turn.reaches(FULL)
    }

    /// A reader is to go on in a later turn.
    pub fn postpone(&mut self, reader: ClientId) {
        if self.waiting.insert(reader) {
            self.postponed.push_back(reader);
        }
    }

    /// The reader that has waited longest.
    pub fn poll_postponed(&mut self) -> Option<ClientId> {
        let next = self.postponed.pop_front();
        match next {
            Some(reader) => drop(self.waiting.remove(&reader)),
            None => self.postponed.shrink_to(MAX_IDLE_QUEUE),
        }
        next
    }

    /// Whether readers wait.
    pub fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

    /// The next turn begins with nothing done.
    pub fn begin_turn(&mut self) {
        self.peak = self.peak();
        (self.turn, self.due) = (Work::default(), Work::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_for_single_readers_is_measured_apart() {
        let mut load = Workload::default();
        load.encode(FULL.encoded as usize - 1);
        assert!(!load.is_spent() && !load.is_full());
        let before = load.turn();
        load.visit(DUE.visited as usize);
        load.charge(before);
        assert!(load.is_spent() && !load.is_full());
        load.encode(1);
        assert!(load.is_full());
        let done = load.turn();
        load.begin_turn();
        assert!(!load.is_spent() && !load.is_full());
        assert_eq!((load.turn(), load.peak()), (Work::default(), done));
    }
}
