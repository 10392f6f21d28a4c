//! A room's log: the last lifecycle, item and room messages, numbered (contract section 5).

use crate::base::id::MessageId;
use crate::base::time::Time;
use crate::hub::durable::record::StoredEntry;
use crate::hub::keys::ClientId;
use crate::hub::rooms::position::Position;
use crate::wire::message::{Envelope, RoomOffset};
use bytes::Bytes;
use std::collections::VecDeque;

/// One message of a log.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Its number, from 1.
    pub offset: u64,
    /// Its number among the entries of all rooms.
    pub serial: u64,
    /// The message type.
    pub kind: Box<str>,
    /// The payload, as JSON.
    pub payload: Bytes,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// The message's id.
    pub id: MessageId,
    /// Who said it and does not hear it, if that is known.
    pub sender: Option<ClientId>,
    /// When it has been there long enough.
    pub until: Time,
}

impl LogEntry {
    /// The entry as a store keeps it.
    pub fn stored(&self, room: &str) -> StoredEntry {
        StoredEntry {
            room: room.into(),
            offset: self.offset,
            serial: self.serial,
            kind: self.kind.clone(),
            payload: self.payload.clone(),
            timestamp: self.timestamp,
            id: self.id.clone(),
            sender: self.sender,
        }
    }

    /// The message as it was sent to `room`.
    pub fn envelope<'a>(&'a self, room: &'a str) -> Envelope<'a> {
        Envelope {
            kind: &self.kind,
            payload: std::str::from_utf8(&self.payload).unwrap_or("null"),
            timestamp: self.timestamp,
            id: Some(&self.id),
            reply_to: None,
            room_offset: Some(RoomOffset {
                room,
                offset: self.offset,
            }),
        }
    }
}

/// Payload bytes that one room's log may hold; its newest entry stays however large it is.
pub const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;

/// The newest entries of a room and the number of the last one.
#[derive(Debug, Default)]
pub struct RoomLog {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    last_offset: u64,
    /// The serial of the newest entry that is gone; 0: none is.
    lost_serial: u64,
    /// Where earlier epochs of this log ended: their positions still mean something here.
    lineage: Vec<Position>,
    /// When it is to be looked at because of its age.
    pub(in crate::hub) aging: Option<Time>,
    /// Whether a store keeps it as well.
    is_stored: bool,
    /// Entries that are gone from here and not yet from the store.
    dropped: Vec<u64>,
}

/// While the store cannot be told, so many are remembered: then it is told everything anew.
const MAX_DROPPED: usize = 65_536;

/// So many earlier epochs of a log are remembered.
const MAX_LINEAGE: usize = 16;

/// What a log still knows after some offset.
#[derive(Debug)]
pub struct Missed<'a> {
    /// The entries, oldest first.
    pub entries: Vec<&'a LogEntry>,
    /// Whether nothing between the offset and the first entry was lost.
    pub complete: bool,
}

impl Missed<'_> {
    /// There is no log to have missed anything of.
    pub fn nothing() -> Self {
        Self {
            entries: Vec::new(),
            complete: true,
        }
    }
}

impl RoomLog {
    /// The number of the newest entry ever; 0 before the first.
    pub fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Whether no entry is left.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the next offset.
    pub fn next_offset(&mut self) -> u64 {
        self.last_offset += 1;
        self.last_offset
    }

