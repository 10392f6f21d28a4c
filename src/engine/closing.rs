//! How connections end: goodbyes, time-outs and the server's own end (contract section 9).

use super::backend;
use super::http;
use super::ingest;
use super::peers::Peer;
use super::returns;
use super::sessions;
use super::standing::Standing;
use super::state::{Life, Output, State};
use super::timer::Timer;
use super::unfinished;
use crate::base::time::{Now, Span};
use crate::conn::{Ending, Phase};
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::envelope::push_string;
use crate::wire::message::{Dialect, Envelope, Variant};
use crate::wire::websocket::{self, CloseCode};
use std::fmt::Write;

/// How long a peer may take to answer our last words.
const LINGER: Span = Span::from_secs(5);

/// Says goodbye to a client: `disconnected`, then a close frame, then the end.
pub fn disconnect(state: &mut State, now: Now, client: ClientKey, code: CloseCode, reason: &str) {
    let delay = returns::delay(state, now, code);
    disconnect_for(state, now, client, code, reason, delay);
}

/// The same, for a client that is to come back after a time of its own.
pub fn disconnect_for(
    state: &mut State,
    now: Now,
    client: ClientKey,
    code: CloseCode,
    reason: &str,
    delay: Span,
) {
    let connection = state.hub.directory().client(client).connection;
    if !code.reconnect() {
        state.hub.end_session(client);
    }
    let variant = state.variant(client);
    dismiss(state, now, connection, Some(variant), code, reason, delay);
}

/// The same on a connection that no client is on. `variant`: the form of its messages, if it is sent any.
pub fn dismiss(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Option<Variant>,
    code: CloseCode,
    reason: &str,
    delay: Span,
) {
    if let Some(variant) = variant {
        let notice = disconnected(variant, now, code, reason, delay);
        let frame = state.hub.framer().frame(&notice, variant);
        state.peers.answer(connection, &frame);
    }
    close(state, now, connection, code, reason);
}

/// Says goodbye to whoever is on a WebSocket: a client, or who waits to be one, or who is sent the code alone.
pub fn send_away(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    code: CloseCode,
    reason: &str,
) {
    if let Some(client) = state.client_of(connection) {
        return disconnect(state, now, client, code, reason);
    }
    let variant = state.lobby.variant(connection);
    let delay = match variant {
        Some(_) => returns::delay(state, now, code),
        None => Span::ZERO,
    };
    dismiss(state, now, connection, variant, code, reason, delay);
}

/// Ends the connection that a client has left for a newer one, where its session goes on.
pub fn replace(state: &mut State, now: Now, client: ClientKey) {
    const REASON: &str = "replaced by a newer connection";
    let connection = state.hub.directory().client(client).connection;
    let variant = Some(state.variant(client));
    dismiss(
        state,
        now,
        connection,
        variant,
        CloseCode::POLICY,
        REASON,
        Span::ZERO,
    );
}

/// Ends a WebSocket connection with a close frame behind what it is still owed.
pub fn close(state: &mut State, now: Now, connection: ConnectionId, code: CloseCode, reason: &str) {
    if state.is_websocket(connection) {
        state
            .peers
            .push(connection, websocket::encode_close(code, reason));
    }
    end(state, now, connection, Ending::Lingering);
}

/// Ends a connection that is too far behind to hear a goodbye in order: what has not begun to be sent is dropped.
pub fn drop_slow(state: &mut State, now: Now, connection: ConnectionId) {
    state.peers.drop_unstarted(connection);
    if let Some(client) = state.client_of(connection) {
        log::warn!(
            "{}: too slow, closed with {}",
            state.hub.directory().client(client).id,
            CloseCode::TOO_SLOW
        );
        return disconnect(state, now, client, CloseCode::TOO_SLOW, "too slow");
    }
    if state
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.is_backend)
    {
        log::warn!(
            "backend: too slow, closed with {}; websocket.max_outbox_size bounds what it leaves unread",
            CloseCode::TOO_SLOW
        );
        close(state, now, connection, CloseCode::TOO_SLOW, "too slow");
    }
}

