//! All connections and what belongs to their bytes, from accept to the closed socket: the owner of this folder.
//!
//! A connection ends here by bytes alone, with last words and a while to take them. What it was for elsewhere, a client, a link
//! or a place of its address, is handed out as [`Transport::departures`] to whoever knows of such things.

use super::allowance::Turn;
use super::newcomers::Newcomers;
use super::peer::{Services, Standing};
use super::peers::Peers;
use super::unfinished::Unfinished;
use crate::base::limit::unless_zero;
use crate::base::time::{Now, Span, Time};
use crate::base::token_bucket::TokenBucket;
use crate::base::wheel::Wheel;
use crate::conn::{Ending, InputLimits, Phase};
use crate::engine::access::Asker;
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::{DateCache, ParserLimits};
use crate::wire::websocket::{CloseCode, FrameLimits, encode_close};
use bytes::Bytes;
use core::net::IpAddr;
use std::collections::{HashSet, VecDeque};

/// How long a peer may take to answer our last words.
pub(super) const LINGER: Span = Span::from_secs(5);

#[derive(Debug, Default)]
pub struct Transport {
    pub peers: Peers,
    /// Who makes room when there are too many.
    pub newcomers: Newcomers,
    /// This turn, and what peers have brought in it.
    pub turn: Turn,
    /// Whether something was completed by the bytes that are being handled.
    pub has_completed: bool,
    /// Connections with input left, which is handled in the next turn.
    pub cut: VecDeque<ConnectionId>,
    /// The answer to the newest of many pings, while their bytes are handled.
    pub newest_pong: Option<Bytes>,
    /// Whose input is not read to its end.
    spared: HashSet<ConnectionId>,
    pub unfinished: Unfinished,
    pub(super) dates: DateCache,
    /// What is to be done outside, but for what the outboxes hold.
    pub outputs: VecDeque<Output>,
    /// Connections that are no client's, link's or address's any more.
    pub departures: VecDeque<Departure>,
}

/// What a step works with.
pub struct Step<'a> {
    /// The time of the present input.
    pub now: Now,
    pub settings: &'a Settings,
    pub wheel: &'a mut Wheel<Timer>,
    pub life: Life,
}

/// What a connection was, whose end has begun or which is gone.
#[derive(Debug)]
pub struct Departure {
    pub connection: ConnectionId,
    pub client: Option<ClientKey>,
    /// What that client had used up of its messages.
    pub messages: TokenBucket,
    pub asker: Asker,
    /// Whether it was a link of the application.
    pub was_link: bool,
    /// Whether it took one of the places that its address has for clients.
    pub had_place: bool,
    /// Whether it was counted among the connections of its address, and is gone.
    pub was_counted: bool,
    /// Whether it was to be asked again, and is gone.
    pub was_postponed: bool,
}

impl Transport {
    /// A peer has connected to a listener.
    pub fn accept(
        &mut self,
        step: &mut Step<'_>,
        services: Services,
        address: Option<IpAddr>,
    ) -> ConnectionId {
        let asker = step.settings.proxies.peer(address);
        let connection = self.peers.insert(services, asker);
        if !services.ingest() {
            let timeout = Span::from_millis(step.settings.websocket.connection_timeout);
            self.look_again(step, connection, timeout);
        }
        connection
    }

    /// Ends a WebSocket connection with a close frame behind what it is still owed.
    pub fn close(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) {
        if self.is_websocket(connection) {
            self.peers.push(connection, encode_close(code, reason));
        }
        self.end(step, connection, Ending::Lingering);
    }

    /// Begins the end of a connection; the peer has a while to take what it is owed.
    pub fn end(&mut self, step: &mut Step<'_>, connection: ConnectionId, ending: Ending) {
        self.depart(connection, false);
        self.forget_unfinished(step, connection);
        let grace = match step.life {
            Life::Draining => step.settings.shutdown_timeout,
            Life::Serving | Life::Stopped => LINGER,
        };
        if let Some(peer) = self.peers.peer_mut(connection) {
            peer.connection.end(ending);
            peer.stream = None;
            self.look_at(step, connection, grace);
            self.peers.mark(connection);
        }
    }