    /// Keeps the entry of the newest offset, and of the older ones no more than `limit` and [`MAX_LOG_BYTES`] allow.
    pub fn keep(&mut self, limit: usize, entry: LogEntry) {
        debug_assert_eq!(
            entry.offset, self.last_offset,
            "an entry is kept as soon as its offset is taken"
        );
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
        while self.entries.len() > limit || (self.bytes > MAX_LOG_BYTES && self.entries.len() > 1) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.payload.len();
            self.lost_serial = oldest.serial;
            if self.is_stored && self.dropped.len() < MAX_DROPPED {
                self.dropped.push(oldest.serial);
            }
        }
    }

    /// The serial of the newest entry that is gone; 0: none is.
    pub fn lost_serial(&self) -> u64 {
        self.lost_serial
    }

    /// Takes over what a store knows of a log, before its entries.
    pub fn restore(&mut self, last_offset: u64, lost_serial: u64, lineage: Vec<Position>) {
        (self.last_offset, self.lost_serial) = (last_offset, lost_serial);
        (self.lineage, self.is_stored) = (lineage, true);
    }

    /// Takes over an entry that a store has kept. Those that come are the newest; a gap before one loses what was before.
    pub fn restore_entry(&mut self, limit: usize, entry: LogEntry) {
        let is_next = self
            .entries
            .back()
            .is_none_or(|last| last.offset + 1 == entry.offset);
        if !is_next {
            while !self.entries.is_empty() {
                self.drop_oldest();
            }
        }
        if self.entries.is_empty() && entry.offset > 1 {
            // Which serials its predecessors had is not kept; they may have been up to this.
            self.lost_serial = self.lost_serial.max(entry.serial - 1);
        }
        self.last_offset = entry.offset;
        self.keep(limit, entry);
    }

    /// Where earlier epochs of this log ended.
    pub fn lineage(&self) -> &[Position] {
        &self.lineage
    }

    /// Whether positions of an epoch will soon mean nothing here: half of the epochs that are remembered began after it.
    pub fn is_old(&self, epoch: u64) -> bool {
        let place = self.lineage.iter().position(|ended| ended.epoch == epoch);
        place.is_some_and(|place| self.lineage.len() - place > MAX_LINEAGE / 2)
    }

    /// Whether a store keeps it as well.
    pub fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// From now on a store keeps it as well.
    pub fn set_stored(&mut self) {
        self.is_stored = true;
    }

    /// Entries that are gone since the last call, once there are `enough` of them.
    pub fn take_dropped(&mut self, enough: usize) -> Vec<u64> {
        match self.dropped.len() >= enough.max(1) {
            true => std::mem::take(&mut self.dropped),
            false => Vec::new(),
        }
    }

    /// Begins to be read again after a restart: what was logged up to now belongs to the epoch that ends here.
    pub fn end_epoch(&mut self, epoch: u64) {
        self.lineage.push(Position {
            epoch,
            offset: self.last_offset,
        });
        let surplus = self.lineage.len().saturating_sub(MAX_LINEAGE);
        self.lineage.drain(..surplus);
    }

    /// Where a position of this log, or of an earlier epoch of it, lies in it.
    pub fn resolve(&self, position: Position, epoch: u64) -> Option<u64> {
        if position.epoch == epoch {
            return (position.offset <= self.last_offset).then_some(position.offset);
        }
        let ended = self
            .lineage
            .iter()
            .find(|ended| ended.epoch == position.epoch)?;
        (position.offset <= ended.offset).then_some(position.offset)
    }

    /// Forgets what has been there long enough; tells when that is so for the oldest that remains.
    pub fn expire(&mut self, now: Time) -> Option<Time> {
        while self.oldest_until().is_some_and(|until| until <= now) {
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            self.entries.shrink_to_fit();
        }
        self.oldest_until()
    }

    /// When the oldest entry has been there long enough.
    pub fn oldest_until(&self) -> Option<Time> {
        self.entries.front().map(|entry| entry.until)
    }

    /// The offset of the oldest entry that is left, or of the next one to come.
    pub fn first_offset(&self) -> u64 {
        self.last_offset + 1 - self.entries.len() as u64
    }

    /// The entries after `offset`.
    pub fn after(&self, offset: u64) -> Missed<'_> {
        Missed {
            entries: self.entries.range(self.place_after(offset)..).collect(),
            complete: self.reaches_back(offset),
        }
    }

    /// Whether `offset` has been, and nothing after it is gone.
    pub fn reaches_back(&self, offset: u64) -> bool {
        offset.saturating_add(1) >= self.first_offset() && offset <= self.last_offset
    }

    /// The oldest entry after `offset`.
    pub fn next_after(&self, offset: u64) -> Option<&LogEntry> {
        self.entries.get(self.place_after(offset))
    }

    fn place_after(&self, offset: u64) -> usize {
        // Clients name offsets, and may name the greatest that there is.
        let skipped = offset.saturating_add(1).saturating_sub(self.first_offset());
        usize::try_from(skipped).map_or(self.entries.len(), |place| place.min(self.entries.len()))
    }

    /// The entry of that offset, if it is still there.
    pub fn entry(&self, offset: u64) -> Option<&LogEntry> {
        let first = self.first_offset();
        self.entries.get(offset.checked_sub(first)? as usize)
    }

    /// The last offset whose entry, and every entry before it, has a serial up to `serial`; as far as the log reaches back.
    pub fn offset_at(&self, serial: u64) -> u64 {
        let first = self.first_offset();
        let count = self.entries.partition_point(|entry| entry.serial <= serial) as u64;
        match count == 0 && self.lost_serial > serial {
            true => 0,
            false => first - 1 + count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageIds;

    fn log_of(count: u64, limit: usize) -> RoomLog {
        let mut ids = MessageIds::new("m".into());
        let mut log = RoomLog::default();
        for second in 0..count {
            let offset = log.next_offset();
            let entry = LogEntry {
                serial: 10 * offset,
                offset,
                kind: "room_broadcast".into(),
                payload: Bytes::from_static(b"{}"),
                timestamp: 0,
                id: ids.next(),
                sender: None,
                until: Time::from_millis(second * 1000),
            };
            log.keep(limit, entry);
        }
        log
    }

    fn offsets(log: &RoomLog, after: u64) -> (Vec<u64>, bool) {
        let missed = log.after(after);
        (
            missed.entries.iter().map(|entry| entry.offset).collect(),
            missed.complete,
        )
    }

    #[test]
    fn the_ring_keeps_the_newest_and_knows_its_edge() {
        let log = log_of(5, 3);
        assert_eq!(offsets(&log, 2), (vec![3, 4, 5], true));
        assert_eq!(offsets(&log, 1), (vec![3, 4, 5], false), "entry 2 is gone");
        assert_eq!(offsets(&log, 5), (vec![], true));
        assert_eq!(offsets(&log, 6), (vec![], false), "never existed");
        assert_eq!(offsets(&log, u64::MAX), (vec![], false), "nor did the last");
        assert_eq!(offsets(&log_of(0, 3), 0), (vec![], true));
    }

    #[test]
    fn large_entries_make_room_for_each_other() {
        let mut ids = MessageIds::new("m".into());
        let mut log = RoomLog::default();
        for _ in 0..10 {
            let entry = LogEntry {
                serial: log.last_offset() + 1,
                offset: log.next_offset(),
                kind: "room_broadcast".into(),
                payload: vec![b' '; MAX_LOG_BYTES / 2].into(),
                timestamp: 0,
                id: ids.next(),
                sender: None,
                until: Time::ZERO,
            };
            log.keep(100, entry);
        }
        assert_eq!(offsets(&log, 8), (vec![9, 10], true));
    }

    #[test]
    fn age_empties_the_ring_but_not_the_count() {
        let mut log = log_of(5, 9);
        assert_eq!(
            log.expire(Time::from_millis(2000)),
            Some(Time::from_millis(3000))
        );
        assert_eq!(offsets(&log, 3), (vec![4, 5], true));
        assert_eq!(log.expire(Time::from_millis(9000)), None);
        assert_eq!(offsets(&log, 5), (vec![], true));
        assert_eq!(log.last_offset(), 5);
    }
}