/// Begins the end of a connection; the peer has a while to take what it is owed.
pub fn end(state: &mut State, now: Now, connection: ConnectionId, ending: Ending) {
    leave_hub(state, connection);
    unfinished::forget(state, connection);
    let grace = if state.life == Life::Draining {
        state.settings.shutdown_timeout
    } else {
        LINGER
    };
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.connection.end(ending);
        peer.stream = None;
        state.look_at(connection, now.at + grace);
        state.peers.mark(connection);
    }
}

/// The socket is gone, or must go now.
pub fn remove(state: &mut State, connection: ConnectionId) {
    leave_hub(state, connection);
    forget(state, connection);
    finish_if_drained(state);
}

/// Nothing is kept of a connection, and its socket is closed.
fn forget(state: &mut State, connection: ConnectionId) {
    unfinished::forget(state, connection);
    sessions::forget(state, connection);
    let Some(peer) = state.peers.remove(connection, &mut state.wheel) else {
        return;
    };
    if let Some(address) = peer
        .address
        .filter(|_| peer.standing.has(Standing::COUNTED))
    {
        state.addresses.remove_connection(address);
    }
    state.outputs.push_back(Output::Close(connection));
}

/// What is due for a connection once its turn's bytes are written: half-close, close, or nothing.
pub fn handle_drained(state: &mut State, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    match peer.connection.ending() {
        Ending::Open | Ending::HalfClosed => {}
        Ending::Lingering => {
            peer.connection.end(Ending::HalfClosed);
            state.outputs.push_back(Output::HalfClose(connection));
        }
        Ending::Final => remove(state, connection),
    }
}

/// A connection's time has come: is it alive?
pub fn handle_timer(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    peer.timer = None;
    if !state.spared.is_empty() && state.spared.contains(&connection) {
        return state.look_at(connection, now.at);
    }
    if !peer.connection.is_open() {
        // Whoever reads a long answer slowly still reads it.
        let is_reading = std::mem::take(&mut peer.alive) && !peer.connection.outbox.is_empty();
        return match is_reading && matches!(peer.connection.phase, Phase::Http(_)) {
            true => state.look_at(connection, now.at + LINGER),
            false => remove(state, connection),
        };
    }
    match &peer.connection.phase {
        Phase::WebSocket(_) if peer.backlogged => check_backlog(state, now, connection),
        Phase::WebSocket(_) => check_heartbeat(state, now, connection),
        Phase::Http(_) => check_request(state, now, connection),
        Phase::Lines => {}
    }
}

/// Sets the first look at a connection that has just been accepted.
pub fn watch_handshake(state: &mut State, now: Now, connection: ConnectionId) {
    let timeout = state.settings.websocket.connection_timeout;
    if !timeout.is_zero() {
        state.look_at(connection, now.at + timeout);
    }
}

/// Sets the first look at a connection that has just become a WebSocket.
pub fn watch_heartbeat(state: &mut State, now: Now, connection: ConnectionId) {
    let settings = &state.settings.websocket;
    let (heartbeat, timeout) = (settings.heartbeat_interval, settings.connection_timeout);
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    (peer.alive, peer.pinged) = (false, false);
    match (heartbeat.is_zero(), timeout.is_zero()) {
        (false, _) => state.look_at(connection, now.at + heartbeat),
        (true, false) => state.look_at(connection, now.at + timeout),
        (true, true) => {
            if let Some(timer) = peer.timer.take() {
                state.wheel.cancel(timer);
            }
        }
    }
}

