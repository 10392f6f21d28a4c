//! A room's log: its newest lifecycle, item and room messages, numbered (contract section 5).
//!
//! Owns the entries, how many bytes they hold, which serials are gone, and where earlier epochs ended. It never learns who has read
//! what, and knows of the store only which of its dropped entries have yet to be reported. Invariants: offsets are dense and end with
//! `last_offset`, serials rise with them, and an entry that is dropped raises `lost_serial`.
//!
//! # Serials, offsets and positions
//!
//! An entry has two numbers. Its *offset* counts the entries of its room from 1, without gaps: readers see it, and the index into the
//! ring is computed from it. Its *serial* counts the entries of all rooms and all direct messages together, in order of publication;
//! clients see it in pings only. One serial therefore says how far a client has received in any number of rooms:
//! the client confirms one number, its session stores one number, and [`RoomLog::offset_at`] translates it for a room by binary
//! search. An offset per membership would say the same at the price of an update of each with every message.
//!
//! An offset means something within one log only, so that readers are given a *position*, `epoch:offset`. A room that is removed and
//! created again has another epoch: positions from before do not resolve, and the reader is told that it may have missed entries.
//! After a restart a log goes on in a new epoch as well, because entries that were sent and not stored are lost, and their offsets
//! will belong to other entries. `lineage` remembers where each earlier epoch ended as the store knows it: a position up to there
//! still resolves, one beyond it does not.

use crate::base::id::MessageId;
use crate::base::time::Time;
use crate::hub::durable::record::StoredEntry;
use crate::hub::keys::ClientId;
use crate::hub::rooms::position::Position;
use crate::wire::message::{Envelope, RoomOffset};
use bytes::Bytes;
use std::collections::{VecDeque, vec_deque};

#[derive(Debug, Clone)]
pub struct LogEntry {
    /// From 1, dense within the room.
    pub offset: u64,
    /// Orders the entry among those of all rooms and all direct messages.
    pub serial: u64,
    pub kind: Box<str>,
    /// JSON.
    // Shared with the record for the store: a clone copies no bytes.
    pub payload: Bytes,
    /// Unix milliseconds.
    pub timestamp: u64,
    pub id: MessageId,
    /// The client that published it and does not receive it itself; `None`: no client did, as far as is known.
    pub sender: Option<ClientId>,
    /// When it expires.
    pub until: Time,
}

impl LogEntry {
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

    pub fn envelope<'a>(&'a self, room: &'a str) -> Envelope<'a> {
        // Payloads were checked when they came in; a damaged one from the store must not stop a replay.
        let payload = std::str::from_utf8(&self.payload).unwrap_or("null");
        let offset = self.offset;
        Envelope {
            room_offset: Some(RoomOffset { room, offset }),
            ..Envelope::new(&self.kind, payload, self.timestamp, Some(&self.id))
        }
    }
}

/// A log that was removed, as a rule with its room; the store and whoever follows must be told.
#[derive(Debug)]
pub struct EndedLog {
    pub room: Box<str>,
    pub epoch: u64,
    /// Serials of entries that the store has although they were dropped; `None`: the store has no row of this log.
    pub dropped: Option<Vec<u64>>,
}

/// Most payload bytes in one room's log; its newest entry stays however large it is.
pub const MAX_LOG_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
pub struct RoomLog {
    entries: VecDeque<LogEntry>,
    bytes: usize,
    last_offset: u64,
    /// The serial of the newest entry that was dropped; 0: none was.
    lost_serial: u64,
    /// Where earlier epochs of this log ended, oldest first.
    lineage: Vec<Position>,
    /// When its expiry is scheduled.
    pub(in crate::hub) aging: Option<Time>,
    /// Whether the store has a row of it, so that drops must be reported.
    pub(in crate::hub) is_stored: bool,
    /// Serials of dropped entries that the store still has.
    dropped: Vec<u64>,
}

/// Most unreported drops remembered while the store takes no batch. Beyond it they are forgotten; such an outage ends with the
/// whole store being rewritten.
const MAX_DROPPED: usize = 65_536;

/// Most earlier epochs remembered, one per restart.
const MAX_LINEAGE: usize = 16;

/// The entries of a log after some offset.
#[derive(Debug)]
pub struct Missed<'a> {
    /// Oldest first.
    pub entries: vec_deque::Iter<'a, LogEntry>,
    /// Whether no entry after the offset was dropped.
    pub complete: bool,
}

impl Missed<'_> {
    pub fn nothing() -> Self {
        Self {
            entries: vec_deque::Iter::default(),
            complete: true,
        }
    }
}

impl RoomLog {
    /// The offset of the newest entry ever, dropped or not; 0 before the first.
    pub fn last_offset(&self) -> u64 {
        self.last_offset
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the next entry, and drops the oldest beyond `limit` or [`MAX_LOG_BYTES`].
    pub fn keep(&mut self, limit: usize, entry: LogEntry) {
        debug_assert_eq!(entry.offset, self.last_offset + 1, "offsets are dense");
        self.last_offset = entry.offset;
        self.bytes += entry.payload.len();
        self.entries.push_back(entry);
        while self.entries.len() > limit || (self.bytes > MAX_LOG_BYTES && self.entries.len() > 1) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.payload.len();
            debug_assert!(
                !self.entries.is_empty() || self.bytes == 0,
                "bytes are those of the entries"
            );
            self.lost_serial = self.lost_serial.max(oldest.serial);
            // Reported later in groups: a record per drop would double the records of every full log.
            if self.is_stored && self.dropped.len() < MAX_DROPPED {
                self.dropped.push(oldest.serial);
            }
        }
    }

