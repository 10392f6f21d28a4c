//! Publishes messages to rooms and to all clients: decides their place in the order, offers them to readers, and keeps room messages in
//! the room's log.
//!
//! It decides nothing about tasks and never waits for a reader: one that refuses is marked as lagging, and its entries stay in the log.
//! Invariant: an entry takes its offset and serial, is offered to all readers and enters the log in one call, so that a reader is never
//! offered a later entry before an earlier one. See [`log`](crate::hub::rooms::log) for serials and offsets.

use crate::base::time::{Span, Time};
use crate::hub::change::Change;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::durable::record::{Record, Table};
use crate::hub::durable::rows;
use crate::hub::keys::{ClientKey, RoomKey};
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::log::LogEntry;
use crate::hub::rooms::room::Room;
use crate::hub::scope::Scope;
use crate::wire::message::Dialect;
use bytes::Bytes;

/// Dropped entries per room that are reported to the store together: a full log drops one for each that it gains, and a record for
/// each would double what the store writes.
const DROPPED_AT_ONCE: usize = 32;

/// A message for all clients, whatever rooms they are in.
#[derive(Debug, Clone, Copy)]
pub struct Broadcast<'a> {
    pub kind: &'a str,
    /// JSON.
    pub payload: &'a str,
    /// Restricts it to the clients of one dialect.
    pub dialect: Option<Dialect>,
}

#[derive(Debug)]
pub struct RoomMessage<'a> {
    pub room: RoomKey,
    pub kind: &'a str,
    /// JSON.
    pub payload: String,
    /// Its sender, which does not receive it.
    pub except: Option<ClientKey>,
    /// The version of the room's task whose whole state it tells.
    pub tells: Option<u32>,
}

impl<'a> RoomMessage<'a> {
    /// A message for all members.
    pub fn new(room: RoomKey, kind: &'a str, payload: String) -> Self {
        Self {
            room,
            kind,
            payload,
            except: None,
            tells: None,
        }
    }
}

impl Scope<'_> {
    /// Gives a message its place in a room's log and applies it; returns how many connections took it.
    pub fn publish(&mut self, message: RoomMessage<'_>) -> usize {
        let (room, tells) = (message.room, message.tells);
        let entry = self.sequence(message);
        self.apply_entry(room, entry, tells)
    }

    /// Turns a message into the next entry of its room's log: alone in its process, the hub itself says what comes next.
    fn sequence(&mut self, message: RoomMessage<'_>) -> LogEntry {
        let sender = message.except;
        LogEntry {
            offset: self.directory.room(message.room).position().offset + 1,
            serial: self.fanout.next_serial(),
            kind: message.kind.into(),
            payload: Bytes::from(message.payload),
            timestamp: self.now.wall_ms,
            id: self.fanout.next_id(),
            sender: sender.map(|sender| self.directory.client(sender).id),
            // Of this process alone, and so set when it is applied.
            until: Time::ZERO,
        }
    }

    /// Sends an entry to the connected members of its room, but not to its sender, and appends it to the room's log; returns how many
    /// connections took it. `tells`: the version of the room's task whose whole state it tells.
    pub fn apply_entry(&mut self, room: RoomKey, mut entry: LogEntry, tells: Option<u32>) -> usize {
        let now = self.now;
        entry.until = self.log_until(entry.timestamp);
        self.log_broadcast(room);
        self.fanout.open_log(self.directory.room_mut(room));
        let found = self.directory.room(room);
        self.fanout.changes.record(|| Change::Logged {
            at: now,
            room: found.name.clone(),
            epoch: found.epoch,
            entry: entry.clone(),
            tells_task: tells.is_some(),
        });
        let audience = self.fanout.audience.begin();
        for member in found.connected() {
            let reader = self.directory.client(member.client);
            // A lagging reader finds it in the log: offered now, it would overtake what the reader lacks.
            if !reader.is_lagging && Some(reader.id) != entry.sender {
                audience.push(member.client, reader.connection);
            }
        }
        let publication = entry.envelope(&found.name).into();
        let delivered = self.fanout.offer_all(&publication, Lane::Log, self.out);
        for client in self.fanout.audience.refused() {
            self.directory.fall_behind(client, entry.serial - 1);
        }
        if let Some(version) = tells {
            // Also for a reader that refused it: the log owes it this entry, and a snapshot besides would say the same twice.
            for place in 0..self.directory.room(room).connected_count() {
                let member = self.directory.room(room).connected()[place];
                self.directory.membership_mut(member).seen = version;
            }
        }
        // The log takes the entry last, because the publication borrows its payload.
        self.append(room, entry);
        self.fanout.handle_broadcast(now, now.at, delivered);
        delivered
    }

    /// Sends a message to every client, or to those of one dialect; returns how many connections took it. Clients of the payload dialect
    /// that did not take it find it in their direct queues; those of the data dialect have none and are closed with 4430.
    pub fn broadcast(&mut self, message: Broadcast<'_>) -> usize {
        let Broadcast { kind, payload, .. } = message;
        let id = self.fanout.next_id();
        let publication = Publication::new(kind, payload, self.now, &id);
        let (mut delivered, mut lacking) = (0, Vec::new());
        for (of, lane) in [(Dialect::Payload, Lane::Log), (Dialect::Data, Lane::Once)] {
            if message.dialect.is_some_and(|dialect| dialect != of) {
                continue;
            }
            let audience = self.fanout.audience.begin();
            for (key, client) in self.directory.clients() {
                match client.dialect == of {
                    // It would overtake what the reader lacks.
                    true if lane == Lane::Log && client.is_lagging => lacking.push(key),
                    true => audience.push(key, client.connection),
                    false => {}
                }
            }
            delivered += self.fanout.offer_all(&publication, lane, self.out);
            match lane {
                Lane::Once => self.fanout.count_failed(),
                _ => lacking.extend(self.fanout.audience.refused()),
            }
        }
        self.fanout
            .handle_broadcast(self.now, self.now.at, delivered);
        for client in lacking {
            self.owe(client, kind, payload);
        }
        delivered
    }

    /// Logs a line for each broadcast to a room, at level debug.
    pub fn log_broadcast(&self, room: RoomKey) {
        self.out.log_broadcast(&self.directory.room(room).name);
    }

    /// When an entry of that wall time expires. An entry restored after a pause has been aging meanwhile.
    pub fn log_until(&self, timestamp: u64) -> Time {
        let age = Span::from_millis(self.now.wall_ms.saturating_sub(timestamp));
        self.now.at + (Span::from_millis(self.settings.broadcaster.keep_completed) - age)
    }

    /// Appends an entry that was sent.
    fn append(&mut self, key: RoomKey, entry: LogEntry) {
        let (fanout, room) = (&mut *self.fanout, self.directory.room_mut(key));
        let log = room.log.get_or_insert_default();
        if fanout.journal.is_on() {
            fanout
                .journal
                .push(Record::Append(entry.stored(&room.name)));
        }
        log.keep(self.settings.message_queue_size, entry);
        // The oldest stored entry shows that those before it were dropped; with no entry left, only the room's row can.
        let is_empty = log.is_empty();
        fanout.keep_drops(room, DROPPED_AT_ONCE, is_empty);
        self.directory.recount(key);
    }
}

