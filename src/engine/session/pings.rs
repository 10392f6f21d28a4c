//! Pings that ask whether messages have arrived, and what their answers say (contract section 5.5).

use crate::base::time::{Now, Span};
use crate::engine::session::probes::PAUSE;
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::hub::ConnectionId;
use crate::wire::websocket;
use bytes::Bytes;

/// What a ping begins with that asks for a confirmation; the round and the serial follow.
const PROBE: &[u8; 8] = b"joblight";
/// How long a client that has answered in vain is not asked again, where there are no heartbeats to go with.
const FRUITLESS_PAUSE: Span = Span::from_secs(30);

/// Asks connections that were sent messages in this turn, or before, whether these have arrived.
pub fn ask(state: &mut State, now: Now) {
    state.probes.refill(now.at);
    while state.probes.tokens > 0 {
        let Some((connection, round)) = state.peers.poll_unconfirmed() else {
            return;
        };
        if let Some(question) = question(state, connection, round) {
            state.probes.tokens -= 1;
            state.peers.push(connection, question);
        }
    }
    if state.peers.has_unconfirmed() && !std::mem::replace(&mut state.probes.is_armed, true) {
        state.wheel.schedule(now.at + PAUSE, Timer::Probes);
    }
}

fn question(state: &State, connection: ConnectionId, round: u8) -> Option<Bytes> {
    let serial = state.hub.queued_serial(state.client_of(connection)?);
    let payload = [&PROBE[..], &[round], &serial.to_be_bytes()].concat();
    Some(websocket::encode_ping(&payload))
}

/// The ping that asks for a sign of life. Where the client has answered questions in vain, it is a question as well.
pub fn heartbeat(state: &mut State, connection: ConnectionId) -> Bytes {
    let round = state.peers.take_postponed(connection);
    let question = round.and_then(|round| question(state, connection, round));
    question.unwrap_or(Bytes::from_static(websocket::PING))
}

/// A pong has come: if it answers a question of ours, everything before it has arrived. Tells whether any was due.
pub fn handle_pong(state: &mut State, now: Now, connection: ConnectionId, payload: &[u8]) -> bool {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return false;
    };
    let is_asked = peer.confirmation.is_some_and(|own| own.is_asked());
    let is_due = peer.ping.answer() | is_asked;
    let Some(client) = peer.client() else {
        return is_due;
    };
    let answer = payload.strip_prefix(PROBE).and_then(<[u8]>::split_first);
    let answer = answer.and_then(|(round, serial)| Some((*round, serial.try_into().ok()?)));
    match answer {
        Some((round, serial)) if state.peers.handle_confirmed(connection, round) => {
            state.hub.confirm(client, u64::from_be_bytes(serial));
        }
        // Of several pings only the newest must be answered (RFC 6455 section 5.5.3).
        other => {
            let round = other.map(|(round, _)| round);
            if state.peers.handle_unconfirmed(connection, round) {
                postpone(state, now, connection);
            }
        }
    }
    is_due
}

/// Asks those again who have answered in vain, where there are no heartbeats.
pub fn handle_timer(state: &mut State, now: Now) {
    state.probes.timer = None;
    while let Some((due, connection)) = state.probes.postponed.front().copied()
        && due <= now.at
    {
        state.probes.postponed.pop_front();
        let round = state.peers.take_postponed(connection);
        if let Some(question) = round.and_then(|round| question(state, connection, round)) {
            state.peers.push(connection, question);
        }
    }
    arm(state);
}

fn postpone(state: &mut State, now: Now, connection: ConnectionId) {
    if state.settings.websocket.heartbeat_interval.is_zero() {
        state
            .probes
            .postponed
            .push_back((now.at + FRUITLESS_PAUSE, connection));
        arm(state);
    }
}

/// A connection ends, so that it is asked nothing any more.
pub fn forget(state: &mut State, connection: ConnectionId) {
    if state
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.confirmation.is_some_and(|own| own.is_postponed()))
    {
        state
            .probes
            .postponed
            .retain(|(_, known)| *known != connection);
        arm(state);
    }
}

fn arm(state: &mut State) {
    let first = state.probes.postponed.front().map(|(due, _)| *due);
    match (first, state.probes.timer) {
        (Some(due), None) => {
            state.probes.timer = Some(state.wheel.schedule(due, Timer::Questions));
        }
        (None, Some(timer)) => {
            state.wheel.cancel(timer);
            state.probes.timer = None;
        }
        _ => {}
    }
}
