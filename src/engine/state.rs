//! What the engine is made of. The files beside this one are what it does; each works on the parts it needs.

use super::addresses::{Addresses, MINUTE};
use super::durability::Durability;
use super::lobby::Lobby;
use super::newcomers::Newcomers;
use super::notices::Notices;
use super::opening::Opening;
use super::outbox_limits::{MAX_UNTRIED, OutboxLimits};
use super::peers::Peers;
use super::returns::FullLines;
use super::routes::Routes;
use super::sessions::{Probes, SessionKey};
use super::settings::Settings;
use super::shares::Turn;
use super::timer::Timer;
use super::unfinished::Unfinished;
use super::workspaces::Lists;
use crate::base::counter::MinuteCounter;
use crate::base::random::Random;
use crate::base::time::{Now, Time};
use crate::base::wheel::{TimerId, Wheel};
use crate::conn::{Limits, Phase};
use crate::hub::{ClientKey, ConnectionId, Hub, HubSeed};
use crate::wire::http::{self, DateCache};
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, ErrorCode, ErrorMessage, Variant};
use crate::wire::websocket::{self, Inflater};
use std::collections::{HashSet, VecDeque};

/// A peer that has this much unsent, or whose socket is full, must read before it is served further: so what it asks
/// for stays bounded.
const MAX_UNSENT_ANSWERS: usize = 256 * 1024;

/// What may be unsent of a peer that is to be served further.
#[derive(Debug, Clone, Copy)]
pub struct MaxUnsent {
    viewer: usize,
    backend: usize,
}

impl MaxUnsent {
    fn new(max_outbox_size: usize) -> Self {
        let (viewer, backend) = match max_outbox_size {
            0 => (MAX_UNSENT_ANSWERS, MAX_UNTRIED),
            max => (max.min(MAX_UNSENT_ANSWERS), max),
        };
        Self {
            viewer,
            // Behind what it is asked there is room for what is wrong with its answers.
            backend: backend + MAX_UNSENT_ANSWERS,
        }
    }

    /// In bytes of memory.
    pub fn of(self, is_backend: bool) -> usize {
        if is_backend {
            self.backend
        } else {
            self.viewer
        }
    }
}

/// Where the store keeps what makes the secrets of sessions.
pub const SESSION_KEY: &str = "session_key";

/// What the process uses of the machine's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Resident bytes of this process.
    pub used: u64,
    /// Bytes of memory that the machine, or the limit on this process, has.
    pub total: u64,
}

/// Asked when somebody wants to know; the only answer that the engine cannot be given beforehand.
pub type MemoryProbe = Box<dyn Fn() -> MemoryUse + Send>;

/// Something the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Write what is unsent to this socket.
    Write(ConnectionId),
    /// Read from this socket again: it may hold bytes that were left there.
    Read(ConnectionId),
    /// Send a FIN on this socket, and go on reading.
    HalfClose(ConnectionId),
    /// Close this socket.
    Close(ConnectionId),
    /// Close every listener.
    StopListening,
    /// The end: nothing is left to be done.
    Stopped,
}

/// How far the shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Serving.
    Serving,
    /// Connections drain.
    Draining,
    /// Over.
    Stopped,
}

/// What has come in.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages received.
    pub received: MinuteCounter,
    /// Messages sent.
    pub sent: MinuteCounter,
    /// WebSocket connections ever.
    pub connections: u64,
    /// Handshakes that came when the server was full, or too often from their address.
    pub refused: u64,
    /// Requests that came from a foreign page, or under a name that is not served.
    pub foreign: u64,
}

