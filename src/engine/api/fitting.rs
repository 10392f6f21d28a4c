//! Whether several events of one request fit into what the limits leave: tasks, rooms, sizes. It is found out before the first of
//! them counts, because of several events none counts when one would be refused.

use crate::engine::context::Context;
use crate::hub::tasks::decision::{self, Foresight};
use crate::hub::tasks::size::{Bound, TooLarge};
use crate::hub::tasks::state::Task;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use crate::wire::message::{Event, Report, TaskEvent};
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
    let max_tasks = context.settings.hub.broadcaster.max_tasks;
    reports.len() == 1 && tasks.has_room_for(1, 1, max_tasks) && has_free_rooms(context, 1)
}

fn check_all(context: &Context<'_>, reports: &[Report<'_>]) -> Result<(), Refusal> {
    let tasks = context.hub.broadcaster().tasks();
    let (mut new_tasks, mut reopened) = (HashSet::new(), HashSet::new());
    // Upper bounds for any of the tasks: when they surely stay small, none is looked at any closer.
    let (mut events, mut greatest, mut all) = (0, Bound::default(), Bound::default());
    for report in reports {
        if let Event::Room { .. } = report.event {
            continue;
        }
        let task_id = &*report.subject;
        let known = tasks.named(task_id);
        if known.is_none() {
            new_tasks.insert(task_id);
        }
        if let Event::Task { patch, .. } = &report.event {
            events += 1;
            greatest = greatest.max(known.map(Bound::of).unwrap_or_default());
            all = all.with(patch);
        }
        // A task that has ended makes no room for others if it goes on, nor if it would be made anew for this event.
        if let Some(task) = known.filter(|task| task.view.status.is_terminal())
            && (!new_tasks.is_empty() || goes_on(context, task, report))
        {
            reopened.insert(task_id);
        }
    }
    let max_tasks = context.settings.hub.broadcaster.max_tasks;
    if !tasks.has_room_for(new_tasks.len(), reopened.len(), max_tasks) {
        let new = new_tasks.len();
        return Err(Refusal::no_room(format!(
            "{new} more tasks would be over broadcaster.max_tasks, and too few have ended; nothing was taken"
        )));
    }
    check_rooms(context, reports)?;
    // A single event is refused when it comes.
    let max_task_size = context.settings.hub.broadcaster.max_task_size;
    match events < 2 || greatest.plus(all).fits(max_task_size) {
        true => Ok(()),
        false => check_sizes(context, reports),
    }
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
        let name = &*report.subject;
        let room = match report.event {
            Event::Task { .. } | Event::Item { .. } => {
                Cow::Owned(format!("{TASK_ROOM_PREFIX}{name}"))
            }
            Event::Room { .. } => Cow::Borrowed(name),
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

/// Of several events none counts when one of them would make its task too large.
fn check_sizes(context: &Context<'_>, reports: &[Report<'_>]) -> Result<(), Refusal> {
    let max_bytes = context.settings.hub.broadcaster.max_task_size;
    let tasks = context.hub.broadcaster().tasks();
    let mut bounds: HashMap<&str, (Bound, Vec<usize>)> = HashMap::new();
    for (index, report) in reports.iter().enumerate() {
        let task_id = &*report.subject;
        if let Event::Task { patch, .. } = &report.event {
            let known = || tasks.named(task_id).map(Bound::of).unwrap_or_default();
            let (bound, events) = bounds
                .entry(task_id)
                .or_insert_with(|| (known(), Vec::new()));
            *bound = bound.with(patch);
            events.push(index);
        }
    }
    // Task by task, because each is copied; of the faults that of the first event counts.
    let large = bounds
        .into_iter()
        .filter(|(_, (bound, _))| !bound.fits(max_bytes));
    let faults =
        large.filter_map(|(id, (_, events))| first_too_large(context, reports, id, events));
    match faults.min_by_key(|(index, _)| *index) {
        Some((index, fault)) => {
            let field = format!("[{index}].{}", fault.field);
            Err(Refusal::from(&fault).at(field))
        }
        None => Ok(()),
    }
}

/// The first of these events, all of one task, that would make it too large.
fn first_too_large(
    context: &Context<'_>,
    reports: &[Report<'_>],
    task_id: &str,
    events: Vec<usize>,
) -> Option<(usize, TooLarge)> {
    let max_bytes = context.settings.hub.broadcaster.max_task_size;
    let known = context.hub.broadcaster().tasks().named(task_id);
    let mut foresight = Foresight::of(known, context.now);
    events.into_iter().find_map(|index| {
        let report = &reports[index];
        let Event::Task { kind, patch, .. } = &report.event else {
            return None;
        };
        if context.hub.was_accepted(report) {
            return None;
        }
        let (event, id) = ((*kind, patch.clone()), report.id.as_deref());
        let added = foresight.add(event, id, max_bytes, context.now);
        added.err().map(|fault| (index, fault))
    })
}
