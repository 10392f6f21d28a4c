//! The application's own links (contract section 7): how they come and go, and how they are written to.

use crate::engine::state::State;
use crate::engine::transport::peer::Role;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::message::Variant;

/// The path of the links.
pub const PATH: &str = "/backend";

/// The application has connected.
pub fn connect(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.role = Role::Application;
        state.pending.insert_link(connection);
        let (address, total) = (&address(state, connection), state.pending.links());
        let phrase = Phrase::BackendConnected { address, total };
        log::info!("{}", state.settings.locale.say(phrase));
    }
}

/// A connection ends. If it was the application's, those who wait for it are told by [`tell_of_lost`].
pub fn leave(state: &mut State, connection: ConnectionId) {
    let Some(peer) = state
        .peers
        .peer_mut(connection)
        .filter(|peer| peer.is_backend())
    else {
        return;
    };
    peer.role = Role::Caller;
    state.pending.remove_link(connection);
    let (address, total) = (&address(state, connection), state.pending.links());
    let phrase = Phrase::BackendDisconnected { address, total };
    log::info!("{}", state.settings.locale.say(phrase));
}

fn address(state: &State, connection: ConnectionId) -> String {
    let address = state.peers.peer(connection).and_then(|peer| peer.address);
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// Sends text to one of the application's links, which has room for it.
pub fn send(state: &mut State, connection: ConnectionId, text: &str) {
    let peer = state.peers.peer(connection);
    let variant = Variant {
        window: peer.and_then(|peer| peer.compression.window()),
        ..Variant::default()
    };
    state.answer(connection, text.as_bytes(), variant);
}
