//! What comes in: connections, what the store says, and bytes of peers, on their way to what they mean. Each peer has its share of
//! a turn; the rest is kept and handled in the next, after others had theirs.

use super::engine::Engine;
use crate::base::time::Now;
use crate::conn::{Ending, Fault, PeerEvent};
use crate::engine::api::ingest;
use crate::engine::boundary::{Input, Output};
use crate::engine::counts::Notice;
use crate::engine::session::questions::Pong;
use crate::engine::transport::connections::Transport;
use crate::engine::transport::peer::{Reading, Services, Standing};
use crate::hub::ConnectionId;
use crate::wire::http::{CONTINUE, ParserEvent};
use crate::wire::input::Input as Cursor;
use crate::wire::websocket::{CloseCode, ReaderEvent, encode_close, encode_pong};
use core::net::IpAddr;

/// Room for those who were cut short that is kept when there are fewer.
const MAX_IDLE_CUT: usize = 64;

impl Engine {
    /// A peer has connected to a listener; the id names its connection from now on.
    pub fn accept(
        &mut self,
        now: Now,
        services: Services,
        address: Option<IpAddr>,
    ) -> ConnectionId {
        self.now = now;
        let connection =
            self.on_transport(|transport, step| transport.accept(step, services, address));
        match services.ingest() {
            true => self.lobby.has_producers |= self.store.is_unread(),
            false => self.count_connection(connection),
        }
        connection
    }

    /// Counts a connection against the share of its address, and turns it away if that is used up: before anything is read, so
    /// that nothing of it is paid for.
    fn count_connection(&mut self, connection: ConnectionId) {
        let has_limit = self.settings.max_connections_per_address > 0;
        let peer = self.transport.peers.peer_mut(connection);
        let Some(peer) = peer.filter(|_| has_limit) else {
            return;
        };
        let Some(address) = peer.asker.limited() else {
            return;
        };
        peer.standing.add(Standing::COUNTED);
        match self.gate().count_connection(address) {
            Ok(()) => {}
            Err(Some(refusal)) => self.refuse_unread(connection, refusal),
            // Whoever goes on all the same is not told any more, and holds no descriptor.
            Err(None) => self.end(connection, Ending::Final),
        }
    }

    /// Something has happened. What is about a connection that is gone is ignored.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Received(connection, bytes) => return self.handle_bytes(connection, bytes),
            Input::Sent {
                connection,
                bytes,
                blocked,
            } => return self.handle_sent(connection, bytes, blocked),
            Input::Ended(connection) => return self.handle_ended(connection),
            Input::Failed(connection) => return self.remove(connection),
            Input::StoreOpening => self.on_store(|store, parts| store.await_store(parts)),
            Input::StoreUnopened(reason) => {
                if self.store.handle_unopened(reason) {
                    // What was read of it is not to stay. Serials begin again, and shared frames are found by serial.
                    self.hub.empty();
                    self.transport.peers.handle_turn_end();
                }
            }
            Input::StoreSlice(slice) => {
                self.on_store(|store, parts| store.handle_slice(parts, slice));
            }
            Input::StoreRead => self.on_store(|store, parts| store.handle_read(parts)),
            Input::Appended { seq, result } => {
                self.on_store(|store, parts| store.handle_appended(parts, seq, result));
            }
        }
        self.serve_lobby();
        self.arm_timers();
    }

    fn handle_sent(&mut self, connection: ConnectionId, bytes: usize, blocked: bool) {
        self.transport.peers.handle_sent(connection, bytes);
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        // A socket that was full takes more only when its peer has read: a sign of life.
        peer.alive |= peer.blocked && bytes > 0;
        // A burst may have made it wait before its socket was tried.
        let is_stuck = blocked && !std::mem::replace(&mut peer.blocked, blocked);
        peer.blocked = blocked;
        let drained = peer.connection.outbox.is_empty();
        let backlogged = !drained && (blocked || peer.backlogged);
        let (is_backend, is_open) = (peer.is_backend(), peer.connection.is_open());
        let is_news = self.transport.peers.set_backlogged(connection, backlogged);
        if is_news || backlogged && is_stuck {
            self.on_transport(|transport, step| transport.watch(step, connection));
        }
        if is_backend {
            self.serve_waiting();
        }
        if drained {
            if !is_open {
                self.handle_drained(connection);
            }
            // What it asks comes first: the states that it missed could keep it waiting again.
            self.resume_reading(connection);
        }
        match is_news.then(|| self.client_of(connection)).flatten() {
            Some(client) if backlogged => {
                let mut out = self.transport.peers.delivery(&self.settings);
                let moment = self.settings.at(self.now);
                self.hub.handle_backlog(moment, client, true, &mut out);
            }
            Some(client) => self.catch_up(client),
            None => {}
        }
        self.drop_all_slow();
    }

    /// A peer that sends no more may still read what it asked for.
    fn handle_ended(&mut self, connection: ConnectionId) {
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        if peer.reading.is_held() {
            peer.reading = Reading::HeldToEnd;
            return;
        }
        let is_owed = !peer.connection.outbox.is_empty();
        let is_open = peer.connection.is_open();
        if peer.services.ingest()
            && let Some(stream) = self.finish_lines(connection)
        {
            ingest::warn_of_errors(&stream.tally);
        }
        match (is_owed, is_open) {
            (false, _) => self.remove(connection),
            (true, true) => self.end(connection, Ending::Final),
            (true, false) => {
                if let Some(peer) = self.peer_mut(connection) {
                    peer.connection.end(Ending::Final);
                }
            }
        }
    }
}

