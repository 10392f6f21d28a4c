//! Whether a peer is still there: handshakes that take too long, pings without a sign of life, outboxes that nobody empties.

use crate::base::time::{Now, Span};
use crate::conn::{Ending, Phase};
use crate::engine::session::{farewell, pings};
use crate::engine::state::State;
use crate::engine::transport::close::LINGER;
use crate::engine::transport::peer::Ping;
use crate::engine::transport::{answer, close};
use crate::hub::ConnectionId;
use crate::wire::websocket::CloseCode;

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
            false => close::remove(state, connection),
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
    peer.alive = false;
    peer.ping.look();
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
        false => farewell::drop_slow(state, now, connection),
    }
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
    let pinged = peer.ping.look();
    let answer_time = if timeout.is_zero() {
        heartbeat
    } else {
        heartbeat.min(timeout)
    };
    if !heard && (pinged || heartbeat.is_zero()) {
        state.peers.drop_unstarted(connection);
        farewell::send_away(
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
    peer.ping = Ping::Sent;
    let ping = pings::heartbeat(state, connection);
    state.peers.push(connection, ping);
    state.look_at(connection, now.at + answer_time);
}

fn check_request(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    // Whose answer waits for the store does not have to say anything.
    if std::mem::take(&mut peer.alive) || peer.reading.is_held() {
        return watch_handshake(state, now, connection);
    }
    let Phase::Http(parser) = &peer.connection.phase else {
        return;
    };
    if parser.is_idle() {
        return close::end(state, now, connection, Ending::Final);
    }
    // It is ended when that has taken too long, which is another moment.
    if state.unfinished.since(connection).is_some() {
        return watch_handshake(state, now, connection);
    }
    answer::time_out_request(state, now, connection);
}
