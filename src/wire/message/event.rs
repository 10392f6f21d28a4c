//! What a producer reports (contract section 7): one event about a task, an item of a task, or a room.

use super::compact::{compact, into_compact};
use super::envelope::push_string;
use super::incoming::{Incoming, object_or_none, parse, parse_object, strip_byte_order_mark};
use super::keyword::{one_of, words};
use super::malformed::{Malformed, shortened};
use super::merge::Members;
use super::name::{check_name, check_room, check_task_id};
use super::number::Count;
use super::patch::{ENVELOPE_FIELDS, EventId, FlatPatch, NamedPatch, Status, TaskPatch, Text};
use super::relayable::check_relayable;
use super::surrogates::{OTHER, replace_lone_surrogates, replace_lone_surrogates_by};
use serde::Deserialize;
use std::borrow::Cow;

pub const TASK_REMOVED: &str = "task_removed";

/// Names an event; viewers do not see it.
const EVENT_ID: &str = "eventId";
/// Names a request, and so its events.
pub const KEY_HEADER: &str = "Idempotency-Key";

/// One event, with what identifies repeats. Its ids lie in the text that it was read from, unless they hold escapes.
#[derive(Debug)]
pub struct Report<'a> {
    /// The task or the room that it is about.
    pub subject: Cow<'a, str>,
    pub event: Event,
    /// The producer's name for the event: a repeat within the window is dropped, whatever its content.
    pub id: Option<Cow<'a, str>>,
    /// How many lone surrogates were replaced in its text.
    pub repaired: u32,
}

#[derive(Debug)]
pub enum Event {
    Task {
        kind: TaskEvent,
        patch: Box<TaskPatch>,
    },
    /// A task produced an item, or failed to.
    Item {
        kind: ItemKind,
        /// The application's payload, compact JSON.
        payload: String,
    },
    /// A message for a room.
    Room {
        kind: Box<str>,
        /// The application's payload, compact JSON.
        payload: String,
    },
}

/// The task messages of contract section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEvent {
    Started,
    Progress,
    Completed,
    Failed,
    Paused,
    Cancelled,
}

words! { TaskEvent:
    Started = "task_started",
    Progress = "task_progress",
    Completed = "task_completed",
    Failed = "task_failed",
    Paused = "task_paused",
    Cancelled = "task_cancelled",
}

impl TaskEvent {
    /// The event named by the last segment of `POST /api/tasks/{id}/{verb}`.
    pub fn from_verb(verb: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|event| event.as_str().strip_prefix("task_") == Some(verb))
    }
}

/// The item messages of contract section 4: `document_generated` and `document_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    Generated,
    Failed,
}

words! { ItemKind: Generated = "document_generated", Failed = "document_failed" }

/// Types that only the server may send: an application that used one would deceive clients.
pub fn is_reserved(kind: &str) -> bool {
    const RESERVED: [&str; 11] = [
        "connected",
        "disconnected",
        "error",
        "ping",
        "pong",
        "subscription_ack",
        "control_ack",
        "batch",
        "history",
        "authenticated",
        "auth",
    ];
    RESERVED.contains(&kind) || kind == TASK_REMOVED || TaskEvent::from_word(kind).is_some()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFields<'a> {
    #[serde(borrow)]
    task_id: Option<Text<'a>>,
    #[serde(borrow)]
    event_id: Option<EventId<'a>>,
}

