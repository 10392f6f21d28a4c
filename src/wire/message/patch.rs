//! What one event says of a task: the task payload of contract section 4, every field optional.
//!
//! Fields that joblight computes itself ([`COMPUTED`]) are passed over when a producer sends them; fields that the contract
//! does not name are kept and shown to viewers as they are.

use super::field::Field;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// How a task stands (contract section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Known, but not begun.
    #[default]
    Pending,
    /// At work.
    Running,
    /// Held by its worker.
    Paused,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended on request.
    Cancelled,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Running,
            Self::Paused,
            Self::Completed,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|status| status.as_str() == word)
    }

    /// Whether the task has ended (contract section 5.3).
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a viewer asks of a task's worker (contract section 3, `task_control`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// Stop for good.
    Cancel,
    /// Hold.
    Pause,
    /// Go on.
    Resume,
}

impl Control {
    /// The request that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Cancel, Self::Pause, Self::Resume]
            .into_iter()
            .find(|control| control.as_str() == word)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// Fields that joblight computes itself.
pub const COMPUTED: [&str; 8] = [
    "updatedAt",
    "estimatedEndAt",
    "etaSource",
    "stalled",
    "requested",
    "snapshot",
    "indeterminate",
    "revived",
];
/// The greatest whole number that JSON keeps exactly everywhere (RFC 8259 section 6).
pub const MAX_WHOLE: u64 = (1 << 53) - 1;

/// The requests that a worker honours, as it declares them in `controls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls(u8);

impl Controls {
    const ALL: [Control; 3] = [Control::Cancel, Control::Pause, Control::Resume];

    /// Whether the worker honours a request.
    pub fn contains(self, control: Control) -> bool {
        self.0 & 1 << control as u8 != 0
    }

    /// The requests, each once.
    pub fn iter(self) -> impl Iterator<Item = Control> {
        Self::ALL
            .into_iter()
            .filter(move |control| self.contains(*control))
    }
}

impl FromIterator<Control> for Controls {
    fn from_iter<I: IntoIterator<Item = Control>>(controls: I) -> Self {
        let bit = |bits, control| bits | 1 << control as u8;
        Self(controls.into_iter().fold(0, bit))
    }
}

impl<'de> Deserialize<'de> for Controls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Control>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

/// A change to a task. Numbers are checked: `progress` is 0 to 100, the others are not negative.
#[derive(Debug, Clone, Default)]
pub struct TaskPatch {
    /// `taskId`, when the payload names it.
    pub task_id: Option<Box<str>>,
    /// `id`: the event's own name, for dropping repeats.
    pub id: Option<Box<str>>,
    /// `seq`: the producer's number for this event, rising per task.
    pub seq: Option<u64>,
    /// `status`.
    pub status: Option<Status>,
    /// `progress`, in percent.
    pub progress: Field<f64>,
    /// `current`: units done.
    pub current: Field<f64>,
    /// `total`: units in all.
    pub total: Field<f64>,
    /// `stage`: what is being done.
    pub stage: Field<Box<str>>,
    /// `estimatedTimeRemaining`, in milliseconds, the application's own.
    pub estimated_time_remaining: Field<f64>,
    /// `message`, for people.
    pub message: Field<Box<str>>,
    /// `result`: any JSON.
    pub result: Field<Box<RawValue>>,
    /// `error`: any JSON.
    pub error: Field<Box<RawValue>>,
    /// `attempt`: a higher one begins the task anew.
    pub attempt: Option<u64>,
    /// `rate`, in units a second, the application's own.
    pub rate: Field<f64>,
    /// `startedAt`, in milliseconds since 1970.
    pub started_at: Field<u64>,
    /// `parentId`: the task that this one is part of.
    pub parent_id: Field<Box<str>>,
    /// `meta`: free JSON.
    pub meta: Field<Box<RawValue>>,
    /// `controls`: the requests that the worker honours; cleared: all.
    pub controls: Field<Controls>,
    /// Whether `started` asks for the next attempt, whatever the state.
    pub restart: bool,
    /// Fields that the contract does not name.
    pub extra: Vec<(Box<str>, Field<Box<RawValue>>)>,
}

impl TaskPatch {
    /// Whether it changes no field of the task, whatever it says of its place (`seq`, `attempt`, `status`).
    pub fn is_empty(&self) -> bool {
        let numbers = [
            &self.progress,
            &self.current,
            &self.total,
            &self.estimated_time_remaining,
            &self.rate,
        ];
        let texts = [&self.stage, &self.message, &self.parent_id];
        let raws = [&self.result, &self.error, &self.meta];
        numbers.into_iter().all(Field::is_absent)
            && texts.into_iter().all(Field::is_absent)
            && raws.into_iter().all(Field::is_absent)
            && self.started_at.is_absent()
            && self.controls.is_absent()
            && self.extra.is_empty()
    }

