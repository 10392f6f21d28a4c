//! What clients of the payload dialect may ask for, how it is read, and the answers (contract section 3). A message in other words
//! than the contract's is refused with the right ones: to pass over what it says would leave its sender waiting.
//!
//! Each request is a function of a [`Context`]: it returns what is to be said, and the type says when. None of them ends a
//! connection, and none knows another client's. Pages of a log and requests to a task's worker are calls of the API as well.

use super::workspaces;
use crate::engine::access::caller::Action;
use crate::engine::answer::{Answer, Said};
use crate::engine::context::Context;
use crate::hub::rooms::position::NotAPosition;
use crate::hub::{ClientKey, ControlRefused, Hub, Position, RoomKey, Since};
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::{push_string, to_json};
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::{TASK_ROOM_PREFIX, check_room};
use crate::wire::message::number::Whole;
use crate::wire::message::{Control, Dialect, Incoming, Malformed, Members};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Bytes beyond which a page of a log has no further entry: it is made for one reader alone.
const MAX_PAGE_BYTES: usize = 1024 * 1024;
/// So many names that a message has are quoted when it lacks one.
const MAX_QUOTED_NAMES: usize = 5;
/// What the envelope itself may hold beside flat fields.
const ENVELOPE: [&str; 5] = ["type", "id", "timestamp", "payload", "data"];
/// What client messages may hold, all types together.
const FIELDS: [&str; 10] = [
    "taskIds", "rooms", "since", "batch", "room", "message", "limit", "taskId", "action", "token",
];
/// What others call tasks and rooms to be watched, without case and separators.
const MISNOMERS: [&str; 13] = [
    "task", "tasks", "taskid", "taskids", "ids", "room", "rooms", "roomid", "roomids", "channel",
    "channels", "topic", "topics",
];

/// A field that a message needs, and what is expected there.
type Needed = (&'static str, &'static str);

const ROOM: Needed = ("room", "the room's name, a string");
const TASK: Needed = ("taskId", "the task's id, a string");
const ACTION: Needed = ("action", "`cancel`, `pause` or `resume`");

type Outcome = Result<Answer<Said>, Refusal>;

/// Does what a message asks.
pub fn carry_out(context: &mut Context<'_>, client: ClientKey, message: &Incoming<'_>) -> Outcome {
    if context.dialect(client) == Dialect::Data {
        if let Some(outcome) = workspaces::carry_out(context, message) {
            return outcome.map_err(Refusal::workspace);
        }
        message.check_relayable()?;
        return Err(unknown_type(&message.kind));
    }
    message.check_relayable()?;
    match &*message.kind {
        "subscribe" => context.join_rooms(client, message, &Rooms::to_subscribe(message)?),
        "unsubscribe" => context.leave_rooms(client, &Rooms::to_unsubscribe(message)?),
        "join_room" => context.join_rooms(client, message, &Rooms::one(message)?),
        "leave_room" => context.leave_rooms(client, &Rooms::one(message)?),
        "room_broadcast" => {
            let request = fields(message, &[ROOM, ("message", "any JSON value")])?;
            broadcast(context, client, &request)
        }
        "history" => page(context, &fields(message, &[ROOM])?),
        "task_control" => control(context, client, &fields(message, &[TASK, ACTION])?),
        "auth" => {
            fields::<Auth>(message, &[("token", "a string")])?;
            let reason = "this server does not authenticate clients";
            Err(Refusal::new(ErrorCode::Unauthorized, reason))
        }
        "ping" => {
            let echoed = if message.nested { message.body } else { "{}" };
            // It may be as long as a message, and is answered where it lies.
            context.answer(client, "pong", &compact(echoed), message.id);
            Ok(Answer::Now(Said::Nothing))
        }
        _ => Err(unknown_type(&message.kind)),
    }
}

fn unknown_type(kind: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownType, shortened(kind).into_owned())
}

