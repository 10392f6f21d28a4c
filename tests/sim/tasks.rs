//! The shadow of the tasks: which events count (contract sections 4 and 5.3), and what was acknowledged.

use super::event::{Event, is_end};
use super::shadow_task::ShadowTask;
use joblight::internals::engine::Inspection;
use std::collections::{BTreeMap, BTreeSet};

/// What tells a repeat: the task and the event's id.
pub(crate) type EventName = (String, String);

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Dropped,
    /// The shadow knows too little.
    Either,
}

/// How far a task is: attempt, whether that has ended, progress.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub(crate) struct Standing(u64, bool, f64);

#[derive(Debug, Default)]
struct Task {
    shadow: ShadowTask,
    /// It comes from an earlier life: its last `seq` may be another.
    is_unsure: bool,
    acknowledged: Standing,
}

/// All tasks.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    tasks: BTreeMap<String, Task>,
    /// Events with an id that have counted, and must be known.
    ids: BTreeSet<EventName>,
    /// Those that were said to be kept.
    kept_ids: BTreeSet<EventName>,
    /// Those of an earlier life that may be known.
    old_ids: BTreeSet<EventName>,
    /// Events that were dropped in this life.
    pub(crate) dropped: u64,
}

impl Event {
    /// What its repeats are told by, if it has an id.
    pub(crate) fn name(&self) -> Option<EventName> {
        let id = self.id.clone()?;
        Some((self.task.clone(), id))
    }
}

impl Tasks {
    /// What must become of an event.
    pub(crate) fn judge(&self, event: &Event) -> Verdict {
        let name = event.name();
        if name.as_ref().is_some_and(|name| self.ids.contains(name)) {
            return Verdict::Dropped;
        }
        if name
            .as_ref()
            .is_some_and(|name| self.old_ids.contains(name))
        {
            return Verdict::Either;
        }
        let task = self.tasks.get(&event.task);
        let Some(task) = task.filter(|_| !event.is_item()) else {
            return Verdict::Accepted;
        };
        match task.shadow.judge(event) {
            Ok(step) if task.is_unsure && step.begins.is_none() => {
                match event.payload["seq"].is_null() {
                    true => Verdict::Accepted,
                    false => Verdict::Either,
                }
            }
            Ok(_) => Verdict::Accepted,
            Err("oldSeq") if task.is_unsure => Verdict::Either,
            Err(_) => Verdict::Dropped,
        }
    }

    /// The event has counted, or has not; whether it has become an entry of the room's log.
    pub(crate) fn apply(&mut self, event: &Event, is_accepted: bool) -> bool {
        if !is_accepted {
            self.dropped += 1;
            return false;
        }
        self.ids.extend(event.name());
        let task = self.tasks.entry(event.task.clone()).or_default();
        if event.is_item() {
            return true;
        }
        let seq = event.payload["seq"].as_u64();
        if task.is_unsure {
            // What was accepted was above the last.
            task.shadow.seq = None;
        }
        let step = task.shadow.judge(event).expect("it was accepted");
        let is_entry = step.is_entry;
        task.is_unsure &= seq.is_none() && step.begins.is_none();
        task.shadow.apply(event, step);
        is_entry
    }

    /// A task is to be forgotten; whether there is one. The ids of its events are still known.
    pub(crate) fn forget(&mut self, name: &str) -> bool {
        self.tasks.remove(name).is_some()
    }

    /// How many tasks there are.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tasks.keys().cloned().collect()
    }

    /// The attempt that a task is in.
    pub(crate) fn attempt(&self, task: &str) -> u64 {
        self.tasks.get(task).map_or(1, |task| task.shadow.attempt())
    }

    /// What the server says of a task: the shadow must agree with it.
    pub(crate) fn check(&self, held: Inspection<'_>, name: &str) {
        let Some(task) = self.tasks.get(name) else {
            return;
        };
        let standing = standing(held, name).expect("a known task");
        assert_eq!(
            (standing.0, standing.1),
            (task.shadow.named.unwrap_or(0), task.shadow.has_ended()),
            "attempt and end of {name}"
        );
    }

    /// An answer has said that an event is kept, after which a task stood so.
    pub(crate) fn acknowledge(&mut self, name: &str, standing: Standing) {
        if let Some(task) = self.tasks.get_mut(name)
            && standing > task.acknowledged
        {
            task.acknowledged = standing;
        }
    }

    /// An answer has said that an event is kept.
    pub(crate) fn acknowledge_event(&mut self, name: EventName) {
        self.kept_ids.insert(name);
    }

    /// The process has begun another life: is what was acknowledged still there?
    pub(crate) fn survive(&mut self, held: Inspection<'_>) {
        let ids = std::mem::replace(&mut self.ids, self.kept_ids.clone());
        self.old_ids.extend(ids);
        self.dropped = 0;
        self.tasks.retain(|name, task| {
            let Some(now) = standing(held, name) else {
                assert_eq!(task.acknowledged, Standing::default(), "{name} is lost");
                return false;
            };
            let before = task.acknowledged;
            assert!(
                now >= before,
                "{name} comes back as {now:?}, acknowledged as {before:?}"
            );
            task.is_unsure = true;
            let found = held.task(name).expect("it stands somewhere");
            task.shadow = ShadowTask {
                named: found.attempt,
                seq: None,
                status: match found.has_moved {
                    true => found.status.to_owned(),
                    false => String::new(),
                },
                is_announced: found.is_announced,
            };
            true
        });
        assert_eq!(
            held.task_ids().count(),
            self.tasks.len(),
            "a task from nowhere"
        );
    }
}

/// How far the server says a task is.
pub(crate) fn standing(held: Inspection<'_>, name: &str) -> Option<Standing> {
    let task = held.task(name)?;
    let attempt = task.attempt.unwrap_or(0);
    let has_ended = is_end(&format!("task_{}", task.status));
    Some(Standing(attempt, has_ended, task.progress))
}
