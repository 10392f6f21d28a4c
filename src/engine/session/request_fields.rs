//! What a client of the payload dialect asks for, read out of its message (contract section 3). A message in other words
//! than the contract's is refused with the right ones: to pass over what it says would leave its sender waiting.

use crate::hub::Since;
use crate::hub::rooms::position::NotAPosition;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use crate::wire::message::number::Whole;
use crate::wire::message::{Control, Incoming, Malformed, Members};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};

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

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::engine) struct Rooms {
    pub(in crate::engine) task_ids: Option<Vec<String>>,
    pub(in crate::engine) rooms: Option<Vec<String>>,
    since: Option<HashMap<String, String>>,
    /// What `since` says.
    #[serde(skip)]
    pub(in crate::engine) positions: HashMap<String, Since>,
    pub(in crate::engine) batch: Option<bool>,
}

#[derive(Deserialize)]
pub(in crate::engine) struct Broadcast<'a> {
    pub(in crate::engine) room: String,
    #[serde(borrow)]
    pub(in crate::engine) message: &'a RawValue,
}

#[derive(Deserialize)]
pub(in crate::engine) struct History {
    pub(in crate::engine) room: String,
    since: Option<String>,
    limit: Option<Whole>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::engine) struct TaskControl {
    pub(in crate::engine) task_id: String,
    pub(in crate::engine) action: Control,
}

#[derive(Deserialize)]
pub(in crate::engine) struct Auth {
    #[serde(rename = "token")]
    _token: String,
}

#[derive(Deserialize)]
struct OneRoom {
    room: String,
}

impl Rooms {
    pub(in crate::engine) fn to_subscribe(message: &Incoming<'_>) -> Result<Self, Malformed> {
        let mut request: Self = message.fields()?;
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

    pub(in crate::engine) fn to_unsubscribe(message: &Incoming<'_>) -> Result<Self, Malformed> {
        let request: Self = message.fields()?;
        request.checked(message, false)
    }

    pub(in crate::engine) fn one(message: &Incoming<'_>) -> Result<Self, Malformed> {
        let OneRoom { room } = fields(message, &[("room", "the room's name, a string")])?;
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

impl<'a> Broadcast<'a> {
    pub(in crate::engine) fn read(message: &Incoming<'a>) -> Result<Self, Malformed> {
        fields(
            message,
            &[
                ("room", "the room's name, a string"),
                ("message", "any JSON value"),
            ],
        )
    }
}

impl History {
    pub(in crate::engine) fn read(message: &Incoming<'_>) -> Result<Self, Malformed> {
        fields(message, &[("room", "the room's name, a string")])
    }

    pub(in crate::engine) fn since(&self) -> Result<Option<Since>, Malformed> {
        let since = self.since.as_deref();
        since.map(|since| parse_since("since", since)).transpose()
    }

    pub(in crate::engine) fn limit(&self) -> Option<usize> {
        let limit = self.limit.map(|Whole(limit)| limit);
        limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

impl TaskControl {
    pub(in crate::engine) fn read(message: &Incoming<'_>) -> Result<Self, Malformed> {
        fields(
            message,
            &[
                ("taskId", "the task's id, a string"),
                ("action", "`cancel`, `pause` or `resume`"),
            ],
        )
    }
}

impl Auth {
    pub(in crate::engine) fn read(message: &Incoming<'_>) -> Result<Self, Malformed> {
        fields(message, &[("token", "a string")])
    }
}

/// Refuses a field that stands beside the payload, where it would go unnoticed.
pub(in crate::engine) fn check_beside_payload(message: &Incoming<'_>) -> Result<(), Malformed> {
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
    needed: &[(&str, &str)],
) -> Result<T, Malformed> {
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
    let names = members
        .names()
        .filter(|name| message.nested || !ENVELOPE.contains(name));
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