fn say(kind: &'static str, payload: String) -> Outcome {
    Ok(Answer::Now(Said::Message { kind, payload }))
}

fn broadcast(context: &mut Context<'_>, client: ClientKey, request: &Broadcast<'_>) -> Outcome {
    let room = &*request.room;
    check_room("room", room)?;
    let is_member = is_member(context.hub, client, room);
    let allowed = context
        .caller
        .may(Action::Publish { is_member }, context.settings);
    allowed.map_err(|refusal| refusal.about(&format!("publishing to the room `{room}`")))?;
    let message = compact(request.message.get());
    let mut payload = String::with_capacity(message.len() + 64);
    let from = context.hub.directory().client(client).id;
    let _ = write!(payload, "{{\"message\":{message},\"from\":\"{from}\"}}");
    let (moment, message) = (
        context.settings.at(context.now),
        ("room_broadcast", payload),
    );
    context
        .hub
        .publish(moment, room, message, Some(client), &mut context.out)?;
    Ok(Answer::Now(Said::Nothing))
}

fn page(context: &mut Context<'_>, request: &History) -> Outcome {
    let since = match &request.since {
        Some(since) => parse_since("since", since)?,
        None => Since::Start,
    };
    let limit = request.limit.map(|Whole(limit)| limit);
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let room = context.hub.directory().find(&request.room);
    let room =
        room.ok_or_else(|| Refusal::not_found(format!("the room `{}`", shortened(&request.room))))?;
    let page = history_page(context.hub, room, since, limit);
    say("history", page)
}

fn control(context: &mut Context<'_>, client: ClientKey, request: &TaskControl) -> Outcome {
    let (task, action) = (&*request.task_id, request.action);
    let is_member = is_member(context.hub, client, &format!("{TASK_ROOM_PREFIX}{task}"));
    let allowed = context
        .caller
        .may(Action::Control { is_member }, context.settings);
    allowed.map_err(|refusal| {
        let action = action.as_str();
        refusal.about(&format!("`{action}` on the task `{}`", shortened(task)))
    })?;
    let by = context.hub.directory().client(client).id.to_string();
    let payload = request_control(context, task, action, &by)?;
    say("control_ack", payload)
}

fn is_member(hub: &Hub, client: ClientKey, room: &str) -> bool {
    let directory = hub.directory();
    let room = directory.find(room);
    room.is_some_and(|room| directory.membership(client, room).is_some())
}

/// Records what `by` asks of a task's worker, which hears of it with its next report; the payload
/// that acknowledges it names whoever asked first.
pub fn request_control(
    context: &mut Context<'_>,
    task: &str,
    action: Control,
    by: &str,
) -> Result<String, Refusal> {
    let hub = &mut *context.hub;
    let moment = context.settings.at(context.now);
    let recorded = hub.control(moment, task, action, by, &mut context.out);
    recorded.map_err(|refused| control_refusal(refused, task, action))?;
    let tasks = hub.broadcaster().tasks();
    let asked = tasks
        .named(task)
        .and_then(|task| Some(task.view.requested.as_ref()?.of(&task.id)));
    Ok(to_json(
        &asked.expect("a request that was recorded stands on its task"),
    ))
}

fn control_refusal(refused: ControlRefused, task: &str, action: Control) -> Refusal {
    let action = action.as_str();
    match refused {
        ControlRefused::UnknownTask => {
            Refusal::not_found(format!("the task `{}`", shortened(task)))
        }
        ControlRefused::Ended(status) => {
            let reason = format!("`{action}` on a task that is {}", status.as_str());
            Refusal::new(ErrorCode::NotAllowed, reason)
        }
        ControlRefused::Pending(pending) => {
            let pending = pending.as_str();
            let reason = format!("`{action}` while `{pending}` is pending on the task");
            Refusal::new(ErrorCode::Conflict, reason)
        }
        ControlRefused::NotHonoured(controls) => {
            let honoured: Vec<&str> = controls.iter().map(Control::as_str).collect();
            let expected = match honoured[..] {
                [] => "none at all".to_owned(),
                _ => honoured.join(", "),
            };
            let reason = format!(
                "action: `{action}` is not honoured by the task's worker; expected {expected}"
            );
            Refusal::new(ErrorCode::InvalidMessage, reason)
        }
    }
}

