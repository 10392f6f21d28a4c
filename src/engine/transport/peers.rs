//! All connections: their slots, who is written next, who is asked whether everything has arrived, and publications on their way
//! to their readers.
//!
//! It says nothing by itself but the log line of a broadcast, which it words because the hub knows no language. What limits an outbox
//! is read from the settings each time. Marks are set during the turn; at its end each marked connection is written once, answers and
//! small rooms before crowds.

use super::allowance::{Allowance, ControlFrames, Intake};
use super::confirmation::Confirmation;
use super::framer::{Framer, Frames};
use super::peer::{MAX_UNTRIED, Marked, Peer, Ping, Reading, Role, Services, Standing};
use crate::base::chunk_queue::ChunkPool;
use crate::base::shrink::LateShrink;
use crate::base::time::Time;
use crate::base::wheel::Wheel;
use crate::conn::{Connection, Phase};
use crate::engine::access::Asker;
use crate::engine::settings::{Settings, WebSocketConfig};
use crate::engine::timer::{Alarm, Timer};
use crate::hub::{ConnectionId, Lane, Outlet, Publication};
use crate::wire::http;
use crate::wire::locale::{Locale, Phrase};
use crate::wire::message::Variant;
use crate::wire::websocket::{Compression, EncodedFrame};
use bytes::Bytes;
use slab::Slab;
use std::collections::VecDeque;

/// Marks of a huge room are given back when they are done with.
const MAX_IDLE_MARKS: usize = 1024;
/// A publication with more readers than this has a crowd: other connections do not wait until all of it is written.
const MIN_CROWD: usize = 64;
/// Of so many connections written, one is of a crowd, if there is one.
const CROWD_TURN: u8 = 4;
/// Progress is not queued behind more unsent bytes than this: its newest state follows when they are gone.
const MAX_UNSENT_STATE: usize = 128 * 1024;

#[derive(Debug, Default)]
pub struct Peers {
    slots: Slab<Peer>,
    pool: ChunkPool,
    dirty: VecDeque<ConnectionId>,
    urgent: VecDeque<ConnectionId>,
    /// How many were written since the last of a crowd.
    favours: u8,
    shrink: LateShrink,
    overflowed: Vec<ConnectionId>,
    unconfirmed: VecDeque<ConnectionId>,
    next_generation: u32,
    framer: Framer,
    backlogged: usize,
    goodbyes: usize,
    sent: u64,
}

