//! What clients of the payload dialect may ask for, and the answers (contract section 3).

use crate::base::time::Now;
use crate::engine::access::permission::Permission;
use crate::engine::backend::outbound;
use crate::engine::session::acknowledgement::Denied;
use crate::engine::session::controls::ControlFault;
use crate::engine::session::request_fields::{
    Auth, Broadcast, History, Rooms, TaskControl, check_beside_payload,
};
use crate::engine::session::{acknowledgement, controls, greeting, history, recovery, workspaces};
use crate::engine::state::State;
use crate::hub::{ClientKey, Full, Joined, Recovery, RoomMessage, Since};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::check_room;
use crate::wire::message::{Dialect, Envelope, ErrorCode, Incoming, Malformed};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

/// Most names in one message when `max_rooms_per_client` is unlimited.
const MAX_NAMES: usize = 10_000;
/// Most names in one message when that limit is lower: those beyond it are denied one by one.
const MIN_NAMES: usize = 1000;

/// Understands one message and does what it asks.
pub fn handle(state: &mut State, now: Now, client: ClientKey, text: &str) {
    let message = match Incoming::parse(text) {
        Ok(message) => message,
        Err(malformed) => {
            let reason = malformed.to_string();
            let (code, phrase) = complaint(&malformed, &reason);
            return state.send_error(now, client, code, phrase, None);
        }
    };
    match dispatch(state, now, client, &message) {
        Ok(()) => {}
        Err(Refusal::UnknownType) if outbound::takes(state, &message.kind) => {
            outbound::forward(state, now, client, &message);
        }
        Err(refusal) => refuse(state, now, client, &message, &refusal),
    }
}

/// Why a message was not obeyed.
enum Refusal {
    UnknownType,
    Malformed(Malformed),
    NotAllowed(String),
    NotFound(String),
    Unauthorized(&'static str),
    Full(Full),
    TooManyNames(String),
    Control(ControlFault),
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

fn dispatch(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
) -> Result<(), Refusal> {
    if state.dialect(client) == Dialect::Data {
        if workspaces::handle(state, now, client, message) {
            return Ok(());
        }
        message.check_relayable()?;
        return Err(Refusal::UnknownType);
    }
    message.check_relayable()?;
    if is_wish(&message.kind) {
        check_beside_payload(message)?;
    }
    match &*message.kind {
        "subscribe" => subscribe(state, now, client, message, Rooms::to_subscribe(message)?),
        "unsubscribe" => unsubscribe(state, now, client, message, Rooms::to_unsubscribe(message)?),
        "join_room" => subscribe(state, now, client, message, Rooms::one(message)?),
        "leave_room" => unsubscribe(state, now, client, message, Rooms::one(message)?),
        "room_broadcast" => broadcast(state, now, client, &Broadcast::read(message)?),
        "history" => history(state, now, client, message, &History::read(message)?),
        "task_control" => control(state, now, client, message, &TaskControl::read(message)?),
        "auth" => {
            Auth::read(message)?;
            Err(Refusal::Unauthorized(
                "this server does not authenticate clients",
            ))
        }
        "ping" => {
            answer(
                state,
                now,
                client,
                message,
                "pong",
                &compact(if message.nested { message.body } else { "{}" }),
            );
            Ok(())
        }
        _ => Err(Refusal::UnknownType),
    }
}

/// Whether a type has fields of its own. A `ping` takes anything, and other types are the application's.
fn is_wish(kind: &str) -> bool {
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
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    wish: Rooms,
) -> Result<(), Refusal> {
    let rooms = named_rooms(state, &wish)?;
    state.hub.load().visit(rooms.len());
    let since = &wish.positions;
    if wish.batch == Some(true) {
        greeting::enable_batches(state, state.hub.directory().client(client).connection);
    }
    if !since.is_empty() && state.hub.directory().client(client).is_lagging {
        recovery::recover(state, now, client, false);
    }
    let mut denied = Vec::new();
    let mut joined = Vec::new();
    for room in rooms {
        let since = since.get(&*room).copied();
        match enter(state, client, &room) {
            // A member that names a place wants to hear again what came after it.
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
            recovered: state.hub.can_recover(room, since),
        })
        .collect();
    let payload = acknowledgement::acknowledgement(state, client, &denied, &recoveries);
    let member_of = state.hub.directory().client(client).memberships().len();
    state.hub.load().visit(member_of);
    answer(state, now, client, message, "subscription_ack", &payload);
    state.hub.welcome(now, client, &joined, &mut state.peers);
    if !since.is_empty() {
        recovery::rewind_confirmed(state, client);
    }
    Ok(())
}

fn unsubscribe(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    wish: Rooms,
) -> Result<(), Refusal> {
    let rooms = named_rooms(state, &wish)?;
    state.hub.load().visit(rooms.len());
    for room in rooms {
        if state.hub.leave_room(client, &room) {
            state.tell_of_room(client, &room, false);
        }
    }
    let payload = acknowledgement::acknowledgement(state, client, &[], &[]);
    answer(state, now, client, message, "subscription_ack", &payload);
    Ok(())
}

fn enter(state: &mut State, client: ClientKey, room: &str) -> Result<Joined, Denied> {
    check_room("rooms", room).map_err(|_| Denied::new(room, ErrorCode::InvalidMessage))?;
    let joined = state.hub.join(client, room);
    let joined = joined.map_err(|_| Denied::new(room, ErrorCode::LimitExceeded))?;
    if joined.fresh {
        state.tell_of_room(client, room, true);
    }
    Ok(joined)
}

fn broadcast(
    state: &mut State,
    now: Now,
    client: ClientKey,
    wish: &Broadcast<'_>,
) -> Result<(), Refusal> {
    let room = check_room("room", &wish.room)?;
    let directory = state.hub.directory();
    let is_member = || {
        directory
            .find(&room)
            .is_some_and(|room| directory.membership(client, room).is_some())
    };
    let allowed = match state.settings.websocket.publish {
        Permission::Nobody => false,
        Permission::Members => is_member(),
        Permission::Anybody => true,
    };
    if !allowed {
        return Err(Refusal::NotAllowed(format!(
            "publishing to the room `{room}` (websocket.publish)"
        )));
    }
    let message = compact(wish.message.get());
    let mut payload = String::with_capacity(message.len() + 64);
    let _ = write!(
        payload,
        "{{\"message\":{message},\"from\":\"{}\"}}",
        directory.client(client).id
    );
    let room = state.hub.find_or_create_room(&room)?;
    let message = RoomMessage {
        room,
        kind: "room_broadcast",
        payload,
        except: Some(client),
    };
    state.hub.publish(now, message, &mut state.peers);
    Ok(())
}

fn history(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    wish: &History,
) -> Result<(), Refusal> {
    let since = wish.since()?.unwrap_or(Since::Start);
    let room = state.hub.directory().find(&wish.room);
    let room =
        room.ok_or_else(|| Refusal::NotFound(format!("the room `{}`", shortened(&wish.room))))?;
    let payload = history::history_page(state, room, since, wish.limit());
    answer(state, now, client, message, "history", &payload);
    Ok(())
}

fn control(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    wish: &TaskControl,
) -> Result<(), Refusal> {
    if !controls::is_allowed(state, client, &wish.task_id) {
        return Err(Refusal::NotAllowed(format!(
            "`{}` on the task `{}` (websocket.control)",
            wish.action.as_str(),
            shortened(&wish.task_id)
        )));
    }
    let by = state.hub.directory().client(client).id.to_string();
    let payload =
        controls::request(state, now, &wish.task_id, wish.action, &by).map_err(Refusal::Control)?;
    answer(state, now, client, message, "control_ack", &payload);
    Ok(())
}

/// The rooms that a message names, each once; `taskIds` are short for rooms.
fn named_rooms<'a>(state: &State, wish: &'a Rooms) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let (limit, what) = match state.settings.hub.max_rooms_per_client {
        0 => (MAX_NAMES, format!("{MAX_NAMES} names in one message")),
        limit => (
            limit.max(MIN_NAMES),
            "websocket.max_rooms_per_client".to_owned(),
        ),
    };
    let tasks = wish.task_ids.iter().flatten();
    let tasks = tasks.map(|task| Cow::Owned(format!("task:{task}")));
    let rooms = wish.rooms.iter().flatten();
    let rooms = rooms.map(|room| Cow::Borrowed(room.as_str()));
    let mut known = HashSet::new();
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    for name in tasks.chain(rooms) {
        if known.insert(name.clone()) {
            if names.len() == limit {
                return Err(Refusal::TooManyNames(what));
            }
            names.push(name);
        }
    }
    Ok(names)
}

