//! The shadow of the rooms' logs: what was said at which position, what was acknowledged, and what a crash may take.
//!
//! It knows in which order it has given its inputs, and from that predicts every offset and every entry. The core is asked only
//! for what it makes by chance, the names of epochs, and then must hold what was predicted. The order is that of the contract
//! (sections 4 and 5):
//!
//! 1. A request takes effect when its last byte is read, before any that comes later; its events count in the order in which they
//!    stand in it. Lines take effect one by one, as they come.
//! 2. What becomes an entry takes the next offset of its room; progress, repeats and what is dropped take none.
//! 3. A log holds its newest `message_queue_size` entries. Deleting its task empties it, and an empty room that nobody is in
//!    is forgotten: it comes back under another epoch, from offset 1.
//! 4. After a restart a log ends with the newest entry that the store has kept, and goes on in another epoch. What of the
//!    unacknowledged was kept is the store's affair, so it is the store that is asked.

use super::world::Store;
use joblight::internals::engine::Inspection;
use serde_json::Value;
use std::collections::BTreeMap;

/// A place in a room's log, as viewers are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
}

impl Place {
    /// Reads `epoch:offset`.
    pub(crate) fn parse(text: &str) -> Self {
        let (epoch, offset) = text.split_once(':').expect("epoch:offset");
        Self {
            epoch: epoch.to_owned(),
            offset: offset.parse().expect("an offset"),
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}:{}", self.epoch, self.offset)
    }
}

/// One epoch of a log.
#[derive(Debug)]
struct Epoch {
    name: String,
    /// Up to this offset it is the epoch before; 0: it began anew.
    base: u64,
    /// The marks of the entries after that.
    marks: Vec<u64>,
    /// The store knows of it: something in it was acknowledged.
    is_kept: bool,
}

impl Epoch {
    fn last(&self) -> u64 {
        self.base + self.marks.len() as u64
    }
}

/// The log of one room.
#[derive(Debug, Default)]
struct Log {
    epochs: Vec<Epoch>,
    /// Up to this offset of the present epoch everything was acknowledged.
    acknowledged: u64,
    /// How often it was emptied on demand: anything may be gone, and the room with it.
    emptied: u32,
    /// Nothing up to this offset of the present epoch is left since.
    emptied_at: u64,
}

/// All rooms.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    logs: BTreeMap<String, Log>,
    log_limit: u64,
}

impl Log {
    fn index(&self, epoch: &str) -> Option<usize> {
        self.epochs.iter().rposition(|known| known.name == epoch)
    }

    /// The mark at an offset of the epoch of that index.
    fn mark(&self, mut index: usize, offset: u64) -> Option<u64> {
        while offset <= self.epochs[index].base {
            index = index.checked_sub(1)?;
        }
        let epoch = &self.epochs[index];
        epoch.marks.get((offset - epoch.base - 1) as usize).copied()
    }

    /// An epoch of that name begins after that offset; there was none of that name.
    fn begin(&mut self, name: String, base: u64) {
        assert!(self.index(&name).is_none(), "the epoch {name} comes back");
        self.epochs.push(Epoch {
            name,
            base,
            marks: Vec::new(),
            is_kept: false,
        });
        self.acknowledged = self.acknowledged.min(base);
        self.emptied_at = self.emptied_at.min(base);
    }

    /// These are said, in this order.
    fn say(&mut self, epoch: String, room: &str, marks: &[u64]) {
        if self.epochs.last().is_none_or(|last| last.name != epoch) {
            let last = self.epochs.last().map_or(0, Epoch::last);
            let may_begin = last == 0 || self.emptied > 0;
            assert!(may_begin, "{room} began anew with {last} entries");
            self.begin(epoch, 0);
        }
        let epoch = self.epochs.last_mut().expect("there is one now");
        epoch.marks.extend(marks);
    }

    /// The core's log must hold what was predicted: every offset, and what was said at the oldest and the newest.
    fn check(&self, held: Inspection<'_>, room: &str, log_limit: u64, newest: usize) {
        let index = self.epochs.len() - 1;
        let epoch = &self.epochs[index];
        let position = format!("{}:{}", epoch.name, epoch.last());
        assert_eq!(held.position(room), Some(position), "offsets of {room}");
        let oldest = epoch.last().saturating_sub(log_limit).max(self.emptied_at) + 1;
        let entries: Vec<_> = held.entries(room).collect();
        let offsets = entries.iter().map(|entry| entry.offset);
        assert!(
            offsets.clone().eq(oldest..=epoch.last()),
            "{room} holds {:?} instead of {oldest} to {}",
            offsets.collect::<Vec<_>>(),
            epoch.last()
        );
        let first_of_newest = entries.len().saturating_sub(newest);
        for (place, entry) in entries.iter().enumerate() {
            if place == 0 || place >= first_of_newest {
                let payload: Value = serde_json::from_slice(entry.payload).expect("JSON");
                let said = self.mark(index, entry.offset);
                let offset = entry.offset;
                assert_eq!(payload["mark"].as_u64(), said, "entry {offset} of {room}");
            }
        }
    }