impl Peers {
    pub(super) fn insert(&mut self, services: Services, asker: Asker) -> ConnectionId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let phase = match services.ingest() {
            true => Phase::Lines,
            false => Phase::Http(http::Parser::new()),
        };
        let index = self.slots.insert(Peer {
            connection: Connection::new(phase),
            asker,
            standing: Standing::default(),
            services,
            role: Role::Caller,
            variant: Variant::default(),
            compression: Compression::Off,
            stream: None,
            timer: Alarm::default(),
            alive: false,
            confirmation: None,
            ping: Ping::None,
            control_frames: ControlFrames::default(),
            intake: Intake::default(),
            is_unfinished: false,
            reading: Reading::Open,
            backlogged: false,
            blocked: false,
            allowance: Allowance::default(),
            received: 0,
            sent: 0,
            generation: self.next_generation,
            marked: Marked::No,
        });
        ConnectionId {
            index: index as u32,
            generation: self.next_generation,
        }
    }

    /// Removes a connection, its timer and its share of the pool.
    pub(super) fn remove(
        &mut self,
        connection: ConnectionId,
        wheel: &mut Wheel<Timer>,
    ) -> Option<Peer> {
        self.peer(connection)?;
        let mut peer = self.slots.remove(connection.index as usize);
        peer.connection.outbox.clear(&mut self.pool);
        self.backlogged -= usize::from(peer.backlogged);
        self.goodbyes -= usize::from(peer.standing.has(Standing::GOODBYE));
        peer.timer.cancel(wheel);
        if self.slots.is_empty() {
            debug_assert_eq!((self.backlogged, self.goodbyes), (0, 0), "nobody is left");
            self.slots.shrink_to_fit();
        }
        Some(peer)
    }

    pub fn peer(&self, connection: ConnectionId) -> Option<&Peer> {
        self.slots
            .get(connection.index as usize)
            .filter(|peer| peer.generation == connection.generation)
    }

    pub fn peer_mut(&mut self, connection: ConnectionId) -> Option<&mut Peer> {
        living(&mut self.slots, connection)
    }

    pub fn ids(&self) -> Vec<ConnectionId> {
        let id = |(index, peer): (usize, &Peer)| ConnectionId {
            index: index as u32,
            generation: peer.generation,
        };
        self.slots.iter().map(id).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().map(|(_, peer)| peer)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.slots.iter_mut().map(|(_, peer)| peer)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many have unsent bytes that their sockets would not take.
    pub fn backlogged(&self) -> usize {
        self.backlogged
    }

    /// How many connections became WebSockets only to be told when to come back, and are not gone yet.
    pub fn goodbyes(&self) -> usize {
        self.goodbyes
    }

    /// A connection becomes one of [`Peers::goodbyes`], for which it is a WebSocket but no client.
    pub fn mark_goodbye(&mut self, connection: ConnectionId) {
        if let Some(peer) = living(&mut self.slots, connection) {
            debug_assert!(!peer.standing.has(Standing::GOODBYE), "nobody parts twice");
            peer.standing.add(Standing::GOODBYE);
            self.goodbyes += 1;
        }
    }

    /// How many messages have been queued since the last call.
    pub fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// How many chunks wait to be sent, of all connections together.
    pub fn unsent_chunks(&self) -> usize {
        self.pool.len_chunks()
    }

    /// The form in which a connection reads messages.
    pub fn variant(&self, connection: ConnectionId) -> Variant {
        let peer = self.peer(connection);
        peer.map_or_else(Variant::default, |peer| peer.variant)
    }

    /// Whether a connection may be sent a message of so many bytes without what is unsent exceeding its limits.
    pub fn has_room(
        &self,
        connection: ConnectionId,
        bytes: usize,
        settings: &WebSocketConfig,
    ) -> bool {
        let (max_bytes, max_messages) = (settings.max_outbox_size, settings.max_outbox_messages);
        let peer = self.peer(connection).map(|peer| &peer.connection);
        peer.filter(|own| own.is_open())
            .is_some_and(|own| own.outbox.has_room(bytes, max_bytes, max_messages))
    }

    /// Queues bytes for a connection that must not be refused.
    pub fn push(&mut self, connection: ConnectionId, bytes: impl Into<Bytes>) {
        if let Some(peer) = living(&mut self.slots, connection) {
            peer.connection.outbox.push(&mut self.pool, bytes.into());
            self.mark_urgent(connection);
        }
    }

    /// Queues a message that a connection waits for. It may not be refused: who leaves answers unread is not heard.
    pub fn answer(&mut self, connection: ConnectionId, frame: &EncodedFrame) {
        if let Some(peer) = open(&mut self.slots, connection) {
            let is_queued = peer.queue(&mut self.pool, frame, (0, 0));
            debug_assert!(is_queued, "without limits nothing is refused");
            self.sent += 1;
            self.mark_urgent(connection);
        }
    }

    /// The unsent bytes of a connection.
    pub fn unsent(&self, connection: ConnectionId) -> impl Iterator<Item = &[u8]> {
        let peer = self.peer(connection).into_iter();
        peer.flat_map(|peer| peer.connection.outbox.iter(&self.pool))
    }

    /// Records what a socket took.
    pub fn handle_sent(&mut self, connection: ConnectionId, sent_bytes: usize) {
        if let Some(peer) = living(&mut self.slots, connection) {
            let outbox = &mut peer.connection.outbox;
            outbox.handle_sent(&mut self.pool, sent_bytes);
        }
    }

    /// Drops what a connection is owed, but for a frame that is half sent.
    pub fn drop_unstarted(&mut self, connection: ConnectionId) {
        if let Some(peer) = living(&mut self.slots, connection) {
            peer.connection.outbox.drop_unstarted(&mut self.pool);
        }
    }

    /// Records that a socket does or does not keep up; tells whether that is news.
    pub fn set_backlogged(&mut self, connection: ConnectionId, backlogged: bool) -> bool {
        let Some(peer) = living(&mut self.slots, connection) else {
            return false;
        };
        let was = std::mem::replace(&mut peer.backlogged, backlogged);
        self.backlogged = self.backlogged + usize::from(backlogged) - usize::from(was);
        was != backlogged
    }

    pub fn has_overflowed(&self) -> bool {
        !self.overflowed.is_empty()
    }

    /// The next connection that is too far behind to be sent any more.
    pub fn poll_overflowed(&mut self) -> Option<ConnectionId> {
        self.overflowed.pop()
    }

    /// Sets when a connection will be looked at again.
    pub(super) fn look_at(&mut self, connection: ConnectionId, at: Time, wheel: &mut Wheel<Timer>) {
        if let Some(peer) = self.peer_mut(connection) {
            peer.timer.set(at, Timer::Connection(connection), wheel);
        }
    }

    /// Nobody shares what was sent in the turn that is over.
    pub fn handle_turn_end(&mut self) {
        self.framer.handle_turn_end();
    }
}