impl<'a> Report<'a> {
    /// Reads a message `{type, payload}` as a producer would broadcast it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::read_repairing(text, "id", |text| {
            Report::from_message(&Incoming::read(text)?)
        })
    }

    /// Reads the body of `POST /api/tasks/{id}/{verb}`; an empty body adds nothing to the verb. Fields that the
    /// contract does not name are the application's.
    pub fn for_task(task_id: &'a str, kind: TaskEvent, body: &'a str) -> Result<Self, Malformed> {
        let body = object_or_none(strip_byte_order_mark(body));
        let read =
            Self::read_repairing(body, EVENT_ID, |body| Report::of_task(task_id, kind, body));
        let mut report = read?;
        // Not while it is read: a repaired text does not live as long as the path.
        report.subject = task_id.into();
        Ok(report)
    }

    /// Copies what lies in the text that it was read from, and so outlives that.
    pub fn into_owned(self) -> Report<'static> {
        let owned = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        Report {
            subject: owned(self.subject),
            event: self.event,
            id: self.id.map(owned),
            repaired: self.repaired,
        }
    }

    /// Reads an event, if need be with its lone surrogates replaced: they must not cost the event. Names are not
    /// repaired, because different names would become one; `id_field` is what the event's id is called.
    pub fn read_repairing(
        text: &'a str,
        id_field: &'static str,
        read: impl for<'t> Fn(&'t str) -> Result<Report<'t>, Malformed>,
    ) -> Result<Self, Malformed> {
        read(text).or_else(|fault| {
            match (
                replace_lone_surrogates(text),
                replace_lone_surrogates_by(text, OTHER),
            ) {
                (Some((repaired_text, repaired)), Some((other, _))) => {
                    let mut report = read(&repaired_text)?;
                    report.check_same_names(&read(&other)?, id_field)?;
                    report.repaired += repaired;
                    Ok(report.into_owned())
                }
                _ => Err(fault),
            }
        })
    }

    /// Refuses an event whose names depend on the replacement.
    fn check_same_names(
        &self,
        other: &Report<'_>,
        id_field: &'static str,
    ) -> Result<(), Malformed> {
        let field = if self.subject != other.subject {
            match self.event {
                Event::Room { .. } => "room",
                Event::Task { .. } | Event::Item { .. } => "taskId",
            }
        } else if self.id != other.id {
            id_field
        } else {
            return Ok(());
        };
        let reason =
            "holds half of a surrogate pair; expected both, as in `\\ud83d\\ude00`, in a name";
        Err(Malformed::field(field, reason))
    }

    /// Gives the event the id derived from the key of its request.
    pub fn named_by(mut self, id: String) -> Result<Self, Malformed> {
        if let Some(own) = self.id.as_deref().filter(|own| **own != *id) {
            let reason = format!(
                "makes `{}` of this event, which differs from its own id, `{}`; leave out the header or the ids",
                shortened(&id),
                shortened(own)
            );
            return Err(Malformed::field(KEY_HEADER, reason));
        }
        self.id = Some(id.into());
        Ok(self)
    }

    pub fn from_message(message: &Incoming<'a>) -> Result<Self, Malformed> {
        message.check_relayable()?;
        let (subject, event, own) = if let Some(kind) = TaskEvent::from_word(&message.kind) {
            task_event(kind, message)?
        } else if let Some(kind) = ItemKind::from_word(&message.kind) {
            item_event(kind, message)?
        } else {
            room_event(message)?
        };
        let read = |field: &'static str, id: Option<&'a str>| {
            let id = id.filter(|id| *id != "null").map(parse::<EventId>);
            let id = id.transpose().map_err(|fault| fault.under(field))?;
            Ok(id.map(|id| (field, id.0)))
        };
        let in_payload = if message.body_name == "data" {
            "data.eventId"
        } else {
            "payload.eventId"
        };
        let ids = [
            read("id", message.id)?,
            read(EVENT_ID, message.event_id)?,
            own.map(|id| (in_payload, id)),
        ];
        Ok(Self {
            subject,
            event,
            id: the_one(ids)?,
            repaired: 0,
        })
    }

    /// The event of the task in the path, but for the task's id.
    fn of_task(task_id: &str, kind: TaskEvent, body: &'a str) -> Result<Self, Malformed> {
        let named: NamedPatch<'_> = parse_object(body)?;
        let mut patch = named.patch;
        check_relayable(body, 1)?;
        if named.task_id.is_some_and(|named| named != task_id) {
            return Err(Malformed::field(
                "taskId",
                format!("differs from the task in the path, `{task_id}`"),
            ));
        }
        patch.restart = take_restart(&mut patch, kind)?.unwrap_or(false);
        check_status(&patch, kind)?;
        check_task_id("taskId", task_id)?;
        Ok(Self {
            subject: Cow::Borrowed(""),
            event: Event::Task {
                kind,
                patch: Box::new(patch),
            },
            id: named.event_id,
            repaired: 0,
        })
    }
}

