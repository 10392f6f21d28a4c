//! What the application says on its own link (contract section 7): answers, errors, and messages to clients, rooms, all.
//!
//! A message is checked as a whole before anything of it is done; only a room too many (`websocket.max_rooms`) can stop it
//! half-way, and then the request that it answers still waits. What is wrong with a message is said on the link.

use super::backend;
use super::commands::CommandError;
use super::state::State;
use crate::base::time::Now;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::push_string;
use crate::wire::message::event::check_application_type;
use crate::wire::message::halves::mend;
use crate::wire::message::incoming::{one_of, parse_object, present, skip_mark};
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::{check_name, check_room};
use crate::wire::message::{Envelope, ErrorCode, Malformed, check_readable};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The longest `requestId` that is sent back with an error.
const MAX_ECHO_BYTES: usize = 256;

/// Understands one message and does what it asks, or says what is wrong with it.
pub fn handle(state: &mut State, now: Now, connection: ConnectionId, text: &str) {
    let text = skip_mark(text);
    let read_fault = match read(text) {
        Ok(reply) => return obey(state, now, connection, &reply),
        Err(fault) => fault,
    };
    // Half an emoji is no reason to lose a message.
    let mended = mend(text).map(|(mended, _)| mended);
    match mended.as_deref().map(read) {
        Some(Ok(reply)) => obey(state, now, connection, &reply),
        Some(Err(fault)) => complain(state, connection, &fault, request_id(text).as_deref()),
        None => complain(state, connection, &read_fault, request_id(text).as_deref()),
    }
}

fn obey(state: &mut State, now: Now, connection: ConnectionId, reply: &Reply<'_>) {
    if let Err(fault) = carry_out(state, now, reply) {
        complain(state, connection, &fault, reply.request_id.as_deref());
    }
}

/// A binary message, which says nothing here.
pub fn handle_binary(state: &mut State, connection: ConnectionId) {
    let fault = Malformed::field("message", "binary; expected JSON in a text message");
    complain(state, connection, &fault.into(), None);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    request_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    error: Option<Failure>,
    client_id: Option<String>,
    room: Option<String>,
    rooms: Option<Vec<String>>,
    all: Option<bool>,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<String>,
    message: String,
}

/// Where a message goes, but for the sender of the message that it answers.
struct Targets<'a> {
    client: Option<&'a str>,
    rooms: BTreeSet<Box<str>>,
    all: bool,
}

impl<'a> Targets<'a> {
    fn of(reply: &'a Reply<'_>) -> Result<Self, Malformed> {
        let room = reply.room.iter().map(|room| check_room("room", room));
        let rooms = reply.rooms.iter().flatten().enumerate();
        let rooms = rooms.map(|(index, room)| check_room(&format!("rooms[{index}]"), room));
        Ok(Self {
            client: reply.client_id.as_deref(),
            rooms: room.chain(rooms).collect::<Result<_, _>>()?,
            all: reply.all == Some(true),
        })
    }

    fn is_empty(&self) -> bool {
        self.client.is_none() && self.rooms.is_empty() && !self.all
    }
}

/// What is wrong with what the application said.
enum Fault {
    Malformed(Malformed),
    UnknownRequest(String),
    Command(CommandError),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<CommandError> for Fault {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

fn read(text: &str) -> Result<Reply<'_>, Fault> {
    let reply: Reply<'_> = parse_object(text).map_err(|fault| match fault {
        Malformed::Field { field, reason } if field.is_empty() => {
            Malformed::field("message", reason)
        }
        fault => fault,
    })?;
    for (name, payload) in [("payload", reply.payload), ("data", reply.data)] {
        let Some(payload) = payload else { continue };
        check_readable(payload.get(), 1).map_err(|fault| fault.under(name))?;
    }
    Ok(reply)
}

fn carry_out(state: &mut State, now: Now, reply: &Reply<'_>) -> Result<(), Fault> {
    let targets = Targets::of(reply)?;
    let number = match &reply.request_id {
        Some(name) => {
            let found = state.routes.find(name);
            Some(found.ok_or_else(|| Fault::UnknownRequest(name.clone()))?)
        }
        None => None,
    };
    match (number, &reply.error) {
        (Some(number), Some(failure)) => fail(state, now, number, failure, &targets),
        (None, Some(_)) => Err(Malformed::field(
            "requestId",
            "missing; expected that of the message that the error answers",
        )
        .into()),
        (number, None) => deliver(state, now, number, reply, &targets),
    }
}

/// The application could not do what a client asked for.
fn fail(
    state: &mut State,
    now: Now,
    number: u64,
    failure: &Failure,
    targets: &Targets<'_>,
) -> Result<(), Fault> {
    if !targets.is_empty() {
        let reason =
            "goes to the sender alone; expected no `clientId`, `room`, `rooms` or `all` beside it";
        return Err(Malformed::field("error", reason).into());
    }
    let code = failure
        .code
        .as_deref()
        .unwrap_or(ErrorCode::Internal.as_str());
    check_name("error.code", code)?;
    let Some(request) = state.routes.remove(number) else {
        return Ok(());
    };
    backend::arm(state);
    match state.hub.directory().living_client(request.sender) {
        Some(client) => {
            state.send_error_text(now, client, code, &failure.message, request.id.as_deref())
        }
        None => backend::log_gone_sender(&request),
    }
    Ok(())
}

