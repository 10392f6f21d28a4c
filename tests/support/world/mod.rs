//! The world of every test in virtual time: what the shell is in production, and the peers behind it. It hands the engine
//! time and bytes and carries out what comes back. Time is a number, and between the engine and its peers lies a bus of bytes
//! with delay, cut, half-open and stall; on a bus without delay everything that follows from an input happens with it.
//!
//! It shares no code with the server and judges nothing: a test does, or a [`Witness`] that sees every turn.
#![allow(dead_code, reason = "each test uses what it needs")]

mod api;
mod bus;
mod conn;
mod follower;
mod frames;
mod store;

pub(crate) use api::{request, upgrade_request};
pub(crate) use bus::{Due, Network};
pub(crate) use conn::{Conn, Far};
pub(crate) use frames::Heard;
pub(crate) use store::Store;

use super::dice::Dice;
use follower::compare;
use joblight::Config;
use joblight::config::Auto;
use joblight::internals::base::{Now, Span, Time};
use joblight::internals::engine::{Batch, ConnectionId, Engine, MemoryUse, Output};
use joblight::internals::hub::Follower;
use joblight::internals::hub::Work;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Milliseconds since 1970 when a world begins.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;
/// How long clients may be away by default.
const SESSION_TTL_MS: u64 = 300_000;
/// Where the clock of a later life begins, as that of the shell does.
const HEAD_START_MS: u64 = 366 * 24 * 3_600_000;
/// An engine that wants to be called more often than this at one moment will never rest.
const MAX_TURNS_AT_ONCE: usize = 100;

/// Names a connection for good.
pub(crate) type PeerId = usize;

/// Something heard, and the virtual millisecond.
pub(crate) type Said = (u64, Heard);

/// Who sees every turn, and whenever the server has decided to end a connection.
pub(crate) trait Witness: Sized {
    fn turn_begins(_world: &mut World<Self>) {}
    fn turn_ends(_world: &mut World<Self>) {}
    fn connection_ends(_world: &mut World<Self>, _id: PeerId) {}
}

impl Witness for () {}

/// The engine, its peers, the bus between them and the store.
pub(crate) struct World<W: Witness = ()> {
    /// The server under test.
    pub(crate) engine: Engine,
    follower: Follower,
    /// The witness, and what it knows.
    pub(crate) own: W,
    pub(crate) micros: u64,
    pub(crate) conns: Vec<Conn>,
    /// Connections whose socket is full.
    pub(crate) blocked: BTreeSet<PeerId>,
    /// A connection that hears everything the moment it is out, before anybody else hears anything.
    pub(crate) first: Option<PeerId>,
    /// What the batches of the engine go to; `None`: the test takes them itself.
    pub(crate) store: Option<Store>,
    /// Batches that no store has taken, because the test plays it.
    batches: VecDeque<Batch>,
    /// Which life of the server this is, from 0.
    pub(crate) life: u32,
    pub(crate) dice: Dice,
    /// The engine asked for its listeners to be closed.
    pub(crate) listens: bool,
    /// The engine said that nothing is left to be done.
    pub(crate) stopped: bool,
    network: Network,
    /// Everything that follows from an input happens with it.
    is_prompt: bool,
    max_turns_at_once: usize,
    seed: u64,
    /// When this life began: on its own clock, and in virtual microseconds.
    clock_began: Time,
    life_began: u64,
    wall_began: u64,
    connections: HashMap<ConnectionId, PeerId>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    order: u64,
    /// On which connections something was heard, in order.
    heard: VecDeque<PeerId>,
    transcript: DefaultHasher,
}

impl World {
    /// A server with the default configuration, without rate limits, changed by `change`.
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_seed(1, change)
    }

    /// The same, with chance of one's own.
    pub(crate) fn with_seed(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        Self::begun(seed, Time::ZERO, EPOCH_MS, change)
    }

    /// The same, so many milliseconds after the others begin, and with room for what happened before.
    pub(crate) fn later(seed: u64, millis: u64, change: impl FnOnce(&mut Config)) -> Self {
        let clock = Time::from_millis(HEAD_START_MS);
        Self::begun(seed, clock, EPOCH_MS + millis, change)
    }

    /// The moment of a message's `timestamp`, in virtual milliseconds.
    pub(crate) fn moment(message: &Value) -> u64 {
        message["timestamp"].as_u64().expect("a timestamp") - EPOCH_MS
    }

    /// A virtual millisecond on the wall clock.
    pub(crate) fn wall_ms(millis: u64) -> u64 {
        EPOCH_MS + millis
    }

    fn begun(seed: u64, clock: Time, wall_ms: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.storage.path = String::new();
        config.websocket.rate_limit.max_connections_per_minute = 0;
        config.websocket.rate_limit.max_messages_per_minute = 0;
        config.server.trusted_proxies = Vec::new();
        config.server.max_connections_per_address = 0;
        config.websocket.max_clients_per_address = 0;
        change(&mut config);
        Self::on(Network::PROMPT, (), seed, (clock, wall_ms), &config)
    }
}

