//! Messages of clients on their way to the application (contract section 7).
//!
//! A message goes to one link, the next in turn, and to that one only: a link that breaks may have done what it was asked for,
//! so its messages end as errors to their senders and are not given to another link.

use crate::base::time::Now;
use crate::engine::backend::links;
use crate::engine::backend::pending::{QueuedMessage, Request};
use crate::engine::refusal::Refusal;
use crate::engine::state::State;
use crate::engine::timeouts;
use crate::engine::timer::Timer;
use crate::engine::transport::peer::Reading;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::push_string;
use crate::wire::message::event::check_application_type;
use crate::wire::message::incoming::parse;
use crate::wire::message::{Dialect, ErrorCode, Incoming};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Envelope fields of the payload dialect, which are no fields of the message (contract section 2).
const ENVELOPE_FIELDS: [&str; 2] = ["id", "timestamp"];

/// Whether messages of a type that joblight does not know go to the application. What only the server may say is no
/// message for anybody, whatever the patterns are.
pub fn takes(state: &State, kind: &str) -> bool {
    state.settings.routes.takes(kind) && check_application_type(kind).is_ok()
}

/// Hands a client's message to the application, or tells the client why not. When no link has room for it, it waits, and
/// nothing more is read of its sender.
pub fn forward(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>) {
    if state.backend.links() == 0 {
        return state.refuse(client, &no_application(&message.kind), message.id);
    }
    let dialect = state.dialect(client);
    let mut fields = String::with_capacity(message.body.len());
    push_fields(&mut fields, message, dialect);
    let sender = state.hub.directory().client(client);
    let (id, sender_link) = (sender.id, sender.connection);
    let message = QueuedMessage {
        sender: id,
        dialect,
        kind: message.kind.as_ref().into(),
        id: message.id.map(Into::into),
        fields,
    };
    // Nobody overtakes those who wait already.
    let is_first = state.backend.first_waiting().is_none();
    let connection = is_first.then(|| choose_link(state, message.size()));
    match connection.flatten() {
        Some(connection) => hand_over(state, now, connection, message),
        None => {
            state.backend.wait(sender_link, message);
            if let Some(peer) = state.transport.peers.peer_mut(sender_link) {
                peer.reading = Reading::Waiting;
            }
        }
    }
}

/// The next link that has room for so many bytes.
fn choose_link(state: &mut State, bytes: usize) -> Option<ConnectionId> {
    let (peers, settings) = (&state.transport.peers, &state.settings.websocket);
    let has_room = |connection| peers.has_room(connection, bytes, settings);
    state.backend.choose_link(has_room)
}

/// A link may have room again, or be gone: those who wait go on, as far as there is room.
#[inline]
pub fn serve_waiting(state: &mut State, now: Now) {
    if state.backend.first_waiting().is_some() {
        serve_first_waiting(state, now);
    }
}

fn serve_first_waiting(state: &mut State, now: Now) {
    while let Some(bytes) = state.backend.first_waiting().map(QueuedMessage::size) {
        let connection = choose_link(state, bytes);
        if connection.is_none() && state.backend.links() > 0 {
            return;
        }
        let Some((sender, message)) = state.backend.take_waiting() else {
            return;
        };
        if state.backend.waiting_bytes(sender) == 0 {
            end_wait(state, now, sender);
        }
        match connection {
            Some(connection) => hand_over(state, now, connection, message),
            None => {
                let refusal = no_application(&message.kind);
                tell_sender(state, message.sender, &refusal, message.id.as_deref());
            }
        }
    }
}

fn waits_for_list(state: &State, connection: ConnectionId) -> bool {
    let client = state.transport.client_of(connection);
    client.is_some_and(|client| {
        let id = state.hub.directory().client(client).id;
        state.commit.durability.waits_for_list(id)
    })
}

/// A connection whose message has waited is read again.
pub fn end_wait(state: &mut State, now: Now, connection: ConnectionId) {
    // It may wait for both at once: for a link, and for a list.
    let waits = state.backend.waiting_bytes(connection) > 0 || waits_for_list(state, connection);
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.reading = match waits {
            true => Reading::Waiting,
            false => Reading::Open,
        };
        state.transport.resume_later(connection);
        timeouts::note_unfinished(state, now, connection, true);
    }
}