/// Sets when to look whether a connection that has unsent bytes takes any of them. Until they are gone it is sent no
/// pings: it would not read them before the rest.
pub fn watch_backlog(state: &mut State, now: Now, connection: ConnectionId) {
    let max_age = state.settings.websocket.max_backlog_age;
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    if !peer.connection.is_open() || !matches!(peer.connection.phase, Phase::WebSocket(_)) {
        return;
    }
    peer.alive = false;
    match max_age.is_zero() {
        false => state.look_at(connection, now.at + max_age),
        true => {
            if let Some(timer) = peer.timer.take() {
                state.wheel.cancel(timer);
            }
        }
    }
}

/// Who takes what waits for it, however slowly, is behind but alive.
fn check_backlog(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    match std::mem::take(&mut peer.alive) {
        true => watch_backlog(state, now, connection),
        false => drop_slow(state, now, connection),
    }
}

/// Begins the server's end (contract section 9, 1001). A second call ends it at once.
pub fn shut_down(state: &mut State, now: Now) {
    match state.life {
        Life::Serving => begin_drain(state, now),
        Life::Draining => stop(state),
        Life::Stopped => {}
    }
}

/// Ends what has not drained.
pub fn stop(state: &mut State) {
    for connection in state.peers.ids() {
        leave_hub(state, connection);
        forget(state, connection);
    }
    finish_if_drained(state);
}

fn begin_drain(state: &mut State, now: Now) {
    state.life = Life::Draining;
    state.outputs.push_back(Output::StopListening);
    log::info!(
        "{}",
        state
            .settings
            .locale
            .say(Phrase::Draining(state.peers.len()))
    );
    state.wheel.schedule(
        now.at + state.settings.shutdown_timeout,
        Timer::ShutdownDeadline,
    );
    for connection in state.peers.ids() {
        match state.is_websocket(connection) {
            true => send_away(
                state,
                now,
                connection,
                CloseCode::GOING_AWAY,
                "shutting down",
            ),
            false => end_producer(state, now, connection),
        }
    }
    finish_if_drained(state);
}

/// A local producer waits for no last words, and may never end by itself. What it has sent in whole lines counts.
fn end_producer(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    if matches!(peer.connection.phase, Phase::Lines) {
        let stash = peer.connection.take_stash();
        let mut stream = peer.stream.take().unwrap_or_default();
        if let Some(mut stash) = stash {
            ingest::take_lines(state, now, &mut stream, stash.rest());
        }
        ingest::warn_of_errors(&stream.tally);
        remove(state, connection);
    }
}

/// While others drain, every request is answered, with `Connection: close`, so that a health check on a kept-alive
/// connection learns of it. Connections that only wait for their next request go when nothing else is left.
pub fn end_idle(state: &mut State) {
    if state.life == Life::Draining && state.peers.iter().all(is_idle) {
        state
            .peers
            .ids()
            .into_iter()
            .for_each(|connection| remove(state, connection));
    }
}

fn is_idle(peer: &Peer) -> bool {
    let connection = &peer.connection;
    let is_between_requests = matches!(&connection.phase, Phase::Http(parser) if parser.is_idle() && !connection.has_stash());
    is_between_requests && connection.is_open() && connection.outbox.is_empty() && !peer.is_held
}

fn finish_if_drained(state: &mut State) {
    if state.life == Life::Draining && state.peers.is_empty() {
        state.life = Life::Stopped;
        log::info!("{}", state.settings.locale.say(Phrase::Stopped));
        state.outputs.push_back(Output::Stopped);
    }
}

/// A connection is no client's any more, so its address has room for another.
pub fn leave_place(state: &mut State, connection: ConnectionId) {
    let placed = state
        .peers
        .peer_mut(connection)
        .filter(|peer| peer.standing.has(Standing::PLACED));
    if let Some(peer) = placed {
        peer.standing = peer.standing.with(Standing::PLACED, false);
        if let Some(address) = peer.address {
            state.addresses.remove_client(address);
        }
    }
}

