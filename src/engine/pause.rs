//! What a process that stood still, or does not keep up with its sockets, knows of its peers: not that they are silent.

use super::state::State;
use crate::base::time::Now;
use crate::hub::ConnectionId;

/// The process stood still for a while. What its peers have sent meanwhile may still be on its way, so they count as heard,
/// and have their time once more.
pub fn forgive(state: &mut State, now: Now) {
    for connection in state.peers.ids() {
        if let Some(peer) = state.peers.peer_mut(connection) {
            peer.alive = true;
        }
    }
    state.unfinished.forgive(now.at);
}

/// These have sent more than was read of them: what is due for them now is due one turn later.
pub fn spare(state: &mut State, links: impl Iterator<Item = ConnectionId>) {
    state.spared.clear();
    state.spared.extend(links);
}