/// Hands a message to a link, unless too many wait for an answer.
fn hand_over(state: &mut State, now: Now, connection: ConnectionId, message: QueuedMessage) {
    let is_full = || Refusal::limit_exceeded("routes.max_pending");
    let QueuedMessage {
        sender,
        dialect,
        kind,
        id,
        fields,
    } = message;
    if let Some(request) = state.backend.make_room(&state.settings.routes) {
        tell(state, &request, &is_full());
    }
    if !state.backend.has_room(&state.settings.routes) {
        return tell_sender(state, sender, &is_full(), id.as_deref());
    }
    let timeout = state.settings.routes.timeout;
    let mut text = String::with_capacity(fields.len() + 160);
    text.push_str("{\"type\":");
    push_string(&mut text, &kind);
    text.push_str(match dialect {
        Dialect::Payload => ",\"payload\":",
        Dialect::Data => ",\"data\":",
    });
    text.push_str(&fields);
    let number = state.backend.insert(Request {
        sender,
        connection,
        kind,
        id,
        deadline: (!timeout.is_zero()).then(|| now.at + timeout),
    });
    arm(state);
    let name = state.backend.name(number);
    let _ = write!(
        text,
        ",\"clientId\":\"{sender}\",\"identity\":null,\"requestId\":\"{name}\"}}"
    );
    links::send(state, connection, &text);
}

/// What the client said: the payload, or the fields that stand beside `type`.
fn push_fields(out: &mut String, message: &Incoming<'_>, dialect: Dialect) {
    if message.nested {
        return out.push_str(&compact(message.body));
    }
    let mut fields: BTreeMap<String, &RawValue> = parse(message.body).unwrap_or_default();
    // Of these, only what is no body at all gets here.
    for name in ["type", "payload", "data"] {
        fields.remove(name);
    }
    if dialect == Dialect::Payload {
        for name in ENVELOPE_FIELDS {
            fields.remove(name);
        }
    }
    let fields = serde_json::to_string(&fields).expect("JSON that was read can be written");
    out.push_str(&compact(&fields));
}

/// The first of those who wait has waited too long, or had its answer meanwhile.
pub fn handle_timer(state: &mut State, now: Now) {
    state.backend.timer = None;
    while let Some(request) = state.backend.take_due(now.at) {
        let refusal = Refusal::coded(ErrorCode::Internal, &*request.kind);
        tell(
            state,
            &request,
            &refusal.said(|text| Phrase::NoAnswer(text)),
        );
    }
    arm(state);
}

/// Tells those who wait for a link that has gone.
pub fn tell_of_lost(state: &mut State, now: Now) {
    for request in state.backend.take_lost() {
        let refusal = Refusal::coded(ErrorCode::Internal, &*request.kind);
        tell(
            state,
            &request,
            &refusal.said(|text| Phrase::ApplicationGone(text)),
        );
    }
    arm(state);
    serve_waiting(state, now);
}

fn no_application(kind: &str) -> Refusal {
    Refusal::not_found(kind).said(|text| Phrase::NoApplication(text))
}

fn tell_sender(state: &mut State, sender: ClientId, refusal: &Refusal, id: Option<&str>) {
    if let Some(client) = state.hub.directory().living_client(sender) {
        state.refuse(client, refusal, id);
    }
}

fn tell(state: &mut State, request: &Request, refusal: &Refusal) {
    match state.hub.directory().living_client(request.sender) {
        Some(client) => state.refuse(client, refusal, request.id.as_deref()),
        None => log_gone_sender(request),
    }
}

/// Notes that whoever waited for an answer does so no more.
pub fn log_gone_sender(request: &Request) {
    log::debug!(
        "{}: gone before its {} was answered",
        request.sender,
        request.kind
    );
}

/// Sees to it that the timer is set if, and only if, somebody waits.
pub fn arm(state: &mut State) {
    match (state.backend.first_deadline(), state.backend.timer) {
        (Some(at), None) => {
            state.backend.timer = Some(state.wheel.schedule(at, Timer::Answers));
        }
        (None, Some(timer)) => {
            state.wheel.cancel(timer);
            state.backend.timer = None;
        }
        _ => {}
    }
}
