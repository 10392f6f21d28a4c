//! Floor 3: the whole server without its sockets. Connections, hub, timers and policy; still pure.
//!
//! Bytes, connects, closes, the store's outcomes and time come in; what is to be written, read, closed or kept goes out. A test
//! can do all of that without a socket, and a year in a second.
//!
//! # The order of a turn
//!
//! A turn is one pass of the loop, and everything in it has the same time. The order below is not a matter of taste: each step
//! relies on the one before.
//!
//! 1. [`Engine::begin_turn`]: peers that brought too much in an earlier one go on, each with
//!    its part, before anybody new is read. They waited, so they go first.
//! 2. [`Engine::accept`], [`Engine::handle_input`], [`Engine::command`]: the turn's input. Each is carried through to its end
//!    before the next: a connection that ends has left the hub, the application and its address when the call returns. Nothing is
//!    written; outboxes fill.
//! 3. [`Engine::handle_time`]: timers. They run after the input, because input that has come by then may have cancelled them.
//! 4. [`Engine::settle`]: progress that was marked becomes messages, once for each task however often it moved; readers that were
//!    behind go on as far as the turn has room; confirmations are asked for; whoever is too far behind is ended. It comes after
//!    all input, so that one answer or one frame speaks for all of it.
//! 5. [`Engine::poll_batch`]: what is to be kept of the turn. It comes after `settle`, so that a batch holds what viewers are told.
//! 6. [`Engine::poll_output`], until there is no more: one write for each connection that has anything, answers and small rooms
//!    before crowds.
//! 7. [`Engine::handle_turn_end`]: what the turn cost sets the pace of the next.
//!
//! # Where things are
//!
//! This file is the mediator: the only one that knows all the others. `state` has what it owns. `transport` has connections and
//! bytes, `session` viewers, `backend` the application, `api` the calls, `access` who may what, `commit` the store. `context` is
//! what a call, a message or a command may use, `answer` and `refusal` are what they give back, `boundary` is what crosses to the
//! shell. `http`, `reading`, `timeouts`, `teardown`, `admission` and `shutdown` lead from one owner to another: a request, bytes,
//! a look at a connection, its end, those who waited for the store, the end of all.

pub mod access;
pub mod admission;
pub mod answer;
pub mod api;
pub mod backend;
pub mod boundary;
pub mod commands;
pub mod commit;
pub mod context;
pub mod http;
pub mod inspect;
pub mod life;
pub mod notices;
pub mod reading;
pub mod refusal;
pub mod session;
pub mod settings;
pub mod shutdown;
pub mod state;
pub mod statistics;
pub mod teardown;
pub mod timeouts;
pub mod timer;
pub mod traffic;
pub mod transport;

pub use crate::hub::{Batch, ConnectionId, Restored};
pub use access::permission::Permission;
pub use boundary::{Input, MemoryProbe, MemoryUse, Output};
pub use settings::{HttpSettings, Reconnect, RoutesSettings, Settings, WebSocketSettings};
pub use transport::peer::Services;

use crate::base::time::{Now, Span, Time};
use crate::conn::Ending;
use crate::hub::budget::Workload;
use crate::hub::{self, Work};
use access::caller::Caller;
use access::connection_rate::MINUTE;
use api::ingest;
use backend::outbound;
use commit::release;
use context::Context;
use core::net::IpAddr;
use inspect::Inspection;
use refusal::Refusal;
use session::{acknowledgement, catching_up, deferrals, farewell};
use state::State;
use timer::Timer;
use transport::peer::Reading;

/// Fewer clients than this are no crowd whose backlog says something of the server.
const MIN_CROWD: usize = 8;

/// The whole server as a state machine: `handle_*` in, `poll_*` out.
pub struct Engine {
    state: State,
    turn_began: Time,
}

impl Engine {
    /// A server that has just begun. The same seed and the same inputs give the same outputs.
    pub fn new(settings: Settings, now: Now, seed: [u8; 32], memory: MemoryProbe) -> Self {
        Self {
            state: State::new(settings, now, seed, memory),
            turn_began: now.at,
        }
    }