fn answer(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    kind: &str,
    payload: &str,
) {
    let variant = state.variant(client);
    let envelope = Envelope {
        kind,
        payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: message.id,
        room_offset: None,
    };
    state.send_encoded(client, &envelope.encode(variant));
}

/// How a client is told what is wrong with its message.
fn complaint<'a>(malformed: &Malformed, reason: &'a str) -> (ErrorCode, Phrase<'a>) {
    match malformed.is_unreadable() {
        true => (ErrorCode::InvalidJson, Phrase::InvalidJson(reason)),
        false => (ErrorCode::InvalidMessage, Phrase::InvalidMessage(reason)),
    }
}

fn refuse(
    state: &mut State,
    now: Now,
    client: ClientKey,
    message: &Incoming<'_>,
    refusal: &Refusal,
) {
    let text;
    let (code, phrase) = match refusal {
        Refusal::UnknownType => {
            let kind = shortened(&message.kind);
            return state.send_error(
                now,
                client,
                ErrorCode::UnknownType,
                Phrase::UnknownType(&kind),
                message.id,
            );
        }
        Refusal::Malformed(malformed) => {
            text = malformed.to_string();
            complaint(malformed, &text)
        }
        Refusal::NotAllowed(what) => (ErrorCode::NotAllowed, Phrase::NotAllowed(what)),
        Refusal::NotFound(what) => (ErrorCode::NotFound, Phrase::NotFound(what)),
        Refusal::Unauthorized(reason) => (ErrorCode::Unauthorized, Phrase::Unauthorized(reason)),
        Refusal::Full(full) => (ErrorCode::LimitExceeded, Phrase::LimitExceeded(full.key())),
        Refusal::Control(fault) => (fault.code, fault.phrase()),
        Refusal::TooManyNames(limit) => (ErrorCode::LimitExceeded, Phrase::LimitExceeded(limit)),
    };
    state.send_error(now, client, code, phrase, message.id);
}
