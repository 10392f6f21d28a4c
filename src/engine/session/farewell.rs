//! Goodbyes: `disconnected`, which says why and when to come back, then the close frame (contract section 9).

use crate::base::time::{Now, Span};
use crate::engine::context::Dismissal;
use crate::engine::session::returns;
use crate::engine::state::State;
use crate::engine::teardown;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::message::envelope::push_string;
use crate::wire::message::{Envelope, Variant};
use crate::wire::websocket::CloseCode;
use std::fmt::Write;

/// Says goodbye to those whose connections a command, or a call, has ended.
pub fn dismiss_all(state: &mut State, now: Now) {
    for dismissal in std::mem::take(&mut state.dismissals) {
        let Dismissal {
            client,
            code,
            reason,
        } = dismissal;
        // It may have been dismissed twice in one step, or be gone already.
        let directory = state.hub.directory();
        let client = directory.living_client(client);
        if let Some(client) = client.filter(|client| !directory.client(*client).is_away) {
            disconnect(state, now, client, code, &reason);
        }
    }
}

/// Says goodbye to a client: `disconnected`, then a close frame, then the end.
pub fn disconnect(state: &mut State, now: Now, client: ClientKey, code: CloseCode, reason: &str) {
    let delay = returns::delay(state, now, code);
    disconnect_for(state, now, client, code, reason, delay);
}

/// The same, for a client that is to come back after a time of its own.
pub fn disconnect_for(
    state: &mut State,
    now: Now,
    client: ClientKey,
    code: CloseCode,
    reason: &str,
    delay: Span,
) {
    let connection = state.hub.directory().client(client).connection;
    if !code.reconnect() {
        state.hub.end_session(client);
    }
    let variant = state.variant(client);
    dismiss(state, now, connection, Some(variant), code, reason, delay);
}

/// The same on a connection that no client is on. `variant`: the form of its messages, if it is sent any.
pub fn dismiss(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Option<Variant>,
    code: CloseCode,
    reason: &str,
    delay: Span,
) {
    if let Some(variant) = variant {
        let notice = disconnected(variant, now, code, reason, delay);
        state.answer(connection, &notice, variant);
    }
    teardown::close(state, connection, code, reason);
}

/// Says goodbye to whoever is on a WebSocket: a client, or who waits to be one, or who is sent the code alone.
pub fn send_away(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    code: CloseCode,
    reason: &str,
) {
    if let Some(client) = state.client_of(connection) {
        return disconnect(state, now, client, code, reason);
    }
    let variant = state.commit.lobby.variant(connection);
    let delay = match variant {
        Some(_) => returns::delay(state, now, code),
        None => Span::ZERO,
    };
    dismiss(state, now, connection, variant, code, reason, delay);
}

/// Ends the connection that a client has left for a newer one, where its session goes on.
pub fn replace(state: &mut State, now: Now, client: ClientKey) {
    const REASON: &str = "replaced by a newer connection";
    let connection = state.hub.directory().client(client).connection;
    let variant = Some(state.variant(client));
    dismiss(
        state,
        now,
        connection,
        variant,
        CloseCode::POLICY,
        REASON,
        Span::ZERO,
    );
}

/// Ends a connection that is too far behind to hear a goodbye in order: what has not begun to be sent is dropped.
pub fn drop_slow(state: &mut State, now: Now, connection: ConnectionId) {
    state.transport.peers.drop_unstarted(connection);
    if let Some(client) = state.client_of(connection) {
        log::warn!(
            "{}: too slow, closed with {}",
            state.hub.directory().client(client).id,
            CloseCode::TOO_SLOW
        );
        return disconnect(state, now, client, CloseCode::TOO_SLOW, "too slow");
    }
    if state
        .transport
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.is_backend())
    {
        log::warn!(
            "backend: too slow, closed with {}; websocket.max_outbox_size bounds what it leaves unread",
            CloseCode::TOO_SLOW
        );
        teardown::close(state, connection, CloseCode::TOO_SLOW, "too slow");
    }
}

/// The message that says why a connection ends, and after how long to come back.
pub fn disconnected(
    variant: Variant,
    now: Now,
    code: CloseCode,
    reason: &str,
    delay: Span,
) -> Vec<u8> {
    let delay_ms = delay.as_millis();
    let mut payload = format!("{{\"code\":{code},\"reason\":");
    push_string(&mut payload, reason);
    let _ = write!(
        payload,
        ",\"reconnect\":{},\"delayMs\":{delay_ms}}}",
        code.reconnect()
    );
    let envelope = Envelope {
        kind: "disconnected",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        room_offset: None,
    };
    envelope.encode(variant)
}
