//! What a producer reports (contract section 7): one event about a task, an item of a task, or a room.

use super::compact::{compact, into_compact};
use super::envelope::push_string;
use super::incoming::{Incoming, object_or_none, parse, parse_object, strip_byte_order_mark};
use super::keyword::one_of;
use super::malformed::{Malformed, shortened};
use super::merge::Members;
use super::name::{check_name, check_room, check_task_id};
use super::number::Count;
use super::patch::{ENVELOPE_FIELDS, EventId, FlatPatch, Status, TaskPatch};
use super::relayable::check_relayable;
use super::surrogates::{OTHER, replace_lone_surrogates, replace_lone_surrogates_by};
use serde::Deserialize;

pub const TASK_REMOVED: &str = "task_removed";

/// Names an event; viewers do not see it.
const EVENT_ID: &str = "eventId";
/// Names a request, and so its events.
pub const KEY_HEADER: &str = "Idempotency-Key";

/// One event, with what identifies repeats.
#[derive(Debug)]
pub struct Report {
    pub event: Event,
    /// The producer's name for the event: a repeat within the window is dropped, whatever its content.
    pub id: Option<Box<str>>,
    /// How many lone surrogates were replaced in its text.
    pub repaired: u32,
}

#[derive(Debug)]
pub enum Event {
    Task {
        task_id: Box<str>,
        kind: TaskEvent,
        patch: Box<TaskPatch>,
    },
    /// A task produced an item, or failed to.
    Item {
        task_id: Box<str>,
        kind: ItemKind,
        /// The application's payload, compact JSON.
        payload: String,
    },
    /// A message for a room.
    Room {
        room: Box<str>,
        kind: Box<str>,
        /// The application's payload, compact JSON.
        payload: String,
    },
}

impl Event {
    /// The task or room that it is about.
    fn subject(&self) -> &str {
        match self {
            Self::Task { task_id, .. } | Self::Item { task_id, .. } => task_id,
            Self::Room { room, .. } => room,
        }
    }
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

impl TaskEvent {
    const ALL: [Self; 6] = [
        Self::Started,
        Self::Progress,
        Self::Completed,
        Self::Failed,
        Self::Paused,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "task_started",
            Self::Progress => "task_progress",
            Self::Completed => "task_completed",
            Self::Failed => "task_failed",
            Self::Paused => "task_paused",
            Self::Cancelled => "task_cancelled",
        }
    }

    /// The event named by the last segment of `POST /api/tasks/{id}/{verb}`.
    pub fn from_verb(verb: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str().strip_prefix("task_") == Some(verb))
    }

    fn from_type(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == kind)
    }
}

/// The item messages of contract section 4: `document_generated` and `document_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    Generated,
    Failed,
}

impl ItemKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "document_generated",
            Self::Failed => "document_failed",
        }
    }

    fn from_type(kind: &str) -> Option<Self> {
        [Self::Generated, Self::Failed]
            .into_iter()
            .find(|item| item.as_str() == kind)
    }
}

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
    RESERVED.contains(&kind) || kind == TASK_REMOVED || TaskEvent::from_type(kind).is_some()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFields {
    task_id: Option<Box<str>>,
    event_id: Option<EventId>,
}

