//! A second hub, without viewers, that is led through the changes of the engine's: whatever outlives a connection must be equal in both.

use joblight::internals::base::Now;
use joblight::internals::engine::Engine;
use joblight::internals::hub::{Follower, Record};
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields of a task that differ with what viewers were told, and when.
const TOLD: [&str; 4] = [
    "estimatedTimeRemaining",
    "estimatedEndAt",
    "rate",
    "etaSource",
];

/// Fails unless the shared state of both is equal.
pub(crate) fn compare(engine: &Engine, follower: &Follower, now: Now) {
    let theirs = rows(engine.inspect().shared_rows(now));
    let ours = rows(follower.shared_rows(now));
    for key in theirs.keys().chain(ours.keys()) {
        assert_eq!(ours.get(key), theirs.get(key), "the follower's {key}");
    }
}

fn rows(records: Vec<Record>) -> BTreeMap<String, String> {
    records.iter().map(named).collect()
}

/// A row under a name that is its own.
fn named(record: &Record) -> (String, String) {
    match record {
        Record::Put { table, key, value } => {
            let mut row: Value = serde_json::from_str(value).unwrap_or(Value::Null);
            if let Some(view) = row.get_mut("view").and_then(Value::as_object_mut) {
                view.retain(|field, _| !TOLD.contains(&field.as_str()));
            }
            (format!("{table:?} {key}"), row.to_string())
        }
        Record::Append(entry) => (
            format!("entry {} of {}", entry.offset, entry.room),
            format!("{entry:?}"),
        ),
        Record::Remember(id) => (format!("event id {}", id.serial), format!("{id:?}")),
        other => panic!("{other:?} is no row"),
    }
}