/// The whole server, without its sockets.
pub struct State {
    /// The configuration.
    pub settings: Settings,
    /// What may be unsent of whoever is served.
    pub max_unsent: MaxUnsent,
    /// Rooms and tasks.
    pub hub: Hub,
    /// What the hub was made from.
    hub_seed: HubSeed,
    /// Connections.
    pub peers: Peers,
    /// The application's links, and what waits for them.
    pub routes: Routes,
    /// What happens later.
    pub wheel: Wheel<Timer>,
    /// The reminder of what time does to tasks and logs, and when it is due.
    pub aging: Option<(TimerId, Time)>,
    /// Rate windows of addresses.
    pub addresses: Addresses,
    /// Those who wait for a place.
    pub full_lines: FullLines,
    /// What makes the secrets of sessions.
    pub session_key: SessionKey,
    /// Questions whether messages have arrived.
    pub probes: Probes,
    /// Whether a timer is set for readers whose share of a turn was too much for it.
    pub is_going_on: bool,
    /// Lists of workspaces that are being sent.
    pub lists: Lists,
    /// What waits for the store.
    pub durability: Durability,
    /// How far it is opened.
    pub opening: Opening,
    /// Who waits for that.
    pub lobby: Lobby,
    /// Who makes room when there are too many connections.
    pub newcomers: Newcomers,
    /// Whose input is not read to its end.
    pub spared: HashSet<ConnectionId>,
    /// What peers have begun and not ended.
    pub unfinished: Unfinished,
    /// This turn, and what peers have brought in it.
    pub turn: Turn,
    /// Whether something was completed by the bytes that are being handled.
    pub has_completed: bool,
    /// Those who have input left of which they may bring more in the next turn.
    pub cut: VecDeque<ConnectionId>,
    /// The answer to the newest of many pings, while their bytes are handled.
    pub newest_pong: Option<bytes::Bytes>,
    /// What was refused or ended, and what the log was told of it.
    pub notices: Notices,
    /// The time of the present input.
    pub now: Now,
    /// Secrets and spreads.
    pub random: Random,
    /// Message counts.
    pub traffic: Traffic,
    /// Inflates every compressed message.
    pub inflater: Inflater,
    /// The formatted date of this second.
    pub dates: DateCache,
    /// What the shell must do, in order.
    pub outputs: VecDeque<Output>,
    /// When the server began.
    pub started: Now,
    /// How far the shutdown is.
    pub life: Life,
    /// What the process uses.
    pub memory: MemoryProbe,
}

impl State {
    /// A server that has just begun. All its randomness comes from `seed`.
    pub fn new(settings: Settings, now: Now, seed: [u8; 32], memory: MemoryProbe) -> Self {
        let mut random = Random::from_seed(seed);
        let hash = [random.next_u64(), random.next_u64()];
        let routes = Routes::new(settings.routes.max_pending, &random.token(6));
        let session_key = SessionKey::new([random.next_u64(), random.next_u64()]);
        let message_prefix = format!("msg_{}_", random.token(6));
        let hub_seed = HubSeed {
            hash,
            message_prefix,
        };
        Self {
            max_unsent: MaxUnsent::new(settings.websocket.max_outbox_size),
            hub: Hub::new(settings.hub.clone(), hub_seed.clone()),
            hub_seed,
            peers: Peers::new(OutboxLimits {
                max_bytes: settings.websocket.max_outbox_size,
                max_messages: settings.websocket.max_outbox_messages,
            }),
            routes,
            wheel: Wheel::new(),
            aging: None,
            addresses: Addresses::new(hash),
            full_lines: FullLines::default(),
            session_key,
            probes: Probes::default(),
            is_going_on: false,
            lists: Lists::default(),
            durability: Durability::default(),
            opening: Opening::default(),
            lobby: Lobby::default(),
            newcomers: Newcomers::default(),
            spared: HashSet::new(),
            unfinished: Unfinished::new([
                settings.websocket.max_message_size,
                settings.http.max_body_size,
            ]),
            turn: Turn::default(),
            has_completed: false,
            cut: VecDeque::new(),
            newest_pong: None,
            notices: Notices::default(),
            now,
            random,
            traffic: Traffic::default(),
            inflater: Inflater::default(),
            dates: DateCache::new(),
            outputs: VecDeque::new(),
            started: now,
            life: Life::Serving,
            memory,
            settings,
        }
    }

    /// A hub as at the beginning: what was read of a store that then failed is not to stay.
    pub fn forget_hub(&mut self) {
        self.hub = Hub::new(self.settings.hub.clone(), self.hub_seed.clone());
    }

    /// Has the store keep what makes the secrets of sessions.
    pub fn keep_session_key(&mut self) {
        self.hub.keep_meta(SESSION_KEY, self.session_key.to_text());
    }

    /// What bounds the input of every peer; whether compressed messages may come is each peer's own.
    pub fn limits(&self) -> Limits {
        let Settings {
            http, websocket, ..
        } = &self.settings;
        let max_head_bytes = match http.max_head_size {
            0 => usize::MAX,
            max => max,
        };
        Limits {
            http: http::Limits {
                max_head_bytes,
                ..Default::default()
            },
            max_body_bytes: http.max_body_size,
            websocket: websocket::Limits {
                max_message_size: websocket.max_message_size,
                compression: false,
            },
        }
    }

