//! The loop: wait, read, decide, write.
//!
//! mio is edge-triggered: a socket whose read was cut short stays on the ready list, and one whose write was cut short
//! waits for its writable event. It owns every socket and decides nothing but what is due to be read.

use super::handle::Call;
use super::listener::{AcceptError, Listener};
use super::logging::LogOutput;
use super::pacing::{Pause, Timers, WakeupCoalescer};
use super::signals::{self, SignalRequest, SignalSource};
use super::socket::{Readiness, Socket, Sockets, Written};
use super::store::StoreThread;
use super::system::Clock;
use crate::base::time::{Now, Span, Time};
use crate::engine::{Batch, ConnectionId, Engine, Input, Output, Services};
use mio::{Events, Poll, Token};
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Readiness events taken from the kernel in one turn.
const EVENTS: usize = 1024;
/// Every read goes through this buffer.
const SCRATCH_BYTES: usize = 64 * 1024;
/// The most that one socket may bring in one turn.
const MAX_READ_BYTES: usize = 4 * SCRATCH_BYTES;
/// The most that one listener may accept in one turn.
const MAX_ACCEPTS: usize = 256;
/// The most outputs of one turn, so that a huge room does not keep others waiting.
const MAX_OUTPUTS: usize = 256;
/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The least time between two warnings about that.
const WARNING_REST: Span = Span::from_secs(60);
/// How long the end waits at least for a store that is not known to hang.
const STORE_PATIENCE: Span = Span::from_secs(5);

/// Wakes the loop for calls from other threads.
pub const WAKER: Token = Token(0);
pub const SIGNALS: Token = Token(1);
const FIRST_LISTENER: usize = 2;
const FIRST_SOCKET: usize = 64;

pub struct EventLoop {
    pub(super) poll: Poll,
    pub(super) clock: Clock,
    pub(super) engine: Engine,
    pub(super) listeners: Vec<Listener>,
    pub(super) calls: Receiver<Call>,
    waiting_calls: Vec<Call>,
    pub(super) signals: Option<SignalSource>,
    pub(super) log: Option<LogOutput>,
    pub(super) store: Option<StoreThread>,
    sockets: Sockets,
    scratch: Vec<u8>,
    accepting: Vec<usize>,
    is_accept_resting: bool,
    warned_at: Option<Time>,
    busy: bool,
    coalescer: WakeupCoalescer,
    pause: Pause,
    /// How many connections of the API and of producers there may be beyond the limit of viewers.
    reserve: usize,
    draining_since: Option<Time>,
}

impl EventLoop {
    /// Add listeners with [`EventLoop::listen`].
    pub fn new(
        poll: Poll,
        clock: Clock,
        engine: Engine,
        calls: Receiver<Call>,
        reserve: usize,
    ) -> Self {
        Self {
            poll,
            clock,
            engine,
            listeners: Vec::new(),
            calls,
            waiting_calls: Vec::new(),
            signals: None,
            log: None,
            store: None,
            sockets: Sockets::default(),
            scratch: vec![0; SCRATCH_BYTES],
            accepting: Vec::new(),
            is_accept_resting: false,
            warned_at: None,
            busy: false,
            coalescer: WakeupCoalescer::default(),
            pause: Pause::default(),
            reserve,
            draining_since: None,
        }
    }

    pub fn listen(&mut self, listeners: Vec<Listener>) -> io::Result<()> {
        for mut listener in listeners {
            let token = Token(FIRST_LISTENER + self.listeners.len());
            debug_assert!(
                token.0 < FIRST_SOCKET,
                "listeners and sockets share the tokens"
            );
            listener.register(self.poll.registry(), token)?;
            self.listeners.push(listener);
        }
        Ok(())
    }

    /// Adds a connected socket, as if a listener had accepted it.
    pub fn adopt(&mut self, socket: Socket, services: Services) {
        let now = self.clock.now();
        let connection = self.engine.accept(now, services, None);
        self.insert(connection, socket);
    }