    /// The serial of the newest entry that was dropped; 0: none was.
    pub fn lost_serial(&self) -> u64 {
        self.lost_serial
    }

    /// Restores what the store knows of a log besides its entries, which follow.
    pub fn restore(&mut self, last_offset: u64, lost_serial: u64, lineage: Vec<Position>) {
        (self.last_offset, self.lost_serial) = (last_offset, lost_serial);
        (self.lineage, self.is_stored) = (lineage, true);
    }

    /// Restores an entry. Entries come in the order of their offsets; a gap drops those before it, because a log is dense and the newest
    /// entries matter more.
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
            // The serials of its predecessors are not stored; they may have been up to this.
            self.lost_serial = self.lost_serial.max(entry.serial - 1);
        }
        self.last_offset = entry.offset - 1;
        self.keep(limit, entry);
    }

    pub fn lineage(&self) -> &[Position] {
        &self.lineage
    }

    /// Whether positions of an epoch will soon no longer resolve, because half of the epochs that are remembered began after it. Stored
    /// positions of such an epoch are written again in time.
    pub fn is_old(&self, epoch: u64) -> bool {
        let place = self.lineage.iter().position(|ended| ended.epoch == epoch);
        place.is_some_and(|place| self.lineage.len() - place > MAX_LINEAGE / 2)
    }

    /// Serials of dropped entries that were not reported yet, once there are `enough` of them; otherwise none.
    pub fn take_dropped(&mut self, enough: usize) -> Vec<u64> {
        match self.dropped.len() >= enough.max(1) {
            true => std::mem::take(&mut self.dropped),
            false => Vec::new(),
        }
    }

    /// Ends an epoch at the newest entry; what follows belongs to the next.
    pub fn end_epoch(&mut self, epoch: u64) {
        self.lineage.push(Position {
            epoch,
            offset: self.last_offset,
        });
        let surplus = self.lineage.len().saturating_sub(MAX_LINEAGE);
        self.lineage.drain(..surplus);
    }

    /// The offset that a position means here, if it is of `epoch`, the current one, or of an earlier one that this log continues.
    pub fn resolve(&self, position: Position, epoch: u64) -> Option<u64> {
        if position.epoch == epoch {
            return (position.offset <= self.last_offset).then_some(position.offset);
        }
        let ended = self
            .lineage
            .iter()
            .find(|ended| ended.epoch == position.epoch)?;
        // Beyond the end of that epoch were entries that a crash has lost.
        (position.offset <= ended.offset).then_some(position.offset)
    }

    /// The offset of the newest entry that has expired; `None`: the oldest has not.
    pub fn expired(&self, now: Time) -> Option<u64> {
        let expired = self.entries.iter().take_while(|entry| entry.until <= now);
        expired.last().map(|entry| entry.offset)
    }

    /// Drops entries up to an offset.
    pub fn drop_until(&mut self, offset: u64) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.offset <= offset)
        {
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            // Most logs that have expired are not written again.
            self.entries.shrink_to_fit();
        }
    }

    pub fn oldest_until(&self) -> Option<Time> {
        self.entries.front().map(|entry| entry.until)
    }

    /// The offset of the oldest entry that is left; of the next one when none is.
    pub fn first_offset(&self) -> u64 {
        // Derived, so that it cannot disagree with the ring.
        self.last_offset + 1 - self.entries.len() as u64
    }

    pub fn after(&self, offset: u64) -> Missed<'_> {
        Missed {
            entries: self.entries.range(self.place_after(offset)..),
            complete: self.reaches_back(offset),
        }
    }

    /// Whether every entry after `offset` is still here. An offset that was not reached yet belongs to something else.
    pub fn reaches_back(&self, offset: u64) -> bool {
        offset.saturating_add(1) >= self.first_offset() && offset <= self.last_offset
    }

    pub fn next_after(&self, offset: u64) -> Option<&LogEntry> {
        self.entries.get(self.place_after(offset))
    }

    fn place_after(&self, offset: u64) -> usize {
        // Offsets come from clients and may be anything: saturate.
        let skipped = offset.saturating_add(1).saturating_sub(self.first_offset());
        usize::try_from(skipped).map_or(self.entries.len(), |place| place.min(self.entries.len()))
    }

    pub fn entry(&self, offset: u64) -> Option<&LogEntry> {
        let first = self.first_offset();
        self.entries.get(offset.checked_sub(first)? as usize)
    }

    /// The last offset whose entry and every entry before it have serials up to `serial`: how far a client has received in this room
    /// that has received everything up to that serial. 0 when dropped entries may have had greater serials.
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
            let offset = log.last_offset() + 1;
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
            missed.entries.map(|entry| entry.offset).collect(),
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
                offset: log.last_offset() + 1,
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
        assert_eq!(log.expired(Time::from_millis(2000)), Some(3));
        log.drop_until(3);
        assert_eq!(log.oldest_until(), Some(Time::from_millis(3000)));
        assert_eq!(offsets(&log, 3), (vec![4, 5], true));
        assert_eq!(log.expired(Time::from_millis(2000)), None);
        log.drop_until(log.expired(Time::from_millis(9000)).unwrap());
        assert_eq!(offsets(&log, 5), (vec![], true));
        assert_eq!(log.last_offset(), 5);
    }
}
