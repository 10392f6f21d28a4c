//! Events that came before: their ids are remembered for a while (contract section 7), bounded by age and number.

use crate::base::time::{Now, Span, Time};
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Restored, StoredId, Table};
use siphasher::sip::SipHasher13;
use std::collections::{HashSet, VecDeque};
use std::hash::Hasher;

/// The fact by which a store keeps the key of the hashes.
const KEY: &str = "event_id_key";

/// The window in which a repeated id is recognised.
#[derive(Debug)]
pub struct Repeats {
    window: Span,
    max_ids: usize,
    /// Makes the hashes, for as long as they are kept.
    key: [u64; 2],
    /// Whether that is an earlier life's.
    is_restored: bool,
    order: VecDeque<Seen>,
    /// The serial of the next id.
    next_serial: u64,
    known: HashSet<u64, ahash::RandomState>,
}

/// The hash of an event's id and of what the event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdKey(u64);

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Time,
    wall_ms: u64,
    hash: u64,
}

impl Repeats {
    /// A window of that length (zero: nothing is remembered) and number of ids (0: no limit).
    pub fn new(window: Span, max_ids: usize, seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[1], seed[0], !seed[1], !seed[0]);
        Self {
            window,
            max_ids,
            key: [!seed[0], seed[1]],
            is_restored: false,
            order: VecDeque::new(),
            next_serial: 1,
            known: HashSet::with_hasher(hasher),
        }
    }

    /// What stands for the id of an event of a task or room, whose name may come in two parts.
    pub fn key(&self, scope: [&str; 2], id: &str) -> IdKey {
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write_usize(scope[0].len() + scope[1].len());
        for part in [scope[0], scope[1], id] {
            hasher.write(part.as_bytes());
        }
        IdKey(hasher.finish())
    }

    /// Whether an event of this id has been remembered.
    pub fn contains(&mut self, now: Now, key: IdKey, journal: &mut Journal) -> bool {
        self.expire(now.at, journal);
        self.known.contains(&key.0)
    }

    /// The same without forgetting those whose time has come.
    pub fn knows(&self, key: IdKey) -> bool {
        self.known.contains(&key.0)
    }

    /// Remembers an event of this id.
    pub fn remember(&mut self, now: Now, key: IdKey, journal: &mut Journal) {
        if self.window.is_zero() {
            return;
        }
        let IdKey(hash) = key;
        if self.known.insert(hash) {
            let seen = Seen {
                at: now.at,
                wall_ms: now.wall_ms,
                hash,
            };
            journal.push(Record::Remember(seen.stored(self.next_serial)));
            self.order.push_back(seen);
            self.next_serial += 1;
        }
    }

    /// Goes on with a part of what a store has kept: the key comes first.
    pub fn restore(&mut self, now: Now, restored: &Restored) {
        let rows = restored.rows.iter();
        let key = rows
            .filter(|(table, key, _)| *table == Table::Meta && &**key == KEY)
            .find_map(|(.., value)| serde_json::from_str(value).ok());
        if let Some(key) = key {
            (self.key, self.is_restored) = (key, true);
        }
        for id in restored.ids.iter().filter(|_| self.is_restored) {
            self.known.insert(id.hash);
            self.order.push_back(Seen {
                at: now.time_of(id.timestamp),
                wall_ms: id.timestamp,
                hash: id.hash,
            });
            // Serials of ids that are remembered have no gaps.
            self.next_serial = id.serial + 1;
        }
    }

    /// All that a store has kept is there; if it had no key, it keeps that of this life.
    pub fn finish_restoring(&mut self, now: Time, journal: &mut Journal) {
        match self.is_restored {
            true => self.expire(now, journal),
            false => self.keep_key(journal),
        }
    }

    /// Everything goes to a store that was emptied.
    pub fn keep_all(&self, journal: &mut Journal) {
        self.keep_key(journal);
        for (serial, seen) in (self.first_serial()..).zip(&self.order) {
            journal.push(Record::Remember(seen.stored(serial)));
        }
    }

    fn keep_key(&self, journal: &mut Journal) {
        let [one, other] = self.key;
        journal.put(Table::Meta, KEY, format!("[{one},{other}]"));
    }

    fn first_serial(&self) -> u64 {
        self.next_serial - self.order.len() as u64
    }

    fn expire(&mut self, now: Time, journal: &mut Journal) {
        let before = self.order.len();
        while let Some(oldest) = self.order.front().copied() {
            let old = now.saturating_since(oldest.at) >= self.window;
            let many = self.max_ids > 0 && self.order.len() > self.max_ids;
            if !old && !many {
                break;
            }
            self.order.pop_front();
            self.known.remove(&oldest.hash);
        }
        if self.order.len() < before {
            let serial = self.first_serial() - 1;
            journal.push(Record::Forget { serial });
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            self.order = VecDeque::new();
            self.known.shrink_to_fit();
        }
    }
}

