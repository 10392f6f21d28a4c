//! What the messages about one task add up to for one viewer, and what they may never do.

use super::event::{essence, is_end};
use serde_json::{Map, Value};

/// A task as a viewer knows it.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    state: Option<Map<String, Value>>,
    has_snapshot: bool,
    has_ended: bool,
    /// How often the task may have been forgotten and begun anew.
    restarts: u32,
}

impl Fold {
    /// The state, if anything is known.
    pub(crate) fn state(&self) -> Option<&Map<String, Value>> {
        self.state.as_ref()
    }

    /// The viewer is on another connection, or was told that something is lost: a snapshot comes first.
    pub(crate) fn begin_anew(&mut self) {
        self.has_snapshot = false;
    }

    /// The task is gone: what follows is of another.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            restarts: self.restarts,
            ..Self::default()
        };
    }

    /// The task may begin anew, as if it had never been.
    pub(crate) fn allow_restarts(&mut self, count: u32) {
        self.restarts += count;
    }

    fn restart_if(&mut self, is_another: bool) {
        if is_another && self.restarts > 0 {
            *self = Self {
                restarts: self.restarts - 1,
                ..Self::default()
            };
        }
    }

    /// A lifecycle message carries the whole state.
    pub(crate) fn turn(&mut self, kind: &str, message: &Value) {
        let state = message["payload"].as_object().expect("an object").clone();
        self.restart_if(!self.has_risen(&state));
        self.check_rise(&state, message);
        self.has_ended = is_end(kind);
        self.state = Some(state);
    }

    /// A progress message carries the whole state, or what has changed.
    pub(crate) fn progress(&mut self, message: &Value, incremental: bool) {
        let payload = message["payload"].as_object().expect("an object");
        let is_snapshot = payload.get("snapshot") == Some(&Value::Bool(true));
        if is_snapshot {
            self.restart_if(self.is_of_another(payload) || self.has_snapshot && incremental);
        }
        let may_be_delta = self.has_snapshot && incremental;
        assert_eq!(
            is_snapshot, !may_be_delta,
            "the first has the whole, the others have not: {message}"
        );
        let mut state = match &self.state {
            Some(state) if !is_snapshot => state.clone(),
            _ => Map::new(),
        };
        state.extend(payload.clone());
        state.retain(|name, value| !value.is_null() && name != "snapshot");
        let is_known = self
            .state
            .as_ref()
            .is_some_and(|known| essence(known) == essence(&state));
        let begins = self
            .state
            .as_ref()
            .is_some_and(|known| attempt(&state) > attempt(known));
        assert!(
            !self.has_ended || begins || (is_snapshot && is_known),
            "progress after the end: {message}"
        );
        self.check_rise(&state, message);
        let status = state["status"].as_str().expect("a status");
        self.has_ended = is_end(&format!("task_{status}"));
        self.has_snapshot = true;
        self.state = Some(state);
    }

    /// Within an attempt progress never falls.
    fn check_rise(&self, state: &Map<String, Value>, message: &Value) {
        let before = &self.state;
        assert!(self.has_risen(state), "from {before:?} back to {message}");
    }

    fn has_risen(&self, state: &Map<String, Value>) -> bool {
        let Some(before) = &self.state else {
            return true;
        };
        let (old, new) = (attempt(before), attempt(state));
        let progress = |state: &Map<String, Value>| state["progress"].as_f64();
        new > old || new == old && progress(state) >= progress(before)
    }

    /// Whether a snapshot cannot be of the task that is known.
    fn is_of_another(&self, payload: &Map<String, Value>) -> bool {
        let Some(known) = &self.state else {
            return false;
        };
        let mut state = payload.clone();
        state.retain(|name, value| !value.is_null() && name != "snapshot");
        let is_after_end = self.has_ended && attempt(&state) <= attempt(known);
        !self.has_risen(&state) || is_after_end && essence(known) != essence(&state)
    }
}

fn attempt(state: &Map<String, Value>) -> u64 {
    state.get("attempt").and_then(Value::as_u64).unwrap_or(0)
}
