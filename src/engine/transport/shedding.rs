//! What is left unfinished for too long, or is too much, is given up: whoever has left the most goes first.

use crate::base::time::Now;
use crate::engine::notices::Notice;
use crate::engine::refusal::Refusal;
use crate::engine::session::farewell;
use crate::engine::state::State;
use crate::engine::transport::peer::{Peer, Reading};
use crate::engine::transport::unfinished::{ENTRY_COST, Entry, max_bytes};
use crate::engine::transport::{answer, close};
use crate::hub::ConnectionId;
use crate::wire::websocket::CloseCode;

/// Records what a connection has left unfinished. `has_completed`: something was completed since the last time, so
/// that whatever is unfinished now has begun since.
pub fn note(state: &mut State, now: Now, connection: ConnectionId, has_completed: bool) {
    let Some(peer) = state.peers.peer(connection) else {
        return;
    };
    let mut bytes = 0;
    if peer.connection.is_open() {
        let line = line_bytes(peer);
        bytes = peer.connection.held_input() + line;
        bytes += state.lobby.bytes_of(connection) + state.pending.waiting_bytes(connection);
    }
    if bytes == 0 && !peer.is_unfinished {
        return;
    }
    if bytes == 0 {
        return close::forget_unfinished(state, connection);
    }
    bytes += ENTRY_COST;
    // Whoever is cut short by its own share goes on at once, and has no more time for that.
    let waits_for_others = peer.connection.has_stash() && !peer.share.is_cut;
    let must_wait = waits_for_others || peer.reading != Reading::Open;
    let has_line = line_bytes(peer) > 0;
    let is_timed = !peer.services.ingest() && (peer.connection.has_begun() || has_line);
    let since = state
        .unfinished
        .since(connection)
        .filter(|_| !has_completed);
    let since = (is_timed && !must_wait).then(|| since.unwrap_or(now.at));
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.is_unfinished = true;
    }
    state.unfinished.set(connection, Entry { bytes, since });
    state.arm_unfinished();
    while !state.unfinished.has_room(0, &state.settings) && shed(state, now) {}
}

/// Whoever has begun too long ago is ended.
pub fn handle_timer(state: &mut State, now: Now) {
    state.unfinished.timer = None;
    let timeout = state.settings.websocket.connection_timeout;
    let by_age = state.unfinished.by_age.iter();
    let due = by_age.take_while(|(since, _)| *since + timeout <= now.at);
    // What completes it may have come, and be read in the next turn.
    let due = due.filter(|(_, connection)| !state.spared.contains(connection));
    let due: Vec<ConnectionId> = due.map(|(_, connection)| *connection).collect();
    for connection in due {
        close::forget_unfinished(state, connection);
        end_late(state, now, connection);
    }
    state.arm_unfinished();
}

fn end_late(state: &mut State, now: Now, connection: ConnectionId) {
    let is_websocket = state.is_websocket(connection);
    let what = if is_websocket { "message" } else { "request" };
    state.notices.count(now.at, Notice::Late, || {
        format!("a {what} was begun and not finished within websocket.connection_timeout; its connection is closed")
    });
    match is_websocket {
        true => farewell::send_away(
            state,
            now,
            connection,
            CloseCode::TIMED_OUT,
            "message not finished in time",
        ),
        false => answer::time_out_request(state, now, connection),
    }
}

/// Ends the connection that has left the most; `false`: nobody can be ended.
fn shed(state: &mut State, now: Now) -> bool {
    let by_size = state.unfinished.by_size.iter().rev();
    let largest = by_size
        .copied()
        .find(|(_, connection)| may_shed(state, *connection));
    let Some((bytes, connection)) = largest else {
        return false;
    };
    if state
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.services.ingest())
    {
        cut_line(state, now, connection);
        return true;
    }
    close::forget_unfinished(state, connection);
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

/// Whether what a connection has left may be given up. The application is trusted, and whose request is carried out
/// already has its answer coming.
fn may_shed(state: &State, connection: ConnectionId) -> bool {
    let Some(peer) = state.peers.peer(connection) else {
        return true;
    };
    if peer.services.ingest() {
        return line_bytes(peer) > 0;
    }
    let has_answer = peer.reading.is_held() && state.lobby.bytes_of(connection) == 0;
    !peer.is_backend() && !has_answer
}

/// `alone`: it would be too much without the others, and will be again.
fn end_largest(state: &mut State, now: Now, connection: ConnectionId, alone: bool) {
    let is_websocket = state.is_websocket(connection);
    match (is_websocket, alone) {
        (true, true) => {
            farewell::send_away(
                state,
                now,
                connection,
                CloseCode::TOO_BIG,
                "message too long",
            );
        }
        (true, false) => {
            const REASON: &str = "too much unfinished input";
            farewell::send_away(state, now, connection, CloseCode::TRY_AGAIN_LATER, REASON);
        }
        (false, true) => {
            let detail = "this request alone takes more than all unfinished requests may together";
            answer::refuse(
                state,
                now,
                connection,
                &Refusal::new("too_large", detail).into(),
            );
        }
        (false, false) => {
            let detail =
                "too many unfinished requests, of which this was the largest; come back later";
            let refusal = Refusal::limit_exceeded(detail).retry_after_s(1);
            answer::refuse(state, now, connection, &refusal.into());
        }
    }
}

/// A local producer is not ended: its line is refused, as one that is longer than is allowed.
fn cut_line(state: &mut State, now: Now, connection: ConnectionId) {
    let max_bytes = max_bytes(&state.settings);
    let stream = state
        .peers
        .peer_mut(connection)
        .and_then(|peer| peer.stream.as_mut());
    if let Some(stream) = stream {
        let line = stream.splitter.skip_line();
        stream.tally.reject(
            line,
            format!("unfinished lines take more than {max_bytes} bytes together"),
        );
        state.notices.count(now.at, Notice::Unfinished, || {
            format!("ingest: line {line} of a producer is dropped: unfinished lines take more than {max_bytes} bytes")
        });
    }
    note(state, now, connection, true);
}

/// The part of a line that a connection has sent so far.
fn line_bytes(peer: &Peer) -> usize {
    let stream = peer.stream.as_ref();
    stream.map_or(0, |stream| stream.splitter.held_bytes())
}