    /// The process has begun another life, and the store has kept the log up to that offset.
    fn survive(&mut self, held: Inspection<'_>, room: &str, kept: u64, log_limit: u64) {
        let last = self.epochs.last().map_or(0, Epoch::last);
        assert!(
            (self.acknowledged..=last).contains(&kept),
            "{room} comes back with {kept} of {last} entries, {} were acknowledged",
            self.acknowledged
        );
        let position = held.position(room);
        let position = position.unwrap_or_else(|| panic!("{room} is lost, and was kept"));
        let place = Place::parse(&position);
        if self
            .epochs
            .last()
            .is_some_and(|epoch| epoch.name == place.epoch)
        {
            assert_eq!(kept, last, "{room} reuses offsets");
        } else {
            self.begin(place.epoch, kept);
        }
        self.check(held, room, log_limit, usize::MAX);
    }
}

impl Truth {
    pub(crate) fn new(log_limit: usize) -> Self {
        Self {
            logs: BTreeMap::new(),
            log_limit: log_limit as u64,
        }
    }

    /// A request has said these in a room, in this order; the core must have them there.
    pub(crate) fn say(&mut self, held: Inspection<'_>, room: &str, marks: &[u64]) {
        let Some(position) = held.position(room) else {
            return assert!(marks.is_empty(), "{room} is not there");
        };
        let log = self.logs.entry(room.to_owned()).or_default();
        log.say(Place::parse(&position).epoch, room, marks);
        log.check(held, room, self.log_limit, marks.len());
    }

    /// Everything that was said in a room up to that offset is acknowledged, if it is still the same life.
    pub(crate) fn acknowledge(&mut self, room: &str, offset: u64) {
        if let Some(log) = self.logs.get_mut(room) {
            log.acknowledged = log.acknowledged.max(offset);
            if let Some(epoch) = log.epochs.last_mut() {
                epoch.is_kept = true;
            }
        }
    }

    /// A room's log is emptied on demand.
    pub(crate) fn forget(&mut self, room: &str) {
        let log = self.logs.entry(room.to_owned()).or_default();
        (log.acknowledged, log.emptied) = (0, log.emptied + 1);
        log.emptied_at = log.epochs.last().map_or(0, Epoch::last);
    }

    /// Whether a room's log may have lost anything.
    pub(crate) fn was_emptied(&self, room: &str) -> bool {
        self.emptied(room) > 0
    }

    /// How often it was emptied.
    pub(crate) fn emptied(&self, room: &str) -> u32 {
        self.logs.get(room).map_or(0, |log| log.emptied)
    }

    /// How many entries a room has had.
    pub(crate) fn last(&self, room: &str) -> u64 {
        let last = self.logs.get(room).and_then(|log| log.epochs.last());
        last.map_or(0, Epoch::last)
    }

    /// The process has begun another life, with what is in the store.
    pub(crate) fn survive(&mut self, held: Inspection<'_>, store: &Store) {
        for (name, log) in &mut self.logs {
            let kept = store.last_offset(name);
            // What was emptied and nobody is in is not there, whatever the store knows of it.
            let is_there = log.emptied == 0 || held.position(name).is_some();
            let Some(kept) = kept.filter(|_| is_there) else {
                assert!(
                    log.acknowledged == 0 || log.emptied > 0,
                    "{name} is lost with what was acknowledged"
                );
                let position = held.position(name).map(|text| Place::parse(&text).offset);
                assert_eq!(position.unwrap_or(0), 0, "{name} was not kept");
                *log = Log {
                    emptied: log.emptied,
                    ..Log::default()
                };
                continue;
            };
            log.survive(held, name, kept, self.log_limit);
        }
    }

    /// Where a room's log is.
    pub(crate) fn place(&self, room: &str) -> Option<Place> {
        let epoch = self.logs.get(room)?.epochs.last()?;
        Some(Place {
            epoch: epoch.name.clone(),
            offset: epoch.last(),
        })
    }

    /// After which offsets a reader who was at `since` may go on, and whether nothing before that is unknown to it.
    pub(crate) fn starts(
        &self,
        room: &str,
        since: Option<&Place>,
        now: &Place,
    ) -> Vec<(u64, bool)> {
        let Some(since) = since else {
            return vec![(0, true)];
        };
        if since.epoch == now.epoch {
            return vec![(since.offset, true)];
        }
        let is_common = self.common(room, since, &now.epoch) == Some(since.offset);
        match (is_common, self.is_kept(room, since, &now.epoch)) {
            (true, true) if since.offset > 0 => vec![(since.offset, true)],
            (true, _) => vec![(since.offset, true), (0, false)],
            (false, _) => vec![(0, false)],
        }
    }

    /// What was said at a place.
    pub(crate) fn mark(&self, room: &str, place: &Place) -> Option<u64> {
        let log = self.logs.get(room)?;
        log.mark(log.index(&place.epoch)?, place.offset)
    }

    /// Whether the server cannot have forgotten that a place was in a log.
    pub(crate) fn is_kept(&self, room: &str, place: &Place, later: &str) -> bool {
        let log = self.logs.get(room);
        let epoch = log.and_then(|log| Some(&log.epochs[log.index(&place.epoch)?]));
        place.epoch == later || epoch.is_some_and(|epoch| epoch.is_kept)
    }

    /// Up to which offset what is known at a place is still so in a later epoch; `None`: it has nothing to do with it.
    pub(crate) fn common(&self, room: &str, place: &Place, later: &str) -> Option<u64> {
        if place.epoch == later {
            return Some(place.offset);
        }
        let log = self.logs.get(room)?;
        let (from, to) = (log.index(&place.epoch)?, log.index(later)?);
        let bases = log.epochs.get(from + 1..=to)?.iter();
        bases.map(|epoch| epoch.base).chain([place.offset]).min()
    }
}
