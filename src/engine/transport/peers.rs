//! All connections, and which of them have something to write.

use crate::base::chunk_queue::ChunkPool;
use crate::base::shrink::LateShrink;
use crate::base::time::Time;
use crate::base::wheel::Wheel;
use crate::conn::{Connection, Phase};
use crate::engine::settings::WebSocketSettings;
use crate::engine::timer::Timer;
use crate::engine::transport::allowance::Allowance;
use crate::engine::transport::confirmation::Confirmation;
use crate::engine::transport::framer::{Framer, Frames};
use crate::engine::transport::outbox_limits::OutboxLimits;
use crate::engine::transport::peer::{Marked, Peer, Ping, Reading, Role};
use crate::engine::transport::standing::{Services, Standing};
use crate::engine::transport::turn::{ControlFrames, Intake};
use crate::hub::{ConnectionId, Lane, Outlet, Publication};
use crate::wire::http;
use crate::wire::message::Variant;
use crate::wire::websocket::{Compression, EncodedFrame};
use core::net::IpAddr;
use slab::Slab;
use std::collections::{BTreeSet, VecDeque};

/// Marks of a huge room are given back when they are done with.
const MAX_IDLE_MARKS: usize = 1024;
/// A publication with more readers than this has a crowd: other connections do not wait until all of it is written.
const MIN_CROWD: usize = 64;
/// Of so many connections written, one is of a crowd, if there is one.
const CROWD_TURN: u8 = 4;
/// Progress is not queued behind more unsent bytes than this: its newest state follows when they are gone.
const MAX_UNSENT_STATE: usize = 128 * 1024;

/// All connections.
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
    limits: OutboxLimits,
    framer: Framer,
    backlogged: usize,
    /// Those that became WebSockets only to be told when to come back: few, and none for long.
    goodbyes: BTreeSet<usize>,
    sent: u64,
}

impl Peers {
    /// What may wait for a connection, and what is compressed, in this turn: read from the settings for each, because who
    /// delivers has none at hand.
    pub fn begin_turn(&mut self, settings: &WebSocketSettings) {
        self.limits = OutboxLimits::of(settings);
        self.framer.set_threshold(settings.compression_threshold);
    }