/// Bytes.
impl Engine {
    /// Handles what a peer has sent, or keeps it: nobody overtakes what it has sent before.
    pub(super) fn handle_bytes(&mut self, connection: ConnectionId, bytes: &mut [u8]) {
        let is_websocket = self.transport.is_websocket(connection);
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        if !peer.connection.is_open() && !peer.connection.discard(bytes.len()) {
            return self.remove(connection);
        }
        peer.alive |= is_websocket;
        if peer.connection.has_stash() {
            return peer.connection.stash(bytes);
        }
        let length = bytes.len();
        let rest = self.take_events(connection, &mut Cursor::new(bytes));
        if let Some(rest) = rest
            && let Some(peer) = self.peer_mut(connection)
        {
            peer.connection.stash(&bytes[length - rest..]);
        }
        self.end_bytes(connection);
    }

    /// Asked after every write, so that this must cost next to nothing.
    #[inline]
    pub(super) fn resume_reading(&mut self, connection: ConnectionId) {
        let peer = self.peer(connection);
        if peer.is_some_and(|peer| peer.connection.has_stash() && !peer.intake.is_cut) {
            self.read_stash(connection);
            // Also when the rest is kept again: what was handled is still to be settled, in a turn of its own.
            self.transport.outputs.push_back(Output::Read(connection));
        }
    }

    /// Goes on with those who were cut short in an earlier turn, each in turn.
    pub(super) fn resume_cut(&mut self) {
        for _ in 0..self.transport.cut.len() {
            if self.transport.turn.is_half_full() || self.hub.load().is_full() {
                return;
            }
            let Some(connection) = self.transport.cut.pop_front() else {
                return;
            };
            let Some(peer) = self.peer_mut(connection) else {
                continue;
            };
            peer.intake.is_cut = false;
            self.read_stash(connection);
            let peer = self.peer(connection);
            if peer.is_some_and(|peer| !peer.connection.has_stash()) {
                self.transport.outputs.push_back(Output::Read(connection));
            }
        }
        self.transport.cut.shrink_to(MAX_IDLE_CUT);
    }

    fn read_stash(&mut self, connection: ConnectionId) {
        let peer = self.peer_mut(connection);
        let Some(mut stash) = peer.and_then(|peer| peer.connection.take_stash()) else {
            return;
        };
        let rest = self.take_events(connection, &mut Cursor::new(stash.rest()));
        if let Some(rest) = rest
            && let Some(peer) = self.peer_mut(connection)
        {
            stash.keep_last(rest);
            peer.connection.put_back(stash);
        }
        self.end_bytes(connection);
    }

    /// Handles events while the peer may be served. How many bytes are left when it may not; `None`: all are handled.
    fn take_events(&mut self, connection: ConnectionId, input: &mut Cursor<'_>) -> Option<usize> {
        let mut limits = Transport::input_limits(&self.settings);
        self.transport.has_completed = false;
        while let Some(peer) = self.transport.peers.peer_mut(connection) {
            if !peer.connection.is_open() {
                return None;
            }
            let has_had_enough =
                peer.intake.is_used_up(self.transport.turn) || self.hub.load().is_full();
            let is_cut = has_had_enough && !input.is_empty();
            let must_wait = peer.must_wait(&self.settings.websocket);
            if must_wait || self.lobby.is_full(connection) {
                return Some(input.len());
            }
            if is_cut {
                self.transport.resume_later(connection);
                return Some(input.len());
            }
            limits.websocket.compression = peer.compression.is_on();
            match peer.connection.poll_event(input, &limits) {
                Ok(Some(event)) => {
                    peer.intake.count(&mut self.transport.turn, weight(&event));
                    self.handle_event(connection, event);
                }
                Ok(None) => return None,
                Err(Fault::Http(refusal)) => self.refuse_unread(connection, refusal),
                Err(Fault::WebSocket(violation)) => {
                    self.close(connection, violation.code, violation.reason);
                }
            }
        }
        None
    }

