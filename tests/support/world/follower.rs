//! A second hub, without viewers, that is led through the changes of the engine's: whatever outlives a connection must be equal in both.

use joblight::internals::base::Now;
use joblight::internals::engine::{ConnectionId, Engine};
use joblight::internals::hub::{Hub, Lane, Outlet, Publication, Record};
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields of a task that differ with what viewers were told, and when.
const TOLD: [&str; 4] = [
    "estimatedTimeRemaining",
    "estimatedEndAt",
    "rate",
    "etaSource",
];

pub(crate) struct Follower(Hub);

/// Nobody listens.
struct Silence;

impl Outlet for Silence {
    fn publish(
        &mut self,
        _: &Publication<'_>,
        readers: &[ConnectionId],
        _: Lane,
        _: &mut Vec<usize>,
    ) -> usize {
        assert!(readers.is_empty(), "it has no viewers");
        0
    }
}

impl Follower {
    /// Follows an engine that has just begun.
    pub(crate) fn new(engine: &mut Engine) -> Self {
        engine.record_changes();
        Self(engine.inspect().hub().follower())
    }

    /// Applies what has changed since the last call.
    pub(crate) fn follow(&mut self, engine: &mut Engine) {
        while let Some(change) = engine.poll_change() {
            self.0.apply(change, &mut Silence);
        }
    }

    /// Fails unless the shared state of both is equal.
    pub(crate) fn check(&self, engine: &Engine, now: Now) {
        let (theirs, ours) = (rows(engine.inspect().hub(), now), rows(&self.0, now));
        for key in theirs.keys().chain(ours.keys()) {
            assert_eq!(ours.get(key), theirs.get(key), "the follower's {key}");
        }
    }
}

fn rows(hub: &Hub, now: Now) -> BTreeMap<String, String> {
    let records = hub.shared_rows(now).into_iter();
    records.map(|record| named(&record)).collect()
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
