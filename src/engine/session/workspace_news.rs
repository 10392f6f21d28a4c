//! News of workspaces, and lists of them, to those who follow them (contract section 6): said when they are kept, and in the
//! order of the changes.

use crate::base::time::Now;
use crate::engine::commit::held::Held;
use crate::engine::refusal::Refusal;
use crate::engine::state::State;
use crate::engine::transport::peer::Reading;
use crate::hub::workspaces::documents::Change;
use crate::hub::{ClientId, ClientKey};
use crate::wire::locale::Phrase;
use crate::wire::message::{Envelope, ErrorCode};
use crate::wire::websocket::EncodedFrame;

/// Tells of a change when it is kept, or at once and that it is not.
pub fn publish_when_kept(state: &mut State, now: Now, sender: ClientKey, mut change: Change) {
    let sender = state.hub.directory().client(sender).id;
    let records = std::mem::take(&mut change.records);
    state.hub.keep(records);
    if let Some(reason) = state.commit.durability.fault().map(str::to_owned) {
        publish(state, now, &change);
        return tell_not_kept(state, sender, &reason);
    }
    match state
        .commit
        .durability
        .seq_to_wait_for(state.hub.has_records())
    {
        None => publish(state, now, &change),
        Some(seq) => state
            .commit
            .durability
            .hold(seq, Held::Change { sender, change }),
    }
}

/// Sends a list of workspaces, behind the news that were on their way when it was asked for.
pub fn list_when_kept(state: &mut State, now: Now, client: ClientKey) {
    let client = state.hub.directory().client(client).id;
    let Some(seq) = state.commit.durability.seq_of_changes() else {
        return list(state, now, client);
    };
    state.commit.durability.hold(seq, Held::List { client });
    // Lists are long, and a client that asks for many would get all of them at once.
    if let Some(connection) = state.connection_of(client)
        && let Some(peer) = state.transport.peers.peer_mut(connection)
    {
        peer.reading = Reading::Waiting;
    }
}

/// Tells every client of the data dialect of a change, the one that made it included.
pub fn publish(state: &mut State, now: Now, change: &Change) {
    let mut delivery = state.transport.peers.delivery(&state.settings);
    state.hub.publish_change(now, change, &mut delivery);
}

/// Tells whoever made a change that it was made and will not outlive the process.
pub fn tell_not_kept(state: &mut State, sender: ClientId, reason: &str) {
    if let Some(client) = state.hub.directory().living_client(sender) {
        let refusal =
            Refusal::coded(ErrorCode::Internal, reason).said(|text| Phrase::NotKept(text));
        state.refuse(client, &refusal, None);
    }
}

/// Sends a client all workspaces in order.
pub fn list(state: &mut State, now: Now, client: ClientId) {
    let Some(client) = state.hub.directory().living_client(client) else {
        return;
    };
    let frame = list_frame(state, now, client);
    let connection = state.hub.directory().client(client).connection;
    state.transport.peers.answer(connection, &frame);
    state.hub.forget_news(client);
}

/// The list of workspaces in a client's form.
fn list_frame(state: &mut State, now: Now, client: ClientKey) -> EncodedFrame {
    let variant = state.variant(client);
    let version = state.hub.workspaces().version();
    if let Some(frame) = state.session.lists.find(version, variant) {
        return frame;
    }
    let payload = state.hub.workspaces().list();
    let envelope = Envelope {
        kind: "workspace.list",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        room_offset: None,
    };
    let encoded = envelope.encode(variant);
    drop(payload);
    let frame = state.frame(&encoded, variant);
    state.session.lists.keep(version, variant, &frame);
    frame
}