    /// What was read is handled as far as it may be now.
    fn end_bytes(&mut self, connection: ConnectionId) {
        self.answer_newest_ping(connection);
        self.note_unfinished(connection, self.transport.has_completed);
    }

    /// A ping is answered with its own payload; of many, the newest is (RFC 6455 section 5.5.3).
    fn answer_ping(&mut self, connection: ConnectionId, payload: &[u8]) {
        if let Some(peer) = self.peer_mut(connection) {
            let pong = encode_pong(payload);
            match peer.intake.count_ping() {
                true => self.transport.peers.push(connection, pong),
                false => self.transport.newest_pong = Some(pong),
            }
        }
    }

    fn answer_newest_ping(&mut self, connection: ConnectionId) {
        if let Some(pong) = self.transport.newest_pong.take()
            && self.transport.is_open_websocket(connection)
        {
            self.transport.peers.push(connection, pong);
        }
    }

    fn handle_event(&mut self, connection: ConnectionId, event: PeerEvent<'_>) {
        self.transport.has_completed |= completes(&event);
        match event {
            PeerEvent::Http(event) => self.handle_http(connection, event),
            PeerEvent::WebSocket(event) => self.handle_websocket(connection, event),
        }
    }

    fn handle_http(&mut self, connection: ConnectionId, event: ParserEvent<'_>) {
        match event {
            ParserEvent::Request { head, body } => self.handle_request(connection, &head, &body),
            ParserEvent::BodyDue => self.handle_body_due(connection),
            ParserEvent::Continue => self.transport.peers.push(connection, CONTINUE),
            ParserEvent::StreamStart(head) => self.handle_stream_start(connection, head),
            ParserEvent::Chunk(chunk) => self.handle_chunk(connection, chunk),
            ParserEvent::StreamEnd => self.handle_stream_end(connection),
        }
    }

    fn handle_websocket(&mut self, connection: ConnectionId, event: ReaderEvent<'_>) {
        match event {
            ReaderEvent::Message(message) => self.handle_message(connection, message),
            ReaderEvent::Ping(payload) => {
                if self.admit_control(connection) {
                    self.answer_ping(connection, &payload);
                }
            }
            ReaderEvent::Pong(payload) => {
                if !self.handle_pong(connection, &payload) {
                    self.admit_control(connection);
                }
            }
            // The same code goes back, and the socket closes (RFC 6455 section 5.5.1).
            ReaderEvent::Close(code) => {
                self.answer_newest_ping(connection);
                let close = encode_close(code.unwrap_or(CloseCode::NORMAL), "");
                self.transport.peers.push(connection, close);
                self.end(connection, Ending::Final);
            }
            ReaderEvent::Fragment => {}
        }
    }

    /// Counts a control frame that nobody asked for; `false`: it was one too many, and the connection ends.
    fn admit_control(&mut self, connection: ConnectionId) -> bool {
        const CODE: CloseCode = CloseCode::RATE_LIMITED;
        let now = self.now.at;
        let Some(peer) = self.peer_mut(connection) else {
            return false;
        };
        if peer.control_frames.record(now) {
            return true;
        }
        self.counts.notices.count(now, Notice::ControlFrames, || {
            format!("a client sent more than 20 pings and pongs a second; closed with {CODE}")
        });
        self.send_away(connection, CODE, "too many control frames");
        false
    }

    /// Tells whether the pong was due.
    fn handle_pong(&mut self, connection: ConnectionId, payload: &[u8]) -> bool {
        let (hub, peers) = (&mut self.hub, &mut self.transport.peers);
        match self.questions.handle_pong(hub, peers, connection, payload) {
            Pong::Due => true,
            Pong::Unasked => false,
            Pong::Fruitless { is_due } => {
                if self.settings.websocket.heartbeat_interval == 0 {
                    let (now, wheel) = (self.now, &mut self.wheel);
                    self.questions.postpone(now, connection, wheel);
                }
                is_due
            }
        }
    }
}

/// For how many of its like an event counts: lines come several at once.
fn weight(event: &PeerEvent<'_>) -> u16 {
    match event {
        PeerEvent::Http(ParserEvent::Chunk(chunk)) => {
            memchr::memchr_iter(b'\n', chunk).count().clamp(1, 64) as u16
        }
        _ => 1,
    }
}

/// Whether something is whole with this, so that what is unfinished afterwards has begun after it.
fn completes(event: &PeerEvent<'_>) -> bool {
    match event {
        PeerEvent::Http(ParserEvent::Chunk(chunk)) => memchr::memchr(b'\n', chunk).is_some(),
        PeerEvent::Http(ParserEvent::Continue) => false,
        PeerEvent::WebSocket(event) => !matches!(
            event,
            ReaderEvent::Ping(_) | ReaderEvent::Pong(_) | ReaderEvent::Fragment
        ),
        _ => true,
    }
}
