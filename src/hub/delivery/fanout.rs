//! Publications on their way to those who read them, counted as they go.

use crate::base::average::Average;
use crate::base::id::{MessageId, MessageIds};
use crate::base::time::{Now, Span, Time};
use crate::hub::budget::Workload;
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

/// What has been broadcast (seed 000's broadcaster statistics).
#[derive(Debug, Default, Clone)]
pub struct BroadcastCounts {
    /// Publications that had at least one reader.
    pub broadcasts: u64,
    /// Messages handed to connections.
    pub delivered: u64,
    /// Messages that a connection refused for good: nothing of them is kept for it.
    pub failed: u64,
    /// From an event's arrival to the end of the turn that wrote it.
    pub latency: Average,
    /// Milliseconds since 1970 of the last broadcast.
    pub last_broadcast_at: u64,
}

/// Gives publications their id and brings them to their readers.
#[derive(Debug)]
pub struct Fanout {
    ids: MessageIds,
    counts: BroadcastCounts,
    /// When the events arrived that this turn has published.
    turn: Vec<Time>,
    /// How many log entries each room keeps.
    log_limit: usize,
    /// How long each is kept.
    log_ttl: Span,
    /// The language of log lines.
    locale: Locale,
    /// What this turn has cost so far.
    pub load: Workload,
    /// The readers of the present publication.
    pub audience: Audience<ClientKey>,
    serial: u64,
    /// What is to be kept of all that.
    pub journal: Journal,
}

/// Entries that are gone from a room's log are dropped from the store so many at once.
const DROPPED_AT_ONCE: usize = 32;

/// The most arrivals of one turn that the average latency is taken from.
const MAX_SAMPLES: usize = 4096;

