//! The engine: what it owns, and how it lends parts of that to the owners' functions, each for one step.

use crate::base::random::Random;
use crate::base::time::{Now, Time};
use crate::base::wheel::Wheel;
use crate::engine::access::caller::Caller;
use crate::engine::access::connection_rate::Addresses;
use crate::engine::backend::pending::Pending;
use crate::engine::boundary::{MemoryProbe, Output};
use crate::engine::commit::durability::{Durability, Parts};
use crate::engine::commit::lobby::Lobby;
use crate::engine::context::{Context, Dismissal};
use crate::engine::counts::Counts;
use crate::engine::life::Life;
use crate::engine::session::key::SessionKey;
use crate::engine::session::questions::Questions;
use crate::engine::session::workspaces::Lists;
use crate::engine::settings::Settings;
use crate::engine::timer::{Alarm, Timer};
use crate::engine::transport::connections::{Step, Transport};
use crate::engine::transport::peer::Peer;
use crate::hub::{ClientKey, ConnectionId, Hub, HubSeed};
use crate::wire::locale::Phrase;
use crate::wire::websocket::Inflater;

/// The whole server as a state machine: `handle_*` in, `poll_*` out. Only the files of this folder see what it holds.
pub struct Engine {
    pub(super) settings: Settings,
    /// The time of the present input.
    pub(super) now: Now,
    pub(super) turn_began: Time,
    /// Whether the turn's changes are complete, and none of them has been handed to the store.
    pub(super) is_settled: bool,
    pub(super) life: Life,
    pub(super) transport: Transport,
    pub(super) hub: Hub,
    pub(super) addresses: Addresses,
    pub(super) questions: Questions,
    pub(super) lists: Lists,
    /// Inflates every compressed message.
    pub(super) inflater: Inflater,
    /// Whether a timer is set for readers whose part of a turn was too much for it.
    pub(super) is_resuming: bool,
    pub(super) backend: Pending,
    pub(super) store: Durability,
    /// Who waits for the store to be read.
    pub(super) lobby: Lobby,
    /// Whose connections are to end.
    pub(super) dismissals: Vec<Dismissal>,
    pub(super) wheel: Wheel<Timer>,
    /// The reminder of what time does to tasks and logs, and when it is due.
    pub(super) aging: Alarm,
    pub(super) aging_at: Option<Time>,
    pub(super) random: Random,
    pub(super) counts: Counts,
}

impl Engine {
    /// A server that has just begun. The same seed and the same inputs give the same outputs.
    pub fn new(settings: Settings, now: Now, seed: [u8; 32], memory: MemoryProbe) -> Self {
        let mut random = Random::from_seed(seed);
        let hash = [random.next_u64(), random.next_u64()];
        let backend = Pending::new(&random.token(6));
        let session_key = SessionKey::new([random.next_u64(), random.next_u64()]);
        let message_prefix = format!("msg_{}_", random.token(6));
        let hub_seed = HubSeed {
            hash,
            message_prefix,
        };
        Self {
            hub: Hub::new(hub_seed),
            settings,
            now,
            turn_began: now.at,
            is_settled: false,
            life: Life::Serving,
            transport: Transport::default(),
            addresses: Addresses::new(hash),
            questions: Questions::default(),
            lists: Lists::default(),
            inflater: Inflater::default(),
            is_resuming: false,
            backend,
            store: Durability::new(session_key),
            lobby: Lobby::default(),
            dismissals: Vec::new(),
            wheel: Wheel::new(),
            aging: Alarm::default(),
            aging_at: None,
            random,
            counts: Counts::new(now, memory),
        }
    }

    pub(super) fn context<'a>(&'a mut self, caller: Caller<'a>) -> Context<'a> {
        self.with_backend(caller).1
    }

    /// What waits for the application, beside a context.
    pub(super) fn with_backend<'a>(
        &'a mut self,
        caller: Caller<'a>,
    ) -> (&'a mut Pending, Context<'a>) {
        let context = Context {
            now: self.now,
            settings: &self.settings,
            caller,
            hub: &mut self.hub,
            out: self.transport.peers.delivery(&self.settings),
            random: &mut self.random,
            store: &self.store,
            life: self.life,
            counts: &self.counts,
            dismissals: &mut self.dismissals,
        };
        (&mut self.backend, context)
    }

    /// Has connections do something; the others learn at once of those that have ended by it.
    pub(super) fn on_transport<T>(
        &mut self,
        act: impl FnOnce(&mut Transport, &mut Step<'_>) -> T,
    ) -> T {
        let mut step = Step {
            now: self.now,
            settings: &self.settings,
            wheel: &mut self.wheel,
            life: self.life,
        };
        let result = act(&mut self.transport, &mut step);
        self.settle_departures();
        result
    }

    /// Tells the others who has departed, and the shell when nobody is left.
    pub(super) fn settle_departures(&mut self) {
        while let Some(departure) = self.transport.departures.pop_front() {
            self.handle_departure(departure);
        }
        if self.life == Life::Draining && self.transport.peers.is_empty() {
            self.life = Life::Stopped;
            log::info!("{}", self.settings.locale.say(Phrase::Stopped));
            self.transport.outputs.push_back(Output::Stopped);
        }
    }

    /// Has the store's side do something; what need not wait any more is said at once.
    pub(super) fn on_store<T>(
        &mut self,
        act: impl FnOnce(&mut Durability, &mut Parts<'_>) -> T,
    ) -> T {
        let mut parts = Parts {
            moment: self.settings.at(self.now),
            hub: &mut self.hub,
            delivery: self.transport.peers.delivery(&self.settings),
            wheel: &mut self.wheel,
        };
        let result = act(&mut self.store, &mut parts);
        self.say_released();
        result
    }

    pub(super) fn peer(&self, connection: ConnectionId) -> Option<&Peer> {
        self.transport.peers.peer(connection)
    }

    pub(super) fn peer_mut(&mut self, connection: ConnectionId) -> Option<&mut Peer> {
        self.transport.peers.peer_mut(connection)
    }

    /// The client behind a connection, if the hub still has it.
    pub(super) fn client_of(&self, connection: ConnectionId) -> Option<ClientKey> {
        let client = self.peer(connection)?.client();
        client.filter(|client| self.hub.directory().has_client(*client))
    }
}