/// The id of an event, from the key of its request and its index there.
pub fn numbered_id(key: &str, index: u64) -> String {
    format!("{key}/{index}")
}

/// The id of an event that may be named in several fields, which must agree.
fn the_one<'a>(
    ids: [Option<(&'static str, Cow<'a, str>)>; 3],
) -> Result<Option<Cow<'a, str>>, Malformed> {
    let mut named = ids.into_iter().flatten();
    let Some((first_field, first)) = named.next() else {
        return Ok(None);
    };
    for (field, id) in named {
        if id != first {
            let reason = format!(
                "`{}` differs from `{first_field}`, `{}`; expected one id for one event",
                shortened(&id),
                shortened(&first)
            );
            return Err(Malformed::field(field, reason));
        }
    }
    Ok(Some(first))
}

/// What an event is about, the event, and its id when the payload names it.
type Named<'a> = (Cow<'a, str>, Event, Option<Cow<'a, str>>);

fn task_event<'a>(kind: TaskEvent, message: &Incoming<'a>) -> Result<Named<'a>, Malformed> {
    let named = match message.nested {
        true => message.fields::<NamedPatch<'a>>()?,
        false => message.fields::<FlatPatch<'a>>()?.0,
    };
    let mut patch = named.patch;
    let restart = take_restart(&mut patch, kind).map_err(|fault| message.located(fault))?;
    check_status(&patch, kind).map_err(|fault| message.located(fault))?;
    let beside = &message.beside;
    patch.seq = patch.seq.or(count_beside("seq", beside.seq)?);
    patch.attempt = patch.attempt.or(count_beside("attempt", beside.attempt)?);
    let restart_beside = beside.restart.filter(|_| kind == TaskEvent::Started);
    let restart_beside = restart_beside.map(parse_restart).transpose()?;
    patch.restart = restart.or(restart_beside).unwrap_or(false);
    let task_id = named_task(message, named.task_id)?;
    let patch = Box::new(patch);
    Ok((task_id, Event::Task { kind, patch }, named.event_id))
}

/// `restart` belongs to `started`; in other events it is the application's own field.
fn take_restart(patch: &mut TaskPatch, kind: TaskEvent) -> Result<Option<bool>, Malformed> {
    if kind != TaskEvent::Started {
        return Ok(None);
    }
    let named = |(name, _): &mut (Box<str>, _)| &**name == "restart";
    let last = patch.extra.extract_if(.., named).last();
    let restart = last.and_then(|(_, value)| value.into_value());
    restart
        .map(|restart| parse_restart(restart.get()))
        .transpose()
}

fn parse_restart(restart: &str) -> Result<bool, Malformed> {
    match restart {
        "false" => Ok(false),
        "true" => Ok(true),
        other => {
            let reason = format!("{} is neither true nor false", shortened(other));
            Err(Malformed::field("restart", reason))
        }
    }
}

/// A number beside the payload.
fn count_beside(field: &str, number: Option<&str>) -> Result<Option<u64>, Malformed> {
    let number = number.map(parse::<Count>).transpose();
    let number = number.map_err(|fault| fault.under(field))?;
    Ok(number.map(|number| number.0))
}

/// Refuses a `status` unknown to the contract, unless the event's kind decides the status alone.
fn check_status(patch: &TaskPatch, kind: TaskEvent) -> Result<(), Malformed> {
    match &patch.unknown_status {
        Some(word) if kind == TaskEvent::Progress => {
            let (word, expected) = (shortened(word), one_of(Status::WORDS));
            let reason = format!("unknown word `{word}`, expected {expected}");
            Err(Malformed::field("status", reason))
        }
        _ => Ok(()),
    }
}

