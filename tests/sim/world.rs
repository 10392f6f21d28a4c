//! What the shell is in production: it hands the engine time and bytes and carries out what comes back. Here time is a
//! number, and between the engine and its peers lies a bus of bytes with delay, cut, half-open and stall.

use super::dice::Dice;
use super::ending::Ending;
use super::frames::{Decoder, Heard};
use super::masked::{BINARY, PONG, TEXT, masked};
use super::plan::Plan;
use super::store::Store;
use joblight::internals::base::{Now, Time};
use joblight::internals::engine::{ConnectionId, Engine, Input, MemoryUse, Output, Services};
use joblight::internals::hub::Work;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Milliseconds since 1970 when a world begins.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;
/// An engine that wants to be called more often than this at one moment will never rest. Where a turn does next to nothing
/// for a reader, a crowd on a network without delay takes many.
const MAX_TURNS_AT_ONCE: usize = 20_000;
/// Names a connection for good.
pub(crate) type ConnId = usize;

/// Something that happens on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Bytes reach the server.
    ToServer(ConnId),
    /// Bytes reach the peer.
    ToPeer(ConnId),
    /// The server learns that the peer sends no more.
    Ended(ConnId),
    /// The server learns that the connection is gone.
    Failed(ConnId),
    /// The store is done, in that life.
    Stored(u32),
}

/// How the far end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// It is there.
    Here,
    /// It has gone and its machine says so.
    Gone,
    /// It has gone and nobody says so.
    Vanished,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) connection: ConnectionId,
    pub(crate) far: Far,
    /// The server still has it.
    pub(crate) is_open: bool,
    /// Its bytes take no time: a producer's.
    is_instant: bool,
    /// Its socket has ever been full.
    pub(crate) was_blocked: bool,
    /// Since when its peer has not been reading.
    pub(crate) stalled_at: Option<u64>,
    pub(crate) decoder: Decoder,
    to_server: VecDeque<(u64, Vec<u8>)>,
    to_peer: VecDeque<(u64, Vec<u8>)>,
    /// Bytes written and not read by the peer.
    buffered: usize,
    /// Bytes that have arrived while the server does not read.
    unread: Vec<u8>,
    pub(crate) is_blocked: bool,
    /// When the server's socket last took something, or first refused.
    pub(crate) taken_at: u64,
    /// The server has decided to end it.
    pub(crate) is_ending: bool,
    /// When the server last heard of its peer.
    pub(crate) fed_at: u64,
    /// What it was owed when the last turn ended in which it was blocked.
    pub(crate) owed: Option<(usize, usize)>,
}

/// The connection that hears all news of workspaces the moment they are out.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) conn: Option<ConnId>,
    /// How many messages it has heard.
    heard: usize,
    /// How many of them must outlive the process.
    pub(crate) kept: usize,
}

impl Observer {
    pub(crate) fn at(conn: ConnId) -> Self {
        Self {
            conn: Some(conn),
            ..Self::default()
        }
    }

    /// Whether everything that it has heard must outlive the process.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept == self.heard
    }
}

/// The engine, its peers, the bus and the store.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) plan: Plan,
    pub(crate) store: Store,
    /// How the store is: whether it fails, and how long it takes at most.
    pub(crate) store_fails: bool,
    pub(crate) store_ms: u64,
    pub(crate) life: u32,
    pub(crate) micros: u64,
    pub(crate) conns: Vec<Conn>,
    /// What was heard, in order.
    pub(crate) heard: VecDeque<(ConnId, Heard)>,
    pub(crate) dice: Dice,
    pub(crate) observer: Observer,
    pub(crate) ending: Ending,
    began: u64,
    links: HashMap<ConnectionId, ConnId>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    order: u64,
    pub(crate) blocked: BTreeSet<ConnId>,
    transcript: DefaultHasher,
}

