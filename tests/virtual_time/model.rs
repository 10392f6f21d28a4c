//! The shadow of the server: what the contract says of every event, counted independently of the core.

use super::event::Event;
use super::shadow_task::ShadowTask;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An entry that a room's log must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) mark: u64,
}

/// What the server must know.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    tasks: BTreeMap<String, ShadowTask>,
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
        self.tasks.get(task).map_or(1, ShadowTask::attempt)
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
        if repeated {
            return Self::check_drop(event, answer, "repeat");
        }
        let task = self.tasks.entry(event.task.clone()).or_default();
        let mut is_entry = true;
        if !event.is_item() {
            match task.judge(event) {
                Err(reason) => return Self::check_drop(event, answer, reason),
                Ok(step) => {
                    is_entry = step.is_entry;
                    task.apply(event, step);
                }
            }
        }
        assert!(accepted, "dropped for no reason: {event:?}: {answer}");
        self.ids.extend(event.id.as_ref().map(scope));
        if is_entry {
            let mark = event.payload["mark"].as_u64().expect("entries are marked");
            self.log(&format!("task:{}", event.task), &event.effect(), mark);
        }
    }

    fn check_drop(event: &Event, answer: &Value, reason: &str) {
        let told = &answer["drops"][0]["reason"];
        assert_eq!(told, reason, "{event:?}: {answer}");
        assert_eq!(answer["reasons"][reason], 1, "{answer}");
    }

    /// A task was forgotten on demand.
    pub(crate) fn forget(&mut self, task: &str) {
        self.tasks.remove(task);
        self.emptied.insert(format!("task:{task}"));
    }
}
