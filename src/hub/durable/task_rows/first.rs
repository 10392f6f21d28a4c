//! Reads tasks' rows of the first version, which held a state as viewers were sent it, with 0 and "" for unknown values.
//!
//! Nothing writes them any more. A field that cannot be read is left out with a warning, so that its task is kept.

use crate::base::time::Now;
use crate::hub::tasks::fields::EtaSource;
use crate::hub::tasks::requested::Requested;
use crate::hub::tasks::size::Held;
use crate::hub::tasks::state::{Task, View};
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::patch::COMPUTED;
use crate::wire::message::{Control, Controls, Members, Status};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstRow<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    producer_seq: Option<u64>,
    #[serde(default)]
    updated_at: u64,
    #[serde(default)]
    eta_source: Option<Cow<'a, str>>,
    #[serde(default)]
    stalled: bool,
    #[serde(default)]
    requested: Option<Cow<'a, str>>,
    #[serde(default)]
    requested_at: u64,
    #[serde(default)]
    app_rate: bool,
    #[serde(default)]
    announced: bool,
}

pub(in crate::hub) fn restored(id: &str, row: &str, now: Now) -> Result<Task, serde_json::Error> {
    let row: FirstRow<'_> = serde_json::from_str(row)?;
    let members: Members<'_> = serde_json::from_str(row.state.get())?;
    let mut task = Task::new(id.into(), now.time_of(row.updated_at));
    (task.seq, task.producer_seq) = (row.seq, row.producer_seq);
    (task.app_rate, task.announced) = (row.app_rate, row.announced);
    let requested = row.requested.as_deref().and_then(Control::from_word);
    let requested = requested.map(|control| Requested {
        control,
        by: "".into(),
        at: row.requested_at,
    });
    let mut view = View {
        status: status(&members)?,
        eta_source: row.eta_source.as_deref().and_then(EtaSource::from_word),
        stalled: row.stalled,
        requested: requested.map(Box::new),
        updated_at: row.updated_at,
        ..View::default()
    };
    for (name, value) in members.iter() {
        if value != "null" && take(&mut view, name, value).is_none() {
            ::log::warn!("task `{id}` in the store: its `{name}` is unreadable and left out");
        }
    }
    forget_unknown(&mut view);
    // The first version did not store it; a task at 0 may have none.
    task.has_progress = view.progress > 0.0;
    task.view = view;
    task.size_bound = Held::new(&task, false).bytes();
    resume_estimate(&mut task);
    task.refresh_indeterminate();
    task.commit();
    Ok(task)
}

/// Restores what there is of the estimate: observations were not stored, but a remaining time that the application gave still counts.
fn resume_estimate(task: &mut Task) {
    if task.view.eta_source == Some(EtaSource::App) {
        let remaining_ms = task.view.estimated_time_remaining;
        task.estimator
            .set_app_remaining(remaining_ms, task.last_event);
    }
    if task.view.status != Status::Running {
        task.estimator.pause(task.last_event);
    }
}

fn status(members: &Members<'_>) -> Result<Status, serde_json::Error> {
    let status = members.value("status").and_then(read);
    status.ok_or_else(|| Error::custom("it names no status"))
}

/// Reads one member of the state into the view; `None`: it cannot be read.
fn take(view: &mut View, name: &str, value: &str) -> Option<()> {
    match name {
        "taskId" | "seq" | "status" => {}
        // Derived from other fields, so that they are computed again.
        computed if COMPUTED.contains(&computed) => {}
        "progress" => view.progress = read::<f64>(value)?.clamp(0.0, 100.0),
        "current" => view.current = Some(read(value)?),
        "total" => view.total = Some(read(value)?),
        "stage" => view.stage = Some(read(value)?),
        "estimatedTimeRemaining" => view.estimated_time_remaining = Some(read(value)?),
        "message" => view.message = Some(read(value)?),
        "result" => view.result = Some(read(value)?),
        "error" => view.error = Some(read(value)?),
        "attempt" => view.attempt = Some(read(value)?),
        "rate" => view.rate = Some(read(value)?),
        "startedAt" => view.started_at = Some(whole(value)?),
        "parentId" => view.parent_id = Some(read(value)?),
        "meta" => view.meta = Some(read(value)?),
        "controls" => view.controls = Some(read::<Controls>(value)?),
        own => {
            view.own.set(own.into(), Some(read(value)?), 0);
        }
    }
    Some(())
}

/// Turns the values that stood for "unknown" back into none.
fn forget_unknown(view: &mut View) {
    let is_zero = |number: Option<f64>| number == Some(0.0);
    if is_zero(view.total) {
        view.total = None;
        view.current = view.current.filter(|current| *current != 0.0);
    }
    view.stage = view.stage.take().filter(|stage| !stage.is_empty());
}

/// Reads a time. One beyond the exact range of a float was written rounded; it becomes the greatest count.
fn whole(value: &str) -> Option<u64> {
    let exact = read::<u64>(value);
    let number = exact.or_else(|| read::<f64>(value).map(|number| number as u64));
    number.map(|number| number.min(MAX_COUNT))
}

fn read<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_str(value).ok()
}
