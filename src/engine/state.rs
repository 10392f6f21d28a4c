//! What the engine is made of. The files beside this one are what it does; each works on the parts it needs.

use crate::base::counter::MinuteCounter;
use crate::base::random::Random;
use crate::base::time::{Now, Time};
use crate::base::wheel::{TimerId, Wheel};
use crate::conn::{InputLimits, Phase};
use crate::engine::access::connection_rate::{Addresses, MINUTE};
use crate::engine::access::waiting_line::FullLines;
use crate::engine::backend::pending::Routes;
use crate::engine::boundary::{MemoryProbe, Output};
use crate::engine::commit::lobby::Lobby;
use crate::engine::commit::opening_step::Opening;
use crate::engine::commit::store::Durability;
use crate::engine::notices::Notices;
use crate::engine::session::key::SESSION_KEY;
use crate::engine::session::key::SessionKey;
use crate::engine::session::lists::Lists;
use crate::engine::session::probes::Probes;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::engine::transport::newcomers::Newcomers;
use crate::engine::transport::outbox_limits::MaxUnsent;
use crate::engine::transport::outbox_limits::OutboxLimits;
use crate::engine::transport::peers::Peers;
use crate::engine::transport::turn::Turn;
use crate::engine::transport::unfinished::Unfinished;
use crate::hub::{ClientId, ClientKey, ConnectionId, Hub, HubSeed};
use crate::wire::http::DateCache;
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, ErrorCode, ErrorMessage, Variant};
use crate::wire::websocket::{EncodedFrame, Inflater};
use crate::wire::{http, websocket};
use std::collections::{HashSet, VecDeque};

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
            peers: Peers::new(
                OutboxLimits {
                    max_bytes: settings.websocket.max_outbox_size,
                    max_messages: settings.websocket.max_outbox_messages,
                },
                settings.websocket.compression_threshold,
            ),
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
    pub fn limits(&self) -> InputLimits {
        let Settings {
            http, websocket, ..
        } = &self.settings;
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

    /// What addresses have used up, to be changed: they are looked at again in a minute.
    pub fn addresses_mut(&mut self, now: Now) -> &mut Addresses {
        if !std::mem::replace(&mut self.addresses.is_armed, true) {
            self.wheel.schedule(now.at + MINUTE, Timer::Addresses);
        }
        &mut self.addresses
    }

    /// Sets the timer of what must be finished in time.
    pub fn arm_unfinished(&mut self) {
        let timeout = self.settings.websocket.connection_timeout;
        self.unfinished.arm(&mut self.wheel, timeout);
    }

    /// How many WebSocket clients there are.
    pub fn clients(&self) -> usize {
        self.hub.directory().connected()
    }

    /// The form in which a client reads messages.
    pub fn variant(&self, client: ClientKey) -> Variant {
        let connection = self.hub.directory().client(client).connection;
        let peer = self.peers.peer(connection);
        peer.map_or_else(Variant::default, |peer| peer.variant)
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
        let connection = self.hub.directory().client(client).connection;
        self.answer(connection, message, self.variant(client));
    }

    /// Sends a connection a message that is encoded already.
    pub fn answer(&mut self, connection: ConnectionId, message: &[u8], variant: Variant) {
        let frame = self.frame(message, variant);
        self.peers.answer(connection, &frame);
    }

    /// A frame around a message that is encoded already; the turn is charged for it.
    pub fn frame(&mut self, message: &[u8], variant: Variant) -> EncodedFrame {
        let framer = self.peers.framer();
        let frame = framer.frame(message, variant);
        self.hub.load().encode(framer.take_encoded_bytes());
        frame
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

    /// Whether a connection came over a Unix-domain socket, which has no address.
    pub fn is_local(&self, connection: ConnectionId) -> bool {
        let peer = self.peers.peer(connection);
        peer.is_some_and(|peer| peer.address.is_none())
    }

    /// The client behind a connection.
    pub fn client_of(&self, connection: ConnectionId) -> Option<ClientKey> {
        self.peers.peer(connection).and_then(|peer| peer.client)
    }

    /// The connection of a client, if it is still here.
    pub fn connection_of(&self, client: ClientId) -> Option<ConnectionId> {
        let directory = self.hub.directory();
        let client = directory.living_client(client)?;
        Some(directory.client(client).connection)
    }

    /// The dialect in which a connection was greeted.
    pub fn dialect(&self, client: ClientKey) -> Dialect {
        self.hub.directory().client(client).dialect
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
