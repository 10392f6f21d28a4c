//! Whether several events of one request fit into their tasks, before the first of them counts.

use super::answers::too_large;
use crate::base::time::Now;
use crate::engine::state::State;
use crate::hub::size::{self, MAX_OWN_FIELDS, TooLarge, patch_bytes};
use crate::hub::task::Task;
use crate::hub::{lost, rules};
use crate::wire::http::Problem;
use crate::wire::message::{Event, Report, TaskPatch};
use std::collections::{HashMap, HashSet};

/// Upper bounds of what the tasks of a request take, found in passing: tasks that surely stay small are looked at no closer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    events: usize,
    greatest: Sizes,
    sum: Sizes,
}

impl Bounds {
    /// One more event of a task, which is known or new.
    pub fn add(&mut self, task: Option<&Task>, patch: &TaskPatch) {
        self.events += 1;
        self.greatest = self
            .greatest
            .max(task.map_or(Sizes::default(), Sizes::of_task));
        self.sum = self.sum.plus(Sizes::of_patch(patch));
    }
}

/// Of several events none counts when one of them would make its task too large. A single one is refused when it comes.
pub fn check(state: &State, reports: &[Report], bounds: Bounds) -> Result<(), Problem> {
    let max_bytes = state.settings.hub.broadcaster.max_task_size;
    let tasks = state.hub.broadcaster().tasks();
    let is_small =
        |sizes: Sizes| sizes.own <= MAX_OWN_FIELDS && (max_bytes == 0 || sizes.bytes <= max_bytes);
    if bounds.events < 2 || is_small(bounds.greatest.plus(bounds.sum)) {
        return Ok(());
    }
    let mut by_task: HashMap<&str, Sizes> = HashMap::new();
    for (task_id, patch) in reports.iter().filter_map(of_task) {
        let known = || tasks.find(task_id).and_then(|key| tasks.task(key));
        let sizes = by_task
            .entry(task_id)
            .or_insert_with(|| known().map_or(Sizes::default(), Sizes::of_task));
        *sizes = sizes.plus(Sizes::of_patch(patch));
    }
    let mut trials: HashMap<&str, Task> = HashMap::new();
    let mut ids: HashSet<(&str, &str)> = HashSet::new();
    for (index, report) in reports.iter().enumerate() {
        let Some((task_id, _)) = of_task(report) else {
            continue;
        };
        let is_small = by_task.get(task_id).is_none_or(|sizes| is_small(*sizes));
        let id = report.id.as_deref().map(|id| (task_id, id));
        if is_small || state.hub.is_known(report) || id.is_some_and(|id| ids.contains(&id)) {
            continue;
        }
        let known = tasks.find(task_id).and_then(|key| tasks.task(key));
        let trial = trials.entry(task_id).or_insert_with(|| match known {
            Some(task) => task.clone(),
            None => Task::new(task_id.into(), state.now.at),
        });
        match try_on(trial, report, state.now, max_bytes) {
            Ok(counts) => ids.extend(id.filter(|_| counts)),
            Err(fault) => {
                let field = format!("[{index}].{}", fault.field);
                return Err(too_large(&fault).at(field));
            }
        }
    }
    Ok(())
}

/// Does to a copy of a task what an event would do to the task; whether the event counts.
fn try_on(task: &mut Task, report: &Report, now: Now, max_bytes: usize) -> Result<bool, TooLarge> {
    let Event::Task { kind, patch, .. } = &report.event else {
        return Ok(false);
    };
    let (kind, mut patch) = (*kind, patch.clone());
    let Ok(verdict) = rules::judge(task, kind, &patch, now, report.id.is_some()) else {
        return Ok(false);
    };
    let (size_bound, _) = size::admit(task, &mut patch, kind, &verdict, max_bytes)?;
    if let Some(status) = lost::revival(task, kind, verdict, &patch) {
        lost::revive(task, status, now);
    }
    task.size_bound = size_bound;
    rules::apply(task, kind, verdict, *patch, now);
    Ok(true)
}

/// Upper bounds of what a task takes.
#[derive(Debug, Clone, Copy, Default)]
struct Sizes {
    bytes: usize,
    own: usize,
}

impl Sizes {
    fn of_task(task: &Task) -> Self {
        Self {
            bytes: task.size_bound,
            own: task.view.own.len(),
        }
    }

    fn of_patch(patch: &TaskPatch) -> Self {
        Self {
            bytes: patch_bytes(patch),
            own: patch.extra.len(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            own: self.own + other.own,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            own: self.own.max(other.own),
        }
    }
}

fn of_task(report: &Report) -> Option<(&str, &TaskPatch)> {
    match &report.event {
        Event::Task { task_id, patch, .. } => Some((task_id, patch)),
        Event::Item { .. } | Event::Room { .. } => None,
    }
}
