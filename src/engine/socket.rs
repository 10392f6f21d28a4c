//! The WebSocket phase of a connection: frames in, rate and form checked, messages on to their meaning.

use super::addresses::MINUTE;
use super::closing;
use super::messages;
use super::state::State;
use crate::base::rate_window::Verdict;
use crate::base::time::Now;
use crate::conn::Ending;
use crate::hub::{ClientKey, Link};
use crate::wire::locale::Phrase;
use crate::wire::message::{Encoding, ErrorCode};
use crate::wire::websocket::{self, CloseCode, MessageKind, Violation};

/// Messages over the limit that are answered with an error before the connection is closed: a tenth of the limit,
/// but never fewer than this.
const MIN_WARNINGS: u32 = 3;

/// A text message.
pub fn handle_text(state: &mut State, now: Now, link: Link, text: &str) {
    let Some(client) = admit_message(state, now, link) else {
        return;
    };
    messages::handle(state, now, client, text);
}

/// A binary message: MessagePack, where that was agreed on.
pub fn handle_binary(state: &mut State, now: Now, link: Link, payload: &[u8]) {
    let Some(client) = admit_message(state, now, link) else {
        return;
    };
    if state.variant(client).encoding != Encoding::MessagePack {
        let reason = "binary message; expected JSON in a text message, or the subprotocol `joblight.msgpack`";
        return state.send_error(
            now,
            client,
            ErrorCode::InvalidMessage,
            Phrase::InvalidMessage(reason),
            None,
        );
    }
    let json =
        rmp_serde::from_slice::<serde_json::Value>(payload).map_err(|error| error.to_string());
    match json.map(|value| value.to_string()) {
        Ok(text) => messages::handle(state, now, client, &text),
        Err(reason) => state.send_error(
            now,
            client,
            ErrorCode::InvalidJson,
            Phrase::InvalidJson(&reason),
            None,
        ),
    }
}

/// A compressed message: what it says counts as if it had come plain (RFC 7692 section 6.2).
pub fn handle_compressed(
    state: &mut State,
    now: Now,
    link: Link,
    kind: MessageKind,
    payload: &[u8],
) {
    let max_message_size = state.settings.websocket.max_message_size;
    let message = match state.inflater.inflate(payload, max_message_size) {
        Ok(message) => message,
        Err(violation) => return handle_violation(state, now, link, &violation),
    };
    match kind {
        MessageKind::Binary => handle_binary(state, now, link, &message),
        MessageKind::Text => match simdutf8::basic::from_utf8(&message) {
            Ok(text) => handle_text(state, now, link, text),
            Err(_) => handle_violation(state, now, link, &Violation::NOT_UTF8),
        },
    }
}

/// A ping, answered with its own payload (RFC 6455 section 5.5.3).
pub fn handle_ping(state: &mut State, now: Now, link: Link, payload: &[u8]) {
    let max = state.settings.websocket.max_outbox_size;
    let unsent = state
        .peers
        .peer(link)
        .map_or(0, |peer| peer.connection.outbox.len_bytes());
    if max > 0 && unsent > max {
        return closing::drop_slow(state, now, link);
    }
    state.peers.push(link, websocket::encode_pong(payload));
}

/// The client says goodbye: the same code goes back, and the socket closes (RFC 6455 section 5.5.1).
pub fn handle_close(state: &mut State, now: Now, link: Link, code: Option<CloseCode>) {
    state.peers.push(
        link,
        websocket::encode_close(code.unwrap_or(CloseCode::NORMAL), ""),
    );
    closing::end(state, now, link, Ending::Final);
}

/// A frame that breaks the protocol or a limit.
pub fn handle_violation(state: &mut State, now: Now, link: Link, violation: &Violation) {
    closing::close(state, now, link, violation.code, violation.reason);
}

/// Counts a message against its connection's limit.
fn admit_message(state: &mut State, now: Now, link: Link) -> Option<ClientKey> {
    let limit = state.settings.websocket.max_messages_per_minute;
    state.traffic.received.record(now.at, 1);
    let peer = state.peers.peer_mut(link)?;
    let client = peer.client?;
    peer.received = peer.received.wrapping_add(1);
    let verdict = peer.messages.record(now.at, MINUTE, limit);
    let excess = peer.messages.excess();
    let Verdict::Over { retry_after } = verdict else {
        return Some(client);
    };
    if excess > MIN_WARNINGS.max(limit / 10) {
        closing::disconnect(
            state,
            now,
            client,
            CloseCode::RATE_LIMITED,
            "too many messages",
        );
    } else {
        let retry_after_s = retry_after.as_millis().div_ceil(1000);
        let phrase = Phrase::RateLimited {
            limit,
            retry_after_s,
        };
        state.send_error(now, client, ErrorCode::RateLimited, phrase, None);
    }
    None
}