/// A message goes to its targets; without any, it answers the sender.
fn deliver(
    state: &mut State,
    now: Now,
    number: Option<u64>,
    reply: &Reply<'_>,
    targets: &Targets<'_>,
) -> Result<(), Fault> {
    let asked = number.and_then(|number| state.routes.request(number));
    if asked.is_none() && targets.is_empty() {
        let reason =
            "missing; expected one to answer, or a `clientId`, `room`, `rooms` or `all: true`";
        return Err(Malformed::field("requestId", reason).into());
    }
    let kind = match (&reply.kind, asked) {
        (Some(kind), _) => kind.clone(),
        (None, Some(request)) => request.kind.to_string(),
        (None, None) => {
            let reason = "missing; expected the type of the message to send, a string";
            return Err(Malformed::field("type", reason).into());
        }
    };
    check_application_type(&kind)?;
    let payload = one_of(reply.payload, reply.data)?.ok_or_else(|| {
        Malformed::field("payload", "missing; expected any JSON value, or an `error`")
    })?;
    let payload = &*compact(payload.get());
    send_to(state, now, targets, &kind, payload)?;
    if let Some(number) = number {
        settle(state, now, number, targets.is_empty(), &kind, payload);
    }
    Ok(())
}

fn send_to(
    state: &mut State,
    now: Now,
    targets: &Targets<'_>,
    kind: &str,
    payload: &str,
) -> Result<(), CommandError> {
    if let Some(client) = targets.client {
        state.send(now, client, kind, payload)?;
    }
    for room in &targets.rooms {
        state.send_to_room(now, room, kind, payload.to_owned())?;
    }
    if targets.all {
        state.broadcast_to_all(now, kind, payload)?;
    }
    Ok(())
}

/// A request has its answer, which the sender gets unless it went to others instead.
fn settle(state: &mut State, now: Now, number: u64, to_sender: bool, kind: &str, payload: &str) {
    let Some(request) = state.routes.remove(number) else {
        return;
    };
    backend::arm(state);
    if !to_sender {
        return;
    }
    let Some(client) = state.hub.directory().living_client(request.sender) else {
        return backend::log_gone_sender(&request);
    };
    if state.hub.directory().client(client).is_away {
        state.hub.send(now, client, kind, payload, &mut state.peers);
        return;
    }
    let envelope = Envelope {
        kind,
        payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: request.id.as_deref(),
        place: None,
    };
    let message = envelope.encode(state.variant(client));
    state.send_encoded(client, &message);
}

fn complain(state: &mut State, connection: ConnectionId, fault: &Fault, request_id: Option<&str>) {
    let text;
    let (code, phrase) = match fault {
        Fault::Malformed(malformed) if malformed.is_unreadable() => {
            text = malformed.to_string();
            (ErrorCode::InvalidJson, Phrase::InvalidJson(&text))
        }
        Fault::Malformed(malformed) => {
            text = malformed.to_string();
            (ErrorCode::InvalidMessage, Phrase::InvalidMessage(&text))
        }
        Fault::UnknownRequest(name) => {
            text = format!(
                "the requestId `{}`; expected that of a message that still waits for its answer",
                shortened(name)
            );
            (ErrorCode::NotFound, Phrase::NotFound(&text))
        }
        Fault::Command(CommandError::UnknownClient(id)) => {
            text = format!("the client `{}`; it may have left", shortened(id));
            (ErrorCode::NotFound, Phrase::NotFound(&text))
        }
        Fault::Command(CommandError::LimitExceeded(limit)) => {
            (ErrorCode::LimitExceeded, Phrase::LimitExceeded(limit))
        }
        Fault::Command(error) => {
            text = error.to_string();
            (ErrorCode::InvalidMessage, Phrase::InvalidMessage(&text))
        }
    };
    let mut out = format!(
        "{{\"type\":\"error\",\"payload\":{{\"code\":\"{}\",\"message\":",
        code.as_str()
    );
    push_string(&mut out, &state.settings.locale.say(phrase).to_string());
    out.push('}');
    if let Some(request_id) = request_id.filter(|name| name.len() <= MAX_ECHO_BYTES) {
        out.push_str(",\"requestId\":");
        push_string(&mut out, request_id);
    }
    out.push('}');
    backend::send(state, connection, &out);
}

/// The `requestId` of a message that is otherwise wrong.
fn request_id(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        request_id: serde_json::Value,
    }
    let named: Named = serde_json::from_str(text).ok()?;
    let name = named.request_id.as_str()?;
    (name.len() <= MAX_ECHO_BYTES).then(|| name.to_owned())
}
