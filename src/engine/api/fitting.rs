//! Whether several events of one request fit into what the limits leave: tasks, rooms, sizes. It is found out before the first of
//! them counts, because of several events none counts when one would be refused.

use crate::engine::context::Context;
use crate::hub::Foresight;
use crate::hub::tasks::decision;
use crate::hub::tasks::size::{MAX_OWN_FIELDS, patch_bytes};
use crate::hub::tasks::state::Task;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use crate::wire::message::{Event, Report, TaskEvent, TaskPatch};
use crate::wire::refusal::Refusal;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// Of several events none counts when the limits would refuse one.
pub fn check(context: &Context<'_>, reports: &[Report<'_>]) -> Result<(), Refusal> {
    if is_far_from_limits(context, reports) {
        return Ok(());
    }
    check_all(context, reports)
}

/// A single event is refused when it comes, if it must be; here it only must not wait for others.
fn is_far_from_limits(context: &Context<'_>, reports: &[Report<'_>]) -> bool {
    let tasks = context.hub.broadcaster().tasks();
    reports.len() == 1 && tasks.has_room_for(1, 1) && has_free_rooms(context, 1)
}

fn check_all(context: &Context<'_>, reports: &[Report<'_>]) -> Result<(), Refusal> {
    let tasks = context.hub.broadcaster().tasks();
    let (mut new_tasks, mut reopened) = (HashSet::new(), HashSet::new());
    let mut bounds = Bounds::default();
    for report in reports {
        let task_id = match &report.event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => &**task_id,
            Event::Room { .. } => continue,
        };
        let known = tasks.find(task_id).and_then(|key| tasks.task(key));
        if known.is_none() {
            new_tasks.insert(task_id);
        }
        if let Event::Task { patch, .. } = &report.event {
            bounds.add(known, patch);
        }
        // A task that has ended makes no room for others if it goes on, nor if it would be made anew for this event.
        if let Some(task) = known.filter(|task| task.view.status.is_terminal())
            && (!new_tasks.is_empty() || goes_on(context, task, report))
        {
            reopened.insert(task_id);
        }
    }
    if !tasks.has_room_for(new_tasks.len(), reopened.len()) {
        let new = new_tasks.len();
        return Err(Refusal::no_room(format!(
            "{new} more tasks would be over broadcaster.max_tasks, and too few have ended; nothing was taken"
        )));
    }
    check_rooms(context, reports)?;
    check_sizes(context, reports, bounds)
}

/// Whether a task that has ended goes on with this event.
fn goes_on(context: &Context<'_>, task: &Task, report: &Report<'_>) -> bool {
    match &report.event {
        Event::Task { kind, patch, .. } => {
            !context.hub.was_accepted(report)
                && decision::judge(task, *kind, patch, context.now, report.id.is_some()).is_ok()
        }
        Event::Item { .. } | Event::Room { .. } => task.status_before_lost.is_some(),
    }
}

fn has_free_rooms(context: &Context<'_>, count: usize) -> bool {
    let max_rooms = context.settings.hub.max_rooms;
    max_rooms == 0 || context.hub.directory().rooms().len() + count <= max_rooms
}

/// Messages of items and rooms need a log, and lifecycle messages take one where there is room.
fn check_rooms(context: &Context<'_>, reports: &[Report<'_>]) -> Result<(), Refusal> {
    if has_free_rooms(context, reports.len()) {
        return Ok(());
    }
    let directory = context.hub.directory();
    let max_rooms = context.settings.hub.max_rooms;
    let (mut needed, mut taken) = (HashSet::new(), HashSet::new());
    for report in reports {
        let room = match &report.event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => {
                Cow::Owned(format!("{TASK_ROOM_PREFIX}{task_id}"))
            }
            Event::Room { room, .. } => Cow::Borrowed(&**room),
        };
        let found = directory.find(&room).map(|room| directory.room(room));
        // One that only viewers hold becomes a producer's.
        if found.is_some_and(|room| !room.is_viewers()) {
            continue;
        }
        match &report.event {
            Event::Item { .. } | Event::Room { .. } => needed.insert(room),
            Event::Task { kind, patch, .. }
                if *kind != TaskEvent::Progress || patch.status.is_some() =>
            {
                taken.insert(room)
            }
            Event::Task { .. } => false,
        };
    }
    taken.retain(|room| !needed.contains(room));
    let of_producers = directory.rooms().len() - directory.viewer_rooms();
    if needed.is_empty() || of_producers + needed.len() + taken.len() <= max_rooms {
        return Ok(());
    }
    Err(Refusal::no_room(format!(
        "{} more rooms would be over websocket.max_rooms; nothing was taken",
        needed.len() + taken.len()
    )))
}

/// Upper bounds of what the tasks of a request take, found in passing: tasks that surely stay small are looked at no closer.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    events: usize,
    greatest: Sizes,
    sum: Sizes,
}

impl Bounds {
    /// One more event of a task, which is known or new.
    fn add(&mut self, task: Option<&Task>, patch: &TaskPatch) {
        self.events += 1;
        self.greatest = self
            .greatest
            .max(task.map_or(Sizes::default(), Sizes::of_task));
        self.sum = self.sum.plus(Sizes::of_patch(patch));
    }
}

/// Of several events none counts when one of them would make its task too large. A single one is refused when it comes.
fn check_sizes(
    context: &Context<'_>,
    reports: &[Report<'_>],
    bounds: Bounds,
) -> Result<(), Refusal> {
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
            Refusal::from(&fault).at(field)
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

fn of_task<'a>(report: &'a Report<'_>) -> Option<(&'a str, &'a TaskPatch)> {
    match &report.event {
        Event::Task { task_id, patch, .. } => Some((task_id, patch)),
        Event::Item { .. } | Event::Room { .. } => None,
    }
}
