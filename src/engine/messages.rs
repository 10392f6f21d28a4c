//! What clients of the payload dialect may say, and the answers (contract section 3).

use super::backend;
use super::controls::{self, ControlFault};
use super::sessions;
use super::settings::Permission;
use super::state::State;
use super::upgrade;
use super::wishes::{Auth, Broadcast, History, Rooms, TaskControl, check_beside_payload};
use super::workspaces;
use crate::base::time::Now;
use crate::hub::{ClientKey, Full, Joined, Position, Recovery, RoomKey, RoomMessage, Since};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::push_string;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::{check_room, reserved};
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
        Err(Refusal::UnknownType) if backend::takes(state, &message.kind) => {
            backend::forward(state, now, client, &message);
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

/// A room that a client may not enter.
struct Denied {
    room: String,
    code: ErrorCode,
}

impl Denied {
    fn new(room: impl Into<String>, code: ErrorCode) -> Self {
        let room = room.into();
        Self { room, code }
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
        message.check_readable()?;
        return Err(Refusal::UnknownType);
    }
    message.check_readable()?;
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
        upgrade::enable_batches(state, state.hub.directory().client(client).connection);
    }
    if !since.is_empty() && state.hub.directory().client(client).is_lagging {
        sessions::recover(state, now, client, false);
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
    let payload = acknowledgement(state, client, &denied, &recoveries);
    let member_of = state.hub.directory().client(client).memberships().len();
    state.hub.load().visit(member_of);
    answer(state, now, client, message, "subscription_ack", &payload);
    state.hub.welcome(now, client, &joined, &mut state.peers);
    if !since.is_empty() {
        sessions::rewind_confirmed(state, client);
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
    let payload = acknowledgement(state, client, &[], &[]);
    answer(state, now, client, message, "subscription_ack", &payload);
    Ok(())
}

/// Tells a client which of its rooms could be made up for, unasked: it has come back, or has been too slow.
pub fn acknowledge_recovery(
    state: &mut State,
    now: Now,
    client: ClientKey,
    denied: Vec<Box<str>>,
    recoveries: &[Recovery],
) {
    let denied = denied.into_iter();
    let denied = denied.map(|room| Denied::new(room, ErrorCode::LimitExceeded));
    let denied: Vec<Denied> = denied.collect();
    let payload = acknowledgement(state, client, &denied, recoveries);
    let envelope = Envelope {
        kind: "subscription_ack",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        place: None,
    };
    state.send_encoded(client, &envelope.encode(state.variant(client)));
}

/// Tells viewers of the rooms that they had to leave for a producer's.
pub fn tell_evicted(state: &mut State, now: Now) {
    for (client, rooms) in state.hub.take_evicted() {
        let Some(client) = state.hub.directory().living_client(client) else {
            continue;
        };
        let phrase = Phrase::LimitExceeded(Full::Rooms.key());
        let mut payload = format!(
            "{{\"code\":\"{}\",\"message\":",
            ErrorCode::LimitExceeded.as_str()
        );
        push_string(&mut payload, &state.settings.locale.say(phrase).to_string());
        payload.push_str(",\"rooms\":[");
        push_list(&mut payload, rooms.iter(), |out, room| {
            push_string(out, room)
        });
        payload.push_str("]}");
        for room in &rooms {
            state.tell_of_room(client, room, false);
        }
        state
            .hub
            .send(now, client, "error", &payload, &mut state.peers);
    }
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
    let payload = history_page(state, room, since, wish.limit());
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

/// Bytes beyond which a page of a log has no further entry: it is made for one reader alone.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// A page of a room's log as JSON: `{room, messages, position, complete, more?}`, the oldest first: at most `limit` messages
/// (0: all), and no more than a megabyte but for the first.
pub fn history_page(state: &State, key: RoomKey, since: Since, limit: Option<usize>) -> String {
    let room = state.hub.directory().room(key);
    let missed = state.hub.history(key, since);
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut out = String::from("{\"room\":");
    push_string(&mut out, &room.name);
    out.push_str(",\"messages\":[");
    let mut shown = 0;
    for entry in missed.entries.iter().take(limit) {
        let message = entry.envelope(&room.name).encode(Default::default());
        if shown > 0 && out.len() + message.len() > MAX_PAGE_BYTES {
            break;
        }
        if shown > 0 {
            out.push(',');
        }
        out.push_str(&String::from_utf8_lossy(&message));
        shown += 1;
    }
    let offset = match missed.entries[..shown].last() {
        Some(last) => last.offset,
        None => match since {
            Since::After(position) if position.epoch == room.epoch => position.offset,
            Since::Start | Since::After(_) => room.position().offset,
        },
    };
    let position = Position {
        epoch: room.epoch,
        offset,
    };
    let _ = write!(
        out,
        "],\"position\":\"{position}\",\"complete\":{}",
        missed.complete
    );
    if shown < missed.entries.len() {
        out.push_str(",\"more\":true");
    }
    out.push('}');
    out
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

/// The payload of `subscription_ack`: all that the client is now in, and what became of its wishes.
fn acknowledgement(
    state: &State,
    client: ClientKey,
    denied: &[Denied],
    recoveries: &[Recovery],
) -> String {
    let directory = state.hub.directory();
    let rooms: Vec<_> = directory
        .client(client)
        .rooms()
        .map(|room| directory.room(room))
        .collect();
    let tasks = rooms
        .iter()
        .filter_map(|room| room.name.strip_prefix("task:"));
    let mut out = String::from("{\"taskIds\":[");
    push_list(&mut out, tasks, push_string);
    out.push_str("],\"rooms\":[");
    push_list(&mut out, rooms.iter(), |out, room| {
        push_string(out, &room.name)
    });
    out.push_str("],\"denied\":[");
    push_list(&mut out, denied.iter(), |out, denied| {
        out.push_str("{\"room\":");
        push_string(out, &denied.room);
        let _ = write!(out, ",\"code\":\"{}\"", denied.code.as_str());
        // Such a name looks as good as any other.
        if let Some(reason) = reserved(&denied.room) {
            out.push_str(",\"message\":");
            push_string(out, reason);
        }
        out.push('}');
    });
    out.push_str("],\"positions\":{");
    let made_up: HashSet<RoomKey> = recoveries.iter().map(|made_up| made_up.room).collect();
    let memberships = directory.client(client).memberships().iter();
    push_list(&mut out, memberships, |out, membership| {
        let room = directory.room(membership.room);
        // What is made up for follows this; what is left in a log comes some time later.
        let position = match made_up.contains(&membership.room) {
            true => room.position(),
            false => state.hub.queued_position(client, membership),
        };
        push_string(out, &room.name);
        let _ = write!(out, ":\"{position}\"");
    });
    out.push_str("},\"recovered\":{");
    push_list(&mut out, recoveries.iter(), |out, recovery| {
        push_string(out, &directory.room(recovery.room).name);
        let _ = write!(out, ":{}", recovery.recovered);
    });
    out.push_str("}}");
    out
}

fn push_list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, item);
    }
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
        place: None,
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
