//! What happens to a client, a link or a guest when its connection ends.

use crate::engine::backend::links;
use crate::engine::state::State;
use crate::engine::transport::peer::Role;
use crate::engine::transport::standing::Standing;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::message::Dialect;

/// A connection is no client's any more, so its address has room for another.
pub fn leave_place(state: &mut State, connection: ConnectionId) {
    let placed = state
        .peers
        .peer_mut(connection)
        .filter(|peer| peer.standing.has(Standing::PLACED));
    if let Some(peer) = placed {
        peer.standing = peer.standing.with(Standing::PLACED, false);
        if let Some(address) = peer.address {
            state.addresses.remove_client(address);
        }
    }
}

/// Its end has begun: whatever it was here for goes on without it, or not at all.
pub fn leave_hub(state: &mut State, connection: ConnectionId) {
    state.lobby.leave(connection);
    state.pending.forget_waiting(connection);
    links::leave(state, connection);
    leave_place(state, connection);
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    let messages = peer.allowance.messages;
    let Some(client) = peer.client() else {
        return;
    };
    peer.role = Role::Caller;
    let (id, dialect) = (
        state.hub.directory().client(client).id,
        state.dialect(client),
    );
    let now = state.now;
    if state.hub.directory().client(client).has_session && !messages.is_full(now.at) {
        state.addresses_mut(now).keep_talker(now.at, id, messages);
    }
    state.hub.leave(state.now, client);
    state.pending.orphan(id);
    let phrase_id = id.to_string();
    let phrase = match dialect {
        Dialect::Payload => Phrase::ClientDisconnected {
            client: &phrase_id,
            total: state.clients(),
        },
        Dialect::Data => Phrase::DataClientDisconnected,
    };
    log::info!("{}", state.settings.locale.say(phrase));
}
