//! All connections and what belongs to their bytes: the owner of this folder.
//!
//! A connection ends here by bytes alone: what it was for elsewhere, a client, a link or a place of its address, is handed out
//! by [`Transport::poll_departure`] to whoever knows of such things.

use super::newcomers::Newcomers;
use super::peers::Peers;
use super::standing::{Services, Standing};
use super::turn::Turn;
use super::unfinished::Unfinished;
use crate::base::time::{Now, Span, Time};
use crate::base::token_bucket::TokenBucket;
use crate::base::wheel::Wheel;
use crate::conn::{InputLimits, Phase};
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::{self, DateCache};
use crate::wire::websocket;
use bytes::Bytes;
use core::net::IpAddr;
use std::collections::{HashSet, VecDeque};

/// All connections.
#[derive(Debug, Default)]
pub struct Transport {
    /// The connections themselves.
    pub peers: Peers,
    /// Who makes room when there are too many.
    pub newcomers: Newcomers,
    /// This turn, and what peers have brought in it.
    pub turn: Turn,
    /// Whether something was completed by the bytes that are being handled.
    pub has_completed: bool,
    /// Those who have input left of which they may bring more in the next turn.
    pub cut: VecDeque<ConnectionId>,
    /// The answer to the newest of many pings, while their bytes are handled.
    pub newest_pong: Option<Bytes>,
    /// Whose input is not read to its end.
    spared: HashSet<ConnectionId>,
    pub(super) unfinished: Unfinished,
    pub(super) dates: DateCache,
    pub(super) outputs: VecDeque<Output>,
    pub(super) departures: VecDeque<Departure>,
}

/// What a step works with.
pub struct Step<'a> {
    /// The time of the present input.
    pub now: Now,
    /// The configuration.
    pub settings: &'a Settings,
    /// Reminders.
    pub wheel: &'a mut Wheel<Timer>,
    /// How far the shutdown is.
    pub life: Life,
}

/// What a connection was, whose end has begun or which is gone.
#[derive(Debug)]
pub struct Departure {
    /// The connection.
    pub connection: ConnectionId,
    /// The client that was behind it.
    pub client: Option<ClientKey>,
    /// What that client had used up of its messages.
    pub messages: TokenBucket,
    /// Where it came from.
    pub address: Option<IpAddr>,
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
        let is_proxy = step.settings.proxies.trusts(address);
        let connection = self.peers.insert(services, address, is_proxy);
        if !services.ingest() {
            self.watch_handshake(step, connection);
        }
        connection
    }

    /// What bounds the input of every peer; whether compressed messages may come is each peer's own.
    pub fn input_limits(settings: &Settings) -> InputLimits {
        let Settings {
            http, websocket, ..
        } = settings;
        let max_head_bytes = match http.max_head_size {
            0 => usize::MAX,
            max => max,
        };
        InputLimits {
            http: http::ParserLimits {
                max_head_bytes,
                ..Default::default()
            },
            max_body_bytes: http.max_body_size,
            websocket: websocket::FrameLimits {
                max_message_size: websocket.max_message_size,
                compression: false,
            },
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

    /// These have sent more than was read of them: what is due for them now is due one turn later.
    pub fn spare(&mut self, unread: impl Iterator<Item = ConnectionId>) {
        self.spared.clear();
        self.spared.extend(unread);
    }

    /// Whether what is due for a connection now is due one turn later.
    pub fn is_spared(&self, connection: ConnectionId) -> bool {
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

    /// Whether a connection speaks WebSocket.
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
        peer.is_some_and(|peer| peer.address.is_none())
    }

    /// The client behind a connection.
    pub fn client_of(&self, connection: ConnectionId) -> Option<ClientKey> {
        self.peers.peer(connection)?.client()
    }

    /// Bytes that have come and are not handled, all connections together.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished.bytes()
    }

    /// Whether so many bytes more may be kept of what is not handled.
    pub fn has_room(&self, bytes: usize, settings: &Settings) -> bool {
        self.unfinished.has_room(bytes, settings)
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

    /// Something must be done outside.
    pub fn push_output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// The next thing to be done outside, but for what the outboxes hold.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next connection that is no client's, link's or address's any more.
    pub fn poll_departure(&mut self) -> Option<Departure> {
        self.departures.pop_front()
    }

    /// What a connection is for elsewhere ends: it is handed out once.
    pub(super) fn depart(&mut self, connection: ConnectionId) {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        let departure = Departure {
            connection,
            client: peer.client(),
            messages: peer.allowance.messages,
            address: peer.address,
            was_link: peer.is_backend(),
            had_place: peer.standing.has(Standing::PLACED),
            was_counted: false,
            was_postponed: false,
        };
        peer.leave();
        self.departures.push_back(departure);
    }
}
