//! Publications on their way to those who read them, counted as they go.

use super::directory::{ClientKey, Directory, RoomKey};
use super::log::LogEntry;
use super::publication::{Framer, Lane, Outlet, Publication};
use crate::base::average::Average;
use crate::base::id::{MessageId, MessageIds};
use crate::base::time::{Now, Time};
use crate::wire::locale::{Locale, Phrase};
use crate::wire::message::{Dialect, Place};
use bytes::Bytes;
use std::borrow::Cow;

/// What has been broadcast (seed 000's broadcaster statistics).
#[derive(Debug, Default, Clone)]
pub struct BroadcastCounts {
    /// Publications that had at least one reader.
    pub broadcasts: u64,
    /// Messages handed to connections.
    pub delivered: u64,
    /// Messages that a connection refused.
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
    /// The language of log lines.
    locale: Locale,
    framer: Framer,
}

/// The most arrivals of one turn that the average latency is taken from.
const MAX_SAMPLES: usize = 4096;

impl Fanout {
    /// Nothing published yet. `prefix` begins every message id of this process.
    pub fn new(
        prefix: String,
        log_limit: usize,
        locale: Locale,
        compression_threshold: usize,
    ) -> Self {
        Self {
            ids: MessageIds::new(prefix),
            counts: BroadcastCounts::default(),
            turn: Vec::new(),
            log_limit,
            locale,
            framer: Framer::new(compression_threshold),
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

    /// Puts messages into frames.
    pub fn framer(&mut self) -> &mut Framer {
        &mut self.framer
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
        let id = self.ids.next();
        let payload = Bytes::from(payload);
        let log = directory.room_mut(room).log.get_or_insert_default();
        let offset = log.next_offset();
        if self.log_limit > 0 {
            let (kind, payload, id) = (kind.into(), payload.clone(), id.clone());
            log.keep(
                self.log_limit,
                LogEntry {
                    offset,
                    kind,
                    payload,
                    timestamp: now.wall_ms,
                    id,
                    at: now.at,
                },
            );
        }
        let text = std::str::from_utf8(&payload).expect("the payload was a String");
        let place = Some(Place {
            room: &directory.room(room).name,
            offset,
        });
        let publication = Publication::new(kind, Cow::Borrowed(text), now.wall_ms, id, place);
        let members = directory.room(room).members();
        out.expect_readers(members.len());
        let clients = members.iter().map(|member| member.client);
        let delivered = self.fan_out(
            directory,
            clients.filter(|client| Some(*client) != except),
            &publication,
            out,
        );
        self.handle_broadcast(now, now.at, delivered);
        delivered
    }

    /// Sends a message to every client, or to those of one dialect.
    pub fn broadcast(
        &mut self,
        directory: &Directory,
        now: Now,
        message: Broadcast<'_>,
        out: &mut dyn Outlet,
    ) -> usize {
        let Broadcast {
            kind,
            payload,
            dialect,
        } = message;
        let publication = Publication::new(
            kind,
            Cow::Borrowed(payload),
            now.wall_ms,
            self.ids.next(),
            None,
        );
        out.expect_readers(directory.clients().len());
        let clients = directory
            .clients()
            .filter(|(_, client)| dialect.is_none_or(|dialect| client.variant.dialect == dialect));
        let clients = clients.map(|(key, _)| key);
        let delivered = self.fan_out(directory, clients, &publication, out);
        self.handle_broadcast(now, now.at, delivered);
        delivered
    }

    /// Sends a publication to one client; tells whether its connection took it.
    pub fn deliver(
        &mut self,
        directory: &Directory,
        client: ClientKey,
        publication: &Publication<'_>,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> bool {
        let client = directory.client(client);
        let delivered = out.deliver(
            client.link,
            publication.frame(client.variant, &mut self.framer),
            lane,
        );
        match (delivered, lane) {
            (true, _) => self.counts.delivered += 1,
            (false, Lane::Log) => self.counts.failed += 1,
            // Nothing is lost: the newest state follows when the reader has drained.
            (false, Lane::State) => {}
        }
        delivered
    }

    /// Takes note of a publication whose event arrived at `arrived`.
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
        for arrived in self.turn.drain(..) {
            self.counts.latency.record(now.saturating_since(arrived));
        }
    }

    fn fan_out(
        &mut self,
        directory: &Directory,
        clients: impl Iterator<Item = ClientKey>,
        publication: &Publication<'_>,
        out: &mut dyn Outlet,
    ) -> usize {
        clients
            .filter(|client| self.deliver(directory, *client, publication, Lane::Log, out))
            .count()
    }
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
