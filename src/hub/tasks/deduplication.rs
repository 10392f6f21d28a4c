//! Deduplication by event id (contract section 7): ids of accepted events are remembered, bounded by age and number.
//!
//! Owns the hashes of those ids and the key that makes them. Never sees an event: the caller asks before it applies one and remembers
//! the id after. Ids are numbered by a serial without gaps, so that the store forgets old ones with one record ("all up to this
//! serial"). Invariant: `order` holds the ids from the oldest to the newest, the last one with serial `next_serial - 1`.

use crate::base::time::{Now, Span, Time};
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Restored, StoredId, Table};
use crate::hub::settings::BroadcasterConfig;
use siphasher::sip::SipHasher13;
use std::collections::{HashSet, VecDeque};
use std::hash::Hasher;

/// The row under which the store keeps the hash key.
const KEY: &str = "event_id_key";

/// The event ids within the window.
#[derive(Debug)]
pub struct EventIds {
    /// The SipHash key. It outlives the process: hashes in the store are of use only with the key that made them.
    key: [u64; 2],
    /// The key came from the store.
    is_restored: bool,
    order: VecDeque<Seen>,
    next_serial: u64,
    known: HashSet<u64, ahash::RandomState>,
}

/// The hash of an event id and its scope. A hash and not the text, so that every id takes the same few bytes; keyed, so that no producer
/// can choose ids that collide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdKey(u64);

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Time,
    wall_ms: u64,
    hash: u64,
}