impl Fanout {
    /// Nothing published yet. `prefix` begins every message id of this process.
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
        }
    }

    /// What has been broadcast.
    pub fn counts(&self) -> &BroadcastCounts {
        &self.counts
    }

    /// Writes seed 000's line about a broadcast to a room.
    pub fn tell(&self, directory: &Directory, room: RoomKey) {
        let room = &directory.room(room).name;
        ::log::debug!("{}", self.locale.say(Phrase::Broadcast(room)));
    }

    /// A phrase in the language of log lines.
    pub fn say(&self, phrase: Phrase<'_>) -> String {
        self.locale.say(phrase).to_string()
    }

    /// How many entries each log keeps, and how many messages each direct queue.
    pub fn log_limit(&self) -> usize {
        self.log_limit
    }

    /// A fresh message id.
    pub fn next_id(&mut self) -> MessageId {
        self.ids.next()
    }

    /// Logs a message in a room and sends it to everybody there but `except`.
    pub fn publish(
        &mut self,
        directory: &mut Directory,
        now: Now,
        message: RoomMessage<'_>,
        out: &mut dyn Outlet,
    ) -> usize {
        let RoomMessage {
            room,
            kind,
            payload,
            except,
        } = message;
        self.tell(directory, room);
        let entry = self.next_entry(directory, now, room, kind, payload, except);
        let mut audience = std::mem::take(&mut self.audience);
        for member in directory.room(room).connected() {
            let reader = directory.client(member.client);
            if !reader.is_lagging && Some(member.client) != except {
                audience.push(member.client, reader.connection);
            }
        }
        let publication = entry.envelope(&directory.room(room).name).into();
        let delivered = self.offer_all(&publication, &mut audience, Lane::Log, out);
        for client in audience.refused() {
            directory.fall_behind(client, entry.serial - 1);
        }
        self.put_back(audience);
        self.log(directory, room, entry);
        self.handle_broadcast(now, now.at, delivered);
        delivered
    }

    fn next_entry(
        &mut self,
        directory: &mut Directory,
        now: Now,
        room: RoomKey,
        kind: &str,
        payload: String,
        sender: Option<ClientKey>,
    ) -> LogEntry {
        let sender = sender.map(|sender| directory.client(sender).id);
        let room = directory.room_mut(room);
        let is_new = room.log.is_none();
        let log = room.log.get_or_insert_default();
        let offset = log.next_offset();
        if is_new && self.journal.is_on() {
            log.set_stored();
            let row = rows::room(room);
            self.journal.put(Table::Room, &room.name, row);
        }
        LogEntry {
            offset,
            serial: self.next_serial(),
            kind: kind.into(),
            payload: Bytes::from(payload),
            timestamp: now.wall_ms,
            id: self.ids.next(),
            sender,
            until: self.log_until(now, now.wall_ms),
        }
    }

    /// When an entry has been in its log long enough that was logged then.
    pub fn log_until(&self, now: Now, timestamp: u64) -> Time {
        let age = Span::from_millis(now.wall_ms.saturating_sub(timestamp));
        now.at + (self.log_ttl - age)
    }

    /// Adds a message that has been sent to a room's log.
    fn log(&mut self, directory: &mut Directory, key: RoomKey, entry: LogEntry) {
        let room = directory.room_mut(key);
        let log = room.log.get_or_insert_default();
        if self.journal.is_on() {
            self.journal.push(Record::Append(entry.stored(&room.name)));
        }
        log.keep(self.log_limit, entry);
        // While the log has entries, they show what is gone before them; without any, only the room's row does.
        let is_empty = log.is_empty();
        self.keep_drops(room, DROPPED_AT_ONCE, is_empty);
        directory.recount(key);
    }

    /// Entries of a room's log have gone with their time: the store learns of it.
    pub fn keep_expiry(&mut self, directory: &mut Directory, room: RoomKey) {
        self.keep_drops(directory.room_mut(room), 1, true);
    }

    /// Once `enough` entries of a room's log are gone, the store learns of it, and if it must, how far the log is.
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
            let row = rows::room(room);
            self.journal.put(Table::Room, &room.name, row);
        }
    }

    /// A fresh number for a message that must not be lost.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The number of the newest such message.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Goes on after the serials of an earlier life.
    pub fn skip_serials(&mut self, serial: u64) {
        self.serial = self.serial.max(serial);
    }

    /// Sends a message to every client, or to those of one dialect.
    pub fn broadcast(
        &mut self,
        directory: &Directory,
        now: Now,
        message: Broadcast<'_>,
        out: &mut dyn Outlet,
    ) -> Spread {
        let Broadcast {
            kind,
            payload,
            dialect,
        } = message;
        let id = self.ids.next();
        let publication = Publication::new(kind, payload, now, &id);
        let mut spread = Spread::default();
        let mut audience = std::mem::take(&mut self.audience);
        for (of, lane) in [(Dialect::Payload, Lane::Log), (Dialect::Data, Lane::Once)] {
            if dialect.is_some_and(|dialect| dialect != of) {
                continue;
            }
            for (key, client) in directory.clients() {
                match client.dialect == of {
                    // It would overtake what was refused before.
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

    /// Offers a publication to an audience, where those that refuse it are told apart; how many took it. What is refused is not
    /// lost: it follows when the reader has drained.
    pub fn offer_all(
        &mut self,
        publication: &Publication<'_>,
        audience: &mut Audience<ClientKey>,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> usize {
        if audience.is_empty() {
            return 0;
        }
        let Audience {
            connections,
            refused,
            ..
        } = audience;
        let encoded = out.publish(publication, connections, lane, refused);
        self.load.encode(encoded);
        let delivered = connections.len() - refused.len();
        self.counts.delivered += delivered as u64;
        delivered
    }

    /// Offers a publication to one reader; whether its connection took it.
    pub fn offer(
        &mut self,
        publication: &Publication<'_>,
        reader: ConnectionId,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> bool {
        let refused = &mut self.audience.refused;
        let encoded = out.publish(publication, &[reader], lane, refused);
        let is_taken = refused.is_empty();
        refused.clear();
        self.load.encode(encoded);
        self.counts.delivered += u64::from(is_taken);
        is_taken
    }

    /// The buffers of an audience that has been served.
    pub fn put_back(&mut self, mut audience: Audience<ClientKey>) {
        audience.clear();
        self.audience = audience;
    }

    /// Records a publication whose event arrived at `arrived`.
    pub fn handle_broadcast(&mut self, now: Now, arrived: Time, delivered: usize) {
        if delivered > 0 {
            self.counts.broadcasts += 1;
            self.counts.last_broadcast_at = now.wall_ms;
            if self.turn.len() < MAX_SAMPLES {
                self.turn.push(arrived);
            }
        }
    }

    /// Everything published in this turn has been written by `now`.
    pub fn handle_turn_end(&mut self, now: Time) {
        self.load.begin_turn();
        self.audience.release();
        for arrived in self.turn.drain(..) {
            self.counts.latency.record(now.saturating_since(arrived));
        }
    }
}

/// What became of a message for all.
#[derive(Debug, Default)]
pub struct Spread {
    /// How many connections took it.
    pub delivered: usize,
    /// Whose connections did not.
    pub refused: Vec<ClientKey>,
}

/// A message for clients wherever they are.
#[derive(Debug, Clone, Copy)]
pub struct Broadcast<'a> {
    /// The message type.
    pub kind: &'a str,
    /// The payload, as JSON.
    pub payload: &'a str,
    /// The only dialect whose clients hear it; `None`: all do.
    pub dialect: Option<Dialect>,
}

/// A message for a room.
#[derive(Debug)]
pub struct RoomMessage<'a> {
    /// The room.
    pub room: RoomKey,
    /// The message type.
    pub kind: &'a str,
    /// The payload, as JSON.
    pub payload: String,
    /// Who does not hear it: its sender.
    pub except: Option<ClientKey>,
}
