//! The WebSocket phase of a connection: frames in, rate and form checked, messages on to their meaning.

use crate::base::time::Now;
use crate::conn::Ending;
use crate::engine::backend::inbound;
use crate::engine::commit::lobby::KeptMessage;
use crate::engine::refusal::Refusal;
use crate::engine::session::{farewell, messages, returns};
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::transport::allowance::Ruling;
use crate::engine::transport::peer::Role;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::unpack::{Unpackable, unpack};
use crate::wire::message::{Encoding, ErrorCode, Variant};
use crate::wire::websocket;
use crate::wire::websocket::{CloseCode, MessageKind, ReaderEvent, Violation};

/// A message of MessagePack may be so many times as long in JSON, which it is read as. Six bytes may stand for one; of what
/// people send it is at most four.
const MAX_JSON_GROWTH: usize = 4;

/// A text message.
pub fn handle_text(state: &mut State, now: Now, connection: ConnectionId, text: &str) {
    if let Some(sender) = admit_message(state, now, connection) {
        charge(state, now, connection, |state| {
            take_text(state, now, connection, sender, text);
        });
    }
}

/// A binary message: MessagePack, where that was agreed on.
pub fn handle_binary(state: &mut State, now: Now, connection: ConnectionId, payload: &[u8]) {
    if let Some(sender) = admit_message(state, now, connection) {
        charge(state, now, connection, |state| {
            take_binary(state, now, connection, sender, payload);
        });
    }
}

/// Has a message understood. What its sender is answered with costs as many messages more as it is long (contract section 8).
fn charge(state: &mut State, now: Now, connection: ConnectionId, take: impl FnOnce(&mut State)) {
    let unsent = |state: &State| {
        let peer = state.transport.peers.peer(connection);
        peer.map_or(0, |peer| peer.connection.outbox.len_bytes())
    };
    let before = unsent(state);
    take(state);
    let answered = unsent(state).saturating_sub(before);
    let rate = state.settings.websocket.message_rate;
    if let Some(peer) = state
        .transport
        .peers
        .peer_mut(connection)
        .filter(|_| !rate.is_none())
    {
        peer.allowance.charge(now.at, answered, rate);
    }
}

fn take_text(state: &mut State, now: Now, connection: ConnectionId, sender: Sender, text: &str) {
    match sender {
        Sender::Client(client) => messages::handle(state, now, client, text),
        Sender::Backend => inbound::handle(state, now, connection, text),
        Sender::Echo => echo(state, connection, MessageKind::Text, text.as_bytes()),
    }
}

fn take_binary(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    sender: Sender,
    payload: &[u8],
) {
    match sender {
        Sender::Client(client) => handle_message_pack(state, now, client, payload),
        Sender::Backend => inbound::handle_binary(state, connection),
        Sender::Echo => echo(state, connection, MessageKind::Binary, payload),
    }
}

/// A message of somebody who waits for the store: it counts now, and is understood later.
pub fn keep(state: &mut State, now: Now, connection: ConnectionId, event: ReaderEvent<'_>) {
    let message = match event {
        ReaderEvent::Text(text) => KeptMessage::Text(text.into_owned()),
        ReaderEvent::Binary(payload) => KeptMessage::Binary(payload.into_owned()),
        ReaderEvent::Compressed { kind, payload } => KeptMessage::Compressed {
            kind,
            payload: payload.into_owned(),
        },
        _ => return,
    };
    state.statistics.traffic.received.record(now.at, 1);
    let rate = state.settings.websocket.message_rate;
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.received = peer.received.wrapping_add(1);
        // Nothing can be said to it yet, so the next message of one that says too much is told.
        let _ = peer.allowance.messages.take(now.at, rate);
        state.commit.lobby.keep(connection, message);
    }
}

/// Such a message can be understood.
pub fn handle_kept(state: &mut State, now: Now, connection: ConnectionId, message: KeptMessage) {
    let peer = state.transport.peers.peer(connection);
    let sender = peer.and_then(|peer| match peer.role {
        Role::Viewer(client) => Some(Sender::Client(client)),
        Role::Application => Some(Sender::Backend),
        Role::Caller => None,
    });
    let Some(sender) = sender else { return };
    charge(state, now, connection, |state| match message {
        KeptMessage::Text(text) => take_text(state, now, connection, sender, &text),
        KeptMessage::Binary(payload) => take_binary(state, now, connection, sender, &payload),
        KeptMessage::Compressed { kind, payload } => {
            take_compressed(state, now, connection, sender, kind, &payload);
        }
    });
}

