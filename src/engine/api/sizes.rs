//! Whether several events of one request fit into their tasks, before the first of them counts.

use crate::engine::api::answers::too_large;
use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::hub::Foresight;
use crate::hub::tasks::size::{MAX_OWN_FIELDS, patch_bytes};
use crate::hub::tasks::state::Task;
use crate::wire::message::{Event, Report, TaskPatch};
use std::collections::HashMap;

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
pub fn check(context: &Context<'_>, reports: &[Report], bounds: Bounds) -> Result<(), Refusal> {
    let max_bytes = context.settings.hub.broadcaster.max_task_size;
    let tasks = context.hub.broadcaster().tasks();
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
    let mut tasks_then: HashMap<&str, Foresight> = HashMap::new();
    for (index, report) in reports.iter().enumerate() {
        let Event::Task {
            task_id,
            kind,
            patch,
        } = &report.event
        else {
            continue;
        };
        let is_small = by_task.get(&**task_id).is_none_or(|sizes| is_small(*sizes));
        if is_small || context.hub.was_accepted(report) {
            continue;
        }
        let known = || tasks.find(task_id).and_then(|key| tasks.task(key));
        let task = tasks_then
            .entry(task_id)
            .or_insert_with(|| Foresight::of(known(), task_id, context.now));
        let added = task.add(context.now, *kind, patch, report.id.as_deref(), max_bytes);
        added.map_err(|fault| {
            let field = format!("[{index}].{}", fault.field);
            too_large(&fault).at(field)
        })?;
    }
    Ok(())
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
