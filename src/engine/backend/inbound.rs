//! What the application says on its own link (contract section 7): answers, errors, and messages to clients, rooms, all.
//!
//! A message is checked as a whole before anything of it is done; only a room too many (`websocket.max_rooms`) can stop it
//! half-way, and then the request that it answers still waits. What is wrong with a message is said on the link.

use super::pending::Pending;
use crate::engine::commands::CommandError;
use crate::engine::context::Context;
use crate::hub::ConnectionId;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::to_json;
use crate::wire::message::event::check_application_type;
use crate::wire::message::incoming::{one_of, parse_object, present, strip_byte_order_mark};
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::{check_name, check_room};
use crate::wire::message::surrogates::replace_lone_surrogates;
use crate::wire::message::{Encoding, ErrorMessage, Malformed, check_relayable};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The longest `requestId` that is sent back with an error.
const MAX_ECHO_BYTES: usize = 256;

impl Pending {
    /// Understands one message and does what it asks, or says what is wrong with it.
    pub fn handle_text(&mut self, context: &mut Context<'_>, link: ConnectionId, text: &str) {
        let text = strip_byte_order_mark(text);
        let fault = match read(text) {
            Ok(reply) => return self.obey(context, link, &reply),
            Err(fault) => fault,
        };
        // Half an emoji is no reason to lose a message.
        let mended = replace_lone_surrogates(text).map(|(mended, _)| mended);
        let fault = match mended.as_deref().map(read) {
            Some(Ok(reply)) => return self.obey(context, link, &reply),
            Some(Err(fault)) => fault,
            None => fault,
        };
        complain(context, link, &fault, request_id(text).as_deref());
    }

    pub fn handle_binary(&mut self, context: &mut Context<'_>, link: ConnectionId) {
        let fault = Malformed::field("message", "binary; expected JSON in a text message");
        complain(context, link, &fault.into(), None);
    }

    fn obey(&mut self, context: &mut Context<'_>, link: ConnectionId, reply: &Reply<'_>) {
        if let Err(fault) = self.carry_out(context, reply) {
            complain(context, link, &fault, reply.request_id.as_deref());
        }
    }

    fn carry_out(&mut self, context: &mut Context<'_>, reply: &Reply<'_>) -> Result<(), Refusal> {
        let targets = Targets::of(reply)?;
        let number = match &reply.request_id {
            Some(name) => Some(self.find(name).ok_or_else(|| unknown_request(name))?),
            None => None,
        };
        match (number, &reply.error) {
            (Some(number), Some(failure)) => self.fail(context, number, failure, &targets),
            (None, Some(_)) => Err(Malformed::field(
                "requestId",
                "missing; expected that of the message that the error answers",
            )
            .into()),
            (number, None) => self.deliver(context, number, reply, &targets),
        }
    }

    /// The application could not do what a client asked for.
    fn fail(
        &mut self,
        context: &mut Context<'_>,
        number: u64,
        failure: &Failure,
        targets: &Targets<'_>,
    ) -> Result<(), Refusal> {
        if !targets.is_empty() {
            let reason = "goes to the sender alone; expected no `clientId`, `room`, `rooms` or `all` beside it";
            return Err(Malformed::field("error", reason).into());
        }
        let code = failure.code.as_deref();
        let code = code.unwrap_or(ErrorCode::Internal.as_str());
        check_name("error.code", code)?;
        let Some(request) = self.remove(number) else {
            return Ok(());
        };
        match context.hub.directory().living_client(request.sender) {
            Some(client) => {
                let error = ErrorMessage {
                    code,
                    message: &failure.message,
                    reply_to: request.id.as_deref(),
                    timestamp: context.now.wall_ms,
                    is_of_workspaces: false,
                };
                context.send_error(client, &error);
            }
            None => request.log_gone_sender(),
        }
        Ok(())
    }

    /// A message goes to its targets; without any, it answers the sender.
    fn deliver(
        &mut self,
        context: &mut Context<'_>,
        number: Option<u64>,
        reply: &Reply<'_>,
        targets: &Targets<'_>,
    ) -> Result<(), Refusal> {
        let asked = number.and_then(|number| self.request(number));
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
        send_to(context, targets, &kind, payload).map_err(command_refusal)?;
        if let Some(number) = number {
            self.settle(context, number, targets.is_empty(), &kind, payload);
        }
        Ok(())
    }