impl Report {
    /// Reads a message `{type, payload}` as a producer would broadcast it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::read_repairing(text, "id", |text| {
            Self::from_message(&Incoming::read(text)?)
        })
    }

    /// Reads the body of `POST /api/tasks/{id}/{verb}`; an empty body adds nothing to the verb. Fields that the
    /// contract does not name are the application's.
    pub fn for_task(task_id: &str, kind: TaskEvent, body: &str) -> Result<Self, Malformed> {
        let body = object_or_none(strip_byte_order_mark(body));
        Self::read_repairing(body, EVENT_ID, |body| Self::of_task(task_id, kind, body))
    }

    /// Reads an event, if need be with its lone surrogates replaced: they must not cost the event. Names are not
    /// repaired, because different names would become one; `id_field` is what the event's id is called.
    pub fn read_repairing(
        text: &str,
        id_field: &'static str,
        read: impl Fn(&str) -> Result<Self, Malformed>,
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
                    Ok(report)
                }
                _ => Err(fault),
            }
        })
    }

    /// Refuses an event whose names depend on the replacement.
    fn check_same_names(&self, other: &Self, id_field: &'static str) -> Result<(), Malformed> {
        let field = if self.event.subject() != other.event.subject() {
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

    pub fn from_message(message: &Incoming<'_>) -> Result<Self, Malformed> {
        message.check_relayable()?;
        let (event, own) = if let Some(kind) = TaskEvent::from_type(&message.kind) {
            task_event(kind, message)?
        } else if let Some(kind) = ItemKind::from_type(&message.kind) {
            item_event(kind, message)?
        } else {
            (room_event(message)?, None)
        };
        let read = |field: &'static str, id: Option<&str>| {
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
            event,
            id: the_one(ids)?,
            repaired: 0,
        })
    }

    fn of_task(task_id: &str, kind: TaskEvent, body: &str) -> Result<Self, Malformed> {
        let mut patch: TaskPatch = parse_object(body)?;
        check_relayable(body, 1)?;
        if patch
            .task_id
            .as_deref()
            .is_some_and(|named| named != task_id)
        {
            return Err(Malformed::field(
                "taskId",
                format!("differs from the task in the path, `{task_id}`"),
            ));
        }
        patch.restart = take_restart(&mut patch, kind)?.unwrap_or(false);
        check_status(&patch, kind)?;
        let id = patch.event_id.take();
        check_task_id("taskId", task_id)?;
        Ok(Self {
            event: Event::Task {
                task_id: task_id.into(),
                kind,
                patch: Box::new(patch),
            },
            id,
            repaired: 0,
        })
    }
}

/// The id of an event, from the key of its request and its index there.
pub fn numbered_id(key: &str, index: u64) -> String {
    format!("{key}/{index}")
}