impl Seen {
    fn stored(self, serial: u64) -> StoredId {
        StoredId {
            serial,
            hash: self.hash,
            timestamp: self.wall_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            at: Time::from_millis(seconds * 1000),
            wall_ms: 1_700_000_000_000 + seconds * 1000,
        }
    }

    fn contains(
        repeats: &mut Repeats,
        now: Now,
        scope: &str,
        id: &str,
        journal: &mut Journal,
    ) -> bool {
        let key = repeats.key(["", scope], id);
        repeats.contains(now, key, journal)
    }

    fn remember(repeats: &mut Repeats, now: Now, id: &str, journal: &mut Journal) {
        let key = repeats.key(["", "a"], id);
        repeats.remember(now, key, journal);
    }

    /// Stores hold what earlier versions made of names in one piece.
    #[test]
    fn a_name_in_two_parts_is_the_same_name() {
        let repeats = Repeats::new(Span::from_secs(10), 2, [1, 2]);
        let mut hasher = SipHasher13::new_with_keys(repeats.key[0], repeats.key[1]);
        hasher.write_usize("\nroom".len());
        hasher.write(b"\nroom");
        hasher.write(b"id");
        let whole = IdKey(hasher.finish());
        assert_eq!(repeats.key(["\n", "room"], "id"), whole);
        assert_eq!(repeats.key(["", "\nroom"], "id"), whole);
        assert_ne!(repeats.key(["", "room"], "id"), whole);
    }

    #[test]
    fn repeats_are_known_within_the_window_and_per_task() {
        let journal = &mut Journal::default();
        let mut repeats = Repeats::new(Span::from_secs(10), 2, [1, 2]);
        remember(&mut repeats, at(0), "1", journal);
        assert!(contains(&mut repeats, at(9), "a", "1", journal));
        assert!(!contains(&mut repeats, at(9), "b", "1", journal));
        assert!(
            !contains(&mut repeats, at(9), "", "a1", journal),
            "another scope"
        );
        assert!(!contains(&mut repeats, at(10), "a", "1", journal));
        for id in ["1", "2", "3"] {
            remember(&mut repeats, at(11), id, journal);
        }
        assert!(
            !contains(&mut repeats, at(11), "a", "1", journal),
            "two are kept"
        );
        assert!(contains(&mut repeats, at(11), "a", "3", journal));
    }

    #[test]
    fn another_life_knows_what_is_left_of_the_window() {
        let mut journal = Journal::default();
        journal.turn_on();
        let mut repeats = Repeats::new(Span::from_secs(10), 2, [1, 2]);
        repeats.restore(at(0), &Restored::default());
        repeats.finish_restoring(at(0).at, &mut journal);
        for (second, id) in [(0, "1"), (1, "2"), (6, "3")] {
            remember(&mut repeats, at(second), id, &mut journal);
        }
        assert!(
            !contains(&mut repeats, at(6), "a", "1", &mut journal),
            "two are kept"
        );
        let mut restored = Restored::default();
        for record in journal.take_records() {
            match record {
                Record::Put { table, key, value } => restored.rows.push((table, key, value)),
                Record::Remember(id) => restored.ids.push(id),
                Record::Forget { serial } => restored.ids.retain(|id| id.serial > serial),
                _ => unreachable!(),
            }
        }
        assert_eq!(restored.ids.len(), 2);
        let mut repeats = Repeats::new(Span::from_secs(10), 2, [3, 4]);
        let later = Now {
            at: Time::from_millis(1_000_000),
            ..at(12)
        };
        repeats.restore(later, &restored);
        repeats.finish_restoring(later.at, &mut journal);
        assert!(
            !contains(&mut repeats, later, "a", "2", &mut journal),
            "its time is over"
        );
        assert!(contains(&mut repeats, later, "a", "3", &mut journal));
        assert_eq!(journal.take_records(), [Record::Forget { serial: 2 }]);
    }
}