    /// A request has its answer, which the sender gets unless it went to others instead.
    fn settle(
        &mut self,
        context: &mut Context<'_>,
        number: u64,
        to_sender: bool,
        kind: &str,
        payload: &str,
    ) {
        let Some(request) = self.remove(number).filter(|_| to_sender) else {
            return;
        };
        let Some(client) = context.hub.directory().living_client(request.sender) else {
            return request.log_gone_sender();
        };
        match context.hub.directory().client(client).is_away {
            true => {
                let (hub, out) = (&mut *context.hub, &mut context.out);
                let moment = context.settings.at(context.now);
                hub.send(moment, client, kind, payload, out);
            }
            false => context.answer(client, kind, payload, request.id.as_deref()),
        }
    }
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

/// What is wrong with a message of the application.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Complaint<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    payload: Fault,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Fault {
    code: &'static str,
    message: String,
}

/// Where a message goes, but for the sender of the message that it answers.
struct Targets<'a> {
    client: Option<&'a str>,
    rooms: BTreeSet<&'a str>,
    all: bool,
}

impl<'a> Targets<'a> {
    fn of(reply: &'a Reply<'_>) -> Result<Self, Malformed> {
        let mut rooms = BTreeSet::new();
        if let Some(room) = &reply.room {
            check_room("room", room)?;
            rooms.insert(&**room);
        }
        for (index, room) in reply.rooms.iter().flatten().enumerate() {
            check_room(&format!("rooms[{index}]"), room)?;
            rooms.insert(room);
        }
        Ok(Self {
            client: reply.client_id.as_deref(),
            rooms,
            all: reply.all == Some(true),
        })
    }

    fn is_empty(&self) -> bool {
        self.client.is_none() && self.rooms.is_empty() && !self.all
    }
}

fn read(text: &str) -> Result<Reply<'_>, Refusal> {
    let reply: Reply<'_> = parse_object(text).map_err(|fault| match fault {
        fault if fault.is_about_all() => Malformed::field("message", fault.reason),
        fault => fault,
    })?;
    for (name, payload) in [("payload", reply.payload), ("data", reply.data)] {
        let Some(payload) = payload else { continue };
        check_relayable(payload.get(), 1).map_err(|fault| fault.under(name))?;
    }
    Ok(reply)
}

fn send_to(
    context: &mut Context<'_>,
    targets: &Targets<'_>,
    kind: &str,
    payload: &str,
) -> Result<(), CommandError> {
    if let Some(client) = targets.client {
        context.send(client, kind, payload)?;
    }
    for room in &targets.rooms {
        context.send_to_room(room, kind, payload.to_owned())?;
    }
    if targets.all {
        context.broadcast_to_all(kind, payload)?;
    }
    Ok(())
}

fn complain(
    context: &mut Context<'_>,
    link: ConnectionId,
    refusal: &Refusal,
    request_id: Option<&str>,
) {
    let request_id = request_id.filter(|name| name.len() <= MAX_ECHO_BYTES);
    let error = to_json(&Complaint {
        kind: "error",
        payload: Fault {
            code: refusal.code().as_str(),
            message: refusal.message(context.settings.locale),
        },
        request_id,
    });
    context.send_bare(link, Encoding::Json, error.as_bytes());
}

/// How the application is told that a command was refused.
fn command_refusal(error: CommandError) -> Refusal {
    match error {
        CommandError::UnknownClient(id) => {
            Refusal::not_found(format!("the client `{}`; it may have left", shortened(&id)))
        }
        CommandError::LimitExceeded(limit) => Refusal::limit_exceeded(limit),
        error => Refusal::new(ErrorCode::InvalidMessage, error.to_string()),
    }
}

fn unknown_request(name: &str) -> Refusal {
    Refusal::not_found(format!(
        "the requestId `{}`; expected that of a message that still waits for its answer",
        shortened(name)
    ))
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