    /// Adds a connection.
    pub fn insert(
        &mut self,
        services: Services,
        address: Option<IpAddr>,
        is_proxy: bool,
    ) -> ConnectionId {
        self.next_generation = self.next_generation.wrapping_add(1);
        let phase = match services.ingest() {
            true => Phase::Lines,
            false => Phase::Http(http::Parser::new()),
        };
        let index = self.slots.insert(Peer {
            connection: Connection::new(phase),
            address,
            standing: Standing::default().with(Standing::PROXY, is_proxy),
            services,
            role: Role::Caller,
            variant: Variant::default(),
            compression: Compression::Off,
            stream: None,
            timer: None,
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
    pub fn remove(&mut self, connection: ConnectionId, wheel: &mut Wheel<Timer>) -> Option<Peer> {
        self.peer(connection)?;
        let mut peer = self.slots.remove(connection.index as usize);
        peer.connection.clear(&mut self.pool);
        self.backlogged -= usize::from(peer.backlogged);
        self.goodbyes.remove(&(connection.index as usize));
        if let Some(timer) = peer.timer.take() {
            wheel.cancel(timer);
        }
        if self.slots.is_empty() {
            self.slots.shrink_to_fit();
        }
        Some(peer)
    }

    /// The connection of that name.
    pub fn peer(&self, connection: ConnectionId) -> Option<&Peer> {
        self.slots
            .get(connection.index as usize)
            .filter(|peer| peer.generation == connection.generation)
    }

    /// The connection of that name, to be changed.
    pub fn peer_mut(&mut self, connection: ConnectionId) -> Option<&mut Peer> {
        living(&mut self.slots, connection)
    }

    /// The names of all connections.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.slots
            .iter()
            .map(|(index, peer)| ConnectionId {
                index: index as u32,
                generation: peer.generation,
            })
            .collect()
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().map(|(_, peer)| peer)
    }

    /// All connections, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.slots.iter_mut().map(|(_, peer)| peer)
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many have unsent bytes that their sockets would not take.
    pub fn backlogged(&self) -> usize {
        self.backlogged
    }

    /// How many connections became WebSockets only to be told when to come back, and are not gone yet.
    pub fn goodbyes(&self) -> usize {
        self.goodbyes.len()
    }

    /// A connection becomes one of [`Peers::goodbyes`].
    pub fn mark_goodbye(&mut self, connection: ConnectionId) {
        if self.peer(connection).is_some() {
            self.goodbyes.insert(connection.index as usize);
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

    /// Whether a connection may be sent a message of so many bytes without what is unsent exceeding its limits.
    pub fn has_room(&self, connection: ConnectionId, bytes: usize) -> bool {
        let Some(peer) = self
            .peer(connection)
            .filter(|peer| peer.connection.is_open())
        else {
            return false;
        };
        let OutboxLimits {
            max_bytes,
            max_messages,
        } = self.limits;
        let outbox = &peer.connection.outbox;
        let is_short = max_messages == 0 || outbox.len_chunks() < max_messages;
        let is_small = max_bytes == 0 || outbox.held_bytes() + bytes <= max_bytes;
        outbox.is_empty() || is_short && is_small
    }

    /// Queues bytes for a connection that must not be refused.
    pub fn push(&mut self, connection: ConnectionId, bytes: impl Into<bytes::Bytes>) {
        let pool = &mut self.pool;
        let Some(peer) = living(&mut self.slots, connection) else {
            return;
        };
        peer.connection.push(pool, bytes.into());
        self.mark_urgent(connection);
    }

    /// Queues a message that a connection waits for. It may not be refused: who leaves answers unread is not heard.
    pub fn answer(&mut self, connection: ConnectionId, frame: &EncodedFrame) {
        let pool = &mut self.pool;
        let peer = living(&mut self.slots, connection).filter(|peer| peer.connection.is_open());
        if let Some(peer) = peer
            && peer
                .connection
                .outbox
                .push_message(pool, frame, 0, 0)
                .is_ok()
        {
            peer.sent = peer.sent.wrapping_add(1);
            self.sent += 1;
            self.mark_urgent(connection);
        }
    }

    /// The form in which a connection reads messages.
    pub fn variant(&self, connection: ConnectionId) -> Variant {
        self.peer(connection)
            .map_or_else(Variant::default, |peer| peer.variant)
    }

    /// Queues a message that is encoded already and that a connection waits for; how many bytes were encoded for that.
    #[must_use]
    pub fn answer_encoded(
        &mut self,
        connection: ConnectionId,
        message: &[u8],
        variant: Variant,
    ) -> usize {
        let frame = self.framer.frame(message, variant);
        self.answer(connection, &frame);
        self.framer.take_encoded_bytes()
    }

    /// Puts encoded messages into frames.
    pub fn framer(&mut self) -> &mut Framer {
        &mut self.framer
    }

    /// The next connection that was sent messages which may not have arrived, and the round in which it is being asked now.
    pub fn poll_unconfirmed(&mut self) -> Option<(ConnectionId, u8)> {
        while let Some(connection) = self.unconfirmed.pop_front() {
            if let Some(peer) =
                living(&mut self.slots, connection).filter(|peer| peer.connection.is_open())
            {
                let round = peer.confirmation.as_mut().map(Confirmation::ask);
                debug_assert!(round.is_some(), "only sessions are asked");
                return Some((connection, round.unwrap_or_default()));
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
        let peer = living(&mut self.slots, connection).filter(|peer| peer.connection.is_open())?;
        let confirmation = peer.confirmation.as_mut()?;
        confirmation.is_postponed().then(|| confirmation.ask())
    }

    /// A connection has confirmed what it was asked for in a round; tells whether that counts. If more was sent since, it is
    /// asked again.
    pub fn handle_confirmed(&mut self, connection: ConnectionId, round: u8) -> bool {
        let peer = living(&mut self.slots, connection);
        let confirmation = peer.and_then(|peer| peer.confirmation.as_mut());
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
        let peer = living(&mut self.slots, connection);
        let Some(confirmation) = peer.and_then(|peer| peer.confirmation.as_mut()) else {
            return false;
        };
        let was_postponed = confirmation.is_postponed();
        if confirmation.miss(round) {
            self.unconfirmed.push_back(connection);
        }
        confirmation.is_postponed() && !was_postponed
    }

    /// A confirmation that a connection was asked for before says too little: it will be asked again.
    pub fn ask_anew(&mut self, connection: ConnectionId) {
        let peer = living(&mut self.slots, connection);
        if let Some(confirmation) = peer.and_then(|peer| peer.confirmation.as_mut())
            && confirmation.want_anew()
        {
            self.unconfirmed.push_back(connection);
        }
    }

    /// Sets when a connection will be looked at again.
    pub fn look_at(&mut self, connection: ConnectionId, at: Time, wheel: &mut Wheel<Timer>) {
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        let rescheduled = peer.timer.is_some_and(|timer| wheel.reschedule(timer, at));
        if !rescheduled {
            peer.timer = Some(wheel.schedule(at, Timer::Connection(connection)));
        }
    }

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
            let pool = &mut self.pool;
            // A connection that was marked urgent stands in the other queue as well.
            if let Some(peer) =
                living(&mut self.slots, connection).filter(|peer| peer.marked != Marked::No)
            {
                peer.marked = Marked::No;
                peer.connection.outbox.seal(pool);
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

    /// The next connection that is too far behind to be sent any more.
    pub fn poll_overflowed(&mut self) -> Option<ConnectionId> {
        self.overflowed.pop()
    }

    /// The unsent bytes of a connection.
    pub fn unsent(&self, connection: ConnectionId) -> impl Iterator<Item = &[u8]> {
        let peer = self.peer(connection);
        peer.into_iter()
            .flat_map(|peer| peer.connection.outbox.iter(&self.pool))
    }

    /// Records what a socket took.
    pub fn handle_sent(&mut self, connection: ConnectionId, sent_bytes: usize) {
        let pool = &mut self.pool;
        let peer = living(&mut self.slots, connection);
        if let Some(peer) = peer {
            peer.connection.outbox.handle_sent(pool, sent_bytes);
        }
    }

    /// Records that a socket does or does not keep up; tells whether that is news.
    pub fn set_backlogged(&mut self, connection: ConnectionId, backlogged: bool) -> bool {
        let Some(peer) = self.peer_mut(connection) else {
            return false;
        };
        let was = std::mem::replace(&mut peer.backlogged, backlogged);
        self.backlogged = self.backlogged + usize::from(backlogged) - usize::from(was);
        was != backlogged
    }

    /// Drops what a connection is owed, but for a frame that is half sent.
    pub fn drop_unstarted(&mut self, connection: ConnectionId) {
        let pool = &mut self.pool;
        let peer = living(&mut self.slots, connection);
        if let Some(peer) = peer {
            peer.connection.outbox.drop_unstarted(pool);
        }
    }
}

impl Outlet for Peers {
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
                self.mark(*reader);
            } else {
                self.mark_urgent(*reader);
            }
        }
        self.framer.take_encoded_bytes()
    }
}

impl Peers {
    /// Queues a publication for one reader. `false`: it did not take it.
    fn queue(
        &mut self,
        publication: &Publication<'_>,
        frames: &mut Frames,
        reader: ConnectionId,
        lane: Lane,
    ) -> bool {
        let pool = &mut self.pool;
        let Some(peer) = living(&mut self.slots, reader).filter(|peer| peer.connection.is_open())
        else {
            return false;
        };
        if lane == Lane::State && peer.connection.outbox.held_bytes() > MAX_UNSENT_STATE {
            self.set_backlogged(reader, true);
            return false;
        }
        // A burst alone is no sign of a slow reader: the tight limits apply once earlier bytes were left unread.
        let OutboxLimits {
            max_bytes,
            max_messages,
        } = match peer.backlogged || lane == Lane::Replay {
            true => self.limits,
            false => self.limits.untried(),
        };
        let entry;
        let frame = match publication.log_serial {
            None => self.framer.shared(publication, peer.variant, frames),
            Some(serial) => {
                entry = self.framer.entry(serial, publication, peer.variant);
                &entry
            }
        };
        let outbox = &mut peer.connection.outbox;
        let pushed = outbox.push_message(pool, frame, max_bytes, max_messages);
        if pushed.is_err() {
            if peer.client().is_none() || lane == Lane::Once {
                self.overflowed.push(reader);
            }
            self.set_backlogged(reader, true);
            return false;
        }
        if lane != Lane::State
            && let Some(confirmation) = &mut peer.confirmation
            && confirmation.want()
        {
            self.unconfirmed.push_back(reader);
        }
        peer.sent = peer.sent.wrapping_add(1);
        self.sent += 1;
        true
    }
}

/// The connection of that name among `slots`.
fn living(slots: &mut Slab<Peer>, connection: ConnectionId) -> Option<&mut Peer> {
    slots
        .get_mut(connection.index as usize)
        .filter(|peer| peer.generation == connection.generation)
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
        let encoded = peers.publish(&publication, readers, Lane::Log, &mut refused);
        assert!(encoded > 0 && refused.is_empty());
    }

    #[test]
    fn a_crowd_keeps_nobody_waiting_and_is_kept_waiting_by_nobody() {
        let mut peers = Peers::default();
        let links: Vec<ConnectionId> = (0..MIN_CROWD + 9)
            .map(|_| peers.insert(Services::WEBSOCKET, None, false))
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
