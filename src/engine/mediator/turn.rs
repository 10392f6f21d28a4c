//! A turn from outside: its time, its end, and what goes out. The order is in the documentation of [`engine`](crate::engine).

use super::engine::Engine;
use super::inspect::Inspection;
use crate::base::time::{Now, Span, Time};
use crate::engine::access::caller::Caller;
use crate::engine::access::connection_rate::MINUTE;
use crate::engine::boundary::Output;
use crate::engine::context::Context;
use crate::engine::settings::Settings;
use crate::engine::timer::Timer;
use crate::engine::transport::peer::Peer;
use crate::hub::budget::{PAUSE, Workload};
use crate::hub::follow::Follower;
use crate::hub::{self, Batch, ClientKey, ConnectionId, Restored};
use crate::wire::refusal::Refusal;

/// Fewer clients than this are no crowd whose backlog says something of the server.
const MIN_CROWD: usize = 8;

/// Input.
impl Engine {
    /// A turn begins.
    pub fn begin_turn(&mut self, now: Now) {
        (self.now, self.turn_began) = (now, now.at);
        self.transport.turn.begin();
        if self.has_input() {
            self.resume_cut();
        }
    }

    /// Carries out a command of the program that joblight is a part of.
    pub fn command<T>(&mut self, now: Now, command: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.now = now;
        let result = command(&mut self.context(Caller::Program));
        self.dismiss_all();
        result
    }

    /// The process stood still for a while. What its peers have sent meanwhile may still be on its way, so they count as
    /// heard, and have their time once more.
    pub fn forgive_pause(&mut self, now: Now) {
        self.transport.forgive(now.at);
    }

    /// What is due now for connections whose input was not read to its end is due one turn later.
    pub fn spare(&mut self, unread: impl Iterator<Item = ConnectionId>) {
        self.transport.spare(unread);
    }

    /// Time has passed: everything that is due happens. It comes after the input that had come by then.
    pub fn handle_time(&mut self, now: Now) {
        self.now = now;
        self.wheel.advance(now.at);
        while let Some(expired) = self.wheel.pop_expired() {
            self.handle_timer(expired.payload);
        }
        self.arm_timers();
    }

    fn handle_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Connection(connection) => self.look_at(connection),
            Timer::Hub(timer) => {
                if timer == hub::Timer::Aging {
                    self.aging.handle_expiry();
                    self.aging_at = None;
                }
                let mut out = self.transport.peers.delivery(&self.settings);
                self.hub
                    .handle_timer(self.settings.at(self.now), timer, &mut out);
            }
            Timer::Answers => {
                let (backend, mut context) = self.with_backend(Caller::Application);
                backend.handle_timer(&mut context);
                self.arm_backend();
            }
            Timer::Store => self.store.handle_timer(),
            Timer::StoreAnswer => {
                self.on_store(|store, parts| store.handle_silence(parts));
                self.serve_lobby();
            }
            Timer::Opening => {
                self.store.handle_delay();
                self.serve_lobby();
            }
            Timer::Lobby => {
                self.lobby.is_armed = false;
                self.serve_lobby();
            }
            Timer::Probes => self.questions.handle_refill(),
            Timer::Postponed => self.is_resuming = false,
            Timer::Questions => {
                let (peers, wheel) = (&mut self.transport.peers, &mut self.wheel);
                let questions = &mut self.questions;
                questions.handle_postponed(self.now, &self.hub, peers, wheel);
            }
            Timer::Unfinished => self.end_late(),
            Timer::Addresses => {
                self.addresses.timer.handle_expiry();
                self.addresses.forget_stale(self.now.at);
            }
            Timer::ShutdownDeadline => self.stop(),
        }
    }

    /// Sets the reminders that the owners have asked for.
    pub(super) fn arm_timers(&mut self) {
        let due = self.addresses.remembers().then_some(self.now.at + MINUTE);
        let timer = &mut self.addresses.timer;
        timer.keep(due, Timer::Addresses, &mut self.wheel);
        // What a store has been read of so far may have to be forgotten again.
        if self.store.is_unread() {
            return;
        }
        while let Some((at, timer)) = self.hub.poll_timer() {
            self.wheel.schedule(at, Timer::Hub(timer));
        }
        self.arm_aging();
    }

    /// Tasks and logs share one reminder, which moves with the first that is due.
    fn arm_aging(&mut self) {
        let due = self.hub.next_aging(&self.settings.hub);
        if due == std::mem::replace(&mut self.aging_at, due) {
            return;
        }
        match due {
            Some(at) => self
                .aging
                .set(at, Timer::Hub(hub::Timer::Aging), &mut self.wheel),
            None => self.aging.cancel(&mut self.wheel),
        }
    }
}

