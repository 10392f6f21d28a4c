//! Which events of a task count (contract sections 4 and 5.3), judged independently of the core.

use super::event::{Event, is_end};

/// A task as the contract says it must be.
#[derive(Debug, Default, Clone)]
pub(crate) struct ShadowTask {
    /// The attempt, once somebody has named it.
    pub(crate) named: Option<u64>,
    pub(crate) seq: Option<u64>,
    pub(crate) status: String,
    /// Whether `task_started` went out, and nothing after it that a further one would answer.
    pub(crate) is_announced: bool,
}

/// What an event that counts does.
#[derive(Debug)]
pub(crate) struct Step {
    /// The attempt that it begins.
    pub(crate) begins: Option<u64>,
    named: Option<u64>,
    status: String,
    /// Whether it becomes an entry of the log.
    pub(crate) is_entry: bool,
}

impl ShadowTask {
    /// The attempt that the task is in.
    pub(crate) fn attempt(&self) -> u64 {
        self.named.unwrap_or(1)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        is_end(&format!("task_{}", self.status))
    }

    /// What must become of an event, or why it must be dropped.
    pub(crate) fn judge(&self, event: &Event) -> Result<Step, &'static str> {
        let named = event.payload["attempt"].as_u64();
        let is_start = event.kind == "task_started";
        let restarts = is_start && event.payload["restart"] == true;
        let is_new = self.status.is_empty();
        let begins = match (self.named, named) {
            (Some(known), Some(named)) if named > known => Some(named),
            (Some(known), Some(_)) if restarts && self.has_ended() => Some(known + 1),
            (Some(known), Some(named)) if named < known => return Err("oldAttempt"),
            (Some(_), Some(_)) if restarts => return Err("repeat"),
            (None, Some(named)) if restarts && !is_new => Some(named),
            (None, Some(_)) if self.has_ended() && !is_start => return Err("ended"),
            (None, Some(named)) if self.has_ended() => Some(named),
            (None, Some(named)) if is_start && named > 1 && self.is_at_work() => Some(named),
            (Some(known), None) if restarts => Some(known + 1),
            (None, None) if restarts => Some(if is_new { 1 } else { 2 }),
            _ => None,
        };
        if begins.is_none() && self.has_ended() {
            return Err("ended");
        }
        let names_at_start = self.named.is_none() && named.is_some() && is_start;
        let seq = event.payload["seq"].as_u64();
        let is_old = seq.zip(self.seq).is_some_and(|(new, last)| new <= last);
        if begins.is_none() && !names_at_start && is_old {
            return Err("oldSeq");
        }
        let status = if begins.is_some() { "" } else { &self.status };
        let is_repeated = match event.kind.as_str() {
            "task_started" => begins.is_none() && self.is_announced,
            "task_paused" => status == "paused",
            _ => false,
        };
        let effect = event.effect();
        let status = match effect.strip_prefix("task_") {
            Some("started") => "running",
            Some("progress") if status == "paused" => "paused",
            Some("progress") => "running",
            Some(other) => other,
            None => unreachable!("an item is not judged"),
        };
        Ok(Step {
            begins,
            named: begins.or(named),
            status: status.to_owned(),
            is_entry: effect != "task_progress" && !is_repeated,
        })
    }

    /// The event counts.
    pub(crate) fn apply(&mut self, event: &Event, step: Step) {
        if step.begins.is_some() {
            (self.seq, self.is_announced) = (None, false);
        }
        if self.named.is_none() && step.named.is_some() && event.kind == "task_started" {
            self.seq = None;
        }
        self.named = step.named.or(self.named);
        self.seq = event.payload["seq"].as_u64().or(self.seq);
        self.is_announced |= event.kind == "task_started";
        self.is_announced &= step.status == "running";
        self.status = step.status;
    }

    fn is_at_work(&self) -> bool {
        !["", "pending"].contains(&self.status.as_str())
    }
}
