//! Messages about workspaces (contract section 6): from a client of the data dialect to a change, and from a change to
//! every client of that dialect.

use crate::base::time::Now;
use crate::engine::commit::store::Held;
use crate::engine::state::State;
use crate::hub::workspaces::documents::{Change, MAX_DEPTH};
use crate::hub::{ClientId, ClientKey};
use crate::wire::locale::{Phrase, WorkspaceFault as Fault};
use crate::wire::message::compact::compact;
use crate::wire::message::{Envelope, ErrorCode, Incoming, Malformed, Members};
use crate::wire::websocket::EncodedFrame;

/// What a client may want.
#[derive(Clone, Copy)]
enum Command {
    Create,
    Update,
    Delete,
    Reorder,
    List,
}

/// Does what a message asks; `false` when it is not about workspaces.
pub fn handle(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>) -> bool {
    let command = match &*message.kind {
        "workspace.create" => Command::Create,
        "workspace.update" => Command::Update,
        "workspace.delete" => Command::Delete,
        "workspace.reorder" => Command::Reorder,
        "workspace.list" => Command::List,
        _ => return false,
    };
    match carry_out(state, now, command, message) {
        Ok(Some(change)) => {
            let sender = state.hub.directory().client(client).id;
            publish_when_kept(state, now, sender, change);
        }
        Ok(None) => {
            let client = state.hub.directory().client(client).id;
            list_when_kept(state, now, client);
        }
        Err(fault) => refuse(state, now, client, message, &fault),
    }
    true
}

/// The change that a message makes; `None` when it only asks.
fn carry_out(
    state: &mut State,
    now: Now,
    command: Command,
    message: &Incoming<'_>,
) -> Result<Option<Change>, Fault> {
    let State { hub, random, .. } = state;
    let workspaces = hub.workspaces_mut();
    let body = compact(message.body);
    let wish = || wish_of(message, &body);
    match command {
        Command::Create => workspaces.create(now, wish()?, random),
        Command::Update => workspaces.update(now, wish()?),
        Command::Delete => workspaces.delete(&wish()?),
        Command::Reorder => workspaces.reorder(&wish()?),
        Command::List => return Ok(None),
    }
    .map(Some)
}

/// Tells of a change when it is kept, or at once and that it is not.
fn publish_when_kept(state: &mut State, now: Now, sender: ClientId, mut change: Change) {
    let records = std::mem::take(&mut change.records);
    state.hub.keep(records);
    if let Some(reason) = state.durability.fault().map(str::to_owned) {
        publish(state, now, &change);
        return tell_not_kept(state, now, sender, &reason);
    }
    match state.durability.seq_to_wait_for(state.hub.has_records()) {
        None => publish(state, now, &change),
        Some(seq) => state.durability.hold(seq, Held::Change { sender, change }),
    }
}

/// Sends a list of workspaces, behind the news that were on their way when it was asked for.
fn list_when_kept(state: &mut State, now: Now, client: ClientId) {
    let Some(seq) = state.durability.seq_of_changes() else {
        return list(state, now, client);
    };
    state.durability.hold(seq, Held::List { client });
    // Lists are long, and a client that asks for many would get all of them at once.
    if let Some(connection) = state.connection_of(client)
        && let Some(peer) = state.peers.peer_mut(connection)
    {
        peer.waits = true;
    }
}

/// Tells every client of the data dialect of a change, the one that made it included.
pub fn publish(state: &mut State, now: Now, change: &Change) {
    state.hub.publish_change(now, change, &mut state.peers);
}

/// Tells whoever made a change that it was made and will not outlive the process.
pub fn tell_not_kept(state: &mut State, now: Now, sender: ClientId, reason: &str) {
    if let Some(client) = state.hub.directory().living_client(sender) {
        let phrase = Phrase::NotKept(reason);
        state.send_error(now, client, ErrorCode::Internal, phrase, None);
    }
}

/// Sends a client all workspaces in order.
pub fn list(state: &mut State, now: Now, client: ClientId) {
    let Some(client) = state.hub.directory().living_client(client) else {
        return;
    };
    let frame = list_frame(state, now, client);
    let connection = state.hub.directory().client(client).connection;
    state.peers.answer(connection, &frame);
    state.hub.forget_news(client);
}

/// A client that has drained is sent the news that it lacks.
pub fn catch_up(state: &mut State, now: Now, client: ClientKey) {
    let id = state.hub.directory().client(client).id;
    if state.hub.send_news(now, client, &mut state.peers) {
        list_when_kept(state, now, id);
    }
}

/// The list of workspaces in a client's form.
fn list_frame(state: &mut State, now: Now, client: ClientKey) -> EncodedFrame {
    let variant = state.variant(client);
    let version = state.hub.workspaces().version();
    if let Some(frame) = state.lists.find(version, variant) {
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
    state.lists.keep(version, variant, &frame);
    frame
}

/// The fields of a message, whose body it is. When they are flat, the envelope's own stand among them.
fn wish_of<'a>(message: &Incoming<'_>, body: &'a str) -> Result<Members<'a>, Fault> {
    let wish = Members::parse(body).map_err(|malformed| match malformed {
        Malformed::Field { field, .. } if field.is_empty() => Fault::NoObject,
        malformed => Fault::Unreadable(malformed.to_string()),
    })?;
    // What is nested too deep is refused for that, by whoever keeps it.
    if wish.depth() <= MAX_DEPTH {
        message
            .check_relayable()
            .map_err(|malformed| Fault::Unreadable(malformed.to_string()))?;
    }
    match message.nested {
        true => Ok(wish),
        false => Ok(wish.without(&["type", "data", "payload"])),
    }
}

fn refuse(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>, fault: &Fault) {
    // EnvelopeFields flat fields an `id` names the workspace, not the message.
    let reply_to = message.id.filter(|_| message.nested);
    let phrase = Phrase::WorkspaceFault(fault);
    state.send_error(now, client, code_of(fault), phrase, reply_to);
}

fn code_of(fault: &Fault) -> ErrorCode {
    match fault {
        Fault::Unknown(_) => ErrorCode::NotFound,
        Fault::TooMany { .. }
        | Fault::TooLarge { .. }
        | Fault::TooLargeTogether { .. }
        | Fault::TooDeep { .. } => ErrorCode::LimitExceeded,
        _ => ErrorCode::InvalidMessage,
    }
}
