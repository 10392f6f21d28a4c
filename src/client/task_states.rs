//! A viewer's task states, merged from snapshots and deltas (contract section 4).

use crate::wire::message::TASK_REMOVED;
use serde_json::{Map, Value};
use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct TaskStates {
    states: HashMap<String, Map<String, Value>>,
}

impl TaskStates {
    /// Applies a message. Returns the state of its task afterwards, unless it is about no task, or the task is gone.
    pub fn apply(&mut self, message: &Value) -> Option<&Map<String, Value>> {
        let kind = message["type"].as_str()?;
        let payload = message["payload"].as_object()?;
        let task_id = payload.get("taskId")?.as_str()?;
        if !kind.starts_with("task_") {
            return None;
        }
        if kind == TASK_REMOVED {
            self.states.remove(task_id);
            return None;
        }
        let state = self.states.entry(task_id.to_owned()).or_default();
        // Lifecycle messages carry the whole state, and so does a snapshot.
        if kind != "task_progress" || payload.get("snapshot") == Some(&Value::Bool(true)) {
            state.clear();
        }
        // These fields are about the message, not about the task.
        let is_of_task = |name: &str| name != "snapshot" && name != "revived";
        for (name, value) in payload.iter().filter(|(name, _)| is_of_task(name)) {
            if value.is_null() {
                state.remove(name);
            } else {
                state.insert(name.clone(), value.clone());
            }
        }
        Some(state)
    }

    pub fn state(&self, task_id: &str) -> Option<&Map<String, Value>> {
        self.states.get(task_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(states: &mut TaskStates, kind: &str, payload: Value) -> Option<Value> {
        let message = json!({"type": kind, "payload": payload});
        states.apply(&message).cloned().map(Value::Object)
    }

    #[test]
    fn deltas_change_what_they_name_and_null_clears() {
        let mut states = TaskStates::default();
        let snapshot =
            json!({"taskId": "t", "snapshot": true, "progress": 10, "stage": "a", "message": "m"});
        assert_eq!(
            apply(&mut states, "task_progress", snapshot),
            Some(json!({"taskId": "t", "progress": 10, "stage": "a", "message": "m"}))
        );
        let delta = json!({"taskId": "t", "progress": 20, "message": null});
        assert_eq!(
            apply(&mut states, "task_progress", delta),
            Some(json!({"taskId": "t", "progress": 20, "stage": "a"}))
        );
        assert_eq!(states.state("t").unwrap()["progress"], 20);
    }

    #[test]
    fn whole_states_replace() {
        let mut states = TaskStates::default();
        let running =
            json!({"taskId": "t", "snapshot": true, "status": "running", "stalled": true});
        apply(&mut states, "task_progress", running);
        let ended = json!({"taskId": "t", "status": "completed"});
        assert_eq!(
            apply(&mut states, "task_completed", ended.clone()),
            Some(ended)
        );
    }

    #[test]
    fn a_task_that_is_gone_has_no_state() {
        let mut states = TaskStates::default();
        let revived = json!({"taskId": "t", "status": "running", "revived": true});
        assert_eq!(
            apply(&mut states, "task_started", revived),
            Some(json!({"taskId": "t", "status": "running"}))
        );
        let removed = json!({"taskId": "t", "reason": "expired"});
        assert_eq!(apply(&mut states, "task_removed", removed), None);
        assert!(states.state("t").is_none());
    }

    #[test]
    fn tasks_are_apart_and_other_messages_are_none() {
        let mut states = TaskStates::default();
        apply(
            &mut states,
            "task_started",
            json!({"taskId": "a", "progress": 1}),
        );
        apply(
            &mut states,
            "task_started",
            json!({"taskId": "b", "progress": 2}),
        );
        assert_eq!(states.state("a").unwrap()["progress"], 1);
        for (kind, payload) in [
            ("document_generated", json!({"taskId": "a"})),
            ("task_progress", json!({})),
            ("task_progress", json!(7)),
            ("connected", json!({})),
        ] {
            assert_eq!(apply(&mut states, kind, payload), None, "{kind}");
        }
        assert!(states.apply(&json!([])).is_none());
    }
}