impl<W: Witness> World<W> {
    pub(crate) fn connected_clients(&self) -> usize {
        let clients = self.engine.inspect().clients();
        clients.filter(|client| !client.is_away).count()
    }

    /// How many sessions wait for their clients.
    pub(crate) fn clients_away(&self) -> usize {
        self.engine.inspect().clients().count() - self.connected_clients()
    }

    /// A server with that configuration, whose peers are on that network.
    pub(crate) fn on(
        network: Network,
        own: W,
        seed: u64,
        (clock, wall_ms): (Time, u64),
        config: &Config,
    ) -> Self {
        let now = Now { at: clock, wall_ms };
        let mut engine = engine(config, seed, 0, now);
        Self {
            follower: engine.follower(),
            engine,
            own,
            micros: 0,
            conns: Vec::new(),
            blocked: BTreeSet::new(),
            first: None,
            store: None,
            batches: VecDeque::new(),
            life: 0,
            dice: Dice::new((seed ^ 0x5eed) + 1),
            listens: true,
            stopped: false,
            network,
            is_prompt: network.delay_ms == 0 && network.is_prompt,
            max_turns_at_once: MAX_TURNS_AT_ONCE,
            seed,
            clock_began: clock,
            life_began: 0,
            wall_began: wall_ms,
            connections: HashMap::new(),
            due: BinaryHeap::new(),
            order: 0,
            heard: VecDeque::new(),
            transcript: DefaultHasher::new(),
        }
    }

    /// The process begins another life now: connections are gone.
    pub(crate) fn begin_life(&mut self, config: &Config) {
        self.first = None;
        self.connections.clear();
        self.blocked.clear();
        (self.listens, self.stopped) = (true, false);
        (self.life, self.life_began) = (self.life + 1, self.micros);
        self.engine = engine(config, self.seed, self.life, self.now());
        self.follower = self.engine.follower();
    }

    /// Another configuration holds from now on.
    pub(crate) fn reload(&mut self, config: &Config) {
        *self.engine.settings_mut() = config.engine_settings(config.server.max_connections);
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn millis(&self) -> u64 {
        self.micros / 1000
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            at: self.clock_began + Span::from_micros(self.micros - self.life_began),
            wall_ms: self.wall_began + self.millis(),
        }
    }