impl EventIds {
    pub fn new(seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[1], seed[0], !seed[1], !seed[0]);
        Self {
            key: [!seed[0], seed[1]],
            is_restored: false,
            order: VecDeque::new(),
            next_serial: 1,
            known: HashSet::with_hasher(hasher),
        }
    }

    /// The hash of an event id within its scope, whose name may come in two parts.
    pub fn key(&self, scope: [&str; 2], id: &str) -> IdKey {
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        // The length of the scope, or `a` + `b1` would be `ab` + `1`. Stores hold hashes made this way.
        hasher.write_usize(scope[0].len() + scope[1].len());
        for part in [scope[0], scope[1], id] {
            hasher.write(part.as_bytes());
        }
        IdKey(hasher.finish())
    }

    /// The serial up to which ids are too old or too many; `None`: none is. Costs what it finds, so that no timer is needed: it is asked
    /// before each look-up.
    pub fn expired(&self, now: Time, settings: &BroadcasterConfig) -> Option<u64> {
        let surplus = match settings.max_deduplication_ids {
            0 => 0,
            max => self.order.len().saturating_sub(max),
        };
        let window = Span::from_millis(settings.deduplication_window);
        let is_old = |seen: &&Seen| now.saturating_since(seen.at) >= window;
        // In order of time.
        let old = self.order.iter().skip(surplus).take_while(is_old).count();
        let count = (surplus + old) as u64;
        (count > 0).then(|| self.first_serial() + count - 1)
    }

    /// Forgets ids up to this serial.
    pub fn forget_until(&mut self, serial: u64, journal: &mut Journal) {
        while self.first_serial() <= serial
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest.hash);
        }
        // One record, however many ids went.
        journal.push(Record::Forget { serial });
        if self.order.is_empty() && self.order.capacity() > 0 {
            self.order = VecDeque::new();
            self.known.shrink_to_fit();
        }
    }

    /// Whether this id is remembered, which it may be beyond the window.
    pub fn knows(&self, key: IdKey) -> bool {
        self.known.contains(&key.0)
    }

    /// Remembers the id of an accepted event.
    pub fn remember(&mut self, now: Now, key: IdKey, journal: &mut Journal) {
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

    /// Restores a part of what the store has kept. The key comes in the first part.
    pub fn restore(&mut self, now: Now, restored: &Restored) {
        let rows = restored.rows.iter();
        let key = rows
            .filter(|(table, key, _)| *table == Table::Meta && &**key == KEY)
            .find_map(|(.., value)| serde_json::from_str(value).ok());
        if let Some(key) = key {
            (self.key, self.is_restored) = (key, true);
        }
        // Hashes of a key that is lost are noise.
        for id in restored.ids.iter().filter(|_| self.is_restored) {
            self.known.insert(id.hash);
            self.order.push_back(Seen {
                // By wall clock: the time that the process was away counts for the window.
                at: now.time_of(id.timestamp),
                wall_ms: id.timestamp,
                hash: id.hash,
            });
            // Ids are restored in order and without gaps, so the last one counts.
            self.next_serial = id.serial + 1;
        }
    }

    /// The store has no more to restore. One that had no key is given that of this process.
    pub fn finish_restoring(
        &mut self,
        now: Time,
        settings: &BroadcasterConfig,
        journal: &mut Journal,
    ) {
        if !self.is_restored {
            journal.push(self.key_record());
        } else if let Some(serial) = self.expired(now, settings) {
            self.forget_until(serial, journal);
        }
    }

    /// The key and every id.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let ids = (self.first_serial()..).zip(&self.order);
        let ids = ids.map(|(serial, seen)| Record::Remember(seen.stored(serial)));
        std::iter::once(self.key_record()).chain(ids)
    }

    fn key_record(&self) -> Record {
        let [one, other] = self.key;
        Record::Put {
            table: Table::Meta,
            key: KEY.into(),
            value: format!("[{one},{other}]"),
        }
    }

    fn first_serial(&self) -> u64 {
        self.next_serial - self.order.len() as u64
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
    use crate::hub::settings::HubSettings;

    /// Two ids, for ten seconds.
    fn settings() -> BroadcasterConfig {
        BroadcasterConfig {
            deduplication_window: 10_000,
            max_deduplication_ids: 2,
            ..HubSettings::unlimited().broadcaster
        }
    }

    fn at(seconds: u64) -> Now {
        Now {
            at: Time::from_millis(seconds * 1000),
            wall_ms: 1_700_000_000_000 + seconds * 1000,
        }
    }

    fn contains(
        event_ids: &mut EventIds,
        now: Now,
        scope: &str,
        id: &str,
        journal: &mut Journal,
    ) -> bool {
        if let Some(serial) = event_ids.expired(now.at, &settings()) {
            event_ids.forget_until(serial, journal);
        }
        event_ids.knows(event_ids.key(["", scope], id))
    }

    fn remember(event_ids: &mut EventIds, now: Now, id: &str, journal: &mut Journal) {
        let key = event_ids.key(["", "a"], id);
        event_ids.remember(now, key, journal);
    }

    /// Stores hold what earlier versions made of names in one piece.
    #[test]
    fn a_name_in_two_parts_is_the_same_name() {
        let event_ids = EventIds::new([1, 2]);
        let mut hasher = SipHasher13::new_with_keys(event_ids.key[0], event_ids.key[1]);
        hasher.write_usize("\nroom".len());
        hasher.write(b"\nroom");
        hasher.write(b"id");
        let whole = IdKey(hasher.finish());
        assert_eq!(event_ids.key(["\n", "room"], "id"), whole);
        assert_eq!(event_ids.key(["", "\nroom"], "id"), whole);
        assert_ne!(event_ids.key(["", "room"], "id"), whole);
    }

    #[test]
    fn repeats_are_known_within_the_window_and_per_task() {
        let journal = &mut Journal::default();
        let mut event_ids = EventIds::new([1, 2]);
        remember(&mut event_ids, at(0), "1", journal);
        assert!(contains(&mut event_ids, at(9), "a", "1", journal));
        assert!(!contains(&mut event_ids, at(9), "b", "1", journal));
        assert!(
            !contains(&mut event_ids, at(9), "", "a1", journal),
            "another scope"
        );
        assert!(!contains(&mut event_ids, at(10), "a", "1", journal));
        for id in ["1", "2", "3"] {
            remember(&mut event_ids, at(11), id, journal);
        }
        assert!(
            !contains(&mut event_ids, at(11), "a", "1", journal),
            "two are kept"
        );
        assert!(contains(&mut event_ids, at(11), "a", "3", journal));
    }

    #[test]
    fn another_life_knows_what_is_left_of_the_window() {
        let mut journal = Journal::default();
        journal.turn_on();
        let mut event_ids = EventIds::new([1, 2]);
        event_ids.restore(at(0), &Restored::default());
        event_ids.finish_restoring(at(0).at, &settings(), &mut journal);
        for (second, id) in [(0, "1"), (1, "2"), (6, "3")] {
            remember(&mut event_ids, at(second), id, &mut journal);
        }
        assert!(
            !contains(&mut event_ids, at(6), "a", "1", &mut journal),
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
        let mut event_ids = EventIds::new([3, 4]);
        let later = Now {
            at: Time::from_millis(1_000_000),
            ..at(12)
        };
        event_ids.restore(later, &restored);
        event_ids.finish_restoring(later.at, &settings(), &mut journal);
        assert!(
            !contains(&mut event_ids, later, "a", "2", &mut journal),
            "its time is over"
        );
        assert!(contains(&mut event_ids, later, "a", "3", &mut journal));
        assert_eq!(journal.take_records(), [Record::Forget { serial: 2 }]);
    }
}
