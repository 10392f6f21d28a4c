//! What clients of the payload dialect may ask for, and the answers (contract section 3).
//!
//! Each request is a function of a [`Context`]: it returns what is to be said, and the type says when. None of them ends a
//! connection, and none knows another client's.

use crate::engine::access::caller::Action;
use crate::engine::answer::Answer;
use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::engine::session::acknowledgement::Denied;
use crate::engine::session::request_fields::{
    Auth, Broadcast, History, Rooms, TaskControl, check_beside_payload,
};
use crate::engine::session::said::Said;
use crate::engine::session::{acknowledgement, batches, controls, history, recovery, workspaces};
use crate::engine::settings::Settings;
use crate::hub::{ClientKey, Joined, Recovery, RoomMessage, Since};
use crate::wire::message::compact::compact;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::{TASK_ROOM_PREFIX, check_room};
use crate::wire::message::{Dialect, ErrorCode, Incoming};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

/// Most names in one message when `max_rooms_per_client` is unlimited.
const MAX_NAMES: usize = 10_000;
/// Most names in one message when that limit is lower: those beyond it are denied one by one.
const MIN_NAMES: usize = 1000;

/// What becomes of a message.
type Outcome<'a> = Result<Answer<Said<'a>>, Refusal>;

/// Does what a message asks.
pub fn carry_out<'a>(
    context: &mut Context<'_>,
    client: ClientKey,
    message: &Incoming<'a>,
) -> Outcome<'a> {
    if context.dialect(client) == Dialect::Data {
        if let Some(command) = workspaces::Command::of(&message.kind) {
            return workspaces::carry_out(context, command, message).map_err(Refusal::workspace);
        }
        message.check_relayable()?;
        return Err(Refusal::unknown_type(shortened(&message.kind)));
    }
    message.check_relayable()?;
    if has_fields(&message.kind) {
        check_beside_payload(message)?;
    }
    match &*message.kind {
        "subscribe" => subscribe(context, client, message, &Rooms::to_subscribe(message)?),
        "unsubscribe" => unsubscribe(context, client, &Rooms::to_unsubscribe(message)?),
        "join_room" => subscribe(context, client, message, &Rooms::one(message)?),
        "leave_room" => unsubscribe(context, client, &Rooms::one(message)?),
        "room_broadcast" => broadcast(context, client, &Broadcast::read(message)?),
        "history" => page(context, &History::read(message)?),
        "task_control" => control(context, client, &TaskControl::read(message)?),
        "auth" => {
            Auth::read(message)?;
            let reason = "this server does not authenticate clients";
            Err(Refusal::coded(ErrorCode::Unauthorized, reason))
        }
        "ping" => {
            let echoed = if message.nested { message.body } else { "{}" };
            say("pong", compact(echoed))
        }
        _ => Err(Refusal::unknown_type(shortened(&message.kind))),
    }
}

fn say<'a>(kind: &'static str, payload: impl Into<Cow<'a, str>>) -> Outcome<'a> {
    let payload = payload.into();
    Ok(Answer::Now(Said::Message { kind, payload }))
}

/// Whether a type has fields of its own. A `ping` takes anything, and other types are the application's.
fn has_fields(kind: &str) -> bool {
    matches!(
        kind,
        "subscribe"
            | "unsubscribe"
            | "join_room"
            | "leave_room"
            | "room_broadcast"
            | "history"
            | "task_control"
            | "auth"
    )
}

fn subscribe(
    context: &mut Context<'_>,
    client: ClientKey,
    message: &Incoming<'_>,
    request: &Rooms,
) -> Outcome<'static> {
    let rooms = named_rooms(context.settings, request)?;
    context.hub.load().visit(rooms.len());
    let since = &request.positions;
    if request.batch == Some(true) {
        batches::enable(context, client);
    }
    if !since.is_empty() && context.hub.directory().client(client).is_lagging {
        recovery::recover(context, client, false);
    }
    let mut denied = Vec::new();
    let mut joined = Vec::new();
    for room in rooms {
        let since = since.get(&*room).copied();
        match enter(context, client, &room) {
            // A member that names a position wants to hear again what came after it.
            Ok(joining) if joining.fresh || since.is_some() => joined.push((joining.room, since)),
            Ok(_) => {}
            Err(refused) => denied.push(refused),
        }
    }
    let asked = joined
        .iter()
        .filter_map(|(room, since)| since.map(|since| (*room, since)));
    let recoveries: Vec<Recovery> = asked
        .map(|(room, since)| Recovery {
            room,
            recovered: context.hub.can_recover(room, since),
        })
        .collect();
    let payload = acknowledgement::payload(context.hub, client, &denied, &recoveries);
    let member_of = context.hub.directory().client(client).memberships().len();
    context.hub.load().visit(member_of);
    // It comes before what is due in the rooms, so it cannot be left to the caller.
    context.answer(client, "subscription_ack", &payload, message.id);
    context.hub.welcome(
        context.now,
        client,
        &joined,
        &mut context.peers.delivery(context.settings),
    );
    if !since.is_empty() {
        recovery::rewind_confirmed(context, client);
    }
    Ok(Answer::Now(Said::Nothing))
}

