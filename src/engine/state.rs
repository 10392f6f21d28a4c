//! What the mediator owns, and how it lends parts of it: to calls and messages ([`State::context`]), to connections
//! ([`State::step`]) and to the store's side ([`State::commit_parts`]).

use crate::base::random::Random;
use crate::base::time::{Now, Time};
use crate::base::wheel::{TimerId, Wheel};
use crate::engine::access::caller::Caller;
use crate::engine::access::connection_rate::{Addresses, FullLines, MINUTE};
use crate::engine::backend::pending::Pending;
use crate::engine::boundary::MemoryProbe;
use crate::engine::commit::durability::Durability;
use crate::engine::commit::owner::Commit;
use crate::engine::commit::parts::Parts;
use crate::engine::context::{Context, Dismissal};
use crate::engine::life::Life;
use crate::engine::notices::Notices;
use crate::engine::refusal::Refusal;
use crate::engine::session::key::SessionKey;
use crate::engine::session::owner::Sessions;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::engine::traffic::{Statistics, Traffic};
use crate::engine::transport::connections::{Step, Transport};
use crate::hub::{self, ClientId, ClientKey, ConnectionId, Hub, HubSeed};
use crate::wire::message::{Dialect, Variant};
use crate::wire::websocket::EncodedFrame;

/// The whole server, without its sockets.
pub struct State {
    /// The configuration.
    pub settings: Settings,
    /// Connections and their bytes.
    pub transport: Transport,
    /// Rooms and tasks.
    pub hub: Hub,
    /// What the hub was made from.
    hub_seed: HubSeed,
    /// The application's links, and what waits for them.
    pub backend: Pending,
    /// What happens later.
    pub wheel: Wheel<Timer>,
    /// The reminder of what time does to tasks and logs, and when it is due.
    pub aging: Option<(TimerId, Time)>,
    /// Rate windows of addresses.
    pub addresses: Addresses,
    /// Those who wait for a place.
    pub full_lines: FullLines,
    /// Sessions.
    pub session: Sessions,
    /// What was promised, and who waits for the store.
    pub commit: Commit,
    /// The time of the present input.
    pub now: Now,
    /// Secrets and spreads.
    pub random: Random,
    /// What is counted.
    pub statistics: Statistics,
    /// Whose connections are to end.
    pub dismissals: Vec<Dismissal>,
    /// How far the shutdown is.
    pub life: Life,
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
        Self {
            hub: Hub::new(settings.hub.clone(), hub_seed.clone()),
            hub_seed,
            transport: Transport::default(),
            backend: pending,
            wheel: Wheel::new(),
            aging: None,
            addresses: Addresses::new(hash),
            full_lines: FullLines::default(),
            session: Sessions::new(session_key),
            commit: Commit::default(),
            now,
            random,
            statistics: Statistics {
                traffic: Traffic::default(),
                notices: Notices::default(),
                started: now,
                memory,
            },
            dismissals: Vec::new(),
            life: Life::Serving,
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
            peers: &mut self.transport.peers,
            random: &mut self.random,
            store: &self.commit.durability,
            life: self.life,
            statistics: &self.statistics,
            dismissals: &mut self.dismissals,
        }
    }

    /// A hub as at the beginning: what was read of a store that then failed is not to stay.
    pub fn forget_hub(&mut self) {
        self.hub = Hub::new(self.settings.hub.clone(), self.hub_seed.clone());
        // Serials begin again, and shared frames are found by serial.
        self.transport.peers.handle_turn_end();
    }

    /// Connections, and what a step of theirs works with.
    pub fn step(&mut self) -> (&mut Transport, Step<'_>) {
        let step = Step {
            now: self.now,
            settings: &self.settings,
            wheel: &mut self.wheel,
            life: self.life,
        };
        (&mut self.transport, step)
    }

    /// The engine's side of the store, and what it works on.
    pub fn commit_parts(&mut self) -> (&mut Durability, Parts<'_>) {
        let parts = Parts {
            now: self.now,
            hub: &mut self.hub,
            delivery: self.transport.peers.delivery(&self.settings),
            wheel: &mut self.wheel,
            session_key: &mut self.session.key,
        };
        (&mut self.commit.durability, parts)
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
        self.transport
            .peers
            .variant(self.hub.directory().client(client).connection)
    }

    /// Tells a client why its message was not obeyed.
    pub fn refuse(&mut self, client: ClientKey, refusal: &Refusal, reply_to: Option<&str>) {
        self.context(Caller::Viewer)
            .refuse(client, refusal, reply_to);
    }

    /// Sends a connection a message that is encoded already.
    pub fn answer(&mut self, connection: ConnectionId, message: &[u8], variant: Variant) {
        let mut delivery = self.transport.peers.delivery(&self.settings);
        let encoded = delivery.answer(connection, message, variant);
        self.hub.load().encode(encoded);
    }

    /// A frame around a message that is encoded already; the turn is charged for it.
    pub fn frame(&mut self, message: &[u8], variant: Variant) -> EncodedFrame {
        let mut delivery = self.transport.peers.delivery(&self.settings);
        let (frame, encoded) = delivery.frame(message, variant);
        self.hub.load().encode(encoded);
        frame
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

    /// Sets the reminders that the hub has asked for.
    pub fn arm_timers(&mut self) {
        // What a store has been read of so far may have to be forgotten again.
        if self.commit.durability.is_unread() {
            return;
        }
        while let Some((at, timer)) = self.hub.poll_timer() {
            self.wheel.schedule(at, Timer::Hub(timer));
        }
        self.arm_aging();
    }

    /// Tasks and logs share one reminder, which moves with the first that is due.
    fn arm_aging(&mut self) {
        let State {
            aging, wheel, hub, ..
        } = self;
        let due = hub.next_aging();
        if due == aging.map(|(_, at)| at) {
            return;
        }
        let moved = due
            .zip(*aging)
            .filter(|(at, (id, _))| wheel.reschedule(*id, *at));
        *aging = match (moved, due) {
            (Some((at, (id, _))), _) => Some((id, at)),
            (None, Some(at)) => Some((wheel.schedule(at, Timer::Hub(hub::Timer::Aging)), at)),
            (None, None) => {
                aging.map(|(id, _)| wheel.cancel(id));
                None
            }
        };
    }
}
