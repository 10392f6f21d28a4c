//! The application's own links (contract section 7): how they come and go, and which messages of clients they get.
//!
//! A message goes to one link, the next in turn, and to that one only: a link that breaks may have done what it was
//! asked for, so its messages end as errors to their senders and are not given to another link.

use super::routes::{Message, Request};
use super::state::State;
use super::timer::Timer;
use super::unfinished;
use crate::base::time::Now;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::push_string;
use crate::wire::message::event::check_application_type;
use crate::wire::message::incoming::parse;
use crate::wire::message::{Dialect, ErrorCode, Incoming, Variant};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The path of the links.
pub const PATH: &str = "/backend";

/// Envelope fields of the payload dialect, which are no fields of the message (contract section 2).
const ENVELOPE_FIELDS: [&str; 2] = ["id", "timestamp"];

/// The application has connected.
pub fn connect(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.is_backend = true;
        state.routes.insert_link(connection);
        let (address, total) = (&address(state, connection), state.routes.links());
        let phrase = Phrase::BackendConnected { address, total };
        log::info!("{}", state.settings.locale.say(phrase));
    }
}

/// A connection ends. If it was the application's, those who wait for it are told by [`tell_of_lost`].
pub fn leave(state: &mut State, connection: ConnectionId) {
    let Some(peer) = state
        .peers
        .peer_mut(connection)
        .filter(|peer| peer.is_backend)
    else {
        return;
    };
    peer.is_backend = false;
    state.routes.remove_link(connection);
    let (address, total) = (&address(state, connection), state.routes.links());
    let phrase = Phrase::BackendDisconnected { address, total };
    log::info!("{}", state.settings.locale.say(phrase));
}

fn address(state: &State, connection: ConnectionId) -> String {
    let address = state.peers.peer(connection).and_then(|peer| peer.address);
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// Whether messages of a type that joblight does not know go to the application. What only the server may say is no
/// message for anybody, whatever the patterns are.
pub fn takes(state: &State, kind: &str) -> bool {
    state.settings.routes.takes(kind) && check_application_type(kind).is_ok()
}

/// Hands a client's message to the application, or tells the client why not. When no link has room for it, it waits, and
/// nothing more is read of its sender.
pub fn forward(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>) {
    if state.routes.links() == 0 {
        let (code, phrase) = (ErrorCode::NotFound, Phrase::NoApplication(&message.kind));
        return state.send_error(now, client, code, phrase, message.id);
    }
    let dialect = state.dialect(client);
    let mut fields = String::with_capacity(message.body.len());
    push_fields(&mut fields, message, dialect);
    let sender = state.hub.directory().client(client);
    let (id, sender_link) = (sender.id, sender.connection);
    let message = Message {
        sender: id,
        dialect,
        kind: message.kind.as_ref().into(),
        id: message.id.map(Into::into),
        fields,
    };
    // Nobody overtakes those who wait already.
    let is_first = state.routes.first_waiting().is_none();
    let connection = is_first.then(|| choose_link(state, message.size()));
    match connection.flatten() {
        Some(connection) => hand_over(state, now, connection, message),
        None => {
            state.routes.wait(sender_link, message);
            if let Some(peer) = state.peers.peer_mut(sender_link) {
                peer.waits = true;
            }
        }
    }
}

/// The next link that has room for so many bytes.
fn choose_link(state: &mut State, bytes: usize) -> Option<ConnectionId> {
    let State { routes, peers, .. } = state;
    routes.choose_link(|connection| peers.has_room(connection, bytes))
}

/// A link may have room again, or be gone: those who wait go on, as far as there is room.
#[inline]
pub fn serve_waiting(state: &mut State, now: Now) {
    if state.routes.first_waiting().is_some() {
        serve_first_waiting(state, now);
    }
}

fn serve_first_waiting(state: &mut State, now: Now) {
    while let Some(bytes) = state.routes.first_waiting().map(Message::size) {
        let connection = choose_link(state, bytes);
        if connection.is_none() && state.routes.links() > 0 {
            return;
        }
        let Some((sender, message)) = state.routes.take_waiting() else {
            return;
        };
        if state.routes.waiting_bytes(sender) == 0 {
            end_wait(state, now, sender);
        }
        match connection {
            Some(connection) => hand_over(state, now, connection, message),
            None => {
                let phrase = Phrase::NoApplication(&message.kind);
                let id = message.id.as_deref();
                tell_sender(
                    state,
                    now,
                    message.sender,
                    (ErrorCode::NotFound, phrase),
                    id,
                );
            }
        }
    }
}

fn waits_for_list(state: &State, connection: ConnectionId) -> bool {
    let client = state.client_of(connection);
    client.is_some_and(|client| {
        let id = state.hub.directory().client(client).id;
        state.durability.waits_for_list(id)
    })
}

/// A connection whose message has waited is read again.
pub fn end_wait(state: &mut State, now: Now, connection: ConnectionId) {
    // It may wait for both at once: for a link, and for a list.
    let waits = state.routes.waiting_bytes(connection) > 0 || waits_for_list(state, connection);
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.waits = waits;
        state.resume_later(connection);
        unfinished::note(state, now, connection, true);
    }
}

