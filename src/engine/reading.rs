//! Bytes of a peer, on their way to what they mean. Each peer has its share of a turn; the rest is kept and handled in the
//! next, after others had theirs.

use crate::base::time::Now;
use crate::conn::{Fault, PeerEvent};
use crate::engine::boundary::Output;
use crate::engine::http;
use crate::engine::notices::Notice;
use crate::engine::session::questions::Pong;
use crate::engine::session::{farewell, frames};
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::timeouts;
use crate::engine::transport::connections::Transport;
use crate::hub::ConnectionId;
use crate::wire::http::{CONTINUE, ParserEvent};
use crate::wire::input::Input as Cursor;
use crate::wire::websocket::{CloseCode, ReaderEvent};

/// Room for those who were cut short that is kept when there are fewer.
const MAX_IDLE_LINKS: usize = 64;

/// Handles what a peer has sent, or keeps it: nobody overtakes what it has sent before.
pub fn handle_bytes(state: &mut State, now: Now, connection: ConnectionId, bytes: &mut [u8]) {
    let is_websocket = state.transport.is_websocket(connection);
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    if !peer.connection.is_open() && !peer.connection.discard(bytes.len()) {
        return teardown::remove(state, connection);
    }
    peer.alive |= is_websocket;
    if peer.connection.has_stash() {
        return peer.connection.stash(bytes);
    }
    let length = bytes.len();
    let rest = take_events(state, now, connection, &mut Cursor::new(bytes));
    if let Some(rest) = rest
        && let Some(peer) = state.transport.peers.peer_mut(connection)
    {
        peer.connection.stash(&bytes[length - rest..]);
    }
    end_bytes(state, now, connection);
}

/// Asked after every write, so that this must cost next to nothing.
#[inline]
pub fn resume_reading(state: &mut State, now: Now, connection: ConnectionId) {
    let peer = state.transport.peers.peer(connection);
    if peer.is_some_and(|peer| peer.connection.has_stash() && !peer.intake.is_cut) {
        read_stash(state, now, connection);
        // Also when the rest is kept again: what was handled is still to be settled, in a turn of its own.
        state.transport.push_output(Output::Read(connection));
    }
}

/// Goes on with those who were cut short in an earlier turn, each in turn.
pub fn resume_cut(state: &mut State, now: Now) {
    for _ in 0..state.transport.cut.len() {
        if state.transport.turn.is_half_full() || state.hub.load().is_full() {
            return;
        }
        let Some(connection) = state.transport.cut.pop_front() else {
            return;
        };
        let Some(peer) = state.transport.peers.peer_mut(connection) else {
            continue;
        };
        peer.intake.is_cut = false;
        read_stash(state, now, connection);
        let peer = state.transport.peers.peer(connection);
        if peer.is_some_and(|peer| !peer.connection.has_stash()) {
            state.transport.push_output(Output::Read(connection));
        }
    }
    state.transport.cut.shrink_to(MAX_IDLE_LINKS);
}

fn read_stash(state: &mut State, now: Now, connection: ConnectionId) {
    let peer = state.transport.peers.peer_mut(connection);
    let Some(mut stash) = peer.and_then(|peer| peer.connection.take_stash()) else {
        return;
    };
    let rest = take_events(state, now, connection, &mut Cursor::new(stash.rest()));
    if let Some(rest) = rest
        && let Some(peer) = state.transport.peers.peer_mut(connection)
    {
        stash.keep_last(rest);
        peer.connection.put_back(stash);
    }
    end_bytes(state, now, connection);
}

/// Handles events while the peer may be served. How many bytes are left when it may not; `None`: all are handled.
fn take_events(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    input: &mut Cursor<'_>,
) -> Option<usize> {
    let mut limits = Transport::input_limits(&state.settings);
    state.transport.has_completed = false;
    while let Some(peer) = state.transport.peers.peer_mut(connection) {
        if !peer.connection.is_open() {
            return None;
        }
        let has_had_enough =
            peer.intake.is_used_up(state.transport.turn) || state.hub.load().is_full();
        let is_cut = has_had_enough && !input.is_empty();
        let must_wait = peer.must_wait(&state.settings.websocket);
        if must_wait || state.commit.lobby.is_full(connection) {
            return Some(input.len());
        }
        if is_cut {
            state.transport.resume_later(connection);
            return Some(input.len());
        }
        limits.websocket.compression = peer.compression.is_on();
        match peer.connection.poll_event(input, &limits) {
            Ok(Some(event)) => {
                peer.intake.count(&mut state.transport.turn, weight(&event));
                handle_event(state, now, connection, event);
            }
            Ok(None) => return None,
            Err(fault) => handle_fault(state, connection, fault),
        }
    }
    None
}

