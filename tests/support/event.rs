//! Task events as producers send them, and what is the same to every shadow that judges them.

use super::dice::Dice;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An event on its way to the server.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) task: String,
    pub(crate) kind: String,
    pub(crate) payload: Value,
    pub(crate) id: Option<String>,
}

impl Event {
    /// As `POST /api/events` takes it.
    pub(crate) fn message(&self) -> Value {
        let mut message = json!({"type": self.kind, "payload": self.payload});
        message["payload"]["taskId"] = json!(self.task);
        if let Some(id) = &self.id {
            message["id"] = json!(id);
        }
        message
    }

    /// The message type that viewers see when it counts: a report of an end is that end.
    pub(crate) fn effect(&self) -> String {
        match (self.kind.as_str(), self.payload["status"].as_str()) {
            ("task_progress", Some(status)) => format!("task_{status}"),
            (kind, _) => kind.to_owned(),
        }
    }

    /// Whether it says what a task brought forth.
    pub(crate) fn is_item(&self) -> bool {
        self.kind.starts_with("document_")
    }
}

/// Whether a message type ends a task.
pub(crate) fn is_end(kind: &str) -> bool {
    ["task_completed", "task_failed", "task_cancelled"].contains(&kind)
}

/// Fields as producers send them: some rise, some do not, some are cleared. With `parents` it may be a part of one of
/// them.
pub(crate) fn fill(
    dice: &mut Dice,
    step: u64,
    attempt: u64,
    parents: &[Value],
    payload: &mut Value,
) {
    if dice.one_in(2) {
        payload["current"] = json!(dice.below(step + 2));
    }
    if dice.one_in(5) {
        payload["total"] = json!(dice.pick(&[100, 400, 1_000]));
    }
    if dice.one_in(4) {
        payload["progress"] = json!(dice.below(10_000) as f64 / 100.0);
    }
    for (name, values) in [
        ("stage", [json!("copy"), json!("pack"), Value::Null]),
        ("message", [json!("one"), json!("two"), Value::Null]),
        ("meta", [json!({"a": [1, null]}), json!({}), Value::Null]),
        ("colour", [json!("red"), json!(false), Value::Null]),
        (
            "estimatedTimeRemaining",
            [json!(5), json!(60_000), Value::Null],
        ),
        ("rate", [json!(0.5), json!(3), Value::Null]),
    ] {
        if dice.one_in(12) {
            payload[name] = dice.pick(&values);
        }
    }
    if !parents.is_empty() && dice.one_in(12) {
        payload["parentId"] = dice.pick(parents);
    }
    if dice.one_in(10) {
        payload["seq"] = json!(dice.below(step + 10));
    }
    if dice.one_in(8) {
        payload["attempt"] = json!((attempt + dice.below(3)).max(2) - 1);
    }
}

/// What a task says of its speed and its end.
const ESTIMATES: [&str; 4] = [
    "rate",
    "estimatedTimeRemaining",
    "estimatedEndAt",
    "etaSource",
];

/// A state without what no message is sent for: the counters of the last event, estimates, which move with time alone,
/// and marks that are not set.
pub(crate) fn essence(state: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    state
        .iter()
        .filter(|(name, value)| {
            let is_passenger = ["seq", "updatedAt"].contains(&name.as_str());
            let is_unset = value.is_null() || *name == "stalled" && **value == false;
            !is_passenger && !ESTIMATES.contains(&name.as_str()) && !is_unset
        })
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}
