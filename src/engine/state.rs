//! What the engine is made of. The files beside this one are what it does; each works on the parts it needs.

use crate::base::random::Random;
use crate::base::time::{Now, Time};
use crate::base::wheel::{TimerId, Wheel};
use crate::conn::{InputLimits, Phase};
use crate::engine::access::caller::Caller;
use crate::engine::access::connection_rate::{Addresses, MINUTE};
use crate::engine::access::waiting_line::FullLines;
use crate::engine::backend::pending::Pending;
use crate::engine::boundary::{MemoryProbe, Output};
use crate::engine::commit::durability::Durability;
use crate::engine::commit::lobby::Lobby;
use crate::engine::commit::parts::Parts;
use crate::engine::context::{Context, Dismissal};
use crate::engine::life::Life;
use crate::engine::notices::Notices;
use crate::engine::refusal::Refusal;
use crate::engine::session::key::SessionKey;
use crate::engine::session::lists::Lists;
use crate::engine::session::probes::Probes;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::engine::traffic::Traffic;
use crate::engine::transport::newcomers::Newcomers;
use crate::engine::transport::peer::Peer;
use crate::engine::transport::peers::Peers;
use crate::engine::transport::turn::Turn;
use crate::engine::transport::unfinished::Unfinished;
use crate::hub::{ClientId, ClientKey, ConnectionId, Hub, HubSeed};
use crate::wire::http::DateCache;
use crate::wire::message::{Dialect, Variant};
use crate::wire::websocket::{EncodedFrame, Inflater};
use crate::wire::{http, websocket};
use std::collections::{HashSet, VecDeque};

/// The whole server, without its sockets.
pub struct State {
    /// The configuration.
    pub settings: Settings,
    /// Rooms and tasks.
    pub hub: Hub,
    /// What the hub was made from.
    hub_seed: HubSeed,
    /// Connections.
    pub peers: Peers,
    /// The application's links, and what waits for them.
    pub pending: Pending,
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
    /// Whose connections are to end.
    pub dismissals: Vec<Dismissal>,
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
        let pending = Pending::new(&random.token(6));
        let session_key = SessionKey::new([random.next_u64(), random.next_u64()]);
        let message_prefix = format!("msg_{}_", random.token(6));
        let hub_seed = HubSeed {
            hash,
            message_prefix,
        };
        let mut peers = Peers::default();
        peers.begin_turn(&settings.websocket);
        Self {
            hub: Hub::new(settings.hub.clone(), hub_seed.clone()),
            hub_seed,
            peers,
            pending,
            wheel: Wheel::new(),
            aging: None,
            addresses: Addresses::new(hash),
            full_lines: FullLines::default(),
            session_key,
            probes: Probes::default(),
            is_going_on: false,
            lists: Lists::default(),
            durability: Durability::default(),
            lobby: Lobby::default(),
            newcomers: Newcomers::default(),
            spared: HashSet::new(),
            unfinished: Unfinished::default(),
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
            dismissals: Vec::new(),
            started: now,
            life: Life::Serving,
            memory,
            settings,
        }
    }

    /// What a call, a message or a command may use.
    pub fn context<'a>(&'a mut self, caller: Caller<'a>) -> Context<'a> {
        Context {
            now: self.now,
            settings: &self.settings,
            caller,
            hub: &mut self.hub,
            peers: &mut self.peers,
            random: &mut self.random,
            store: &self.durability,
            life: self.life,
            traffic: &self.traffic,
            notices: &self.notices,
            started: self.started,
            memory: &self.memory,
            dismissals: &mut self.dismissals,
        }
    }

    /// A hub as at the beginning: what was read of a store that then failed is not to stay.
    pub fn forget_hub(&mut self) {
        self.hub = Hub::new(self.settings.hub.clone(), self.hub_seed.clone());
    }

    /// The engine's side of the store, and what it works on.
    pub fn commit(&mut self) -> (&mut Durability, Parts<'_>) {
        let parts = Parts {
            now: self.now,
            hub: &mut self.hub,
            peers: &mut self.peers,
            wheel: &mut self.wheel,
            session_key: &mut self.session_key,
        };
        (&mut self.durability, parts)
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
        self.peers
            .variant(self.hub.directory().client(client).connection)
    }

    /// Tells a client why its message was not obeyed.
    pub fn refuse(&mut self, client: ClientKey, refusal: &Refusal, reply_to: Option<&str>) {
        self.context(Caller::Viewer)
            .refuse(client, refusal, reply_to);
    }

    /// Sends a connection a message that is encoded already.
    pub fn answer(&mut self, connection: ConnectionId, message: &[u8], variant: Variant) {
        let encoded = self.peers.answer_encoded(connection, message, variant);
        self.hub.load().encode(encoded);
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
        self.peers.peer(connection).and_then(Peer::client)
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