/// What was read is handled as far as it may be now.
fn end_bytes(state: &mut State, now: Now, connection: ConnectionId) {
    answer_newest_ping(state, connection);
    timeouts::note_unfinished(state, now, connection, state.transport.has_completed);
}

/// Of many pings the newest is answered (RFC 6455 section 5.5.3).
fn answer_newest_ping(state: &mut State, connection: ConnectionId) {
    if let Some(pong) = state.transport.newest_pong.take()
        && state.transport.is_open_websocket(connection)
    {
        state.transport.peers.push(connection, pong);
    }
}

fn handle_event(state: &mut State, now: Now, connection: ConnectionId, event: PeerEvent<'_>) {
    state.transport.has_completed |= completes(&event);
    match event {
        PeerEvent::Http(event) => handle_http(state, now, connection, event),
        PeerEvent::WebSocket(event) => handle_websocket(state, now, connection, event),
    }
}

fn handle_http(state: &mut State, now: Now, connection: ConnectionId, event: ParserEvent<'_>) {
    match event {
        ParserEvent::Request { head, body } => {
            http::handle_request(state, now, connection, &head, &body)
        }
        ParserEvent::BodyDue => http::handle_body_due(state, now, connection),
        ParserEvent::Continue => state.transport.peers.push(connection, CONTINUE),
        ParserEvent::StreamStart(head) => http::handle_stream_start(state, now, connection, head),
        ParserEvent::Chunk(chunk) => http::handle_chunk(state, now, connection, chunk),
        ParserEvent::StreamEnd => http::handle_stream_end(state, now, connection),
    }
}

fn handle_websocket(state: &mut State, now: Now, connection: ConnectionId, event: ReaderEvent<'_>) {
    match event {
        ReaderEvent::Text(_) | ReaderEvent::Binary(_) | ReaderEvent::Compressed { .. }
            if state.commit.lobby.is_guest(connection) =>
        {
            frames::keep(state, now, connection, event);
        }
        ReaderEvent::Text(text) => frames::handle_text(state, now, connection, &text),
        ReaderEvent::Binary(payload) => frames::handle_binary(state, now, connection, &payload),
        ReaderEvent::Compressed { kind, payload } => {
            frames::handle_compressed(state, now, connection, kind, &payload)
        }
        ReaderEvent::Ping(payload) => {
            if admit_control(state, now, connection) {
                frames::handle_ping(state, connection, &payload);
            }
        }
        ReaderEvent::Pong(payload) => {
            if !handle_pong(state, now, connection, &payload) {
                admit_control(state, now, connection);
            }
        }
        ReaderEvent::Close(code) => {
            answer_newest_ping(state, connection);
            frames::handle_close(state, connection, code);
        }
        ReaderEvent::Fragment => {}
    }
}

fn handle_fault(state: &mut State, connection: ConnectionId, fault: Fault) {
    match fault {
        Fault::Http(reject) => http::handle_reject(state, connection, reject),
        Fault::WebSocket(violation) => frames::handle_violation(state, connection, &violation),
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

/// Counts a control frame that nobody asked for; `false`: it was one too many, and the connection ends.
fn admit_control(state: &mut State, now: Now, connection: ConnectionId) -> bool {
    const REASON: &str = "too many control frames";
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return false;
    };
    if peer.control_frames.record(now.at) {
        return true;
    }
    let notice = Notice::ControlFrames;
    state.statistics.notices.count(now.at, notice, || {
        format!(
            "a client sent more than 20 pings and pongs a second; closed with {}",
            CloseCode::RATE_LIMITED
        )
    });
    farewell::send_away(state, now, connection, CloseCode::RATE_LIMITED, REASON);
    false
}

/// Tells whether the pong was due.
fn handle_pong(state: &mut State, now: Now, connection: ConnectionId, payload: &[u8]) -> bool {
    let State {
        session,
        hub,
        transport,
        wheel,
        settings,
        ..
    } = state;
    match session
        .questions
        .handle_pong(hub, &mut transport.peers, connection, payload)
    {
        Pong::Due => true,
        Pong::Unasked => false,
        Pong::Fruitless { is_due } => {
            if settings.websocket.heartbeat_interval.is_zero() {
                session.questions.postpone(now, connection, wheel);
            }
            is_due
        }
    }
}
