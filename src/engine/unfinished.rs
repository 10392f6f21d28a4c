//! What peers have begun and not ended, and what waits to be handled: bounded in time for each, and in bytes for all
//! together.
//!
//! A whole message that comes in one piece never gets here. When there is too much of it, whoever has left the most goes
//! first, so that an attack does not end those who have left little.

use super::closing;
use super::http;
use super::notices::Notice;
use super::peers::Peer;
use super::state::State;
use super::timer::Timer;
use crate::base::time::{Now, Time};
use crate::base::wheel::TimerId;
use crate::hub::ConnectionId;
use crate::wire::http::Problem;
use crate::wire::websocket::CloseCode;
use std::collections::{BTreeSet, HashMap};

/// The memory that the unfinished input of all connections may take together, unless single messages and bodies may be so
/// long that this would be no room for several.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The same where these may have any length.
const MAX_UNLIMITED_BYTES: usize = 4 * MAX_BYTES;
/// How many of the longest messages or bodies must have room.
const LONGEST_AT_ONCE: usize = 4;

/// What an allocation takes beside its bytes, and an entry here.
const ENTRY_COST: usize = 160;

/// The unfinished input of all connections.
#[derive(Debug)]
pub struct Unfinished {
    entries: HashMap<ConnectionId, Entry>,
    by_size: BTreeSet<(usize, ConnectionId)>,
    /// Those who must finish in time, by when they began.
    by_age: BTreeSet<(Time, ConnectionId)>,
    bytes: usize,
    max_bytes: usize,
    timer: Option<TimerId>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: usize,
    /// When what must end in time began; `None`: it waits for the server.
    since: Option<Time>,
}

impl Unfinished {
    /// Nothing yet. `longest`: the longest message and the longest body (0: no limit).
    pub fn new(longest: [usize; 2]) -> Self {
        let room = |longest: usize| match longest {
            0 => MAX_UNLIMITED_BYTES,
            longest => longest.saturating_mul(LONGEST_AT_ONCE),
        };
        Self {
            entries: HashMap::new(),
            by_size: BTreeSet::new(),
            by_age: BTreeSet::new(),
            bytes: 0,
            max_bytes: longest.map(room).into_iter().fold(MAX_BYTES, usize::max),
            timer: None,
        }
    }

    /// Whether so many bytes more would be too much.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// The memory that all of it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when a connection has something unfinished that must end in time.
    pub fn since(&self, connection: ConnectionId) -> Option<Time> {
        self.entries.get(&connection)?.since
    }

    fn set(&mut self, connection: ConnectionId, entry: Entry) {
        self.remove(connection);
        self.entries.insert(connection, entry);
        self.by_size.insert((entry.bytes, connection));
        self.by_age
            .extend(entry.since.map(|since| (since, connection)));
        self.bytes += entry.bytes;
    }

    /// Whatever must end in time begins now.
    pub fn forgive(&mut self, now: Time) {
        for (_, connection) in std::mem::take(&mut self.by_age) {
            if let Some(entry) = self.entries.get_mut(&connection) {
                entry.since = Some(now);
                self.by_age.insert((now, connection));
            }
        }
    }

    fn remove(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.entries.remove(&connection) {
            self.by_size.remove(&(entry.bytes, connection));
            if let Some(since) = entry.since {
                self.by_age.remove(&(since, connection));
            }
            self.bytes -= entry.bytes;
        }
    }
}

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
        bytes += state.lobby.bytes_of(connection) + state.routes.waiting_bytes(connection);
    }
    if bytes == 0 && !peer.is_unfinished {
        return;
    }
    if bytes == 0 {
        return forget(state, connection);
    }
    bytes += ENTRY_COST;
    // Whoever is cut short by its own share goes on at once, and has no more time for that.
    let waits_for_others = peer.connection.has_stash() && !peer.share.is_cut;
    let must_wait = waits_for_others || peer.is_held || peer.waits;
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
    arm(state);
    while !state.unfinished.has_room(0) && shed(state, now) {}
}

/// A connection has nothing unfinished any more.
pub fn forget(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.peers.peer_mut(connection)
        && std::mem::take(&mut peer.is_unfinished)
    {
        state.unfinished.remove(connection);
        arm(state);
    }
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
        forget(state, connection);
        end_late(state, now, connection);
    }
    arm(state);
}

/// Sees to it that the timer is set if, and only if, somebody must finish something.
fn arm(state: &mut State) {
    let timeout = state.settings.websocket.connection_timeout;
    let first = state.unfinished.by_age.first().map(|(since, _)| *since);
    let first = first.filter(|_| !timeout.is_zero());
    match (first, state.unfinished.timer) {
        (Some(since), None) => {
            let timer = state.wheel.schedule(since + timeout, Timer::Unfinished);
            state.unfinished.timer = Some(timer);
        }
        (None, Some(timer)) => {
            state.wheel.cancel(timer);
            state.unfinished.timer = None;
        }
        _ => {}
    }
}

fn end_late(state: &mut State, now: Now, connection: ConnectionId) {
    let is_websocket = state.is_websocket(connection);
    let what = if is_websocket { "message" } else { "request" };
    state.notices.count(now.at, Notice::Late, || {
        format!("a {what} was begun and not finished within websocket.connection_timeout; its connection is closed")
    });
    match is_websocket {
        true => closing::send_away(
            state,
            now,
            connection,
            CloseCode::TIMED_OUT,
            "message not finished in time",
        ),
        false => closing::time_out_request(state, now, connection),
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
    forget(state, connection);
    let max_bytes = state.unfinished.max_bytes;
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
    let has_answer = peer.is_held && state.lobby.bytes_of(connection) == 0;
    !peer.is_backend && !has_answer
}

/// `alone`: it would be too much without the others, and will be again.
fn end_largest(state: &mut State, now: Now, connection: ConnectionId, alone: bool) {
    let is_websocket = state.is_websocket(connection);
    match (is_websocket, alone) {
        (true, true) => {
            closing::send_away(
                state,
                now,
                connection,
                CloseCode::TOO_BIG,
                "message too long",
            );
        }
        (true, false) => {
            const REASON: &str = "too much unfinished input";
            closing::send_away(state, now, connection, CloseCode::TRY_AGAIN_LATER, REASON);
        }
        (false, true) => {
            let detail = "this request alone takes more than all unfinished requests may together";
            http::refuse(
                state,
                now,
                connection,
                &Problem::new(413, "too_large", detail).into(),
            );
        }
        (false, false) => {
            let detail =
                "too many unfinished requests, of which this was the largest; come back later";
            let problem = Problem::new(503, "limit_exceeded", detail).retry_after_s(1);
            http::refuse(state, now, connection, &problem.into());
        }
    }
}

/// A local producer is not ended: its line is refused, as one that is longer than is allowed.
fn cut_line(state: &mut State, now: Now, connection: ConnectionId) {
    let max_bytes = state.unfinished.max_bytes;
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