fn handle_message_pack(state: &mut State, now: Now, client: ClientKey, payload: &[u8]) {
    if state.variant(client).encoding != Encoding::MessagePack {
        let reason = "binary message; expected JSON in a text message, or the subprotocol `joblight.msgpack`";
        let refusal = Refusal::coded(ErrorCode::InvalidMessage, reason);
        return state.refuse(client, &refusal, None);
    }
    let max_length = match state.settings.websocket.max_message_size {
        0 => usize::MAX,
        max_size => max_size.saturating_mul(MAX_JSON_GROWTH),
    };
    match unpack(payload, max_length) {
        Ok(text) => messages::handle(state, now, client, &text),
        Err(Unpackable::Malformed(malformed)) => {
            let reason = malformed.to_string();
            let refusal = Refusal::coded(ErrorCode::InvalidJson, reason);
            state.refuse(
                client,
                &refusal.said(|text| Phrase::InvalidMessagePack(text)),
                None,
            );
        }
        Err(Unpackable::TooLong) => {
            let limit = format!(
                "websocket.max_message_size; as JSON the message has more than {max_length} bytes"
            );
            state.refuse(
                client,
                &Refusal::coded(ErrorCode::MessageTooLarge, limit),
                None,
            );
        }
    }
}

fn echo(state: &mut State, connection: ConnectionId, kind: MessageKind, payload: &[u8]) {
    let window = state
        .transport
        .peers
        .peer(connection)
        .and_then(|peer| peer.compression.window());
    let encoding = match kind {
        MessageKind::Text => Encoding::Json,
        MessageKind::Binary => Encoding::MessagePack,
    };
    let variant = Variant {
        encoding,
        window,
        ..Variant::default()
    };
    state.answer(connection, payload, variant);
}

/// A compressed message: what it says counts as if it had come plain (RFC 7692 section 6.2).
pub fn handle_compressed(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    kind: MessageKind,
    payload: &[u8],
) {
    if let Some(sender) = admit_message(state, now, connection) {
        charge(state, now, connection, |state| {
            take_compressed(state, now, connection, sender, kind, payload);
        });
    }
}

fn take_compressed(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    sender: Sender,
    kind: MessageKind,
    payload: &[u8],
) {
    let max_message_size = state.settings.websocket.max_message_size;
    let message = match state.session.inflater.inflate(payload, max_message_size) {
        Ok(message) => message,
        Err(violation) => return handle_violation(state, connection, &violation),
    };
    match kind {
        MessageKind::Binary => take_binary(state, now, connection, sender, &message),
        MessageKind::Text => match simdutf8::basic::from_utf8(&message) {
            Ok(text) => take_text(state, now, connection, sender, text),
            Err(_) => handle_violation(state, connection, &Violation::NOT_UTF8),
        },
    }
}

/// A ping, answered with its own payload (RFC 6455 section 5.5.3).
pub fn handle_ping(state: &mut State, connection: ConnectionId, payload: &[u8]) {
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    let pong = websocket::encode_pong(payload);
    match peer.intake.count_ping() {
        true => state.transport.peers.push(connection, pong),
        false => state.transport.newest_pong = Some(pong),
    }
}

/// The client says goodbye: the same code goes back, and the socket closes (RFC 6455 section 5.5.1).
pub fn handle_close(state: &mut State, connection: ConnectionId, code: Option<CloseCode>) {
    state.transport.peers.push(
        connection,
        websocket::encode_close(code.unwrap_or(CloseCode::NORMAL), ""),
    );
    teardown::end(state, connection, Ending::Final);
}

/// A frame that breaks the protocol or a limit.
pub fn handle_violation(state: &mut State, connection: ConnectionId, violation: &Violation) {
    teardown::close(state, connection, violation.code, violation.reason);
}

/// Who has sent a message.
enum Sender {
    /// A client of the hub.
    Client(ClientKey),
    /// The application.
    Backend,
    /// A peer of the echo endpoint.
    Echo,
}

/// Counts a message against its connection's limit.
fn admit_message(state: &mut State, now: Now, connection: ConnectionId) -> Option<Sender> {
    let rate = state.settings.websocket.message_rate;
    state.statistics.traffic.received.record(now.at, 1);
    let peer = state.transport.peers.peer_mut(connection)?;
    peer.received = peer.received.wrapping_add(1);
    if peer.is_backend() {
        return Some(Sender::Backend);
    }
    let sender = peer.client().map_or(Sender::Echo, Sender::Client);
    let ruling = peer.allowance.take(now.at, rate);
    let (Ruling::Warned(retry_after) | Ruling::Closed(retry_after)) = ruling else {
        return Some(sender);
    };
    match sender {
        Sender::Client(client) if matches!(ruling, Ruling::Closed(_)) => {
            let (code, reason) = (CloseCode::RATE_LIMITED, "too many messages");
            let delay = returns::spread(state, retry_after);
            farewell::disconnect_for(state, now, client, code, reason, delay);
        }
        Sender::Client(client) => {
            let refusal = Refusal::rate_limited(rate.per_minute, retry_after);
            state.refuse(client, &refusal, None);
        }
        Sender::Backend | Sender::Echo => teardown::close(
            state,
            connection,
            CloseCode::RATE_LIMITED,
            "too many messages",
        ),
    }
    None
}
