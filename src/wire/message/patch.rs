//! What one event says about a task: the task payload of contract section 4, every field optional.
//!
//! Fields that joblight computes itself ([`COMPUTED`]) are ignored when a producer sends them. Fields that the contract
//! does not name are kept and shown to viewers unchanged; `id`, `type`, `timestamp`, `room`, `data` and `payload` are
//! such fields too, unless they are the envelope's ([`FlatPatch`]).

use super::compact::compact_value;
use super::field::Field;
use super::keyword::{word, words};
use super::name::MAX_NAME_BYTES;
use super::number::{Amount, Count, MAX_COUNT, Moment, Percent};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Contract section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// Known, but not started.
    #[default]
    Pending,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

words! { Status:
    Pending = "pending",
    Running = "running",
    Paused = "paused",
    Completed = "completed",
    Failed = "failed",
    Cancelled = "cancelled",
}

impl Status {
    /// Whether the task has ended (contract section 5.3).
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a viewer asks of a task's worker (contract section 3, `task_control`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Cancel,
    Pause,
    Resume,
}

words! { Control: Cancel = "cancel", Pause = "pause", Resume = "resume" }

/// Computed by joblight; ignored when a producer sends them.
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

/// The controls that a worker declares to honour, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls(u8);

impl Controls {
    pub fn contains(self, control: Control) -> bool {
        self.0 & 1 << control as u8 != 0
    }

    pub fn iter(self) -> impl Iterator<Item = Control> {
        let all = Control::ALL.iter().copied();
        all.filter(move |control| self.contains(*control))
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

impl serde::Serialize for Controls {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// A change to a task. Numbers are checked: `progress` is 0 to 100, the others are not negative.
#[derive(Debug, Clone, Default)]
pub struct TaskPatch {
    /// Rises with each event of the task; at most [`MAX_COUNT`].
    pub seq: Option<u64>,
    pub status: Option<Status>,
    /// A `status` unknown to the contract; whether that matters depends on the event.
    pub unknown_status: Option<Box<str>>,
    /// Percent.
    pub progress: Field<f64>,
    /// Units done.
    pub current: Field<f64>,
    /// Units in all.
    pub total: Field<f64>,
    /// What is being done.
    pub stage: Field<Box<str>>,
    /// Milliseconds, as the application estimates them.
    pub estimated_time_remaining: Field<f64>,
    /// For people.
    pub message: Field<Box<str>>,
    /// Any JSON.
    pub result: Field<Box<RawValue>>,
    /// Any JSON.
    pub error: Field<Box<RawValue>>,
    /// A higher one begins the task anew; at most [`MAX_COUNT`].
    pub attempt: Option<u64>,
    /// Units a second, as the application measures them.
    pub rate: Field<f64>,
    /// Milliseconds since 1970, between 2000 and 2200.
    pub started_at: Field<u64>,
    /// The task that this one is part of.
    pub parent_id: Field<Box<str>>,
    /// Any JSON.
    pub meta: Field<Box<RawValue>>,
    /// The controls that the worker honours; cleared: all.
    pub controls: Field<Controls>,
    /// Whether `started` asks for the next attempt, whatever the state.
    pub restart: bool,
    /// Fields that the contract does not name.
    pub extra: Vec<(Box<str>, Field<Box<RawValue>>)>,
}

/// A patch, and the names that stand among its fields.
#[derive(Debug, Default)]
pub struct NamedPatch<'a> {
    pub task_id: Option<Cow<'a, str>>,
    /// The event's own name, which identifies repeats.
    pub event_id: Option<Cow<'a, str>>,
    pub patch: TaskPatch,
}

/// A patch whose fields stand beside `type`: the envelope's own fields are skipped.
#[derive(Debug)]
pub struct FlatPatch<'a>(pub NamedPatch<'a>);

impl TaskPatch {
    /// Whether it changes no field of the task; `seq`, `attempt` and `status` are not counted.
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
            "seq" => self.seq = count(map.next_value()?),
            "status" => {
                let word = map.next_value::<Option<StatusWord>>()?;
                (self.status, self.unknown_status) = match word {
                    Some(StatusWord::Known(status)) => (Some(status), None),
                    Some(StatusWord::Unknown(word)) => (None, Some(word)),
                    None => (None, None),
                };
            }
            "progress" => self.progress = map.next_value::<Field<Percent>>()?.map(|value| value.0),
            "current" => self.current = map.next_value::<Field<Amount>>()?.map(|value| value.0),
            "total" => self.total = map.next_value::<Field<Amount>>()?.map(|value| value.0),
            "stage" => self.stage = map.next_value()?,
            "estimatedTimeRemaining" => {
                self.estimated_time_remaining = time_left(map.next_value()?)
            }
            "message" => self.message = map.next_value()?,
            "result" => self.result = relayed(map.next_value()?),
            "error" => self.error = relayed(map.next_value()?),
            "attempt" => self.attempt = count(map.next_value()?),
            "rate" => self.rate = map.next_value::<Field<Amount>>()?.map(|value| value.0),
            "startedAt" => self.started_at = map.next_value::<Field<Moment>>()?.map(|at| at.0),
            "parentId" => self.parent_id = map.next_value()?,
            "controls" => self.controls = map.next_value()?,
            "meta" => self.meta = relayed(map.next_value()?),
            computed if COMPUTED.contains(&computed) => {
                map.next_value::<de::IgnoredAny>()?;
            }
            unnamed => self
                .extra
                .push((unnamed.into(), relayed(map.next_value()?))),
        }
        Ok(())
    }
}

