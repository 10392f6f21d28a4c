//! The application's own links (contract section 7): how they come and go, and how they are written to.

use crate::engine::state::State;
use crate::engine::transport::peer::Role;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::message::Variant;
use core::net::IpAddr;

/// The path of the links.
pub const PATH: &str = "/backend";

/// The application has connected.
pub fn connect(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.role = Role::Application;
        state.pending.insert_link(connection);
        let (address, total) = (&shown(peer.address), state.pending.links());
        let phrase = Phrase::BackendConnected { address, total };
        log::info!("{}", state.settings.locale.say(phrase));
    }
}

/// A link has ended. Those who wait for it are told by [`tell_of_lost`](super::outbound::tell_of_lost).
pub fn leave(state: &mut State, connection: ConnectionId, address: Option<IpAddr>) {
    state.pending.remove_link(connection);
    let (address, total) = (&shown(address), state.pending.links());
    let phrase = Phrase::BackendDisconnected { address, total };
    log::info!("{}", state.settings.locale.say(phrase));
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// Sends text to one of the application's links, which has room for it.
pub fn send(state: &mut State, connection: ConnectionId, text: &str) {
    let peer = state.transport.peers.peer(connection);
    let variant = Variant {
        window: peer.and_then(|peer| peer.compression.window()),
        ..Variant::default()
    };
    state.answer(connection, text.as_bytes(), variant);
}
