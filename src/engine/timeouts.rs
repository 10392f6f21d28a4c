//! What becomes of connections whose time has come, and of those that have left too much unfinished.

use crate::base::time::{Now, Span};
use crate::conn::Ending;
use crate::engine::notices::Notice;
use crate::engine::refusal::Refusal;
use crate::engine::session::{farewell, questions};
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::transport::liveness::Finding;
use crate::engine::transport::unfinished::max_bytes;
use crate::hub::ConnectionId;
use crate::wire::websocket::CloseCode;

/// How long a peer that gave no sign of life may take to close.
const LAST_LOOK: Span = Span::from_secs(1);

/// A connection's time has come: is it alive?
pub fn look(state: &mut State, now: Now, connection: ConnectionId) {
    let (transport, mut step) = state.step();
    match transport.look(&mut step, connection) {
        Finding::Fine => {}
        Finding::PingDue => {
            let ping = questions::heartbeat(&state.hub, &mut state.transport.peers, connection);
            state.transport.peers.push(connection, ping);
        }
        Finding::Silent => {
            const REASON: &str = "no sign of life";
            state.transport.peers.drop_unstarted(connection);
            farewell::send_away(state, now, connection, CloseCode::TIMED_OUT, REASON);
            // A peer that is gone will not answer a goodbye either.
            if let Some(peer) = state.transport.peers.peer_mut(connection) {
                peer.connection.end(Ending::Final);
            }
            let (transport, mut step) = state.step();
            transport.look_at(&mut step, connection, LAST_LOOK);
        }
        Finding::Slow => farewell::drop_slow(state, now, connection),
        Finding::Idle => teardown::end(state, connection, Ending::Final),
        Finding::Late => teardown::time_out_request(state, connection),
        Finding::Over => teardown::remove(state, connection),
    }
}

/// Records what a connection has left unfinished, and sheds what is too much. `has_completed`: something was completed since
/// the last time.
pub fn note_unfinished(state: &mut State, now: Now, connection: ConnectionId, has_completed: bool) {
    let elsewhere = state.lobby.bytes_of(connection) + state.pending.waiting_bytes(connection);
    let (transport, mut step) = state.step();
    if transport.note_unfinished(&mut step, connection, elsewhere, has_completed) {
        while shed(state, now) {}
    }
}

/// Whoever has begun too long ago is ended.
pub fn end_late(state: &mut State, now: Now) {
    let (transport, mut step) = state.step();
    for connection in transport.take_late(&mut step) {
        let is_websocket = state.transport.is_websocket(connection);
        let what = if is_websocket { "message" } else { "request" };
        state.notices.count(now.at, Notice::Late, || {
            format!("a {what} was begun and not finished within websocket.connection_timeout; its connection is closed")
        });
        if is_websocket {
            const REASON: &str = "message not finished in time";
            farewell::send_away(state, now, connection, CloseCode::TIMED_OUT, REASON);
        } else {
            teardown::time_out_request(state, connection);
        }
    }
}

/// Ends the connection that has left the most, if all together have left too much; `false`: they have not, or nobody can be
/// ended. The application is trusted, and whose request is carried out already has its answer coming.
fn shed(state: &mut State, now: Now) -> bool {
    let lobby = &state.lobby;
    let largest = state
        .transport
        .largest_beyond(&state.settings, |peer, connection| {
            let has_answer = peer.reading.is_held() && lobby.bytes_of(connection) == 0;
            !peer.is_backend() && !has_answer
        });
    let Some((bytes, connection)) = largest else {
        return false;
    };
    let peer = state.transport.peers.peer(connection);
    if peer.is_some_and(|peer| peer.services.ingest()) {
        cut_line(state, now, connection);
        return true;
    }
    let (transport, mut step) = state.step();
    transport.forget_unfinished(&mut step, connection);
    let max_bytes = max_bytes(&state.settings);
    state.notices.count(now.at, Notice::Unfinished, || {
        format!(
            "unfinished messages and requests take more than {max_bytes} bytes; \
             the connection that had left the most, {bytes}, is closed"
        )
    });
    end_largest(state, now, connection, bytes > max_bytes);
    true
}

/// `alone`: it would be too much without the others, and will be again.
fn end_largest(state: &mut State, now: Now, connection: ConnectionId, alone: bool) {
    let (code, reason) = match alone {
        true => (CloseCode::TOO_BIG, "message too long"),
        false => (CloseCode::TRY_AGAIN_LATER, "too much unfinished input"),
    };
    if state.transport.is_websocket(connection) {
        return farewell::send_away(state, now, connection, code, reason);
    }
    let refusal = match alone {
        true => Refusal::new(
            "too_large",
            "this request alone takes more than all unfinished requests may together",
        ),
        false => Refusal::limit_exceeded(
            "too many unfinished requests, of which this was the largest; come back later",
        )
        .retry_after_s(1),
    };
    teardown::refuse(state, connection, &refusal.into());
}

fn cut_line(state: &mut State, now: Now, connection: ConnectionId) {
    if let Some(line) = state.transport.cut_line(&state.settings, connection) {
        let max_bytes = max_bytes(&state.settings);
        state.notices.count(now.at, Notice::Unfinished, || {
            format!("ingest: line {line} of a producer is dropped: unfinished lines take more than {max_bytes} bytes")
        });
    }
    let (transport, mut step) = state.step();
    transport.note_unfinished(&mut step, connection, 0, true);
}
