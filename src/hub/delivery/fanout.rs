//! Publishes messages to rooms and to all clients, and counts what was delivered.
//!
//! Owns the ids, the serial counter, the turn's workload and the journal, because each message touches all of them. It decides nothing
//! about tasks and never waits for a reader: one that refuses is marked as lagging, and its entries stay in the log. Invariant: an
//! entry takes its offset and serial, is offered to all readers and enters the log in one call, so that a reader is never offered a
//! later entry before an earlier one. See [`log`](crate::hub::rooms::log) for serials and offsets.

use crate::base::average::Average;
use crate::base::id::{MessageId, MessageIds};
use crate::base::time::{Now, Span, Time};
use crate::hub::budget::Workload;
use crate::hub::change::{Change, Changes};
use crate::hub::delivery::audience::Audience;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Table};
use crate::hub::durable::rows;
use crate::hub::keys::ClientKey;
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::log::LogEntry;
use crate::hub::rooms::room::Room;
use crate::wire::locale::{Locale, Phrase};
use crate::wire::message::Dialect;
use bytes::Bytes;

/// Counts shown in the statistics.
#[derive(Debug, Default, Clone)]
pub struct BroadcastCounts {
    /// Publications that at least one connection took.
    pub broadcasts: u64,
    /// Messages that connections took.
    pub delivered: u64,
    /// Refused messages that are not kept for the reader.
    pub failed: u64,
    /// From an event's arrival to the end of the turn that wrote it.
    pub latency: Average,
    /// Unix milliseconds.
    pub last_broadcast_at: u64,
}

/// Gives publications their ids and serials and offers them to readers.
#[derive(Debug)]
pub struct Fanout {
    ids: MessageIds,
    counts: BroadcastCounts,
    /// Arrival times of the events published in this turn; their latency ends when the turn has written.
    turn: Vec<Time>,
    log_limit: usize,
    /// How long an entry is kept in a log that is no task's.
    log_ttl: Span,
    locale: Locale,
    pub load: Workload,
    /// Buffers for the readers of one publication, taken while it is offered and put back after.
    pub audience: Audience<ClientKey>,
    serial: u64,
    pub journal: Journal,
    pub changes: Changes,
}

/// Dropped entries per room that are reported to the store together: a full log drops one for each that it gains, and a record for
/// each would double what the store writes.
const DROPPED_AT_ONCE: usize = 32;

/// Most arrivals sampled per turn for the average latency.
const MAX_SAMPLES: usize = 4096;

impl Fanout {
    /// `prefix` begins every message id of this process.
    pub fn new(prefix: String, log_limit: usize, log_ttl: Span, locale: Locale) -> Self {
        Self {
            ids: MessageIds::new(prefix),
            counts: BroadcastCounts::default(),
            turn: Vec::new(),
            log_limit,
            log_ttl,
            locale,
            load: Workload::default(),
            audience: Audience::default(),
            serial: 0,
            journal: Journal::default(),
            changes: Changes::default(),
        }
    }

    pub fn counts(&self) -> &BroadcastCounts {
        &self.counts
    }

    /// Logs a line for each broadcast to a room, at level debug.
    pub fn log_broadcast(&self, directory: &Directory, room: RoomKey) {
        let room = &directory.room(room).name;
        ::log::debug!("{}", self.locale.say(Phrase::Broadcast(room)));
    }

    pub fn say(&self, phrase: Phrase<'_>) -> String {
        self.locale.say(phrase).to_string()
    }

    /// Most entries per log, and most messages per direct queue.
    pub fn log_limit(&self) -> usize {
        self.log_limit
    }

    pub fn next_id(&mut self) -> MessageId {
        self.ids.next()
    }

    /// Gives a message its place in a room's log and applies it; returns how many connections took it.
    pub fn publish(
        &mut self,
        directory: &mut Directory,
        now: Now,
        message: RoomMessage<'_>,
        out: &mut dyn Outlet,
    ) -> usize {
        let (room, tells) = (message.room, message.tells);
        let entry = self.sequence(directory, now, message);
        self.apply_entry(directory, now, room, entry, tells, out)
    }

