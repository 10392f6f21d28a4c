//! Events that came before: their ids are remembered for a while (contract section 7), bounded by age and number.

use crate::base::time::{Span, Time};
use std::collections::{HashSet, VecDeque};

/// The window in which a repeated id is recognised.
#[derive(Debug)]
pub struct Repeats {
    window: Span,
    max_ids: usize,
    hasher: ahash::RandomState,
    order: VecDeque<(Time, u64)>,
    known: HashSet<u64, ahash::RandomState>,
}

impl Repeats {
    /// A window of that length (zero: nothing is remembered) and number of ids (0: no limit).
    pub fn new(window: Span, max_ids: usize, seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[1], seed[0], !seed[1], !seed[0]);
        Self {
            window,
            max_ids,
            known: HashSet::with_hasher(hasher.clone()),
            hasher,
            order: VecDeque::new(),
        }
    }

    /// Whether an event of this id has been remembered for this task or room.
    pub fn contains(&mut self, now: Time, scope: &str, id: &str) -> bool {
        self.expire(now);
        self.known.contains(&self.hasher.hash_one((scope, id)))
    }

    /// Remembers an event of this id.
    pub fn remember(&mut self, now: Time, scope: &str, id: &str) {
        if self.window.is_zero() {
            return;
        }
        let hash = self.hasher.hash_one((scope, id));
        if self.known.insert(hash) {
            self.order.push_back((now, hash));
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some((at, hash)) = self.order.front().copied() {
            let old = now.saturating_since(at) >= self.window;
            let many = self.max_ids > 0 && self.order.len() > self.max_ids;
            if !old && !many {
                break;
            }
            self.order.pop_front();
            self.known.remove(&hash);
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            self.order = VecDeque::new();
            self.known.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_known_within_the_window_and_per_task() {
        let mut repeats = Repeats::new(Span::from_secs(10), 2, [1, 2]);
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        repeats.remember(at(0), "a", "1");
        assert!(repeats.contains(at(9), "a", "1"));
        assert!(!repeats.contains(at(9), "b", "1"));
        assert!(!repeats.contains(at(10), "a", "1"));
        for id in ["1", "2", "3"] {
            repeats.remember(at(11), "a", id);
        }
        assert!(!repeats.contains(at(11), "a", "1"), "two are kept");
        assert!(repeats.contains(at(11), "a", "3"));
    }
}