/// Who is written next.
impl Peers {
    /// Marks a connection to be looked after when the turn ends: it has bytes to write, or an end to be told.
    pub fn mark(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peer_mut(connection)
            && peer.marked == Marked::No
        {
            peer.marked = Marked::Dirty;
            self.dirty.push_back(connection);
        }
    }

    /// Marks a connection that waits for an answer: it goes before the crowd that hears a publication.
    pub fn mark_urgent(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peer_mut(connection)
            && peer.marked != Marked::Urgent
        {
            peer.marked = Marked::Urgent;
            self.urgent.push_back(connection);
        }
    }

    /// The next connection that was marked. A batch for it ends here.
    pub fn poll_dirty(&mut self) -> Option<ConnectionId> {
        self.shrink.record(self.dirty.len().max(self.urgent.len()));
        while let Some(connection) = self.next_marked() {
            // One that was marked urgent stands in the other queue as well.
            let peer = living(&mut self.slots, connection);
            if let Some(peer) = peer.filter(|peer| peer.marked != Marked::No) {
                peer.marked = Marked::No;
                peer.connection.outbox.seal(&mut self.pool);
                return Some(connection);
            }
        }
        let capacity = self.dirty.capacity().max(self.urgent.capacity());
        if self.shrink.is_due(capacity, MAX_IDLE_MARKS) {
            (self.dirty, self.urgent) = (VecDeque::new(), VecDeque::new());
        }
        None
    }

    /// Answers and small rooms go first, but a crowd waits for no more than a few of them at a time.
    fn next_marked(&mut self) -> Option<ConnectionId> {
        self.favours += 1;
        if self.favours < CROWD_TURN
            && let Some(connection) = self.urgent.pop_front()
        {
            return Some(connection);
        }
        self.favours = 0;
        self.dirty.pop_front().or_else(|| self.urgent.pop_front())
    }
}

/// Who is asked whether everything has arrived.
impl Peers {
    /// The next connection that was sent messages which may not have arrived, and the round in which it is being asked now.
    pub fn poll_unconfirmed(&mut self) -> Option<(ConnectionId, u8)> {
        while let Some(connection) = self.unconfirmed.pop_front() {
            let peer = open(&mut self.slots, connection);
            if let Some(own) = peer.and_then(|peer| peer.confirmation.as_mut()) {
                return Some((connection, own.ask()));
            }
        }
        self.unconfirmed.shrink_to(MAX_IDLE_MARKS);
        None
    }