fn leave_hub(state: &mut State, connection: ConnectionId) {
    state.lobby.leave(connection);
    state.routes.forget_waiting(connection);
    backend::leave(state, connection);
    leave_place(state, connection);
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    let messages = peer.allowance.messages;
    let Some(client) = peer.client.take() else {
        return;
    };
    let (id, dialect) = (
        state.hub.directory().client(client).id,
        state.dialect(client),
    );
    let now = state.now;
    if state.hub.directory().client(client).has_session && !messages.is_full(now.at) {
        state.addresses_mut(now).keep_talker(now.at, id, messages);
    }
    state.hub.leave(state.now, client);
    state.routes.orphan(id);
    let phrase_id = id.to_string();
    let phrase = match dialect {
        Dialect::Payload => Phrase::ClientDisconnected {
            client: &phrase_id,
            total: state.clients(),
        },
        Dialect::Data => Phrase::DataClientDisconnected,
    };
    log::info!("{}", state.settings.locale.say(phrase));
}

/// Seed 001's rule: a ping each interval, and whoever gave no sign of life by the next one is gone.
fn check_heartbeat(state: &mut State, now: Now, connection: ConnectionId) {
    let settings = &state.settings.websocket;
    let (heartbeat, timeout) = (settings.heartbeat_interval, settings.connection_timeout);
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    // Whose bytes are left where they are cannot be heard.
    let heard = std::mem::take(&mut peer.alive) || peer.connection.has_stash();
    let pinged = std::mem::take(&mut peer.pinged);
    let answer_time = if timeout.is_zero() {
        heartbeat
    } else {
        heartbeat.min(timeout)
    };
    if !heard && (pinged || heartbeat.is_zero()) {
        state.peers.drop_unstarted(connection);
        send_away(
            state,
            now,
            connection,
            CloseCode::TIMED_OUT,
            "no sign of life",
        );
        // A peer that is gone will not answer a goodbye either.
        if let Some(peer) = state.peers.peer_mut(connection) {
            peer.connection.end(Ending::Final);
        }
        return state.look_at(connection, now.at + Span::from_secs(1));
    }
    if heartbeat.is_zero() {
        return state.look_at(connection, now.at + timeout);
    }
    if pinged && answer_time < heartbeat {
        return state.look_at(connection, now.at + (heartbeat - answer_time));
    }
    (peer.pinged, peer.pong_due) = (true, true);
    let ping = sessions::heartbeat(state, connection);
    state.peers.push(connection, ping);
    state.look_at(connection, now.at + answer_time);
}

fn check_request(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    // Whose answer waits for the store does not have to say anything.
    if std::mem::take(&mut peer.alive) || peer.is_held {
        return watch_handshake(state, now, connection);
    }
    let Phase::Http(parser) = &peer.connection.phase else {
        return;
    };
    if parser.is_idle() {
        return end(state, now, connection, Ending::Final);
    }
    // It is ended when that has taken too long, which is another moment.
    if state.unfinished.since(connection).is_some() {
        return watch_handshake(state, now, connection);
    }
    time_out_request(state, now, connection);
}

/// A request has not arrived in time.
pub fn time_out_request(state: &mut State, now: Now, connection: ConnectionId) {
    let problem = crate::wire::http::Problem::new(
        408,
        "request_timeout",
        "the request did not arrive in time",
    );
    http::refuse(state, now, connection, &problem.into());
}

/// The message that says why a connection ends, and after how long to come back.
pub fn disconnected(
    variant: Variant,
    now: Now,
    code: CloseCode,
    reason: &str,
    delay: Span,
) -> Vec<u8> {
    let delay_ms = delay.as_millis();
    let mut payload = format!("{{\"code\":{code},\"reason\":");
    push_string(&mut payload, reason);
    let _ = write!(
        payload,
        ",\"reconnect\":{},\"delayMs\":{delay_ms}}}",
        code.reconnect()
    );
    let envelope = Envelope {
        kind: "disconnected",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        place: None,
    };
    envelope.encode(variant)
}