/// A page of a room's log as JSON: `{room, messages, position, complete, more?}`, the oldest first: at most `limit` messages
/// (0: all), and no more than a megabyte but for the first.
pub fn history_page(hub: &Hub, key: RoomKey, since: Since, limit: Option<usize>) -> String {
    let room = hub.directory().room(key);
    let missed = hub.history(key, since);
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut out = String::from("{\"room\":");
    push_string(&mut out, &room.name);
    out.push_str(",\"messages\":[");
    let (mut last, mut is_cut) = (None, false);
    let mut entries = missed.entries;
    for entry in entries.by_ref().take(limit) {
        let end = out.len();
        if last.is_some() {
            out.push(',');
        }
        entry.envelope(&room.name).push_json(&mut out);
        // The comma does not count.
        if last.is_some() && out.len() - 1 > MAX_PAGE_BYTES {
            out.truncate(end);
            is_cut = true;
            break;
        }
        last = Some(entry.offset);
    }
    let offset = last.unwrap_or(match since {
        Since::After(position) if position.epoch == room.epoch => position.offset,
        Since::Start | Since::After(_) => room.position().offset,
    });
    let position = Position {
        epoch: room.epoch,
        offset,
    };
    let _ = write!(
        out,
        "],\"position\":\"{position}\",\"complete\":{}",
        missed.complete
    );
    if is_cut || entries.len() > 0 {
        out.push_str(",\"more\":true");
    }
    out.push('}');
    out
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rooms {
    pub(super) task_ids: Option<Vec<String>>,
    pub(super) rooms: Option<Vec<String>>,
    since: Option<HashMap<String, String>>,
    /// What `since` says.
    #[serde(skip)]
    pub(super) positions: HashMap<String, Since>,
    pub(super) batch: Option<bool>,
}

#[derive(Deserialize)]
struct Broadcast<'a> {
    room: String,
    #[serde(borrow)]
    message: &'a RawValue,
}

#[derive(Deserialize)]
struct History {
    room: String,
    since: Option<String>,
    limit: Option<Whole>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskControl {
    task_id: String,
    action: Control,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "token")]
    _token: String,
}

#[derive(Deserialize)]
struct OneRoom {
    room: String,
}

impl Rooms {
    fn to_subscribe(message: &Incoming<'_>) -> Result<Self, Malformed> {
        let mut request: Self = fields(message, &[])?;
        let named = request.since.take().unwrap_or_default();
        let (tasks, rooms) = (names_in(&request.task_ids), names_in(&request.rooms));
        let since = named.iter().map(|(room, since)| {
            let field = format!("since.{}", shortened(room));
            // Rooms that the client does not subscribe to are passed over: it may send all the positions that it knows.
            // But a task's bare id is a mistake that would go unnoticed, unless the task's room is named as well.
            let is_bare_id = tasks.contains(&**room) && !rooms.contains(&**room);
            if is_bare_id && !named.contains_key(&format!("{TASK_ROOM_PREFIX}{room}")) {
                let reason = format!("names no room of this message; expected `task:{room}`");
                return Err(Malformed::field(field, reason));
            }
            Ok((room.clone(), parse_since(&field, since)?))
        });
        request.positions = since
            .collect::<Result<_, _>>()
            .map_err(|fault| message.located(fault))?;
        let is_enough = request.batch.is_some();
        request.checked(message, is_enough)
    }

    fn to_unsubscribe(message: &Incoming<'_>) -> Result<Self, Malformed> {
        fields::<Self>(message, &[])?.checked(message, false)
    }