fn unsubscribe(context: &mut Context<'_>, client: ClientKey, request: &Rooms) -> Outcome<'static> {
    let rooms = named_rooms(context.settings, request)?;
    context.hub.load().visit(rooms.len());
    for room in rooms {
        if context.hub.leave_room(client, &room) {
            context.log_room(client, &room, false);
        }
    }
    let payload = acknowledgement::payload(context.hub, client, &[], &[]);
    say("subscription_ack", payload)
}

/// The one place where a message links a client with a room.
fn enter(context: &mut Context<'_>, client: ClientKey, room: &str) -> Result<Joined, Denied> {
    check_room("rooms", room).map_err(|_| Denied::new(room, ErrorCode::InvalidMessage))?;
    if !context.caller.sees(room) {
        return Err(Denied::new(room, ErrorCode::NotAllowed));
    }
    let joined = context.hub.join(client, room);
    let joined = joined.map_err(|_| Denied::new(room, ErrorCode::LimitExceeded))?;
    if joined.fresh {
        context.log_room(client, room, true);
    }
    Ok(joined)
}

fn broadcast(
    context: &mut Context<'_>,
    client: ClientKey,
    request: &Broadcast<'_>,
) -> Outcome<'static> {
    let room = check_room("room", &request.room)?;
    let directory = context.hub.directory();
    let found = directory.find(&room);
    let is_member = found.is_some_and(|room| directory.membership(client, room).is_some());
    let allowed = context
        .caller
        .may(Action::Publish { is_member }, context.settings);
    allowed.map_err(|refusal| {
        let limit = refusal.setting();
        let reason = format!("publishing to the room `{room}` ({limit})");
        Refusal::coded(ErrorCode::NotAllowed, reason)
    })?;
    let message = compact(request.message.get());
    let mut payload = String::with_capacity(message.len() + 64);
    let from = directory.client(client).id;
    let _ = write!(payload, "{{\"message\":{message},\"from\":\"{from}\"}}");
    let room = context.hub.find_or_create_room(&room)?;
    let message = RoomMessage {
        room,
        kind: "room_broadcast",
        payload,
        except: Some(client),
    };
    context.hub.publish(
        context.now,
        message,
        &mut context.peers.delivery(context.settings),
    );
    Ok(Answer::Now(Said::Nothing))
}

fn page(context: &mut Context<'_>, request: &History) -> Outcome<'static> {
    let since = request.since()?.unwrap_or(Since::Start);
    let room = context.hub.directory().find(&request.room);
    let room =
        room.ok_or_else(|| Refusal::not_found(format!("the room `{}`", shortened(&request.room))))?;
    let page = history::history_page(context.hub, room, since, request.limit());
    say("history", page)
}

fn control(
    context: &mut Context<'_>,
    client: ClientKey,
    request: &TaskControl,
) -> Outcome<'static> {
    let (task, action) = (&*request.task_id, request.action);
    let is_member = controls::is_member(context.hub, client, task);
    let allowed = context
        .caller
        .may(Action::Control { is_member }, context.settings);
    allowed.map_err(|refusal| {
        let (action, limit) = (action.as_str(), refusal.setting());
        let reason = format!("`{action}` on the task `{}` ({limit})", shortened(task));
        Refusal::coded(ErrorCode::NotAllowed, reason)
    })?;
    let by = context.hub.directory().client(client).id.to_string();
    let payload = controls::request(context, task, action, &by)?;
    say("control_ack", payload)
}

/// The rooms that a message names, each once; `taskIds` are short for rooms.
fn named_rooms<'a>(settings: &Settings, request: &'a Rooms) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let (limit, what) = match settings.hub.max_rooms_per_client {
        0 => (MAX_NAMES, format!("{MAX_NAMES} names in one message")),
        limit => (
            limit.max(MIN_NAMES),
            "websocket.max_rooms_per_client".to_owned(),
        ),
    };
    let tasks = request.task_ids.iter().flatten();
    let tasks = tasks.map(|task| Cow::Owned(format!("{TASK_ROOM_PREFIX}{task}")));
    let rooms = request.rooms.iter().flatten();
    let rooms = rooms.map(|room| Cow::Borrowed(room.as_str()));
    let mut known = HashSet::new();
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    for name in tasks.chain(rooms) {
        if known.insert(name.clone()) {
            if names.len() == limit {
                return Err(Refusal::limit_exceeded(what));
            }
            names.push(name);
        }
    }
    Ok(names)
}
