//! The shadow of the rooms' logs: what was said at which position, what was acknowledged, and what a crash may take.

use joblight::internals::engine::Inspection;
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

    /// Whether an epoch of that name begins, and from where; it must not have been there before.
    fn begin(&mut self, name: String, base: u64) {
        assert!(self.index(&name).is_none(), "the epoch {name} comes back");
        self.epochs.push(Epoch {
            name,
            base,
            marks: Vec::new(),
            is_kept: false,
        });
        self.acknowledged = self.acknowledged.min(base);
    }

    /// Takes in what is new in the log since the last look: if there is something, it is what was said.
    fn observe(&mut self, held: Inspection<'_>, room: &str, said: &[u64]) -> Vec<u64> {
        let Some(place) = held.position(room) else {
            return Vec::new();
        };
        let place = Place::parse(&place);
        if self
            .epochs
            .last()
            .is_none_or(|last| last.name != place.epoch)
        {
            let last = self.epochs.last().map_or(0, Epoch::last);
            let may_begin = last == 0 || self.emptied > 0;
            assert!(may_begin, "{room} began anew with {last} entries");
            self.begin(place.epoch, 0);
        }
        let epoch = self.epochs.last_mut().expect("there is one now");
        let offsets = epoch.last() + 1..=place.offset;
        // A short log has lost the first of many already.
        let new: Vec<u64> = offsets
            .enumerate()
            .map(|(index, offset)| mark_at(held, room, offset).unwrap_or(said[index]))
            .collect();
        epoch.marks.extend(&new);
        assert_eq!(epoch.last(), place.offset, "offsets of {room}");
        new
    }

    /// The process has begun another life, and this is left of the log.
    fn survive(&mut self, held: Inspection<'_>, room: &str, place: &str, log_limit: u64) {
        let place = Place::parse(place);
        let Some(index) = self.epochs.len().checked_sub(1) else {
            return assert_eq!(place.offset, 0, "{room}: nothing was ever said");
        };
        let last = self.epochs[index].last();
        assert!(
            (self.acknowledged..=last).contains(&place.offset),
            "{room} comes back with {} of {last} entries, {} were acknowledged",
            place.offset,
            self.acknowledged
        );
        let oldest = place.offset.saturating_sub(log_limit) + 1;
        for offset in oldest..=place.offset {
            let (kept, said) = (mark_at(held, room, offset), self.mark(index, offset));
            assert!(
                kept == said || kept.is_none() && self.emptied > 0,
                "entry {offset} of {room} after a restart",
            );
        }
        if self.epochs[index].name == place.epoch {
            return assert_eq!(place.offset, last, "{room} reuses offsets");
        }
        self.begin(place.epoch, place.offset);
    }
}

impl Truth {
    pub(crate) fn new(log_limit: usize) -> Self {
        Self {
            logs: BTreeMap::new(),
            log_limit: log_limit as u64,
        }
    }

    /// Takes in what has been said in a room since the last look: the marks; at most what was `said`.
    pub(crate) fn observe(&mut self, held: Inspection<'_>, room: &str, said: &[u64]) -> Vec<u64> {
        let log = self.logs.entry(room.to_owned()).or_default();
        log.observe(held, room, said)
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

    /// The process has begun another life.
    pub(crate) fn survive(&mut self, held: Inspection<'_>) {
        for (name, log) in &mut self.logs {
            match held.position(name) {
                Some(place) => log.survive(held, name, &place, self.log_limit),
                None => {
                    assert!(
                        log.acknowledged == 0 || log.emptied > 0,
                        "{name} is lost with what was acknowledged"
                    );
                    *log = Log {
                        emptied: log.emptied,
                        ..Log::default()
                    };
                }
            }
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

/// The mark of an entry of a log.
fn mark_at(held: Inspection<'_>, room: &str, offset: u64) -> Option<u64> {
    let entry = held.entries(room).find(|entry| entry.offset == offset)?;
    let payload: serde_json::Value = serde_json::from_slice(entry.payload).expect("JSON");
    Some(payload["mark"].as_u64().expect("entries are marked"))
}