impl World {
    /// A server that has just begun.
    pub(crate) fn new(plan: Plan) -> Self {
        let now = Now {
            at: Time::ZERO,
            wall_ms: EPOCH_MS,
        };
        let mut world = Self {
            engine: engine(&plan, now, 0),
            store: Store::default(),
            store_fails: false,
            store_ms: plan.store_ms,
            life: 0,
            micros: 0,
            conns: Vec::new(),
            heard: VecDeque::new(),
            dice: Dice::new((plan.seed ^ 0x5eed) + 1),
            observer: Observer::default(),
            ending: Ending::default(),
            began: 0,
            links: HashMap::new(),
            due: BinaryHeap::new(),
            order: 0,
            blocked: BTreeSet::new(),
            transcript: DefaultHasher::new(),
            plan,
        };
        if world.plan.stores {
            world.engine.restore(now, &world.store.restored());
        }
        world
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn millis(&self) -> u64 {
        self.micros / 1000
    }

    /// A number for all that the engine has put out.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript.finish()
    }

    /// Kills the process and begins another life; connections are gone. By chance what was under way to the store is kept,
    /// and peers hear what was on its way to them.
    pub(crate) fn crash(&mut self) {
        for id in 0..self.conns.len() {
            if self.conns[id].is_open {
                self.hear_rest(id);
            }
        }
        let keep = self.dice.one_in(2);
        self.store.crash(keep);
        self.begin_life();
    }

    pub(crate) fn begin_life(&mut self) {
        self.observer.conn = None;
        self.links.clear();
        self.blocked.clear();
        self.micros += self.dice.pick(&[1_000, 1_000_000, 20_000_000]);
        (self.life, self.began) = (self.life + 1, self.micros);
        let now = self.now();
        self.engine = engine(&self.plan, now, self.life);
        let kept = self.observer.kept;
        match self.dice.one_in(2) {
            true => self.engine.restore(now, &self.store.restored()),
            false => self.open_late(),
        }
        self.turn(|_| {});
        // What was heard in the life before is not kept by what this one keeps.
        self.observer.kept = kept;
    }

    fn hear_rest(&mut self, id: ConnId) {
        let may_hear = self.dice.one_in(2);
        let conn = &mut self.conns[id];
        conn.is_open = false;
        conn.to_server.clear();
        let rest: Vec<u8> = conn
            .to_peer
            .drain(..)
            .flat_map(|(_, bytes)| bytes)
            .collect();
        if may_hear && conn.far == Far::Here && !rest.is_empty() {
            let heard = &mut self.heard;
            conn.decoder
                .push(&rest, |message| heard.push_back((id, message)));
        }
        conn.far = Far::Gone;
    }

