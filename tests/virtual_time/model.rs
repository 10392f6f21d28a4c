//! The shadow of the server: what the contract says of every event, counted independently of the core.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Chance for walks: xorshift64*, so that a walk depends on nothing that is under test.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// One of these.
    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// Whether one of `sides` sides came up.
    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// An entry that a room's log must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) mark: u64,
}

#[derive(Debug, Default, Clone)]
struct Task {
    attempt: u64,
    seq: Option<u64>,
    ended: bool,
}

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
    fn effect(&self) -> String {
        match (self.kind.as_str(), self.payload["status"].as_str()) {
            ("task_progress", Some(status)) => format!("task_{status}"),
            (kind, _) => kind.to_owned(),
        }
    }

    fn is_item(&self) -> bool {
        self.kind.starts_with("document_")
    }
}

/// Whether a message type ends a task.
pub(crate) fn ends_a_task(kind: &str) -> bool {
    ["task_completed", "task_failed", "task_cancelled"].contains(&kind)
}

/// What the server must know.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    tasks: BTreeMap<String, Task>,
    logs: BTreeMap<String, Vec<Entry>>,
    ids: BTreeSet<(String, String)>,
    /// Rooms whose log was emptied by force.
    pub(crate) emptied: BTreeSet<String>,
    last_mark: u64,
}

impl Shadow {
    /// A number that no other entry bears.
    pub(crate) fn next_mark(&mut self) -> u64 {
        self.last_mark += 1;
        self.last_mark
    }

    /// How long a room's log has become.
    pub(crate) fn log_len(&self, room: &str) -> usize {
        self.logs.get(room).map_or(0, Vec::len)
    }

    /// The entry of that index.
    pub(crate) fn entry(&self, room: &str, index: usize) -> Option<&Entry> {
        self.logs.get(room)?.get(index)
    }

    /// Whether a room is about a task that is known.
    pub(crate) fn knows_task_of(&self, room: &str) -> bool {
        room.strip_prefix("task:")
            .is_some_and(|task| self.tasks.contains_key(task))
    }

    /// The attempt that a task is in, 1 before it is known.
    pub(crate) fn attempt(&self, task: &str) -> u64 {
        self.tasks.get(task).map_or(1, |task| task.attempt)
    }

    /// A message was published to a room.
    pub(crate) fn log(&mut self, room: &str, kind: &str, mark: u64) {
        self.logs.entry(room.to_owned()).or_default().push(Entry {
            kind: kind.to_owned(),
            mark,
        });
    }

    /// The server has answered an event: was the answer right, and what follows from it?
    pub(crate) fn handle_answer(&mut self, event: &Event, answer: &Value) {
        let accepted = answer["accepted"] == 1;
        assert_eq!(answer["dropped"] == 1, !accepted, "{event:?}: {answer}");
        let scope = |id: &String| (event.task.clone(), id.clone());
        let repeated = event
            .id
            .as_ref()
            .is_some_and(|id| self.ids.contains(&scope(id)));
        if repeated || self.is_late(event) {
            return assert!(
                !accepted,
                "late, repeated or out of order, and yet accepted: {event:?}"
            );
        }
        let task = self.tasks.entry(event.task.clone()).or_insert(Task {
            attempt: 1,
            ..Task::default()
        });
        let effect = event.effect();
        if !accepted {
            let may_repeat = ["task_started", "task_paused"].contains(&effect.as_str());
            return assert!(may_repeat, "dropped for no reason: {event:?}");
        }
        self.ids.extend(event.id.as_ref().map(scope));
        if !event.is_item() {
            let attempt = event.payload["attempt"].as_u64().unwrap_or(task.attempt);
            if attempt > task.attempt {
                (task.attempt, task.seq, task.ended) = (attempt, None, false);
            }
            task.seq = event.payload["seq"].as_u64().or(task.seq);
            task.ended |= ends_a_task(&effect);
        }
        if effect != "task_progress" {
            let mark = event.payload["mark"].as_u64().expect("entries are marked");
            self.log(&format!("task:{}", event.task), &effect, mark);
        }
    }

    /// A task was forgotten on demand.
    pub(crate) fn forget(&mut self, task: &str) {
        self.tasks.remove(task);
        self.emptied.insert(format!("task:{task}"));
    }

    /// Whether contract sections 4 and 5.3 forbid that the event counts.
    fn is_late(&self, event: &Event) -> bool {
        let Some(task) = self.tasks.get(&event.task).filter(|_| !event.is_item()) else {
            return false;
        };
        let attempt = event.payload["attempt"].as_u64().unwrap_or(task.attempt);
        let seq = event.payload["seq"].as_u64();
        attempt < task.attempt
            || attempt == task.attempt
                && (task.ended || seq.zip(task.seq).is_some_and(|(new, last)| new <= last))
    }
}
