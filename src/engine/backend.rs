//! The application's own links (contract section 7): how they come and go, and which messages of clients they get.
//!
//! A message goes to one link, the next in turn, and to that one only: a link that breaks may have done what it was
//! asked for, so its messages end as errors to their senders and are not given to another link.

use super::routes::Request;
use super::state::State;
use super::timer::Timer;
use crate::base::time::Now;
use crate::hub::{ClientKey, Lane, Link, Outlet};
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
pub fn connect(state: &mut State, link: Link) {
    if let Some(peer) = state.peers.peer_mut(link) {
        peer.is_backend = true;
        state.routes.insert_link(link);
        let (address, total) = (&address(state, link), state.routes.links());
        let phrase = Phrase::BackendConnected { address, total };
        log::info!("{}", state.settings.locale.say(phrase));
    }
}

/// A connection ends. If it was the application's, those who wait for it are told by [`tell_of_lost`].
pub fn leave(state: &mut State, link: Link) {
    let Some(peer) = state.peers.peer_mut(link).filter(|peer| peer.is_backend) else {
        return;
    };
    peer.is_backend = false;
    state.routes.remove_link(link);
    let (address, total) = (&address(state, link), state.routes.links());
    let phrase = Phrase::BackendDisconnected { address, total };
    log::info!("{}", state.settings.locale.say(phrase));
}

fn address(state: &State, link: Link) -> String {
    let address = state.peers.peer(link).and_then(|peer| peer.address);
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}

/// Whether messages of a type that joblight does not know go to the application. What only the server may say is no
/// message for anybody, whatever the patterns are.
pub fn takes(state: &State, kind: &str) -> bool {
    state.settings.routes.takes(kind) && check_application_type(kind).is_ok()
}

/// Hands a client's message to the application, or tells the client why not.
pub fn forward(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>) {
    if state.routes.links() == 0 {
        let (code, phrase) = (ErrorCode::NotFound, Phrase::NoApplication(&message.kind));
        return state.send_error(now, client, code, phrase, message.id);
    }
    if let Some(request) = state.routes.make_room() {
        let limit = Phrase::LimitExceeded("routes.max_pending");
        tell(state, now, &request, ErrorCode::LimitExceeded, limit);
    }
    if !state.routes.has_room() {
        let (code, phrase) = (
            ErrorCode::LimitExceeded,
            Phrase::LimitExceeded("routes.max_pending"),
        );
        return state.send_error(now, client, code, phrase, message.id);
    }
    let Some(link) = state.routes.choose_link() else {
        return;
    };
    let timeout = state.settings.routes.timeout;
    let sender = state.hub.directory().client(client).id;
    let number = state.routes.insert(Request {
        sender,
        link,
        kind: message.kind.as_ref().into(),
        id: message.id.map(Into::into),
        deadline: (!timeout.is_zero()).then(|| now.at + timeout),
    });
    arm(state);
    let name = state.routes.name(number);
    let mut text = String::with_capacity(message.body.len() + 160);
    text.push_str("{\"type\":");
    push_string(&mut text, &message.kind);
    text.push_str(match state.dialect(client) {
        Dialect::Payload => ",\"payload\":",
        Dialect::Data => ",\"data\":",
    });
    push_fields(&mut text, message, state.dialect(client));
    let _ = write!(
        text,
        ",\"clientId\":\"{sender}\",\"identity\":null,\"requestId\":\"{name}\"}}"
    );
    send(state, link, &text);
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

/// Sends text to one of the application's links.
pub fn send(state: &mut State, link: Link, text: &str) {
    let peer = state.peers.peer(link);
    let variant = Variant {
        window: peer.and_then(|peer| peer.compression.window()),
        ..Variant::default()
    };
    let frame = state.hub.framer().frame(text.as_bytes(), variant);
    state.peers.expect_readers(1);
    state.peers.deliver(link, &frame, Lane::Log);
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
