//! What a producer reports (contract section 7): one event about a task, an item of a task, or a room.

use super::incoming::{Incoming, Malformed, parse, shortened};
use super::patch::{EventId, TaskPatch};
use super::readable::check_readable;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The message type that tells of a task which is gone.
pub const TASK_REMOVED: &str = "task_removed";

/// The longest task id or room name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// One event as reported, with what tells repeats apart.
#[derive(Debug)]
pub struct Report {
    /// What happened.
    pub event: Event,
    /// The producer's name for the event: a repeat within the window is dropped.
    pub id: Option<Box<str>>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A task moved.
    Task {
        /// The task.
        task_id: Box<str>,
        /// How.
        kind: TaskEvent,
        /// What is new.
        patch: Box<TaskPatch>,
    },
    /// A task brought forth an item, or failed to.
    Item {
        /// The task.
        task_id: Box<str>,
        /// Which of the two.
        kind: ItemKind,
        /// The application's payload, relayed as it is.
        payload: Box<RawValue>,
    },
    /// A message for a room.
    Room {
        /// The room.
        room: Box<str>,
        /// The message type.
        kind: Box<str>,
        /// The application's payload, relayed as it is.
        payload: Box<RawValue>,
    },
}

/// The task messages of contract section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEvent {
    /// `task_started`
    Started,
    /// `task_progress`
    Progress,
    /// `task_completed`
    Completed,
    /// `task_failed`
    Failed,
    /// `task_paused`
    Paused,
    /// `task_cancelled`
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

    /// The message type.
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

    /// The event that the last part of `POST /api/tasks/{id}/…` names.
    pub fn from_verb(verb: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str().strip_prefix("task_") == Some(verb))
    }

    fn from_type(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == kind)
    }
}

/// The item messages of contract section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// `document_generated`
    Generated,
    /// `document_failed`
    Failed,
}

impl ItemKind {
    /// The message type.
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

/// Types that only the server itself may send: an application that used one would deceive clients.
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
}

impl Report {
    /// Reads one message `{type, payload}` as a producer would broadcast it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::from_message(&Incoming::parse(text)?)
    }

    /// Reads the body of `POST /api/tasks/{id}/{verb}`; an empty body says no more than the verb.
    pub fn for_task(task_id: &str, kind: TaskEvent, body: &str) -> Result<Self, Malformed> {
        let body = if body.trim().is_empty() { "{}" } else { body };
        let mut patch: TaskPatch = parse(body)?;
        check_readable(body, 1)?;
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
        take_restart(&mut patch, kind)?;
        // An application that posts its own task object names the task, not the event.
        let id = patch.id.take().filter(|id| **id != *task_id);
        Ok(Self {
            event: Event::Task {
                task_id: check_name("taskId", task_id)?,
                kind,
                patch: Box::new(patch),
            },
            id,
        })
    }

    /// Reads a message whose envelope is understood already.
    pub fn from_message(message: &Incoming<'_>) -> Result<Self, Malformed> {
        message.check_readable()?;
        let id = message
            .id
            .map(|id| parse::<EventId>(id).map(|id| id.0))
            .transpose();
        let id = id.map_err(|fault| fault.under("id"))?;
        let event = if let Some(kind) = TaskEvent::from_type(&message.kind) {
            task_event(kind, message)?
        } else if let Some(kind) = ItemKind::from_type(&message.kind) {
            item_event(kind, message)?
        } else {
            room_event(message)?
        };
        Ok(Self { event, id })
    }
}

fn task_event(kind: TaskEvent, message: &Incoming<'_>) -> Result<Event, Malformed> {
    let mut patch: TaskPatch = message.fields()?;
    let prefix = if message.nested {
        "payload.taskId"
    } else {
        "taskId"
    };
    let restart = take_restart(&mut patch, kind);
    restart.map_err(|fault| match message.nested {
        true => fault.under("payload"),
        false => fault,
    })?;
    let task_id = patch
        .task_id
        .take()
        .ok_or_else(|| Malformed::field(prefix, "missing; expected the task's id, a string"))?;
    if patch.seq.is_none() {
        patch.seq = message.seq;
    }
    if !message.nested {
        patch
            .extra
            .retain(|(name, _)| &**name != "room" && &**name != "data" && &**name != "payload");
    }
    // Beside `type` an `id` names the event; inside a payload it is the application's own.
    if let Some(own) = patch.id.take().filter(|_| message.nested) {
        let raw = serde_json::value::to_raw_value(&*own)
            .map_err(|error| Malformed::Json(error.to_string()))?;
        patch
            .extra
            .push(("id".into(), super::field::Field::Set(raw)));
    }
    Ok(Event::Task {
        task_id: check_name(prefix, &task_id)?,
        kind,
        patch: Box::new(patch),
    })
}

/// `restart` belongs to `started`; in other events it is the application's own field.
fn take_restart(patch: &mut TaskPatch, kind: TaskEvent) -> Result<(), Malformed> {
    if kind != TaskEvent::Started {
        return Ok(());
    }
    let named = |(name, _): &mut (Box<str>, _)| &**name == "restart";
    for (_, value) in patch.extra.extract_if(.., named) {
        patch.restart = match value.value().map(|raw| raw.get()) {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let reason = format!("{} is neither true nor false", shortened(other));
                return Err(Malformed::field("restart", reason));
            }
        };
    }
    Ok(())
}

fn item_event(kind: ItemKind, message: &Incoming<'_>) -> Result<Event, Malformed> {
    let fields: ItemFields = message.fields()?;
    let prefix = if message.nested {
        "payload.taskId"
    } else {
        "taskId"
    };
    let task_id = fields
        .task_id
        .ok_or_else(|| Malformed::field(prefix, "missing; expected the task's id, a string"))?;
    let payload = raw(message.body)?;
    Ok(Event::Item {
        task_id: check_name(prefix, &task_id)?,
        kind,
        payload,
    })
}

fn room_event(message: &Incoming<'_>) -> Result<Event, Malformed> {
    let Some(room) = message.room.as_deref() else {
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
    let payload = if message.nested {
        raw(message.body)?
    } else {
        raw("{}")?
    };
    Ok(Event::Room {
        room: check_name("room", room)?,
        kind: message.kind.as_ref().into(),
        payload,
    })
}

/// Refuses types that belong to the server, and types without a name.
pub fn check_application_type(kind: &str) -> Result<(), Malformed> {
    if is_reserved(kind) {
        return Err(Malformed::field(
            "type",
            format!("`{kind}` is reserved for the server; choose another name"),
        ));
    }
    check_name("type", kind).map(drop)
}

/// Checks the name of a task or a room: 1 to [`MAX_NAME_BYTES`] bytes without control characters.
pub fn check_name(field: &str, name: &str) -> Result<Box<str>, Malformed> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let reason = format!("expected 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Malformed::field(field, reason));
    }
    Ok(name.into())
}

fn raw(text: &str) -> Result<Box<RawValue>, Malformed> {
    RawValue::from_string(text.to_owned()).map_err(|error| Malformed::Json(error.to_string()))
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
        assert_eq!(payload.get(), r#"{"taskId":"t","id":"doc-1"}"#);
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
        let report = Report::for_task("t", TaskEvent::Progress, r#"{"id":7,"seq":3}"#).unwrap();
        assert_eq!(report.id.as_deref(), Some("7"));
        let report = Report::for_task("t", TaskEvent::Progress, r#"{"id":"t"}"#).unwrap();
        assert_eq!(report.id, None, "the task's own id names no event");
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