#[cfg(test)]
impl<'de> Deserialize<'de> for TaskPatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(NamedPatch::deserialize(deserializer)?.patch)
    }
}

impl<'de> Deserialize<'de> for NamedPatch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PatchVisitor { is_flat: false })
    }
}

impl<'de> Deserialize<'de> for FlatPatch<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = PatchVisitor { is_flat: true };
        deserializer.deserialize_map(visitor).map(Self)
    }
}

struct PatchVisitor {
    /// Its fields stand among the envelope's, and not in an object of their own.
    is_flat: bool,
}

impl<'de> Visitor<'de> for PatchVisitor {
    type Value = NamedPatch<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a task payload, a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedPatch<'de>, A::Error> {
        let mut named = NamedPatch::default();
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                key if self.is_flat && ENVELOPE_FIELDS.contains(&key) => {
                    map.next_value::<de::IgnoredAny>()?;
                }
                "taskId" => named.task_id = Some(map.next_value::<Text<'de>>()?.0),
                "eventId" => {
                    named.event_id = map.next_value::<Option<EventId<'de>>>()?.map(|id| id.0)
                }
                key => named.patch.take_field(key, &mut map)?,
            }
        }
        Ok(named)
    }
}

/// What the envelope of a producer's message may hold beside flat fields (contract section 2).
pub const ENVELOPE_FIELDS: [&str; 6] = ["type", "id", "timestamp", "room", "payload", "data"];

/// A string; borrowed unless it holds escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// 1 to [`MAX_NAME_BYTES`] bytes, or a whole number that is read as text.
#[derive(Debug)]
pub struct EventId<'a>(pub Cow<'a, str>);

impl<'a> EventId<'a> {
    fn checked<E: de::Error>(id: Cow<'a, str>) -> Result<Self, E> {
        match id.is_empty() || id.len() > MAX_NAME_BYTES {
            true => Err(E::custom(format_args!(
                "{} bytes; expected an event id of 1 to {MAX_NAME_BYTES} bytes",
                id.len()
            ))),
            false => Ok(Self(id)),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventId<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl<'de> Visitor<'de> for IdVisitor {
            type Value = EventId<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an event id, a string or a whole number")
            }
            fn visit_borrowed_str<E: de::Error>(self, id: &'de str) -> Result<EventId<'de>, E> {
                EventId::checked(id.into())
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<EventId<'de>, E> {
                EventId::checked(id.to_owned().into())
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<EventId<'de>, E> {
                Ok(EventId(id.to_string().into()))
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<EventId<'de>, E> {
                Ok(EventId(id.to_string().into()))
            }
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<EventId<'de>, E> {
                // Beyond this, different numbers would be read as the same.
                match id.fract() == 0.0 && id.abs() <= MAX_COUNT as f64 {
                    true => self.visit_i64(id as i64),
                    false => Err(E::invalid_type(de::Unexpected::Float(id), &self)),
                }
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}

/// The `status` of an event, known or not.
enum StatusWord {
    Known(Status),
    Unknown(Box<str>),
}

impl<'de> Deserialize<'de> for StatusWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, Status::WORDS, |word| {
            let known = Status::from_word(word).map(Self::Known);
            known.or_else(|| Some(Self::Unknown(word.into())))
        })
    }
}

fn count(number: Option<Count>) -> Option<u64> {
    number.map(|number| number.0)
}

/// A negative time left counts as unknown.
fn time_left(field: Field<f64>) -> Field<f64> {
    match field {
        Field::Set(value) if value < 0.0 => Field::Clear,
        field => field.map(|value| value + 0.0),
    }
}

/// JSON that is relayed to viewers.
fn relayed(field: Field<&RawValue>) -> Field<Box<RawValue>> {
    field.map(compact_value)
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
        assert_eq!(patch.extra[0].1.value().unwrap().get(), "[1,2.50]");
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
        assert_eq!(
            fault(r#"{"status":5}"#),
            "status: invalid type: integer `5`, expected one of `pending`, `running`, `paused`, `completed`, `failed`, `cancelled`"
        );
    }
}
