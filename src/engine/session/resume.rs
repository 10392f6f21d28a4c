//! How a client proves that it is the one who was here, and takes its session over.

use crate::base::time::Now;
use crate::engine::session::{farewell, leaving};
use crate::engine::state::State;
use crate::engine::transport::peer::Role;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::message::{Dialect, Variant};

/// Where the client of a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Connected, so that it takes nobody's place when it comes back.
    Here,
    /// Away, and expected.
    Away,
    /// There is no such session.
    Nowhere,
}

/// Where the client of a secret is.
pub fn whereabouts(state: &State, secret: &str) -> Whereabouts {
    let directory = state.hub.directory();
    let client = state.session_key.client(secret);
    let client = client.and_then(|client| directory.living_client(client));
    let client = client.map(|client| directory.client(client));
    match client.filter(|client| client.has_session) {
        Some(client) if client.is_away => Whereabouts::Away,
        Some(_) => Whereabouts::Here,
        None => Whereabouts::Nowhere,
    }
}

/// The client that a secret brings back on a connection, if its session is still there. Whoever holds its connection
/// loses it.
pub fn resume(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Variant,
    secret: &str,
) -> Option<ClientKey> {
    let id = state.session_key.client(secret)?;
    let client = state.hub.directory().living_client(id)?;
    let found = state.hub.directory().client(client);
    if variant.dialect != Dialect::Payload || !found.has_session {
        return None;
    }
    let mut messages = state.addresses.take_talker(id);
    if !found.is_away {
        let old = found.connection;
        leaving::leave_place(state, old);
        log::info!("{id} has come back before its old connection was gone, which ends here");
        if let Some(peer) = state.peers.peer_mut(old) {
            peer.role = Role::Caller;
            messages = peer.allowance.messages;
        }
        state.peers.set_backlogged(old, false);
        // Whoever reads is told first that the upgrade has succeeded.
        if state.peers.peer(old).is_some_and(|peer| peer.blocked) {
            state.peers.drop_unstarted(old);
        }
        farewell::replace(state, now, client);
    }
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.allowance.messages = messages;
    }
    state.hub.resume(now, client, connection, variant.dialect);
    state.pending.adopt(id);
    Some(client)
}
