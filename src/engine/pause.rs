//! What a process that stood still, or does not keep up with its sockets, knows of its peers: not that they are silent.

use super::state::State;
use crate::hub::Link;

/// The process stood still for a while. What its peers have sent meanwhile may still be on its way, so they count as heard.
pub fn forgive(state: &mut State) {
    state.peers.forgive();
}

/// These have sent more than was read of them: what is due for them now is due one turn later.
pub fn spare(state: &mut State, links: impl Iterator<Item = Link>) {
    state.spared.clear();
    state.spared.extend(links);
}