/// The end of a turn.
impl Engine {
    /// The turn's inputs are in: what was marked goes to the outboxes.
    pub fn settle(&mut self, now: Now) {
        (self.now, self.is_settled) = (now, true);
        let mut out = self.transport.peers.delivery(&self.settings);
        self.hub.settle(self.settings.at(now), &mut out);
        self.resume_postponed();
        self.context(Caller::Viewer).tell_evicted();
        let (peers, wheel) = (&mut self.transport.peers, &mut self.wheel);
        self.questions.ask(now, &self.hub, peers, wheel);
        self.drop_all_slow();
        let sent = self.transport.peers.take_sent();
        if sent > 0 {
            self.counts.sent.record(now.at, sent);
        }
        self.arm_timers();
    }

    /// Ends whoever is too far behind to be sent any more, and tells those who waited for the application behind it.
    #[inline]
    pub(super) fn drop_all_slow(&mut self) {
        // Asked after each write.
        if self.transport.peers.has_overflowed() || self.backend.has_waiting_or_lost() {
            self.drop_each_slow();
        }
    }

    fn drop_each_slow(&mut self) {
        loop {
            self.tell_of_lost();
            let Some(connection) = self.transport.peers.poll_overflowed() else {
                return;
            };
            let peer = self.peer(connection);
            if peer.is_some_and(|peer| peer.connection.is_open()) {
                self.drop_slow(connection);
            }
        }
    }

    /// Readers whose part of an earlier turn was too much for it go on, those first that have waited longest.
    fn resume_postponed(&mut self) {
        while !self.hub.load().is_spent() {
            let Some(client) = self.hub.poll_postponed() else {
                break;
            };
            // Whose connection is full goes on when it has drained.
            let connection = self.hub.directory().client(client).connection;
            if self.peer(connection).is_some_and(|peer| !peer.backlogged) {
                self.catch_up(client);
            }
        }
    }

    /// A client's connection has drained, or its turn has come: it gets what it lacks.
    pub(super) fn catch_up(&mut self, client: ClientKey) {
        let mut out = self.transport.peers.delivery(&self.settings);
        let moment = self.settings.at(self.now);
        self.hub.handle_backlog(moment, client, false, &mut out);
        if self.hub.directory().client(client).is_lagging {
            self.context(Caller::Viewer).recover(client, false);
        }
        let mut out = self.transport.peers.delivery(&self.settings);
        if self.hub.directory().client(client).lacks_news()
            && self.hub.send_news(self.now, client, &mut out)
        {
            self.list_in_order(client);
        }
    }

    /// The next thing to be done outside. What is to be kept of the turn comes first, and holds what viewers are told.
    pub fn poll_output(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.is_settled)
            && let Some(batch) = self.on_store(|store, parts| store.poll_batch(parts))
        {
            return Some(Output::Append(batch));
        }
        loop {
            if let Some(output) = self.transport.outputs.pop_front() {
                return Some(output);
            }
            let Some(connection) = self.transport.peers.poll_dirty() else {
                break;
            };
            let Some(peer) = self.peer(connection).filter(|peer| !peer.blocked) else {
                continue;
            };
            if !peer.connection.outbox.is_empty() {
                return Some(Output::Write(connection));
            }
            self.handle_drained(connection);
        }
        self.end_idle();
        self.transport.outputs.pop_front()
    }

    /// The unsent bytes of a connection, in order.
    pub fn unsent(&self, connection: ConnectionId) -> impl Iterator<Item = &[u8]> {
        self.transport.peers.unsent(connection)
    }

    /// The turn is over: everything was written that the sockets would take.
    pub fn handle_turn_end(&mut self, now: Now) {
        if self.hub.load().has_postponed() && !std::mem::replace(&mut self.is_resuming, true) {
            self.wheel.schedule(now.at + PAUSE, Timer::Postponed);
        }
        self.lists.release();
        let peers = &mut self.transport.peers;
        peers.handle_turn_end();
        debug_assert!(
            peers.backlogged() <= peers.len(),
            "no more backlogged peers than peers"
        );
        // One slow reader among a handful is no pressure on the server.
        let clients = self.hub.directory().connected().max(MIN_CROWD);
        let backlogged_share = peers.backlogged() as f64 / clients as f64;
        let took = now.at.saturating_since(self.turn_began);
        let moment = self.settings.at(now);
        self.hub.handle_turn_end(moment, took, backlogged_share);
    }
}

