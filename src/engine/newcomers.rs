//! Connections that have sent no whole request yet: they cost descriptors and bring nothing, so when there are too many
//! connections the oldest of them make room.

use super::closing;
use super::peers::{Peer, Peers};
use super::standing::Standing;
use super::state::State;
use crate::base::time::{Now, Span, Time};
use crate::conn::Phase;
use crate::hub::ConnectionId;
use crate::wire::http::{Framing, Problem, Response};
use std::collections::VecDeque;

/// So many of the oldest are known at once: all connections must be looked at for them.
const KNOWN: usize = 1024;
/// How long a line about that is not repeated.
const REST: Span = Span::from_secs(60);

/// The oldest connections that have sent no request, and what became of others.
#[derive(Debug, Default)]
pub struct Newcomers {
    oldest: VecDeque<ConnectionId>,
    /// When there were none.
    none_at: Option<Time>,
    max_viewers: usize,
    closed: u64,
    refused: u64,
    told_at: Option<Time>,
}

/// Sets how many connections there may be beyond which no viewer is let in; 0: any number.
pub fn limit_viewers(state: &mut State, max: usize) {
    state.newcomers.max_viewers = max;
}

/// Closes the oldest connection that has sent no request. What `None` says holds for the rest of the turn.
pub fn make_room(state: &mut State, now: Now) -> Option<ConnectionId> {
    state.now = now;
    loop {
        while let Some(connection) = state.newcomers.oldest.pop_front() {
            if state.peers.peer(connection).is_some_and(is_newcomer) {
                closing::remove(state, connection);
                state.newcomers.closed += 1;
                tell(state, now);
                return Some(connection);
            }
        }
        if state.newcomers.none_at == Some(now.at) {
            return None;
        }
        state.newcomers.oldest = oldest(&state.peers);
        if state.newcomers.oldest.is_empty() {
            state.newcomers.none_at = Some(now.at);
        }
    }
}

/// What a connection is told for which there is no place, whatever it asks.
pub fn refuse(state: &mut State, now: Now) -> Vec<u8> {
    state.newcomers.refused += 1;
    state.traffic.refused += 1;
    tell(state, now);
    let detail = "the server has as many connections as it can have (server.max_connections, \
                  or the limit of open files); come back later";
    let problem = Problem::new(503, "limit_exceeded", detail).retry_after_s(1);
    let framing = Framing {
        head_only: false,
        keep_alive: false,
        version_minor: 1,
        date: state.dates.at(now.wall_ms),
    };
    Response::from(problem).encode(framing)
}

/// Whether a connection of a listener that serves the API as well may not become a viewer: only places for the API are left.
pub fn is_in_reserve(state: &State) -> bool {
    let max = state.newcomers.max_viewers;
    max > 0 && state.peers.len() > max
}

fn is_newcomer(peer: &Peer) -> bool {
    matches!(peer.connection.phase, Phase::Http(_)) && !peer.standing.has(Standing::ASKED)
}

fn oldest(peers: &Peers) -> VecDeque<ConnectionId> {
    let mut newcomers = peers.ids();
    newcomers.retain(|connection| peers.peer(*connection).is_some_and(is_newcomer));
    let Some(some) = newcomers.first().copied() else {
        return VecDeque::new();
    };
    // Connections are numbered as they come, and numbers begin anew at their end.
    let age = |connection: &ConnectionId| {
        connection
            .generation
            .wrapping_sub(some.generation)
            .cast_signed()
    };
    newcomers.sort_unstable_by_key(age);
    newcomers.truncate(KNOWN);
    newcomers.into()
}

/// One line for all of a minute.
fn tell(state: &mut State, now: Now) {
    let newcomers = &mut state.newcomers;
    let is_news = |at| now.at.saturating_since(at) >= REST;
    if newcomers.told_at.is_none_or(is_news) {
        newcomers.told_at = Some(now.at);
        let (closed, refused) = (newcomers.closed, newcomers.refused);
        log::warn!(
            "{} connections are all there may be (server.max_connections, ulimit -n): \
             {closed} that had sent no request were closed to make room and {refused} were refused since the start",
            state.peers.len()
        );
    }
}