    fn one(message: &Incoming<'_>) -> Result<Self, Malformed> {
        let OneRoom { room } = fields(message, &[ROOM])?;
        Ok(Self {
            rooms: Some(vec![room]),
            ..Self::default()
        })
    }

    /// Refuses a request that names nothing, or in part under names that mean nothing here.
    fn checked(self, message: &Incoming<'_>, is_enough: bool) -> Result<Self, Malformed> {
        let found = names(message)?;
        let misnomer = found.iter().find(|name| is_misnomer(name));
        if misnomer.is_none() && (is_enough || self.task_ids.is_some() || self.rooms.is_some()) {
            return Ok(self);
        }
        let found = match misnomer {
            Some(name) => format!("`{}`", shortened(name)),
            None => quoted(&found, &["taskIds", "rooms"]),
        };
        let reason = format!("expected `taskIds` or `rooms`, arrays of strings; found {found}");
        Err(message.located(Malformed::field("", reason)))
    }
}

/// Refuses a field that stands beside the payload, where it would go unnoticed.
fn check_beside_payload(message: &Incoming<'_>) -> Result<(), Malformed> {
    if !message.nested {
        return Ok(());
    }
    let members = Members::parse(message.text)?;
    // What belongs to a room's log names the room in its envelope; a request for tasks may have been built upon it.
    let is_about_rooms = !matches!(&*message.kind, "task_control" | "auth");
    let stray = members.iter().find(|(name, value)| {
        FIELDS.contains(name) && *value != "null" && (is_about_rooms || *name != "room")
    });
    let Some((name, _)) = stray else {
        return Ok(());
    };
    let body = message.body_name;
    let reason = format!("stands beside `{body}`, where it does not count; put it into `{body}`");
    Err(Malformed::field(name, reason))
}

fn parse_since(field: &str, text: &str) -> Result<Since, Malformed> {
    text.parse()
        .map_err(|error: NotAPosition| Malformed::field(field, error.to_string()))
}

/// Reads the fields of a message; of those that it needs, the first that is missing is named.
fn fields<'a, T: Deserialize<'a>>(
    message: &Incoming<'a>,
    needed: &[Needed],
) -> Result<T, Malformed> {
    check_beside_payload(message)?;
    message.fields().map_err(|fault| {
        let found = Members::parse(message.body).unwrap_or_default();
        let missing = needed
            .iter()
            .find(|(name, _)| found.value(name).is_none_or(|value| value == "null"));
        let Some((name, expected)) = missing else {
            return fault;
        };
        let wanted: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
        let found = quoted(&names(message).unwrap_or_default(), &wanted);
        let reason = format!("missing; expected {expected}; found {found}");
        message.located(Malformed::field(*name, reason))
    })
}

fn names_in(names: &Option<Vec<String>>) -> HashSet<&str> {
    names.iter().flatten().map(String::as_str).collect()
}

/// What the fields of a message are called, without the envelope's.
fn names(message: &Incoming<'_>) -> Result<Vec<String>, Malformed> {
    let members = Members::parse(message.body).map_err(|fault| message.located(fault))?;
    let names = members.iter().map(|(name, _)| name);
    let names = names.filter(|name| message.nested || !ENVELOPE.contains(name));
    Ok(names.map(str::to_owned).collect())
}

fn is_misnomer(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|found| !matches!(found, '_' | '-'))
        .collect();
    !matches!(name, "taskIds" | "rooms") && MISNOMERS.contains(&&*plain.to_ascii_lowercase())
}

/// The names that were found instead of the `wanted` ones.
fn quoted(found: &[String], wanted: &[&str]) -> String {
    let others = found.iter().filter(|name| !wanted.contains(&name.as_str()));
    let quoted: Vec<String> = others
        .take(MAX_QUOTED_NAMES)
        .map(|name| format!("`{}`", shortened(name)))
        .collect();
    match quoted.is_empty() {
        true => "nothing".to_owned(),
        false => quoted.join(", "),
    }
}