/// Questions of the shell.
impl Engine {
    /// Takes back what a store has kept, all at once and before anything happens; from now on changes go to it.
    pub fn restore(&mut self, now: Now, restored: &Restored) {
        self.now = now;
        self.on_store(|store, parts| store.restore_all(parts, restored));
        self.arm_timers();
    }

    /// What has not gone to the store, when the server has stopped.
    pub fn last_batch(&mut self) -> Option<Batch> {
        self.on_store(|store, parts| store.last_batch(parts))
    }

    /// What the server holds, to be read.
    pub fn inspect(&self) -> Inspection<'_> {
        Inspection { engine: self }
    }

    /// A hub that follows this engine's from its beginning; to be [led](Engine::lead) at least once a turn.
    pub fn follower(&mut self) -> Follower {
        Follower::of(&mut self.hub)
    }

    pub fn lead(&mut self, follower: &mut Follower) {
        self.hub.lead(follower, &self.settings.hub);
    }

    /// What this turn has cost, the most that one has, and what one may.
    pub fn load(&mut self) -> &mut Workload {
        self.hub.load()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.transport.peers.len()
    }

    /// The only copy of the configuration: what is assigned holds for all that comes next. Times that are set already stay.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Closes the oldest connection that has sent no request, so that another may come; `None`: all have sent one.
    pub fn make_room(&mut self, now: Now) -> Option<ConnectionId> {
        self.now = now;
        let transport = &mut self.transport;
        let newcomers = &mut transport.newcomers;
        let oldest = newcomers.poll_oldest(now.at, &transport.peers)?;
        self.remove(oldest);
        let connections = self.transport.peers.len();
        self.transport.newcomers.count(now.at, connections, true);
        Some(oldest)
    }

    /// What a connection is told for which there is no place, whatever it asks.
    pub fn refuse_connection(&mut self, now: Now) -> Vec<u8> {
        let connections = self.transport.peers.len();
        self.transport.newcomers.count(now.at, connections, false);
        self.counts.refused += 1;
        let detail = "the server has as many connections as it can have (server.max_connections, \
                      or the limit of open files); come back later";
        let refusal = Refusal::limit_exceeded(detail).retry_after_s(1);
        let answer = refusal.response(self.settings.locale);
        self.transport.unread_answer(now, &answer)
    }

    /// Whether input of this connection may be read now. When not, [`Output::Read`] says when again.
    pub fn is_reading(&self, connection: ConnectionId) -> bool {
        let must_wait = |peer: &Peer| peer.services.ingest() && self.store.is_unread();
        self.peer(connection)
            .is_some_and(|peer| !peer.connection.has_stash() && !must_wait(peer))
    }

    /// When [`Engine::handle_time`] must be called at the latest; `None`: only input can change anything.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.has_input() {
            true => Some(self.turn_began),
            false => self.next_timer(),
        }
    }

    /// When the first timer is due.
    pub fn next_timer(&self) -> Option<Time> {
        self.wheel.next_deadline()
    }

    /// Whether input of peers is kept that is to be handled in the next turn.
    pub fn has_input(&self) -> bool {
        !self.transport.cut.is_empty()
    }

    /// Whether peers have brought so much in this turn that the others are to be read in the next.
    pub fn is_turn_full(&self) -> bool {
        self.transport.turn.is_full() || self.hub.is_turn_full()
    }

    /// Whether the store is being opened for the first time, which takes a moment: who can wait need not be refused.
    pub fn is_opening(&self) -> bool {
        self.store.is_opening()
    }

    /// Whether the store has taken too long over a batch, and has not answered since.
    pub fn is_store_silent(&self) -> bool {
        self.store.is_silent()
    }

    /// How long connections may drain at the end.
    pub fn shutdown_timeout(&self) -> Span {
        self.settings.shutdown_timeout
    }
}