    /// Turns a message into the next entry of its room's log: alone in its process, the hub itself says what comes next.
    fn sequence(&mut self, directory: &Directory, now: Now, message: RoomMessage<'_>) -> LogEntry {
        let sender = message.except;
        LogEntry {
            offset: directory.room(message.room).position().offset + 1,
            serial: self.next_serial(),
            kind: message.kind.into(),
            payload: Bytes::from(message.payload),
            timestamp: now.wall_ms,
            id: self.ids.next(),
            sender: sender.map(|sender| directory.client(sender).id),
            // Of this process alone, and so set when it is applied.
            until: Time::ZERO,
        }
    }

    /// Sends an entry to the connected members of its room, but not to its sender, and appends it to the room's log; returns how many
    /// connections took it. `tells`: the version of the room's task whose whole state it tells.
    pub fn apply_entry(
        &mut self,
        directory: &mut Directory,
        now: Now,
        room: RoomKey,
        mut entry: LogEntry,
        tells: Option<u32>,
        out: &mut dyn Outlet,
    ) -> usize {
        entry.until = self.log_until(now, entry.timestamp);
        self.log_broadcast(directory, room);
        self.open_log(directory.room_mut(room));
        let found = directory.room(room);
        self.changes.record(|| Change::Logged {
            at: now,
            room: found.name.clone(),
            epoch: found.epoch,
            entry: entry.clone(),
            tells_task: tells.is_some(),
        });
        // Taken out, because offering borrows `self`.
        let mut audience = std::mem::take(&mut self.audience);
        for member in directory.room(room).connected() {
            let reader = directory.client(member.client);
            // A lagging reader finds it in the log: offered now, it would overtake what the reader lacks.
            if !reader.is_lagging && Some(reader.id) != entry.sender {
                audience.push(member.client, reader.connection);
            }
        }
        let publication = entry.envelope(&directory.room(room).name).into();
        let delivered = self.offer_all(&publication, &mut audience, Lane::Log, out);
        for client in audience.refused() {
            directory.fall_behind(client, entry.serial - 1);
        }
        self.put_back(audience);
        if let Some(version) = tells {
            // Also for a reader that refused it: the log owes it this entry, and a snapshot besides would say the same twice.
            for place in 0..directory.room(room).connected_count() {
                let member = directory.room(room).connected()[place];
                directory.membership_mut(member).seen = version;
            }
        }
        // The log takes the entry last, because the publication borrows its payload.
        self.append(directory, room, entry);
        self.handle_broadcast(now, now.at, delivered);
        delivered
    }