    /// Turns until the engine has stopped.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while self.turn(&mut events)? {}
        self.finish_store();
        Ok(())
    }

    /// One turn; `false` once the engine has stopped.
    fn turn(&mut self, events: &mut Events) -> io::Result<bool> {
        let is_interrupted = self.wait(events)?;
        let began = self.clock.now();
        self.coalescer.handle_turn(began.at);
        self.engine.begin_turn(began);
        for event in events.iter() {
            self.handle_event(event, began);
        }
        self.take_waiting_calls(began);
        self.accept_all(began);
        self.read_ready(began);
        self.run_timers(began, events.is_empty() && !is_interrupted);
        let read = self.clock.now();
        self.engine.settle(read);
        let goes_on = self.carry_out(read);
        self.engine.handle_turn_end(self.clock.now());
        if let Some(log) = &self.log {
            log.flush();
        }
        Ok(goes_on)
    }

    /// Hands a batch to the store.
    fn append(&mut self, batch: Batch, now: Now) {
        let seq = batch.seq;
        let result = match &self.store {
            Some(store) => store.send(batch).map_err(|error| error.to_string()),
            None => Err("there is no store".to_owned()),
        };
        if result.is_err() {
            let input = Input::Appended { seq, result };
            self.engine.handle_input(now, input);
        }
    }

    /// Writes what is left to the store, and closes it.
    fn finish_store(&mut self) {
        let Some(store) = self.store.take() else {
            return;
        };
        // Callers hear that the server has stopped, and so does the store's thread.
        (self.calls, self.waiting_calls) = (channel().1, Vec::new());
        let sent = self.engine.last_batch().map(|batch| store.send(batch));
        let patience = self.store_patience();
        let closed = sent
            .unwrap_or(Ok(()))
            .and_then(|()| store.join_within(patience));
        if let Err(error) = closed {
            log::error!("{error}; what came last is not kept");
        }
    }

    /// How long the end waits for the store: as long as for connections, and long enough for a disk that works.
    fn store_patience(&self) -> Duration {
        let now = self.clock.now().at;
        let since = self.draining_since.unwrap_or(now);
        let left = (since + self.engine.shutdown_timeout()).saturating_since(now);
        let least = match self.engine.is_store_silent() {
            true => Span::ZERO,
            false => STORE_PATIENCE,
        };
        Duration::from(left.max(least))
    }

    /// A deadline counts only after the input that could have cancelled it: timers run once the turn's input is in, and
    /// rest while a process that was stopped catches up.
    fn run_timers(&mut self, now: Now, is_quiet: bool) {
        let is_read = self.sockets.ready() == 0 && !self.engine.has_input();
        let is_quiet = is_quiet && is_read && self.accepting.is_empty();
        let due = self.engine.next_timer();
        match self.pause.handle_input(now.at, due, is_quiet) {
            Timers::Rest => return,
            Timers::RunAfterPause => self.engine.forgive_pause(now),
            Timers::Run => {}
        }
        self.engine.spare(self.sockets.unread());
        self.engine.handle_time(now);
    }

    /// Sleeps until something is ready or due; not at all when the last turn left work. `true`: a signal came first, and
    /// what is ready was not asked.
    fn wait(&mut self, events: &mut Events) -> io::Result<bool> {
        let is_busy = self.busy || self.sockets.ready() > 0;
        let has_work = is_busy || self.engine.has_input() || !self.accepting.is_empty();
        if !has_work && let Some(rest) = self.coalescer.rest(self.clock.now().at) {
            thread::sleep(rest);
        }
        let now = self.clock.now().at;
        let due = self.engine.poll_timeout();
        let mut timeout = due.map(|at| Duration::from(at.saturating_since(now)));
        if self.is_accept_resting && !self.accepting.is_empty() {
            timeout = Some(timeout.map_or(ACCEPT_REST, |timeout| timeout.min(ACCEPT_REST)));
        }
        let is_accepting = !self.is_accept_resting && !self.accepting.is_empty();
        if is_busy || is_accepting || self.pause.is_catching_up() {
            timeout = Some(Duration::ZERO);
        }
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(true)
            }
            done => done.map(|()| false),
        }
    }

    fn handle_event(&mut self, event: &mio::event::Event, now: Now) {
        match event.token() {
            WAKER => self.take_calls(now),
            SIGNALS => self.take_signals(now),
            Token(token) if token < FIRST_SOCKET => self.accepting.push(token - FIRST_LISTENER),
            Token(token) => self.handle_readiness(token - FIRST_SOCKET, event, now),
        }
    }

    fn take_calls(&mut self, now: Now) {
        while let Ok(call) = self.calls.try_recv() {
            match call.waits && self.engine.is_opening() {
                true => self.waiting_calls.push(call),
                false => (call.run)(&mut self.engine, now),
            }
        }
    }

    /// Runs the calls that have waited for the store, or refuses them if the store takes too long.
    fn take_waiting_calls(&mut self, now: Now) {
        if !self.waiting_calls.is_empty() && !self.engine.is_opening() {
            for call in std::mem::take(&mut self.waiting_calls) {
                (call.run)(&mut self.engine, now);
            }
        }
    }

    fn take_signals(&mut self, now: Now) {
        let requests = self.signals.as_mut().map(SignalSource::take);
        for request in requests.unwrap_or_default() {
            match request {
                SignalRequest::End => self.engine.shut_down(now),
                SignalRequest::Reopen if self.log.as_ref().is_some_and(LogOutput::reopen) => {}
                SignalRequest::Reopen => {
                    log::info!("SIGHUP: the log is standard error, so there is no file to reopen");
                }
                SignalRequest::Nothing(signal) => log::info!("{}: ignored", signals::name(signal)),
            }
        }
    }

    fn handle_readiness(&mut self, index: usize, event: &mio::event::Event, now: Now) {
        let Some(connection) = self.sockets.id(index) else {
            return;
        };
        if event.is_writable() {
            self.write(connection, now);
        }
        if event.is_read_closed() || event.is_error() {
            self.sockets.make_ready(index as u32, Readiness::ToTheEnd);
        } else if event.is_readable() {
            self.sockets.make_ready(index as u32, Readiness::Readable);
        }
    }

    /// Accepts from every listener that announced connections or was cut short before.
    fn accept_all(&mut self, now: Now) {
        for index in std::mem::take(&mut self.accepting) {
            if self.listeners.get(index).is_some()
                && self.accept_some(index, now)
                && !self.accepting.contains(&index)
            {
                self.accepting.push(index);
            }
        }
    }

    /// Accepts up to one turn's limit; `true` when more may be waiting, since an emptied listener announces itself
    /// again.
    fn accept_some(&mut self, index: usize, now: Now) -> bool {
        let services = self.listeners[index].services;
        for _ in 0..MAX_ACCEPTS {
            match self.listeners[index].accept() {
                Ok((socket, address)) => {
                    self.is_accept_resting = false;
                    if !self.has_place(services, now) {
                        self.refuse(socket, services, now);
                        continue;
                    }
                    let connection = self.engine.accept(now, services, address);
                    self.insert(connection, socket);
                }
                Err(error) => match AcceptError::of(&error) {
                    AcceptError::NobodyWaits => return false,
                    AcceptError::PeerIsGone => {}
                    AcceptError::Exhausted if self.make_room(now) => {}
                    kind => {
                        self.rest_accepting(kind, &error, now);
                        return true;
                    }
                },
            }
        }
        true
    }

    /// Whether one more connection fits, if need be in the place of another.
    fn has_place(&mut self, services: Services, now: Now) -> bool {
        let connections = self.engine.connections();
        let max_viewers = self.engine.settings_mut().max_viewers;
        let has_reserve = services.http() || services.ingest();
        connections < max_viewers
            || self.make_room(now)
            || has_reserve && connections < max_viewers + self.reserve
    }

    fn make_room(&mut self, now: Now) -> bool {
        let closed = self.engine.make_room(now);
        closed.map(|connection| self.close(connection)).is_some()
    }

    /// Refuses a connection for want of room, without waiting for its request.
    fn refuse(&mut self, mut socket: Socket, services: Services, now: Now) {
        let answer = self.engine.refuse_connection(now);
        if services.ingest() {
            return;
        }
        // Unread input would turn the answer into a reset.
        let _ = socket.read(&mut self.scratch);
        let _ = socket.write(std::iter::once(&answer[..]));
        socket.half_close();
    }

    /// Leaves the listeners alone for a while: an error that persists would come again at once, and hold the loop.
    fn rest_accepting(&mut self, kind: AcceptError, error: &io::Error, now: Now) {
        self.is_accept_resting = true;
        let is_news = self
            .warned_at
            .is_none_or(|at| now.at.saturating_since(at) >= WARNING_REST);
        if is_news {
            self.warned_at = Some(now.at);
            log::warn!("cannot accept connections: {error}; {}", kind.advice());
        }
    }

    fn insert(&mut self, connection: ConnectionId, socket: Socket) {
        let token = Token(FIRST_SOCKET + connection.index as usize);
        match socket.register(self.poll.registry(), token) {
            Ok(()) => self.sockets.insert(connection, socket),
            Err(error) => {
                log::error!("cannot watch a connection: {error}");
                let now = self.clock.now();
                self.engine.handle_input(now, Input::Failed(connection));
            }
        }
    }

    fn read_ready(&mut self, now: Now) {
        for _ in 0..self.sockets.ready() {
            // The others go first in the next turn.
            if self.engine.is_turn_full() {
                return;
            }
            if let Some((Some(connection), readiness)) = self.sockets.poll_ready()
                && self.read(connection, readiness, now)
            {
                self.sockets.make_ready(connection.index, readiness);
            }
        }
    }

    /// Reads one socket; `true` when it may hold more. What comes after a short read announces itself.
    fn read(&mut self, connection: ConnectionId, readiness: Readiness, now: Now) -> bool {
        let mut total = 0;
        while total < MAX_READ_BYTES && self.engine.is_reading(connection) {
            let Some(socket) = self.sockets.get(connection) else {
                return false;
            };
            let (count, input) = match socket.read(&mut self.scratch) {
                Ok(0) => (0, Input::Ended(connection)),
                Ok(count) => (
                    count,
                    Input::Received(connection, &mut self.scratch[..count]),
                ),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => (0, Input::Failed(connection)),
            };
            self.engine.handle_input(now, input);
            total += count;
            if count == 0 || (count < SCRATCH_BYTES && readiness != Readiness::ToTheEnd) {
                return false;
            }
        }
        self.engine.is_reading(connection)
    }

    /// Carries out the engine's outputs, up to one turn's limit. `false` once the engine has stopped.
    fn carry_out(&mut self, now: Now) -> bool {
        let mut writes = 0;
        self.busy = true;
        for _ in 0..MAX_OUTPUTS {
            match self.engine.poll_output() {
                None => {
                    self.busy = false;
                    break;
                }
                Some(Output::Write(connection)) => {
                    writes += 1;
                    self.write(connection, now);
                }
                Some(Output::Read(connection)) => {
                    self.sockets
                        .make_ready(connection.index, Readiness::ToTheEnd);
                }
                Some(Output::HalfClose(connection)) => {
                    if let Some(socket) = self.sockets.get(connection) {
                        socket.half_close();
                    }
                }
                Some(Output::Close(connection)) => self.close(connection),
                Some(Output::Append(batch)) => self.append(batch, now),
                Some(Output::StopListening) => {
                    self.draining_since = Some(now.at);
                    self.listeners.clear();
                }
                Some(Output::Stopped) => return false,
            }
        }
        self.coalescer.handle_writes(writes);
        true
    }

    fn write(&mut self, connection: ConnectionId, now: Now) {
        let Some(socket) = self.sockets.get(connection) else {
            return;
        };
        let input = match socket.write(self.engine.unsent(connection)) {
            Ok(Written { bytes, blocked }) => Input::Sent {
                connection,
                bytes,
                blocked,
            },
            Err(_) => Input::Failed(connection),
        };
        self.engine.handle_input(now, input);
    }

    fn close(&mut self, connection: ConnectionId) {
        if self.sockets.close(connection) {
            self.is_accept_resting = false;
        }
    }
}
