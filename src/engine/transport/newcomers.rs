//! Connections that have sent no whole request yet: they cost descriptors and bring nothing, so when there are too many
//! connections the oldest of them make room.
//!
//! Owns the order of their age, found by one walk for a thousand of them, and the count of whom it cost their place. Closes
//! nothing itself.

use super::peer::{Peer, Standing};
use super::peers::Peers;
use crate::base::time::{Span, Time};
use crate::conn::Phase;
use crate::hub::ConnectionId;
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
    closed: u64,
    refused: u64,
    told_at: Option<Time>,
}

impl Newcomers {
    /// The oldest connection that has sent no request. That there is none holds for the rest of the turn: the walk that finds
    /// them is not repeated for each connection of a flood.
    pub fn poll_oldest(&mut self, now: Time, peers: &Peers) -> Option<ConnectionId> {
        loop {
            while let Some(connection) = self.oldest.pop_front() {
                if peers.peer(connection).is_some_and(is_newcomer) {
                    return Some(connection);
                }
            }
            if self.none_at == Some(now) {
                return None;
            }
            self.oldest = oldest(peers);
            if self.oldest.is_empty() {
                self.none_at = Some(now);
            }
        }
    }

    /// Counts one that was closed to make room, or one that was refused because nobody could make room for it. One line is logged
    /// for all of a minute.
    pub fn count(&mut self, now: Time, connections: usize, was_closed: bool) {
        self.closed += u64::from(was_closed);
        self.refused += u64::from(!was_closed);
        let is_due = |at| now.saturating_since(at) >= REST;
        if self.told_at.is_none_or(is_due) {
            self.told_at = Some(now);
            let (closed, refused) = (self.closed, self.refused);
            log::warn!(
                "{connections} connections are all there may be (server.max_connections, ulimit -n): \
                 {closed} that had sent no request were closed to make room and {refused} were refused since the start"
            );
        }
    }
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
    let age = |other: &ConnectionId| other.generation.wrapping_sub(some.generation).cast_signed();
    newcomers.sort_unstable_by_key(age);
    newcomers.truncate(KNOWN);
    newcomers.into()
}