    /// A number for all that the engine has ever put out.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript.finish()
    }

    /// A turn does next to nothing for single readers, so that most of what is due to them is postponed: at one moment
    /// there may be many turns.
    pub(crate) fn postpone_readers(&mut self) {
        let next_to_nothing = Work {
            visited: 3,
            encoded: 400,
        };
        let load = self.engine.load();
        load.set_reader_budget(next_to_nothing);
        self.max_turns_at_once = 20_000;
    }

    /// Lets time pass, calling the engine whenever it wants to be called, or something arrives, and at no other moment.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.micros + millis * 1000;
        let mut turns = 0;
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            turns = if at > self.micros { 0 } else { turns + 1 };
            assert!(turns < self.max_turns_at_once, "the engine spins at {at}");
            self.micros = self.micros.max(at);
            self.turn(|_| {});
        }
        self.micros = end;
    }

    /// When the engine wants to be called or something arrives, in virtual microseconds.
    fn next_wake(&self) -> Option<u64> {
        let timeout = self.engine.poll_timeout();
        let timeout =
            timeout.map(|at| self.life_began + at.saturating_since(self.clock_began).as_micros());
        timeout.into_iter().chain(self.next_arrival()).min()
    }

    /// One turn of the loop, with these inputs.
    pub(crate) fn turn(&mut self, inputs: impl FnOnce(&mut Self)) {
        self.long_turn(0, inputs);
        while self.is_prompt && self.next_arrival().is_some_and(|at| at <= self.micros) {
            self.long_turn(0, |_| {});
        }
    }

    /// A turn that takes a while: time passes between its inputs and its end.
    pub(crate) fn long_turn(&mut self, millis: u64, inputs: impl FnOnce(&mut Self)) {
        W::turn_begins(self);
        self.engine.begin_turn(self.now());
        self.arrive();
        inputs(self);
        self.engine.handle_time(self.now());
        self.micros += millis * 1000;
        self.engine.settle(self.now());
        self.carry_out();
        self.engine.handle_turn_end(self.now());
        self.engine.lead(&mut self.follower);
        W::turn_ends(self);
    }

    /// SIGTERM.
    pub(crate) fn shut_down(&mut self) {
        let now = self.now();
        self.turn(|world| world.engine.shut_down(now));
    }

    /// A store of its own keeps a batch after a while; without one it waits for whoever plays the store.
    fn append(&mut self, batch: Batch) {
        let Some(store) = &mut self.store else {
            return self.batches.push_back(batch);
        };
        store.begin(batch);
        let delay = self.dice.between(0, store.millis * 1000);
        self.plan_due(self.micros + delay, Due::Stored(self.life));
    }

    /// The next batch, if one is due, where the test plays the store.
    pub(crate) fn batch(&mut self) -> Option<Batch> {
        if self.batches.is_empty() {
            self.turn(|_| {});
        }
        self.batches.pop_front()
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            (self.micros, format!("{output:?}")).hash(&mut self.transcript);
            match output {
                Output::Append(batch) => self.append(batch),
                Output::Write(connection) => {
                    if let Some(id) = self.connections.get(&connection) {
                        self.write(*id);
                    }
                }
                Output::Read(connection) => {
                    if let Some(id) = self.connections.get(&connection) {
                        self.read_again(*id);
                    }
                }
                Output::HalfClose(connection) => {
                    self.handle_half_close(self.connections[&connection])
                }
                Output::Close(connection) => {
                    let id = self.connections.remove(&connection);
                    self.handle_close(id.expect("a socket is closed once"));
                }
                Output::StopListening => self.listens = false,
                Output::Stopped => self.stopped = true,
            }
        }
    }

    /// Fails unless a hub that was led through all changes holds the same shared state.
    pub(crate) fn check_follower(&mut self) {
        self.engine.lead(&mut self.follower);
        compare(&self.engine, &self.follower, self.now());
    }

    /// Fails unless nothing is left of any connection, session, room, task or timer.
    pub(crate) fn assert_empty(&mut self) {
        let away = |world: &Self| {
            let clients = world.engine.inspect().clients();
            clients.filter(|client| client.is_away).count()
        };
        while let Some(before) = Some(away(self)).filter(|count| *count > 0) {
            self.run_for(SESSION_TTL_MS);
            assert!(away(self) < before, "sessions");
        }
        let held = self.engine.inspect();
        assert_eq!(held.connections(), 0, "connections");
        assert_eq!(held.unsent_messages(), 0, "unsent messages");
        assert_eq!(held.rooms().len(), 0, "rooms");
        assert_eq!(held.task_ids().count(), 0, "tasks");
        assert_eq!(held.pending_progress(), 0, "pending progress");
        assert_eq!(held.backend_requests(), 0, "messages for the application");
        assert_eq!(held.timers(), 0, "timers");
        let timeout = self.engine.poll_timeout();
        assert_eq!(timeout, None, "an empty server wakes for nothing");
    }
}

impl<W: Witness> Drop for World<W> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_follower();
        }
    }
}

fn engine(config: &Config, seed: u64, life: u32, now: Now) -> Engine {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&life.to_le_bytes());
    let memory = || MemoryUse {
        used: 1,
        total: 100,
    };
    let settings = config.engine_settings(config.server.max_connections);
    Engine::new(settings, now, bytes, Box::new(memory))
}

/// So many connections of an address at once and in each minute.
pub(crate) fn limit_connections(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_connections_per_minute = count;
    limits.connection_burst = Auto::Number(count);
}

/// So many messages of a client at once and in each minute.
pub(crate) fn limit_messages(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_messages_per_minute = count;
    limits.message_burst = Auto::Number(count);
}