    /// What addresses have used up, to be changed: they are looked at again in a minute.
    pub fn addresses_mut(&mut self, now: Now) -> &mut Addresses {
        if !std::mem::replace(&mut self.addresses.is_armed, true) {
            self.wheel.schedule(now.at + MINUTE, Timer::Addresses);
        }
        &mut self.addresses
    }

    /// How many WebSocket clients there are.
    pub fn clients(&self) -> usize {
        self.hub.directory().connected()
    }

    /// The form in which a client reads messages.
    pub fn variant(&self, client: ClientKey) -> Variant {
        self.hub.directory().client(client).variant
    }

    /// The language and form in which a client is told of errors, as an `error` message.
    pub fn send_error(
        &mut self,
        now: Now,
        client: ClientKey,
        code: ErrorCode,
        phrase: Phrase<'_>,
        reply_to: Option<&str>,
    ) {
        let text = self.settings.locale.say(phrase).to_string();
        let error = ErrorMessage {
            code: code.as_str(),
            message: &text,
            reply_to,
            timestamp: now.wall_ms,
            is_of_workspaces: matches!(phrase, Phrase::WorkspaceFault(_)),
        };
        self.send_error_message(now, client, &error);
    }

    /// Sends a client an `error` message with a code and a text of the application's own.
    pub fn send_error_text(
        &mut self,
        now: Now,
        client: ClientKey,
        code: &str,
        message: &str,
        reply_to: Option<&str>,
    ) {
        let error = ErrorMessage {
            code,
            message,
            reply_to,
            timestamp: now.wall_ms,
            is_of_workspaces: false,
        };
        self.send_error_message(now, client, &error);
    }

    /// An error waits for a client that is away, as all does that is for it alone.
    fn send_error_message(&mut self, now: Now, client: ClientKey, error: &ErrorMessage<'_>) {
        if self.hub.directory().client(client).is_away {
            let payload = error.payload();
            self.hub
                .send(now, client, "error", &payload, &mut self.peers);
        } else {
            self.send_encoded(client, &error.encode(self.variant(client)));
        }
    }

    /// Writes seed 000's line about a client that has entered a room, or left it.
    pub fn tell_of_room(&self, client: ClientKey, room: &str, entered: bool) {
        if log::log_enabled!(log::Level::Debug) {
            let id = self.hub.directory().client(client).id.to_string();
            let client = &id;
            let phrase = match entered {
                true => Phrase::ClientJoined { client, room },
                false => Phrase::ClientLeft { client, room },
            };
            log::debug!("{}", self.settings.locale.say(phrase));
        }
    }

    /// Sends a client a message that is encoded in its variant already.
    pub fn send_encoded(&mut self, client: ClientKey, message: &[u8]) {
        let client = self.hub.directory().client(client);
        let (connection, variant) = (client.connection, client.variant);
        let frame = self.hub.framer().frame(message, variant);
        self.peers.answer(connection, &frame);
    }

    /// Goes on with what is kept of a connection's input, in the next turn.
    pub fn resume_later(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peers.peer_mut(connection)
            && !std::mem::replace(&mut peer.share.is_cut, true)
        {
            self.cut.push_back(connection);
        }
    }

    /// Sets when a connection will be looked at again.
    pub fn look_at(&mut self, connection: ConnectionId, at: Time) {
        self.peers.look_at(connection, at, &mut self.wheel);
    }

    /// The client behind a connection.
    pub fn client_of(&self, connection: ConnectionId) -> Option<ClientKey> {
        self.peers.peer(connection).and_then(|peer| peer.client)
    }

    /// The dialect in which a connection was greeted.
    pub fn dialect(&self, client: ClientKey) -> Dialect {
        self.variant(client).dialect
    }

    /// Whether a connection speaks WebSocket and is not ending.
    pub fn is_open_websocket(&self, connection: ConnectionId) -> bool {
        let peer = self.peers.peer(connection);
        peer.is_some_and(|peer| peer.connection.is_open()) && self.is_websocket(connection)
    }

    /// Whether a connection speaks WebSocket.
    pub fn is_websocket(&self, connection: ConnectionId) -> bool {
        self.peers
            .peer(connection)
            .is_some_and(|peer| matches!(peer.connection.phase, Phase::WebSocket(_)))
    }
}
