//! The cost of a turn. Everything that a peer can ask for is counted here while it is done: things visited and bytes encoded.
//!
//! Work for single readers (replays, snapshots, states that they missed) has a budget per turn, so that a thousand readers that
//! come back together do not hold the loop. A reader that finds it spent is postponed and goes on in a later turn, the longest
//! waiting first. Work for rooms has no such budget: it is paid once for all readers, and bounded by [`FULL`], beyond which
//! further input waits. Costs are counted and not timed, so that a run is reproducible.

use crate::base::time::Span;
use crate::hub::keys::ClientId;
use std::collections::{BTreeSet, VecDeque};

/// An amount of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Rooms, log entries, names and the like that were visited.
    pub visited: u64,
    /// Bytes of messages and answers that were encoded.
    pub encoded: u64,
}

/// Budget per turn for single readers.
// A quarter of `FULL`, so that replays alone never keep input waiting.
const READER_BUDGET: Work = Work {
    visited: 16_384,
    encoded: 1024 * 1024,
};

/// Beyond this, input that has not been read yet waits for the next turn.
const FULL: Work = Work {
    visited: 65_536,
    encoded: 4 * 1024 * 1024,
};

/// How long the next portion of a long work waits, and whoever a turn had no room for, so that input is handled in between.
pub const PAUSE: Span = Span::from_millis(1);

/// Capacity of the queue that stays allocated while it is empty.
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

/// The work of this turn, and the readers that were postponed.
#[derive(Debug)]
pub struct Workload {
    turn: Work,
    /// The part of `turn` that was done for single readers.
    due: Work,
    reader_budget: Work,
    peak: Work,
    postponed: VecDeque<ClientId>,
    /// The members of `postponed`, so that a reader is queued once however often it is postponed.
    waiting: BTreeSet<ClientId>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            turn: Work::default(),
            due: Work::default(),
            reader_budget: READER_BUDGET,
            peak: Work::default(),
            postponed: VecDeque::new(),
            waiting: BTreeSet::new(),
        }
    }
}

impl Workload {
    /// Replaces the budget for single readers: with a small one, a test covers everything that can be postponed.
    pub fn set_reader_budget(&mut self, reader_budget: Work) {
        self.reader_budget = reader_budget;
    }

    pub fn visit(&mut self, count: usize) {
        self.turn.visited += count as u64;
    }

    pub fn encode(&mut self, bytes: usize) {
        self.turn.encoded += bytes as u64;
    }

    /// Charges the work since `before` to the budget for single readers.
    pub fn charge(&mut self, before: Work) {
        self.due.visited += self.turn.visited - before.visited;
        self.due.encoded += self.turn.encoded - before.encoded;
    }

    pub fn turn(&self) -> Work {
        self.turn
    }

    /// The most work that any turn did, this one included.
    pub fn peak(&self) -> Work {
        self.peak.max(self.turn)
    }

    /// Whether the budget for single readers is used up.
    pub fn is_spent(&self) -> bool {
        self.due.reaches(self.reader_budget)
    }

    /// Whether further input waits for the next turn.
    pub fn is_full(&self) -> bool {
        self.turn.reaches(FULL)
    }

    pub fn postpone(&mut self, reader: ClientId) {
        // A reader that is postponed twice keeps its first place.
        if self.waiting.insert(reader) {
            self.postponed.push_back(reader);
        }
        debug_assert_eq!(
            self.waiting.len(),
            self.postponed.len(),
            "a reader waits once"
        );
    }

    /// The reader that has waited longest. Ids, not keys: it may be gone by now.
    pub fn poll_postponed(&mut self) -> Option<ClientId> {
        // Shrunk when it is empty and not at each step, which would copy a queue in use again and again.
        let next = self.postponed.pop_front();
        match next {
            Some(reader) => drop(self.waiting.remove(&reader)),
            None => self.postponed.shrink_to(MAX_IDLE_QUEUE),
        }
        next
    }

    pub fn has_postponed(&self) -> bool {
        !self.postponed.is_empty()
    }

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
        load.visit(READER_BUDGET.visited as usize);
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