    fn take_field<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match key {
            "taskId" => self.task_id = Some(map.next_value()?),
            "id" => self.id = map.next_value::<Option<EventId>>()?.map(|id| id.0),
            "seq" => self.seq = map.next_value()?,
            "status" => self.status = map.next_value()?,
            "progress" => self.progress = percent(map.next_value()?),
            "current" => self.current = amount(map.next_value()?),
            "total" => self.total = amount(map.next_value()?),
            "stage" => self.stage = map.next_value()?,
            "estimatedTimeRemaining" => self.estimated_time_remaining = amount(map.next_value()?),
            "message" => self.message = map.next_value()?,
            "result" => self.result = map.next_value()?,
            "error" => self.error = map.next_value()?,
            "attempt" => self.attempt = map.next_value()?,
            "rate" => self.rate = amount(map.next_value()?),
            "startedAt" => self.started_at = map.next_value()?,
            "parentId" => self.parent_id = map.next_value()?,
            "meta" => self.meta = map.next_value()?,
            "controls" => self.controls = map.next_value()?,
            "type" | "timestamp" => {
                map.next_value::<de::IgnoredAny>()?;
            }
            computed if COMPUTED.contains(&computed) => {
                map.next_value::<de::IgnoredAny>()?;
            }
            unnamed => self.extra.push((unnamed.into(), map.next_value()?)),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for TaskPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PatchVisitor)
    }
}

struct PatchVisitor;

impl<'de> Visitor<'de> for PatchVisitor {
    type Value = TaskPatch;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a task payload, a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TaskPatch, A::Error> {
        let mut patch = TaskPatch::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            patch.take_field(&key, &mut map)?;
        }
        Ok(patch)
    }
}

/// An object key, borrowed wherever it holds no escapes.
pub(super) struct Key<'a>(pub(super) std::borrow::Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a field name")
            }
            fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(key.into()))
            }
            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// An event's id: text, or a number that is read as text.
#[derive(Debug)]
pub struct EventId(pub Box<str>);

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = EventId;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an event id, a string or a whole number")
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<EventId, E> {
                Ok(EventId(id.into()))
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<EventId, E> {
                Ok(EventId(id.to_string().into()))
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<EventId, E> {
                Ok(EventId(id.to_string().into()))
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

fn percent(field: Field<Percent>) -> Field<f64> {
    match field {
        Field::Absent => Field::Absent,
        Field::Clear => Field::Clear,
        Field::Set(Percent(value)) => Field::Set(value),
    }
}

fn amount(field: Field<Amount>) -> Field<f64> {
    match field {
        Field::Absent => Field::Absent,
        Field::Clear => Field::Clear,
        Field::Set(Amount(value)) => Field::Set(value),
    }
}

#[derive(serde::Deserialize)]
#[serde(try_from = "f64")]
struct Percent(f64);

impl TryFrom<f64> for Percent {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if (0.0..=100.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is out of range; expected 0 to 100"))
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(try_from = "f64")]
struct Amount(f64);

impl TryFrom<f64> for Amount {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value >= 0.0 {
            Ok(Self(value))
        } else {
            Err(format!("{value} is negative; expected 0 or more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::incoming::parse;
    use super::*;

    #[test]
    fn absent_null_and_set_are_told_apart() {
        let patch: TaskPatch = parse(r#"{"stage":null,"message":"m","current":3}"#).unwrap();
        assert_eq!(patch.stage, Field::Clear);
        assert_eq!(patch.message, Field::Set("m".into()));
        assert_eq!(patch.current, Field::Set(3.0));
        assert_eq!(patch.total, Field::Absent);
    }

    #[test]
    fn unknown_fields_are_kept_to_the_letter() {
        let patch: TaskPatch = parse(r#"{"templateId":  [1, 2.50], "updatedAt": 5}"#).unwrap();
        assert_eq!(patch.extra.len(), 1);
        assert_eq!(&*patch.extra[0].0, "templateId");
        assert_eq!(patch.extra[0].1.value().unwrap().get(), "[1, 2.50]");
    }

    #[test]
    fn wrong_values_name_their_field() {
        let fault = |text| parse::<TaskPatch>(text).unwrap_err().to_string();
        assert_eq!(
            fault(r#"{"progress":101}"#),
            "progress: 101 is out of range; expected 0 to 100"
        );
        assert_eq!(
            fault(r#"{"current":-1}"#),
            "current: -1 is negative; expected 0 or more"
        );
        assert_eq!(
            fault(r#"{"stage":5}"#),
            "stage: invalid type: integer `5`, expected a string"
        );
        assert!(
            fault(r#"{"status":"done"}"#)
                .starts_with("status: unknown word `done`, expected one of")
        );
    }
}