    /// What the server holds, to be read.
    pub fn inspect(&self) -> Inspection<'_> {
        Inspection::new(&self.state)
    }

    /// What this turn has cost, and what one may cost.
    pub fn load(&mut self) -> &mut Workload {
        self.state.hub.load()
    }

    /// Carries out a command of the program that joblight is a part of.
    pub fn command<T>(&mut self, now: Now, command: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.state.now = now;
        let result = command(&mut self.state.context(Caller::Program));
        farewell::dismiss_all(&mut self.state, now);
        result
    }

    /// A peer has connected to a listener; the link names its connection from now on.
    pub fn accept(
        &mut self,
        now: Now,
        services: Services,
        address: Option<IpAddr>,
    ) -> ConnectionId {
        self.state.now = now;
        let (transport, mut step) = self.state.step();
        let connection = transport.accept(&mut step, services, address);
        match services.ingest() {
            true => {
                self.state.commit.lobby.has_producers |= self.state.commit.durability.is_unread()
            }
            false => {
                deferrals::check_connections(&mut self.state, now, connection);
            }
        }
        connection
    }

    /// The configuration, the only copy of it: to reload it is to assign it.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.state.settings
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.state.transport.peers.len()
    }

    /// Closes the oldest connection that has sent no request, so that another may come; `None`: all have sent one.
    pub fn make_room(&mut self, now: Now) -> Option<ConnectionId> {
        let state = &mut self.state;
        state.now = now;
        let oldest = state
            .transport
            .newcomers
            .poll_oldest(now.at, &state.transport.peers)?;
        teardown::remove(state, oldest);
        state
            .transport
            .newcomers
            .count(now.at, state.transport.peers.len(), true);
        Some(oldest)
    }

    /// What a connection is told for which there is no place, whatever it asks.
    pub fn refuse_connection(&mut self, now: Now) -> Vec<u8> {
        let state = &mut self.state;
        state
            .transport
            .newcomers
            .count(now.at, state.transport.peers.len(), false);
        state.statistics.traffic.refused += 1;
        let detail = "the server has as many connections as it can have (server.max_connections, \
                      or the limit of open files); come back later";
        let refusal = Refusal::limit_exceeded(detail).retry_after_s(1);
        state.transport.unread_answer(now, &refusal.into())
    }

    /// The process stood still for a while. What its peers have sent meanwhile may still be on its way, so they count as
    /// heard, and have their time once more.
    pub fn forgive_pause(&mut self, now: Now) {
        self.state.transport.forgive(now.at);
    }

    /// These have sent more than was read of them: what is due for them now is due one turn later.
    pub fn spare(&mut self, unread: impl Iterator<Item = ConnectionId>) {
        self.state.transport.spare(unread);
    }

    /// The most that one turn has done so far.
    pub fn peak(&self) -> Work {
        self.state.hub.peak()
    }

    /// Something has happened to a connection. What is stale is ignored.
    pub fn handle_input(&mut self, now: Now, connection: ConnectionId, input: Input<'_>) {
        self.state.now = now;
        match input {
            Input::Received(bytes) => {
                reading::handle_bytes(&mut self.state, now, connection, bytes)
            }
            Input::Sent { bytes, blocked } => self.handle_sent(now, connection, bytes, blocked),
            Input::Ended => self.handle_ended(now, connection),
            Input::Failed => teardown::remove(&mut self.state, connection),
        }
    }

    /// A turn begins.
    pub fn begin_turn(&mut self, now: Now) {
        self.turn_began = now.at;
        self.state.now = now;
        self.state.transport.turn.begin();
        reading::resume_cut(&mut self.state, now);
    }

    /// Time has passed: everything that is due happens. It comes after the input that had come by then.
    pub fn handle_time(&mut self, now: Now) {
        self.state.now = now;
        self.state.wheel.advance(now.at);
        while let Some(expired) = self.state.wheel.pop_expired() {
            self.handle_timer(now, expired.payload);
        }
        self.state.arm_timers();
    }

    /// Begins the end of the server; a second call ends it at once.
    pub fn shut_down(&mut self, now: Now) {
        self.state.now = now;
        shutdown::shut_down(&mut self.state, now);
        self.state.commit.durability.handle_delay();
        admission::serve_lobby(&mut self.state, now);
    }

    /// The turn's inputs are in: what was marked goes to the outboxes.
    pub fn settle(&mut self, now: Now) {
        let state = &mut self.state;
        state.now = now;
        let mut delivery = state.transport.peers.delivery(&state.settings);
        state.hub.settle(now, &mut delivery);
        catching_up::resume_postponed(state, now);
        acknowledgement::tell_evicted(&mut state.context(Caller::Program));
        let State {
            session,
            hub,
            transport,
            wheel,
            ..
        } = state;
        session.questions.ask(now, hub, &mut transport.peers, wheel);
        self.drop_slow(now);
        let state = &mut self.state;
        let sent = state.transport.peers.take_sent();
        if sent > 0 {
            state.statistics.traffic.sent.record(now.at, sent);
        }
        self.state.arm_timers();
    }

    /// Ends whoever is too far behind to be sent any more, and tells those who waited for the application behind it.
    fn drop_slow(&mut self, now: Now) {
        loop {
            outbound::tell_of_lost(&mut self.state, now);
            let Some(connection) = self.state.transport.peers.poll_overflowed() else {
                return;
            };
            let peer = self.state.transport.peers.peer(connection);
            if peer.is_some_and(|peer| peer.connection.is_open()) {
                farewell::drop_slow(&mut self.state, now, connection);
            }
        }
    }

    /// Takes back what a store has kept, all at once and before anything happens; from now on changes go to it.
    pub fn restore(&mut self, now: Now, restored: &Restored) {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        durability.restore_all(&mut parts, restored);
        self.state.arm_timers();
    }

    /// A store is being opened. Until it is read, slice by slice, nothing is decided.
    pub fn await_store(&mut self, now: Now) {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        durability.await_store(&mut parts);
    }

    /// The store could not be opened, or not be read to its end; it is going to be tried again.
    pub fn handle_store_unopened(&mut self, now: Now, reason: String) {
        self.state.now = now;
        if self.state.commit.durability.handle_unopened(reason) {
            self.state.forget_hub();
        }
        admission::serve_lobby(&mut self.state, now);
    }

    /// The next slice of what the store holds, in the order of its tables. After the first that follows
    /// [`Engine::handle_store_unopened`] all of them are read again.
    pub fn handle_store_slice(&mut self, now: Now, slice: &Restored) {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        durability.handle_slice(&mut parts, slice);
    }

    /// That was all. Service begins when the batches are kept that come now.
    pub fn handle_store_read(&mut self, now: Now) {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        durability.handle_read(&mut parts);
        admission::serve_lobby(&mut self.state, now);
        self.state.arm_timers();
    }

    /// Whether the store is being opened for the first time, which takes a moment: who can wait need not be refused.
    pub fn is_opening(&self) -> bool {
        self.state.commit.durability.is_opening()
    }

    /// Whether the store has taken too long over a batch, and has not answered since.
    pub fn is_store_silent(&self) -> bool {
        self.state.commit.durability.is_silent()
    }

    /// How long connections may drain at the end.
    pub fn shutdown_timeout(&self) -> Span {
        self.state.settings.shutdown_timeout
    }

    /// Records for the store, which are to be kept together. The next come when [`Engine::handle_stored`] was told of
    /// these.
    pub fn poll_batch(&mut self, now: Now) -> Option<Batch> {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        let batch = durability.poll_batch(&mut parts);
        release::say_released(&mut self.state, now);
        batch
    }

    /// What has not gone to the store, when the server has stopped.
    pub fn last_batch(&mut self) -> Option<Batch> {
        let (durability, mut parts) = self.state.commit_parts();
        durability.last_batch(&mut parts)
    }

    /// The store has kept a batch, or has not: why.
    pub fn handle_stored(&mut self, now: Now, seq: u64, result: Result<(), String>) {
        self.state.now = now;
        let (durability, mut parts) = self.state.commit_parts();
        durability.handle_stored(&mut parts, seq, result);
        release::say_released(&mut self.state, now);
        admission::serve_lobby(&mut self.state, now);
        self.state.arm_timers();
    }

    /// The next thing to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.state.transport.poll_output() {
            return Some(output);
        }
        while let Some(connection) = self.state.transport.peers.poll_dirty() {
            let Some(peer) = self.state.transport.peers.peer(connection) else {
                continue;
            };
            if peer.blocked {
                continue;
            }
            if !peer.connection.outbox.is_empty() {
                return Some(Output::Write(connection));
            }
            teardown::handle_drained(&mut self.state, connection);
            if let Some(output) = self.state.transport.poll_output() {
                return Some(output);
            }
        }
        shutdown::end_idle(&mut self.state);
        self.state.transport.poll_output()
    }

    /// When [`Engine::handle_time`] must be called at the latest; `None`: only input can change anything.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state.transport.cut.is_empty() {
            true => self.next_timer(),
            false => Some(self.turn_began),
        }
    }

    /// When the first timer is due.
    pub fn next_timer(&self) -> Option<Time> {
        self.state.wheel.next_deadline()
    }

    /// Whether input of peers is kept that is to be handled in the next turn.
    pub fn has_input(&self) -> bool {
        !self.state.transport.cut.is_empty()
    }

    /// Whether peers have brought so much in this turn that the others are to be read in the next.
    pub fn is_turn_full(&self) -> bool {
        self.state.transport.turn.is_full() || self.state.hub.is_turn_full()
    }

    /// The turn is over: everything was written that the sockets would take.
    pub fn handle_turn_end(&mut self, now: Now) {
        let state = &mut self.state;
        catching_up::arm(state, now);
        state.session.lists.release();
        state.transport.peers.handle_turn_end();
        // One slow reader among a handful is no pressure on the server.
        let clients = state.clients().max(MIN_CROWD);
        let backlogged_share = state.transport.peers.backlogged() as f64 / clients as f64;
        state.hub.handle_turn_end(
            now,
            now.at.saturating_since(self.turn_began),
            backlogged_share,
        );
        debug_assert!(
            state.transport.peers.backlogged() <= state.transport.peers.len(),
            "no more backlogged peers than peers"
        );
    }

    /// The unsent bytes of a connection, in order.
    pub fn unsent(&self, connection: ConnectionId) -> impl Iterator<Item = &[u8]> {
        self.state.transport.peers.unsent(connection)
    }

    /// Whether input of this connection may be read now. When not, [`Output::Read`] says when again.
    pub fn is_reading(&self, connection: ConnectionId) -> bool {
        self.state
            .transport
            .peers
            .peer(connection)
            .is_some_and(|peer| {
                let must_wait = peer.services.ingest() && self.state.commit.durability.is_unread();
                !peer.connection.has_stash() && !must_wait
            })
    }

    fn handle_sent(&mut self, now: Now, connection: ConnectionId, bytes: usize, blocked: bool) {
        let state = &mut self.state;
        state.transport.peers.handle_sent(connection, bytes);
        let Some(peer) = state.transport.peers.peer_mut(connection) else {
            return;
        };
        // A socket that was full takes more only when its peer has read: a sign of life.
        peer.alive |= peer.blocked && bytes > 0;
        // A burst may have made it wait before its socket was tried.
        let is_stuck = blocked && !std::mem::replace(&mut peer.blocked, blocked);
        peer.blocked = blocked;
        let drained = peer.connection.outbox.is_empty();
        let backlogged = !drained && (blocked || peer.backlogged);
        let is_backend = peer.is_backend();
        let is_news = state.transport.peers.set_backlogged(connection, backlogged);
        match (is_news || backlogged && is_stuck, backlogged) {
            (true, true) => {
                let (transport, mut step) = state.step();
                transport.watch_backlog(&mut step, connection);
            }
            (true, false) if state.transport.is_open_websocket(connection) => {
                let (transport, mut step) = state.step();
                transport.watch_heartbeat(&mut step, connection);
            }
            _ => {}
        }
        if is_backend {
            outbound::serve_waiting(state, now);
        }
        if drained {
            teardown::handle_drained(state, connection);
            // What it asks comes first: the states that it missed could keep it waiting again.
            reading::resume_reading(&mut self.state, now, connection);
        }
        let state = &mut self.state;
        match state.transport.client_of(connection).filter(|_| is_news) {
            Some(client) if backlogged => {
                let mut delivery = state.transport.peers.delivery(&state.settings);
                state.hub.handle_backlog(now, client, true, &mut delivery);
            }
            Some(client) => catching_up::handle_drained(state, now, client),
            None => {}
        }
        self.drop_slow(now);
    }

    /// A peer that sends no more may still read what it asked for.
    fn handle_ended(&mut self, now: Now, connection: ConnectionId) {
        let Some(peer) = self.state.transport.peers.peer(connection) else {
            return;
        };
        if peer.reading.is_held() {
            if let Some(peer) = self.state.transport.peers.peer_mut(connection) {
                peer.reading = Reading::HeldToEnd;
            }
            return;
        }
        let (owed, open) = (
            !peer.connection.outbox.is_empty(),
            peer.connection.is_open(),
        );
        if peer.services.ingest() {
            self.finish_producer(now, connection);
        }
        match (owed, open) {
            (false, _) => teardown::remove(&mut self.state, connection),
            (true, true) => teardown::end(&mut self.state, connection, Ending::Final),
            (true, false) => {
                if let Some(peer) = self.state.transport.peers.peer_mut(connection) {
                    peer.connection.end(Ending::Final);
                }
            }
        }
    }

    /// A local producer has gone: its last line counts, and what was wrong is said once.
    fn finish_producer(&mut self, now: Now, connection: ConnectionId) {
        let Some(mut stream) = self
            .state
            .transport
            .peers
            .peer_mut(connection)
            .and_then(|peer| peer.stream.take())
        else {
            return;
        };
        ingest::finish_lines(
            &mut self.state.hub,
            &mut self.state.transport.peers.delivery(&self.state.settings),
            now,
            &mut stream,
        );
        ingest::warn_of_errors(&stream.tally);
    }

    fn handle_timer(&mut self, now: Now, timer: Timer) {
        let state = &mut self.state;
        match timer {
            Timer::Connection(connection) => timeouts::look(state, now, connection),
            Timer::Hub(timer) => {
                if timer == hub::Timer::Aging {
                    state.aging = None;
                }
                let mut delivery = state.transport.peers.delivery(&state.settings);
                state.hub.handle_timer(now, timer, &mut delivery);
            }
            Timer::Answers => outbound::handle_timer(state, now),
            Timer::Store => state.commit.durability.handle_timer(),
            Timer::StoreAnswer => {
                let (durability, mut parts) = state.commit_parts();
                durability.handle_silence(&mut parts);
                release::say_released(state, now);
                admission::serve_lobby(&mut self.state, now);
            }
            Timer::Opening => {
                state.commit.durability.handle_delay();
                admission::serve_lobby(&mut self.state, now);
            }
            Timer::Lobby => {
                state.commit.lobby.is_armed = false;
                admission::serve_lobby(&mut self.state, now);
            }
            Timer::Probes => state.session.questions.handle_refill(),
            Timer::Postponed => state.session.is_resuming = false,
            Timer::Questions => {
                let State {
                    session,
                    hub,
                    transport,
                    wheel,
                    ..
                } = state;
                session
                    .questions
                    .handle_postponed(now, hub, &mut transport.peers, wheel);
            }
            Timer::Unfinished => timeouts::end_late(state, now),
            Timer::Addresses => {
                state.addresses.is_armed = state.addresses.forget_stale(now.at);
                if state.addresses.is_armed {
                    state.wheel.schedule(now.at + MINUTE, Timer::Addresses);
                }
            }
            Timer::ShutdownDeadline => shutdown::stop(state),
        }
    }
}