    /// Whether connections wait to be asked.
    pub fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// The round in which a connection is asked now that was to be asked later.
    pub fn take_postponed(&mut self, connection: ConnectionId) -> Option<u8> {
        let confirmation = open(&mut self.slots, connection)?.confirmation.as_mut()?;
        confirmation.is_postponed().then(|| confirmation.ask())
    }

    /// A connection has confirmed what it was asked for in a round; tells whether that counts. If more was sent since, it is
    /// asked again.
    pub fn handle_confirmed(&mut self, connection: ConnectionId, round: u8) -> bool {
        let confirmation = self.confirmation(connection);
        let Some(confirmation) = confirmation.filter(|own| own.counts(round)) else {
            return false;
        };
        if confirmation.give() {
            self.unconfirmed.push_back(connection);
        }
        true
    }

    /// A connection has answered something else, perhaps a question of another round. Tells whether it is to be asked again
    /// only later, because it never answers well.
    pub fn handle_unconfirmed(&mut self, connection: ConnectionId, round: Option<u8>) -> bool {
        let Some(confirmation) = self.confirmation(connection) else {
            return false;
        };
        let was_asked = confirmation.is_asked();
        let is_due = confirmation.miss(round);
        let is_postponed = was_asked && !is_due;
        if is_due {
            self.unconfirmed.push_back(connection);
        }
        is_postponed
    }

    /// A confirmation that a connection was asked for before says too little: it will be asked again.
    pub fn ask_anew(&mut self, connection: ConnectionId) {
        if self
            .confirmation(connection)
            .is_some_and(Confirmation::want_anew)
        {
            self.unconfirmed.push_back(connection);
        }
    }

    fn confirmation(&mut self, connection: ConnectionId) -> Option<&mut Confirmation> {
        self.peer_mut(connection)?.confirmation.as_mut()
    }
}

/// Messages on their way to connections, encoded and limited as the settings say.
pub struct Delivery<'a> {
    pub peers: &'a mut Peers,
    compression_threshold: usize,
    max_outbox_size: usize,
    max_outbox_messages: usize,
    locale: Locale,
}

impl Peers {
    pub fn delivery<'a>(&'a mut self, settings: &Settings) -> Delivery<'a> {
        Delivery {
            peers: self,
            compression_threshold: settings.websocket.compression_threshold,
            max_outbox_size: settings.websocket.max_outbox_size,
            max_outbox_messages: settings.websocket.max_outbox_messages,
            locale: settings.locale,
        }
    }
}

impl Delivery<'_> {
    /// A frame around a message that is encoded already, and how many bytes were encoded for that.
    #[must_use]
    pub fn frame(&mut self, message: &[u8], variant: Variant) -> (EncodedFrame, usize) {
        let Peers { framer, .. } = self.peers;
        let frame = framer.frame(message, variant, self.compression_threshold);
        (frame, framer.take_encoded_bytes())
    }

    /// Queues a message that is encoded already and that a connection waits for; how many bytes were encoded for that.
    #[must_use]
    pub fn answer(&mut self, connection: ConnectionId, message: &[u8], variant: Variant) -> usize {
        let (frame, encoded) = self.frame(message, variant);
        self.peers.answer(connection, &frame);
        encoded
    }

    /// Queues a publication for one reader. `false`: it did not take it.
    fn queue(
        &mut self,
        publication: &Publication<'_>,
        frames: &mut Frames,
        reader: ConnectionId,
        lane: Lane,
    ) -> bool {
        let (peers, threshold) = (&mut *self.peers, self.compression_threshold);
        let Some(peer) = open(&mut peers.slots, reader) else {
            return false;
        };
        if lane == Lane::State && peer.connection.outbox.held_bytes() > MAX_UNSENT_STATE {
            peers.set_backlogged(reader, true);
            return false;
        }
        // A burst alone is no sign of a slow reader: the tight limits apply once earlier bytes were left unread.
        let is_tried = peer.backlogged || lane == Lane::Replay;
        let limits = match (is_tried, self.max_outbox_size) {
            (true, max) => (max, self.max_outbox_messages),
            (false, 0) => (0, 0),
            (false, max) => (max.max(MAX_UNTRIED), 0),
        };
        let framer = &mut peers.framer;
        let entry;
        let frame = match publication.log_serial {
            None => framer.shared(publication, peer.variant, frames, threshold),
            Some(serial) => {
                entry = framer.entry(serial, publication, peer.variant, threshold);
                &entry
            }
        };
        if !peer.queue(&mut peers.pool, frame, limits) {
            if peer.client().is_none() || lane == Lane::Once {
                peers.overflowed.push(reader);
            }
            peers.set_backlogged(reader, true);
            return false;
        }
        if lane != Lane::State && peer.confirmation.as_mut().is_some_and(Confirmation::want) {
            peers.unconfirmed.push_back(reader);
        }
        peers.sent += 1;
        true
    }
}