impl Fanout {
    /// Begins a room's log. The room's row precedes its first entry: an entry without a room is dropped when it is restored.
    fn open_log(&mut self, room: &mut Room) {
        if room.log.is_some() {
            return;
        }
        let log = room.log.get_or_insert_default();
        if self.journal.is_on() {
            log.is_stored = true;
            self.put_room(room);
        }
    }

    /// Drops entries of a room's log up to an offset, because they have expired.
    pub fn apply_expiry(&mut self, directory: &mut Directory, key: RoomKey, offset: u64) {
        let room = &directory.room(key).name;
        self.changes.record(|| Change::LogExpired {
            room: room.clone(),
            offset,
        });
        if let Some(log) = &mut directory.room_mut(key).log {
            log.drop_until(offset);
        }
        self.keep_expiry(directory, key);
    }

    /// Continues a room's log in another epoch.
    pub fn apply_epoch(&mut self, directory: &mut Directory, key: RoomKey, epoch: u64) {
        let room = directory.room_mut(key);
        self.changes.record(|| Change::Epoch {
            room: room.name.clone(),
            epoch,
        });
        let ended = std::mem::replace(&mut room.epoch, epoch);
        if let Some(log) = &mut room.log {
            log.end_epoch(ended);
        }
        self.put_room(room);
    }

    fn put_room(&mut self, room: &Room) {
        self.journal.put(Table::Room, &room.name, rows::room(room));
    }

    /// Reports entries of a room's log that have expired to the store.
    pub fn keep_expiry(&mut self, directory: &mut Directory, room: RoomKey) {
        self.keep_drops(directory.room_mut(room), 1, true);
    }

    /// Reports dropped entries of a room's log once there are `enough`, and the room's row if `with_row`.
    fn keep_drops(&mut self, room: &mut Room, enough: usize, with_row: bool) {
        let Some(log) = room.log.as_mut().filter(|_| self.journal.is_on()) else {
            return;
        };
        let serials = log.take_dropped(enough);
        if serials.is_empty() {
            return;
        }
        self.journal.drop_entries(serials);
        if with_row {
            self.put_room(room);
        }
    }
}
