//! How connections end, from the last words to the closed socket.

use crate::base::time::{Now, Span};
use crate::conn::Ending;
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::engine::session::{leaving, pings};
use crate::engine::state::State;
use crate::engine::transport::standing::Standing;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::websocket;
use crate::wire::websocket::CloseCode;

/// How long a peer may take to answer our last words.
pub const LINGER: Span = Span::from_secs(5);

/// Ends a WebSocket connection with a close frame behind what it is still owed.
pub fn close(state: &mut State, now: Now, connection: ConnectionId, code: CloseCode, reason: &str) {
    if state.is_websocket(connection) {
        state
            .peers
            .push(connection, websocket::encode_close(code, reason));
    }
    end(state, now, connection, Ending::Lingering);
}

/// Begins the end of a connection; the peer has a while to take what it is owed.
pub fn end(state: &mut State, now: Now, connection: ConnectionId, ending: Ending) {
    leaving::leave_hub(state, connection);
    forget_unfinished(state, connection);
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
    leaving::leave_hub(state, connection);
    forget(state, connection);
    finish_if_drained(state);
}

/// Nothing is kept of a connection, and its socket is closed.
pub fn forget(state: &mut State, connection: ConnectionId) {
    forget_unfinished(state, connection);
    pings::forget(state, connection);
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

/// A connection has nothing unfinished any more.
pub fn forget_unfinished(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.peers.peer_mut(connection)
        && std::mem::take(&mut peer.is_unfinished)
    {
        state.unfinished.remove(connection);
        state.arm_unfinished();
    }
}

/// The server has stopped when it drains and nobody is left.
pub fn finish_if_drained(state: &mut State) {
    if state.life == Life::Draining && state.peers.is_empty() {
        state.life = Life::Stopped;
        log::info!("{}", state.settings.locale.say(Phrase::Stopped));
        state.outputs.push_back(Output::Stopped);
    }
}