impl Outlet for Delivery<'_> {
    fn publish(
        &mut self,
        publication: &Publication<'_>,
        readers: &[ConnectionId],
        lane: Lane,
        refused: &mut Vec<usize>,
    ) -> usize {
        let is_crowd = readers.len() > MIN_CROWD;
        let mut frames = Frames::default();
        for (place, reader) in readers.iter().enumerate() {
            if !self.queue(publication, &mut frames, *reader, lane) {
                refused.push(place);
            } else if is_crowd {
                self.peers.mark(*reader);
            } else {
                self.peers.mark_urgent(*reader);
            }
        }
        self.peers.framer.take_encoded_bytes()
    }

    /// Worded here, because the hub knows no language.
    fn log_broadcast(&self, room: &str) {
        log::debug!("{}", self.locale.say(Phrase::Broadcast(room)));
    }
}

fn living(slots: &mut Slab<Peer>, connection: ConnectionId) -> Option<&mut Peer> {
    slots
        .get_mut(connection.index as usize)
        .filter(|peer| peer.generation == connection.generation)
}

fn open(slots: &mut Slab<Peer>, connection: ConnectionId) -> Option<&mut Peer> {
    living(slots, connection).filter(|peer| peer.connection.is_open())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageIds;
    use crate::base::time::Now;

    fn publish(peers: &mut Peers, readers: &[ConnectionId]) {
        let id = MessageIds::new("m".into()).next();
        let publication = Publication::new("news", "{}", Now::default(), &id);
        let mut refused = Vec::new();
        let mut delivery = Delivery {
            peers,
            compression_threshold: 0,
            max_outbox_size: 0,
            max_outbox_messages: 0,
            locale: Locale::English,
        };
        let encoded = delivery.publish(&publication, readers, Lane::Log, &mut refused);
        assert!(encoded > 0 && refused.is_empty());
    }

    #[test]
    fn a_crowd_keeps_nobody_waiting_and_is_kept_waiting_by_nobody() {
        let mut peers = Peers::default();
        let links: Vec<ConnectionId> = (0..MIN_CROWD + 9)
            .map(|_| peers.insert(Services::WEBSOCKET, Asker::default()))
            .collect();
        let (crowd, few) = links.split_at(MIN_CROWD + 1);
        publish(&mut peers, crowd);
        publish(&mut peers, few);
        let written: Vec<ConnectionId> = std::iter::from_fn(|| peers.poll_dirty()).collect();
        assert_eq!(written.len(), links.len());
        let among_first = |count: usize, of: &[ConnectionId]| {
            let first = &written[..count];
            first
                .iter()
                .filter(|connection| of.contains(connection))
                .count()
        };
        assert_eq!((among_first(11, few), among_first(11, crowd)), (8, 3));
    }
}