/// The id of an event that may be named in several fields, which must agree.
fn the_one(ids: [Option<(&'static str, Box<str>)>; 3]) -> Result<Option<Box<str>>, Malformed> {
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

/// An event, and its id when the payload names it.
type Named = (Event, Option<Box<str>>);

fn task_event(kind: TaskEvent, message: &Incoming<'_>) -> Result<Named, Malformed> {
    let mut patch = match message.nested {
        true => message.fields::<TaskPatch>()?,
        false => message.fields::<FlatPatch>()?.0,
    };
    let restart = take_restart(&mut patch, kind).map_err(|fault| message.located(fault))?;
    check_status(&patch, kind).map_err(|fault| message.located(fault))?;
    let id = patch.event_id.take();
    let beside = &message.beside;
    patch.seq = patch.seq.or(count_beside("seq", beside.seq)?);
    patch.attempt = patch.attempt.or(count_beside("attempt", beside.attempt)?);
    let restart_beside = beside.restart.filter(|_| kind == TaskEvent::Started);
    let restart_beside = restart_beside.map(parse_restart).transpose()?;
    patch.restart = restart.or(restart_beside).unwrap_or(false);
    let task_id = named_task(message, patch.task_id.take())?;
    let patch = Box::new(patch);
    Ok((
        Event::Task {
            task_id,
            kind,
            patch,
        },
        id,
    ))
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
            let (word, expected) = (shortened(word), one_of(&Status::WORDS));
            let reason = format!("unknown word `{word}`, expected {expected}");
            Err(Malformed::field("status", reason))
        }
        _ => Ok(()),
    }
}

fn item_event(kind: ItemKind, message: &Incoming<'_>) -> Result<Named, Malformed> {
    let fields: ItemFields = message.fields()?;
    let is_beside = fields.task_id.is_none();
    let task_id = named_task(message, fields.task_id)?;
    let payload = match (message.nested, &fields.event_id) {
        (true, _) if is_beside => {
            let rest = into_compact(without(message, &["taskId", EVENT_ID])?);
            with_task(&task_id, &rest)
        }
        (true, None) => compact(message.body).into_owned(),
        (true, Some(_)) => into_compact(without(message, &[EVENT_ID])?),
        (false, _) => flat_payload(message)?,
    };
    let event = Event::Item {
        task_id,
        kind,
        payload,
    };
    Ok((event, fields.event_id.map(|id| id.0)))
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
fn named_task(message: &Incoming<'_>, task_id: Option<Box<str>>) -> Result<Box<str>, Malformed> {
    let beside = message.beside.task_id.map(parse::<Box<str>>).transpose();
    let beside = beside.map_err(|fault| fault.under("taskId"))?;
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
    let [kind, id, timestamp, room, payload, data] = ENVELOPE_FIELDS;
    let envelope = [kind, id, timestamp, room, payload, data, EVENT_ID];
    Ok(into_compact(without(message, &envelope)?))
}

fn without(message: &Incoming<'_>, names: &[&str]) -> Result<String, Malformed> {
    Ok(Members::parse(message.body)?.without(names).to_json())
}

fn room_event(message: &Incoming<'_>) -> Result<Event, Malformed> {
    let Some(room) = message.room()? else {
        let reason = match &*message.kind {
            "room_broadcast" => "missing; expected the room's name, a string".to_owned(),
            kind => format!(
                "unknown type `{}` without a room; expected a task_ or document_ type, or a `room`",
                shortened(kind)
            ),
        };
        return Err(Malformed::field(
            if message.kind == "room_broadcast" {
                "room"
            } else {
                "type"
            },
            reason,
        ));
    };
    check_application_type(&message.kind)?;
    let payload = match message.nested {
        true => compact(message.body).into_owned(),
        false => flat_payload(message)?,
    };
    Ok(Event::Room {
        room: check_room("room", &room)?,
        kind: message.kind.as_ref().into(),
        payload,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Report::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_task_event_may_be_nested_or_flat() {
        for text in [
            r#"{"type":"task_progress","payload":{"taskId":"t","progress":5},"id":"e1"}"#,
            r#"{"type":"task_progress","taskId":"t","progress":5,"id":"e1"}"#,
        ] {
            let report = Report::parse(text).unwrap();
            assert_eq!(report.id.as_deref(), Some("e1"));
            let Event::Task {
                task_id,
                kind,
                patch,
            } = report.event
            else {
                panic!("no task event")
            };
            assert_eq!((&*task_id, kind), ("t", TaskEvent::Progress));
            assert_eq!(patch.progress.value(), Some(&5.0));
            assert!(patch.extra.is_empty(), "{:?}", patch.extra);
        }
    }

    #[test]
    fn an_items_own_id_is_not_the_events() {
        let report =
            Report::parse(r#"{"type":"document_generated","payload":{"taskId":"t","id":"doc-1"}}"#)
                .unwrap();
        assert_eq!(report.id, None);
        let Event::Item { payload, .. } = report.event else {
            panic!("no item")
        };
        assert_eq!(payload, r#"{"taskId":"t","id":"doc-1"}"#);
    }

    #[test]
    fn the_path_names_the_task() {
        let report = Report::for_task("t", TaskEvent::Completed, "").unwrap();
        assert!(matches!(
            report.event,
            Event::Task {
                kind: TaskEvent::Completed,
                ..
            }
        ));
        let report = Report::for_task("t", TaskEvent::Progress, r#"{"id":7,"eventId":8}"#).unwrap();
        assert_eq!(report.id.as_deref(), Some("8"));
        assert!(Report::for_task("t", TaskEvent::Progress, r#"{"taskId":"u"}"#).is_err());
        assert!(Report::for_task("", TaskEvent::Progress, "").is_err());
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        assert!(
            fault(r#"{"type":"task_progress","payload":{}}"#)
                .starts_with("payload.taskId: missing")
        );
        assert!(fault(r#"{"type":"connected","room":"a","payload":{}}"#).contains("reserved"));
        assert!(fault(r#"{"type":"video.done"}"#).contains("without a room"));
        assert!(fault(r#"{"type":"room_broadcast","payload":{}}"#).starts_with("room: missing"));
        assert!(Report::parse(r#"{"type":"video.done","room":"all","payload":{"a":1}}"#).is_ok());
    }
}