fn item_event<'a>(kind: ItemKind, message: &Incoming<'a>) -> Result<Named<'a>, Malformed> {
    let fields: ItemFields<'a> = message.fields()?;
    let is_beside = fields.task_id.is_none();
    let task_id = named_task(message, fields.task_id.map(|id| id.0))?;
    let payload = match (message.nested, &fields.event_id) {
        (true, _) if is_beside => {
            let rest = into_compact(without(message, &["taskId", EVENT_ID])?);
            with_task(&task_id, &rest)
        }
        (true, None) => compact(message.body).into_owned(),
        (true, Some(_)) => into_compact(without(message, &[EVENT_ID])?),
        (false, _) => flat_payload(message)?,
    };
    let event_id = fields.event_id.map(|id| id.0);
    Ok((task_id, Event::Item { kind, payload }, event_id))
}

/// An object with a `taskId` before its other fields.
pub(super) fn with_task(task_id: &str, rest: &str) -> String {
    let mut object = String::from("{\"taskId\":");
    push_string(&mut object, task_id);
    object.push_str(if rest == "{}" { "" } else { "," });
    object.push_str(&rest[1..]);
    object
}

/// The task named by the payload or beside it; both must agree.
fn named_task<'a>(
    message: &Incoming<'a>,
    task_id: Option<Cow<'a, str>>,
) -> Result<Cow<'a, str>, Malformed> {
    let beside = message.beside.task_id.map(parse::<Text<'a>>).transpose();
    let beside = beside.map_err(|fault| fault.under("taskId"))?;
    let beside = beside.map(|id| id.0);
    let task_id = match (task_id, beside) {
        (None, Some(beside)) => return check_task_id("taskId", &beside).map(|()| beside),
        (Some(task_id), Some(beside)) if task_id != beside => {
            let reason = format!(
                "`{}` differs from the one in the payload, `{}`; expected one task for one event",
                shortened(&beside),
                shortened(&task_id)
            );
            return Err(Malformed::field("taskId", reason));
        }
        (task_id, _) => task_id,
    };
    let checked = match task_id {
        Some(task_id) => check_task_id("taskId", &task_id).map(|()| task_id),
        None => Err(Malformed::field(
            "taskId",
            "missing; expected the task's id, a string",
        )),
    };
    checked.map_err(|fault| message.located(fault))
}

/// A flat message without its envelope's fields.
fn flat_payload(message: &Incoming<'_>) -> Result<String, Malformed> {
    let fields = Members::parse(message.body)?.without(&ENVELOPE_FIELDS);
    Ok(into_compact(fields.without(&[EVENT_ID]).to_json()))
}

fn without(message: &Incoming<'_>, names: &[&str]) -> Result<String, Malformed> {
    Ok(Members::parse(message.body)?.without(names).to_json())
}

fn room_event<'a>(message: &Incoming<'a>) -> Result<Named<'a>, Malformed> {
    let Some(room) = message.room()? else {
        if message.kind == "room_broadcast" {
            let reason = "missing; expected the room's name, a string";
            return Err(Malformed::field("room", reason));
        }
        let kind = shortened(&message.kind);
        let reason = format!(
            "unknown type `{kind}` without a room; expected a task_ or document_ type, or a `room`"
        );
        return Err(Malformed::field("type", reason));
    };
    check_application_type(&message.kind)?;
    let payload = match message.nested {
        true => compact(message.body).into_owned(),
        false => flat_payload(message)?,
    };
    check_room("room", &room)?;
    let kind = message.kind.as_ref().into();
    Ok((room, Event::Room { kind, payload }, None))
}

/// Refuses the server's own types, and an empty type.
pub fn check_application_type(kind: &str) -> Result<(), Malformed> {
    if is_reserved(kind) {
        return Err(Malformed::field(
            "type",
            format!("`{kind}` is reserved for the server; choose another name"),
        ));
    }
    check_name("type", kind)
}