    /// Begins a room's log. The room's row precedes its first entry: an entry without a room is dropped when it is restored.
    fn open_log(&mut self, room: &mut Room) {
        if room.log.is_some() {
            return;
        }
        let log = room.log.get_or_insert_default();
        if self.journal.is_on() {
            log.set_stored();
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

    /// When an entry of that wall time expires. An entry restored after a pause has been aging meanwhile.
    pub fn log_until(&self, now: Now, timestamp: u64) -> Time {
        let age = Span::from_millis(now.wall_ms.saturating_sub(timestamp));
        now.at + (self.log_ttl - age)
    }

    /// Appends an entry that was sent.
    fn append(&mut self, directory: &mut Directory, key: RoomKey, entry: LogEntry) {
        let room = directory.room_mut(key);
        let log = room.log.get_or_insert_default();
        if self.journal.is_on() {
            self.journal.push(Record::Append(entry.stored(&room.name)));
        }
        log.keep(self.log_limit, entry);
        // The oldest stored entry shows that those before it were dropped; with no entry left, only the room's row can.
        let is_empty = log.is_empty();
        self.keep_drops(room, DROPPED_AT_ONCE, is_empty);
        directory.recount(key);
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

    /// The next serial, for a log entry or a direct message.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The newest serial.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Continues after a serial that an earlier process gave out.
    pub fn skip_serials(&mut self, serial: u64) {
        self.serial = self.serial.max(serial);
    }

    /// Offers a message to every connected client, or to those of one dialect.
    pub fn broadcast(
        &mut self,
        directory: &Directory,
        now: Now,
        message: Broadcast<'_>,
        out: &mut dyn Outlet,
    ) -> BroadcastOutcome {
        let Broadcast {
            kind,
            payload,
            dialect,
        } = message;
        let id = self.ids.next();
        let publication = Publication::new(kind, payload, now, &id);
        let mut spread = BroadcastOutcome::default();
        let mut audience = std::mem::take(&mut self.audience);
        // Only the payload dialect has direct queues in which a refused message can wait.
        for (of, lane) in [(Dialect::Payload, Lane::Log), (Dialect::Data, Lane::Once)] {
            if dialect.is_some_and(|dialect| dialect != of) {
                continue;
            }
            for (key, client) in directory.clients() {
                match client.dialect == of {
                    // It would overtake what the reader lacks.
                    true if of == Dialect::Payload && client.is_lagging => spread.refused.push(key),
                    true => audience.push(key, client.connection),
                    false => {}
                }
            }
            spread.delivered += self.offer_all(&publication, &mut audience, lane, out);
            if lane == Lane::Once {
                self.counts.failed += audience.refused.len() as u64;
            }
            spread.refused.extend(audience.refused());
            audience.clear();
        }
        self.put_back(audience);
        self.handle_broadcast(now, now.at, spread.delivered);
        spread
    }

    /// Offers a publication to an audience, whose `refused` names those that did not take it; returns how many did. The caller keeps what
    /// was refused, or marks the reader so that it follows.
    pub fn offer_all(
        &mut self,
        publication: &Publication<'_>,
        audience: &mut Audience<ClientKey>,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> usize {
        let readers = &audience.connections;
        if !readers.is_empty() {
            let encoded = out.publish(publication, readers, lane, &mut audience.refused);
            self.load.encode(encoded);
        }
        let delivered = readers.len() - audience.refused.len();
        self.counts.delivered += delivered as u64;
        delivered
    }

    /// Offers a publication to one reader; returns whether its connection took it.
    pub fn offer(
        &mut self,
        publication: &Publication<'_>,
        reader: ConnectionId,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> bool {
        // Empty between publications, so that it serves here as well and a single reader costs no allocation.
        let refused = &mut self.audience.refused;
        let encoded = out.publish(publication, &[reader], lane, refused);
        let is_taken = refused.is_empty();
        refused.clear();
        self.load.encode(encoded);
        self.counts.delivered += u64::from(is_taken);
        is_taken
    }

    /// Returns the buffers of an audience for the next publication.
    pub fn put_back(&mut self, mut audience: Audience<ClientKey>) {
        audience.clear();
        self.audience = audience;
    }

    /// Counts a publication whose event arrived at `arrived`.
    pub fn handle_broadcast(&mut self, now: Now, arrived: Time, delivered: usize) {
        if delivered > 0 {
            self.counts.broadcasts += 1;
            self.counts.last_broadcast_at = now.wall_ms;
            // Enough for an average; more would let one huge turn grow the buffer.
            if self.turn.len() < MAX_SAMPLES {
                self.turn.push(arrived);
            }
        }
    }

    /// Call when everything published in this turn has been written.
    pub fn handle_turn_end(&mut self, now: Time) {
        self.load.begin_turn();
        self.audience.release();
        // Latency counts to the end of the writes, not of the encoding: the viewer waits for both.
        for arrived in self.turn.drain(..) {
            self.counts.latency.record(now.saturating_since(arrived));
        }
    }
}

/// The outcome of a broadcast to all clients.
#[derive(Debug, Default)]
pub struct BroadcastOutcome {
    pub delivered: usize,
    /// Clients that did not take it, or were not asked because they are lagging.
    pub refused: Vec<ClientKey>,
}

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