    /// The socket is gone, or must go now: nothing is kept of its connection.
    pub fn remove(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        self.depart(connection, true);
        self.forget_unfinished(step, connection);
        if self.peers.remove(connection, step.wheel).is_some() {
            self.outputs.push_back(Output::Close(connection));
        }
    }

    /// What is due for a connection once its turn's bytes are written: half-close, close, or nothing.
    pub fn handle_drained(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        match peer.connection.ending() {
            Ending::Open | Ending::HalfClosed => {}
            Ending::Lingering => {
                peer.connection.end(Ending::HalfClosed);
                self.outputs.push_back(Output::HalfClose(connection));
            }
            Ending::Final => self.remove(step, connection),
        }
    }

    /// What a connection is for elsewhere ends: it is handed out once.
    fn depart(&mut self, connection: ConnectionId, is_gone: bool) {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        let is_postponed = peer.confirmation.is_some_and(|own| own.is_postponed());
        self.departures.push_back(Departure {
            connection,
            client: peer.client(),
            messages: peer.allowance.messages,
            asker: peer.asker,
            was_link: peer.is_backend(),
            had_place: peer.standing.has(Standing::PLACED),
            was_counted: is_gone && peer.standing.has(Standing::COUNTED),
            was_postponed: is_gone && is_postponed,
        });
        peer.leave();
    }

    /// What bounds the input of every peer; whether compressed messages may come is each peer's own.
    pub fn input_limits(settings: &Settings) -> InputLimits {
        InputLimits {
            http: ParserLimits::new(unless_zero(settings.http.max_head_size)),
            max_body_bytes: unless_zero(settings.http.max_body_size),
            websocket: FrameLimits::new(settings.websocket.max_message_size),
        }
    }

    /// Goes on with what is kept of a connection's input, in the next turn.
    pub fn resume_later(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peers.peer_mut(connection)
            && !std::mem::replace(&mut peer.intake.is_cut, true)
        {
            self.cut.push_back(connection);
        }
    }

    /// What is due now for connections whose input was not read to its end is due one turn later.
    pub fn spare(&mut self, unread: impl Iterator<Item = ConnectionId>) {
        self.spared.clear();
        self.spared.extend(unread);
    }

    /// Whether what is due for a connection now is due one turn later.
    pub(super) fn is_spared(&self, connection: ConnectionId) -> bool {
        !self.spared.is_empty() && self.spared.contains(&connection)
    }

    /// Every peer counts as heard, and has its time once more.
    pub fn forgive(&mut self, now: Time) {
        self.peers.iter_mut().for_each(|peer| peer.alive = true);
        self.unfinished.forgive(now);
    }

    /// Sets when a connection will be looked at again.
    pub fn look_at(&mut self, step: &mut Step<'_>, connection: ConnectionId, after: Span) {
        self.peers
            .look_at(connection, step.now.at + after, step.wheel);
    }

    pub fn is_websocket(&self, connection: ConnectionId) -> bool {
        let peer = self.peers.peer(connection);
        peer.is_some_and(|peer| matches!(peer.connection.phase, Phase::WebSocket(_)))
    }

    /// Whether a connection speaks WebSocket and is not ending.
    pub fn is_open_websocket(&self, connection: ConnectionId) -> bool {
        let peer = self.peers.peer(connection);
        peer.is_some_and(|peer| peer.connection.is_open()) && self.is_websocket(connection)
    }

    /// Whether a connection came over a Unix-domain socket, which has no address.
    pub fn is_local(&self, connection: ConnectionId) -> bool {
        let peer = self.peers.peer(connection);
        peer.is_some_and(|peer| peer.asker.address.is_none())
    }

    /// Local producers may be read, which could not be before.
    pub fn read_producers(&mut self) {
        for connection in self.peers.ids() {
            let peer = self.peers.peer(connection);
            if peer.is_some_and(|peer| peer.services.ingest()) {
                self.outputs.push_back(Output::Read(connection));
            }
        }
    }
}