    /// Lets time pass, calling the engine whenever it wants to be called, or something arrives, and at no other moment.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.micros + millis * 1000;
        let mut turns = 0;
        loop {
            let timeout = self.engine.poll_timeout();
            let timeout = timeout.map(|at| self.began + at.as_micros());
            let arrival = self.due.peek().map(|Reverse((at, ..))| *at);
            let next = timeout.into_iter().chain(arrival).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            turns = if at > self.micros { 0 } else { turns + 1 };
            assert!(turns < MAX_TURNS_AT_ONCE, "the engine spins at {at}");
            self.micros = self.micros.max(at);
            self.turn(|_| {});
        }
        self.micros = end;
    }

    /// One turn of the loop, with these inputs.
    pub(crate) fn turn(&mut self, inputs: impl FnOnce(&mut Self)) {
        let (was_good, heard) = (self.is_good(), self.observer.heard);
        self.engine.begin_turn(self.now());
        while let Some(Reverse((at, _, due))) = self.due.peek().copied()
            && at <= self.micros
        {
            self.due.pop();
            self.happen(due);
        }
        inputs(self);
        self.engine.handle_time(self.now());
        self.engine.settle(self.now());
        self.hand_over();
        self.carry_out();
        self.engine.handle_turn_end(self.now());
        self.check_backlogs();
        self.check_kept();
        if self.is_good() && self.are_sessions_kept() {
            self.store.sessions_kept_ms = self.millis();
        }
        let is_news = self.observer.heard > heard;
        if self.is_good() && (was_good && is_news || self.is_everything_kept()) {
            self.observer.kept = self.observer.heard;
        }
    }

    /// A peer connects. An instant one hears and is heard at once.
    pub(crate) fn connect(&mut self, services: Services, is_instant: bool) -> ConnId {
        let (now, id) = (self.now(), self.conns.len());
        let mut connection = None;
        self.turn(|world| {
            connection = Some(
                world
                    .engine
                    .accept(now, services, Some([10, 0, 0, 1].into())),
            );
        });
        let connection = connection.expect("the turn accepted");
        self.links.insert(connection, id);
        self.conns.push(Conn {
            connection,
            far: Far::Here,
            is_open: true,
            is_instant,
            was_blocked: false,
            stalled_at: None,
            decoder: Decoder::default(),
            to_server: VecDeque::new(),
            to_peer: VecDeque::new(),
            buffered: 0,
            unread: Vec::new(),
            is_blocked: false,
            taken_at: self.micros,
            fed_at: self.micros,
            is_ending: false,
            owed: None,
        });
        id
    }

    /// A peer sends a message on its WebSocket, in the encoding that was agreed on; a reader of MessagePack may write JSON.
    pub(crate) fn send(&mut self, id: ConnId, message: &Value) {
        let is_packed = self.conns[id].decoder.is_packed && !self.dice.one_in(4);
        let frame = match is_packed {
            true => {
                let packed = rmp_serde::to_vec_named(message).expect("it can be packed");
                masked(BINARY, &packed)
            }
            false => masked(TEXT, message.to_string().as_bytes()),
        };
        self.say(id, frame);
    }

    /// A peer sends bytes; they take their time, and never overtake each other.
    pub(crate) fn say(&mut self, id: ConnId, bytes: Vec<u8>) {
        if self.conns[id].far != Far::Here {
            return;
        }
        if self.conns[id].is_instant {
            return self.turn(|world| world.feed(id, &bytes));
        }
        let delay = self.delay();
        let queue = &mut self.conns[id].to_server;
        let at = queue
            .back()
            .map_or(0, |(at, _)| *at)
            .max(self.micros + delay);
        queue.push_back((at, bytes));
        self.plan_due(at, Due::ToServer(id));
    }

    /// The peer stops reading.
    pub(crate) fn stall(&mut self, id: ConnId) {
        self.conns[id].stalled_at.get_or_insert(self.micros);
    }

    /// It reads again.
    pub(crate) fn resume(&mut self, id: ConnId) {
        if self.conns[id].stalled_at.take().is_some() {
            self.plan_due(self.micros, Due::ToPeer(id));
        }
    }

    /// The peer is gone. What was on its way to it is lost; the server learns of it as `far` says.
    pub(crate) fn cut(&mut self, id: ConnId, far: Far, politely: bool) {
        let at = self.micros + self.delay();
        let conn = &mut self.conns[id];
        if conn.far != Far::Here {
            return;
        }
        conn.far = far;
        conn.to_peer.clear();
        let at = conn.to_server.back().map_or(at, |(last, _)| at.max(*last));
        if far == Far::Gone {
            conn.buffered = 0;
            let due = if politely {
                Due::Ended(id)
            } else {
                Due::Failed(id)
            };
            self.plan_due(at, due);
        }
    }

    /// What is gone without a word is found out.
    pub(crate) fn reveal_vanished(&mut self) {
        for id in 0..self.conns.len() {
            if self.conns[id].far == Far::Vanished && self.conns[id].is_open {
                self.plan_due(self.micros, Due::Failed(id));
            }
        }
    }

    /// Whether a peer will hear nothing more on a connection.
    pub(crate) fn is_over(&self, id: ConnId) -> bool {
        let conn = &self.conns[id];
        !conn.is_open && (conn.to_peer.is_empty() || conn.stalled_at.is_some())
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            at: Time::from_micros(self.micros - self.began),
            wall_ms: EPOCH_MS + self.millis(),
        }
    }

    fn delay(&mut self) -> u64 {
        let most = self.plan.delay_ms * 1000;
        self.dice.between(most / 4, most)
    }

    fn plan_due(&mut self, at: u64, due: Due) {
        self.order += 1;
        self.due.push(Reverse((at, self.order, due)));
    }

    fn happen(&mut self, due: Due) {
        let now = self.now();
        match due {
            Due::ToServer(id) => {
                let due = self.conns[id].to_server.pop_front();
                self.feed(id, &due.map_or_else(Vec::new, |(_, bytes)| bytes));
            }
            Due::ToPeer(id) => self.reach(id),
            Due::Ended(id) if self.conns[id].is_open => {
                self.engine
                    .handle_input(now, self.conns[id].connection, Input::Ended);
            }
            Due::Failed(id) if self.conns[id].is_open => {
                self.engine
                    .handle_input(now, self.conns[id].connection, Input::Failed);
            }
            Due::Ended(_) | Due::Failed(_) => {}
            Due::Stored(life) if life == self.life => {
                let fails = self.store_fails;
                let seq = self.store.finish(!fails);
                let result = if fails {
                    Err("no space left".to_owned())
                } else {
                    Ok(())
                };
                self.engine.handle_stored(now, seq, result);
            }
            Due::Stored(_) => {}
        }
    }

    fn feed(&mut self, id: ConnId, bytes: &[u8]) {
        let now = self.now();
        let conn = &mut self.conns[id];
        if !bytes.is_empty() {
            conn.fed_at = self.micros;
        }
        conn.unread.extend_from_slice(bytes);
        if conn.is_open && !conn.unread.is_empty() && self.engine.is_reading(conn.connection) {
            let mut unread = std::mem::take(&mut conn.unread);
            self.engine
                .handle_input(now, conn.connection, Input::Received(&mut unread));
        }
    }

    /// The peer reads what has arrived; a socket that was full takes more.
    fn reach(&mut self, id: ConnId) {
        // A socket that has room again may bring others news before the turn ends; the observer hears them first.
        if let Some(observer) = self.observer.conn
            && let connection = self.conns[observer].connection
            && self.engine.unsent(connection).next().is_some()
        {
            self.write(observer);
        }
        let now = self.micros;
        let mut pongs = Vec::new();
        let conn = &mut self.conns[id];
        if conn.stalled_at.is_some() || conn.far != Far::Here {
            return;
        }
        while conn.to_peer.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, bytes)) = conn.to_peer.pop_front()
        {
            conn.buffered -= bytes.len();
            conn.decoder.push(&bytes, |heard| match heard {
                Heard::Ping(payload) => pongs.push(masked(PONG, &payload)),
                heard => self.heard.push_back((id, heard)),
            });
        }
        pongs.into_iter().for_each(|pong| self.say(id, pong));
        if self.conns[id].is_blocked && self.conns[id].is_open {
            self.write(id);
        }
    }

    fn hear_at_once(&mut self, id: ConnId, bytes: &[u8]) {
        let (now, mut pongs) = (self.micros, 0);
        let conn = &mut self.conns[id];
        conn.decoder.push(bytes, |heard| match heard {
            Heard::Ping(payload) => {
                conn.to_server.push_back((now, masked(PONG, &payload)));
                pongs += 1;
            }
            heard => {
                let is_news = matches!(heard, Heard::Message(_));
                let is_observed = self.observer.conn == Some(id);
                self.observer.heard += usize::from(is_observed && is_news);
                self.heard.push_back((id, heard));
            }
        });
        (0..pongs).for_each(|_| self.plan_due(now, Due::ToServer(id)));
    }

    fn hand_over(&mut self) {
        if self.store.is_busy() {
            return;
        }
        if let Some(batch) = self.engine.poll_batch(self.now()) {
            self.store.begin(batch);
            let delay = self.dice.between(0, self.store_ms * 1000);
            self.plan_due(self.micros + delay, Due::Stored(self.life));
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            (self.micros, format!("{output:?}")).hash(&mut self.transcript);
            match output {
                Output::Write(connection) => {
                    if let Some(id) = self.links.get(&connection) {
                        self.write(*id);
                    }
                }
                Output::Read(connection) => {
                    if let Some(id) = self.links.get(&connection).copied() {
                        self.plan_due(self.micros, Due::ToServer(id));
                        let at = self.micros;
                        self.conns[id].to_server.push_front((at, Vec::new()));
                    }
                }
                Output::HalfClose(connection) => self.handle_half_close(self.links[&connection]),
                Output::Close(connection) => {
                    if let Some(id) = self.links.remove(&connection) {
                        self.handle_close(id);
                    }
                }
                Output::StopListening => assert!(self.ending.has_begun, "nobody asked for it"),
                Output::Stopped => self.ending.is_over = true,
            }
        }
    }

    fn handle_half_close(&mut self, id: ConnId) {
        self.check_closing(id);
        let conn = &self.conns[id];
        if conn.far == Far::Here && conn.stalled_at.is_none() {
            let at = conn.to_peer.back().map_or(self.micros, |(at, _)| *at);
            self.plan_due(at.max(self.micros), Due::Ended(id));
        }
    }

    fn handle_close(&mut self, id: ConnId) {
        self.check_closing(id);
        assert!(self.conns[id].is_open, "a socket is closed once");
        self.conns[id].is_open = false;
        self.blocked.remove(&id);
    }

    /// Writes what is unsent, as far as there is room between the socket and its reader.
    fn write(&mut self, id: ConnId) {
        let (now, delay) = (self.now(), self.delay());
        if !self.conns[id].is_open {
            return;
        }
        self.look_for_ending(id);
        let conn = &mut self.conns[id];
        let mut unsent = self
            .engine
            .unsent(conn.connection)
            .collect::<Vec<_>>()
            .concat();
        let owed = unsent.len();
        let room = match conn.far {
            Far::Gone => usize::MAX,
            _ if conn.is_instant => usize::MAX,
            _ => self.plan.buffer_bytes - conn.buffered,
        };
        unsent.truncate(room);
        let bytes = unsent.len();
        unsent.hash(&mut self.transcript);
        let was_blocked = std::mem::replace(&mut conn.is_blocked, bytes < owed);
        if bytes > 0 || !was_blocked {
            (conn.taken_at, conn.owed) = (self.micros, None);
        }
        conn.was_blocked |= conn.is_blocked;
        match conn.is_blocked {
            true => self.blocked.insert(id),
            false => self.blocked.remove(&id),
        };
        let blocked = conn.is_blocked;
        if conn.is_instant {
            self.hear_at_once(id, &unsent);
        } else if conn.far != Far::Gone && bytes > 0 {
            conn.buffered += bytes;
            let last = conn.to_peer.back().map_or(0, |(at, _)| *at);
            let at = last.max(self.micros + delay);
            conn.to_peer.push_back((at, unsent));
            self.plan_due(at, Due::ToPeer(id));
        }
        let connection = self.conns[id].connection;
        self.engine
            .handle_input(now, connection, Input::Sent { bytes, blocked });
    }
}

fn engine(plan: &Plan, now: Now, life: u32) -> Engine {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&plan.seed.to_le_bytes());
    seed[8..12].copy_from_slice(&life.to_le_bytes());
    let memory = || MemoryUse {
        used: 1,
        total: 100,
    };
    let mut engine = Engine::new(plan.config().engine_settings(), now, seed, Box::new(memory));
    if plan.postpones {
        let next_to_nothing = Work {
            visited: 3,
            encoded: 400,
        };
        engine.state_mut().hub.load().set_measure(next_to_nothing);
    }
    engine
}