/// Hands a message to a link, unless too many wait for an answer.
fn hand_over(state: &mut State, now: Now, connection: ConnectionId, message: Message) {
    const LIMIT: Phrase<'_> = Phrase::LimitExceeded("routes.max_pending");
    let Message {
        sender,
        dialect,
        kind,
        id,
        fields,
    } = message;
    if let Some(request) = state.routes.make_room() {
        tell(state, now, &request, ErrorCode::LimitExceeded, LIMIT);
    }
    if !state.routes.has_room() {
        let error = (ErrorCode::LimitExceeded, LIMIT);
        return tell_sender(state, now, sender, error, id.as_deref());
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
    let number = state.routes.insert(Request {
        sender,
        connection,
        kind,
        id,
        deadline: (!timeout.is_zero()).then(|| now.at + timeout),
    });
    arm(state);
    let name = state.routes.name(number);
    let _ = write!(
        text,
        ",\"clientId\":\"{sender}\",\"identity\":null,\"requestId\":\"{name}\"}}"
    );
    send(state, connection, &text);
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

/// Sends text to one of the application's links, which has room for it.
pub fn send(state: &mut State, connection: ConnectionId, text: &str) {
    let peer = state.peers.peer(connection);
    let variant = Variant {
        window: peer.and_then(|peer| peer.compression.window()),
        ..Variant::default()
    };
    let frame = state.hub.framer().frame(text.as_bytes(), variant);
    state.peers.answer(connection, &frame);
}

/// The first of those who wait has waited too long, or had its answer meanwhile.
pub fn handle_timer(state: &mut State, now: Now) {
    state.routes.timer = None;
    while let Some(request) = state.routes.take_due(now.at) {
        let phrase = Phrase::NoAnswer(&request.kind);
        tell(state, now, &request, ErrorCode::Internal, phrase);
    }
    arm(state);
}

/// Tells those who wait for a link that has gone.
pub fn tell_of_lost(state: &mut State, now: Now) {
    for request in state.routes.take_lost() {
        let phrase = Phrase::ApplicationGone(&request.kind);
        tell(state, now, &request, ErrorCode::Internal, phrase);
    }
    arm(state);
    serve_waiting(state, now);
}

fn tell_sender(
    state: &mut State,
    now: Now,
    sender: ClientId,
    (code, phrase): (ErrorCode, Phrase<'_>),
    id: Option<&str>,
) {
    if let Some(client) = state.hub.directory().living_client(sender) {
        state.send_error(now, client, code, phrase, id);
    }
}

fn tell(state: &mut State, now: Now, request: &Request, code: ErrorCode, phrase: Phrase<'_>) {
    match state.hub.directory().living_client(request.sender) {
        Some(client) => state.send_error(now, client, code, phrase, request.id.as_deref()),
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
    match (state.routes.first_deadline(), state.routes.timer) {
        (Some(at), None) => {
            state.routes.timer = Some(state.wheel.schedule(at, Timer::Answers));
        }
        (None, Some(timer)) => {
            state.wheel.cancel(timer);
            state.routes.timer = None;
        }
        _ => {}
    }
}
