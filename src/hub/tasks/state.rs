//! The state of one task, versioned field by field, so that what a subscriber lacks is computed and never queued.
//!
//! Owns the fields of contract section 4, their versions, and how they are written as JSON: whole, or as a delta after a version.
//! Never decides what an event changes ([`decision`](crate::hub::tasks::decision)) or who is sent what
//! ([`progress`](crate::hub::delivery::progress)).
//!
//! A field that changes is marked and gets the version `version + 1`; [`Task::commit`] makes that version the current one when its
//! bytes go out. Invariants: no field's version exceeds `version + 1`, and exactly the marked fields have it; a delta is possible
//! from every version at or above `delta_floor`.

use crate::base::time::{Now, Time};
use crate::hub::tasks::estimate::Estimator;
use crate::hub::tasks::fields::Estimate;
use crate::hub::tasks::fields::EtaSource;
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::own_fields::{Change, OwnFields};
use crate::hub::tasks::requested::Requested;
use crate::wire::message::envelope::push_string;
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Controls, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Fields whose change alone is held back by `min_change_threshold` (contract section 4).
const MOVEMENT: u32 = 1 << TaskField::Progress as u8
    | 1 << TaskField::Current as u8
    | 1 << TaskField::Rate as u8
    | 1 << TaskField::EstimatedTimeRemaining as u8
    | 1 << TaskField::EstimatedEndAt as u8;
/// Fields that ride along with other changes and never cause a message.
const PASSENGERS: u32 = 1 << TaskField::UpdatedAt as u8 | 1 << TaskField::EtaSource as u8;

/// Tells a page to replace all that it knows of the task.
const SNAPSHOT: &str = ",\"snapshot\":true";
/// Tells a page that a lost task is back: its `failed` was provisional.
const REVIVED: &str = ",\"revived\":true";

/// Most cleared own fields that one task remembers so that a delta can say `null`.
const MAX_TOMBSTONES: usize = 32;

/// What viewers see of a task, field by field as contract section 4 names them. `None` is unknown, or cleared. Serialized it is
/// the greater part of the task's row in the store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    pub status: Status,
    /// 0 to 100.
    pub progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Box<str>>,
    /// In milliseconds, as last sent or about to be; the estimate of this moment is [`Task::estimate_at`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_time_remaining: Option<f64>,
    /// In milliseconds since 1970, as last sent or about to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_end_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// In units a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_source: Option<EtaSource>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub stalled: bool,
    /// In milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<u64>,
    /// In milliseconds since 1970.
    pub updated_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Box<RawValue>>,
    /// Boxed, because few tasks are ever asked for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Box<Requested>>,
    /// `None`: the worker has not said which controls it honours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controls: Option<Controls>,
    /// The task has not ended, and there is neither `progress` nor a `total` to count by.
    #[serde(skip)]
    pub indeterminate: bool,
    /// The application's own fields, which the contract does not name.
    #[serde(default, skip_serializing_if = "OwnFields::is_empty")]
    pub own: OwnFields,
}

pub fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Debug, Clone, Default)]
pub struct Task {
    pub id: Box<str>,
    pub view: View,
    /// The `seq` that viewers see; it rises with every event that counts, across attempts. 0: no event has counted yet.
    pub seq: u64,
    /// The producer's last `seq` of this attempt; another number than viewers see.
    pub producer_seq: Option<u64>,
    /// The application sent `rate` itself, so no observed one replaces it.
    pub app_rate: bool,
    /// `task_started` went out in this attempt, and the task has neither paused nor ended since.
    pub announced: bool,
    /// The application named `progress` in this attempt; until then 0 means unknown.
    pub has_progress: bool,
    /// The status before the hub failed the task as lost. While this is set the end is provisional: an event of this attempt revives it.
    pub status_before_lost: Option<Status>,
    /// When a `restart` began the attempt; cleared by the next event that counts.
    pub restarted_at: Option<Time>,
    /// Upper bound of the bytes that the fields take, by the measure of [`size`](crate::hub::tasks::size).
    pub size_bound: usize,
    pub estimator: Estimator,
    /// When the last event or item counted; silence is measured from here.
    pub last_event: Time,
    pub last_flush: Option<Time>,
    pub flush: Flush,
    /// Listed for the next batch to the store, so that a task is listed once however often it changes.
    pub is_unsaved: bool,
    /// Its entry in the table's lists.
    pub listing: Listing,
    /// When to look whether the `estimatedEndAt` last told has moved away with time alone.
    pub late_look: Option<Time>,
    /// When the oldest change that has not gone out was accepted; the measure of broadcast latency.
    pub pending_since: Option<Time>,
    /// The state as last sent.
    pub(in crate::hub) version: u32,
    /// The version of each field's last change, by [`TaskField`].
    pub(in crate::hub) versions: [u32; TaskField::COUNT],
    /// One bit per field that has changed since the last commit.
    pub(in crate::hub) changed: u32,
    /// What `min_change_threshold` is measured from.
    pub(in crate::hub) flushed_progress: f64,
    /// The oldest version from which a delta can be made.
    pub(in crate::hub) delta_floor: u32,
}

/// The list of the table that a task is in, one at most, and the time by which that list is ordered. The first entry of each list is all
/// that has to be watched, so that one timer serves every task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// Time alone changes nothing: paused, or the timeouts are off.
    #[default]
    Unlisted,
    /// Not ended, and to be looked at then: it may have gone silent, or its end may have moved.
    Alive(Time),
    /// Completed or cancelled at that time.
    Completed(Time),
    /// Failed at that time. A list of its own, because failed tasks are kept longer and give way last.
    Failed(Time),
}

/// Whether and when pending progress will go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flush {
    #[default]
    Idle,
    Marked,
    /// When the timer of that time fires. Flush timers are not cancelled: one that fires earlier than this is stale and does nothing.
    Armed(Time),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    Nothing,
    /// Movement below the threshold: it may wait ten intervals, so that a slow task is not silent for ever.
    Small,
    /// Goes out with the next interval.
    Significant,
}

impl Task {
    pub fn new(id: Box<str>, now: Time) -> Self {
        let mut task = Self::default();
        (task.id, task.last_event) = (id, now);
        task.view.indeterminate = true;
        // Not 0: a membership that has seen nothing holds 0, and would pass for up to date.
        task.version = 1;
        task
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// Records a change: the field belongs to the next version.
    pub fn mark(&mut self, field: TaskField) {
        self.changed |= field.bit();
        self.versions[field as usize] = self.version + 1;
    }

    pub fn is_marked(&self, field: TaskField) -> bool {
        self.changed & field.bit() != 0
    }

    /// Raises the `seq` that viewers see: by one, or to the producer's own where that is higher, so that the two agree for a task that
    /// numbers all its events. Stops at the largest integer that JSON numbers carry exactly.
    pub fn count_event(&mut self, producer_seq: Option<u64>) {
        let next = (self.seq + 1).max(producer_seq.unwrap_or(0));
        self.seq = next.min(MAX_COUNT);
    }

    /// Sets or clears one of the application's own fields.
    pub fn set_own(&mut self, name: Box<str>, value: Option<Box<RawValue>>) {
        let is_full = || self.view.own.tombstones() >= MAX_TOMBSTONES;
        if value.is_none() && is_full() {
            // Tombstones must be bounded. A subscriber that has not seen these fields cleared gets a snapshot instead of a delta.
            self.view.own.drop_tombstones();
            self.delta_floor = self.version + 1;
        }
        if self.view.own.set(name, value, self.version + 1) == Change::Changed {
            self.mark(TaskField::Own);
        }
    }

    /// Whether a subscriber that has seen this version can be sent a delta.
    pub fn has_delta(&self, seen: u32) -> bool {
        seen >= self.delta_floor
    }

    pub fn pending(&self, min_change_threshold: f64) -> Pending {
        let causes = self.changed & !PASSENGERS;
        if causes == 0 {
            Pending::Nothing
        } else if causes & !MOVEMENT != 0 || self.has_moved(min_change_threshold) {
            Pending::Significant
        } else {
            Pending::Small
        }
    }

    /// Makes the pending changes the current version. Call it as they go out: a member that is behind or away keeps the older version
    /// that it has seen, and gets the difference later.
    pub fn commit(&mut self) {
        // A version without changes would make every reader look behind.
        if self.changed != 0 {
            self.version += 1;
            self.changed = 0;
        }
        debug_assert!(self.versions.iter().all(|field| *field <= self.version));
        self.flushed_progress = self.view.progress;
        self.pending_since = None;
    }

    pub fn refresh_indeterminate(&mut self) {
        let view = &mut self.view;
        let has_total = view.total.is_some_and(|total| total > 0.0);
        let indeterminate = !(self.has_progress || has_total || view.status.is_terminal());
        if view.indeterminate != indeterminate {
            view.indeterminate = indeterminate;
            self.mark(TaskField::Indeterminate);
        }
    }

    fn has_moved(&self, min_change_threshold: f64) -> bool {
        // Measured from what was sent and not from the last event: many small steps add up.
        (self.view.progress - self.flushed_progress).abs() >= min_change_threshold
    }

    /// The status by which events are judged: for a lost task the one before it was given up.
    pub fn judged_status(&self) -> Status {
        self.status_before_lost.unwrap_or(self.view.status)
    }

    /// The whole state as JSON with the estimate that all subscribers were told; `snapshot` marks it as one.
    #[cfg(test)]
    pub fn whole(&self, snapshot: bool) -> String {
        let mark = if snapshot { SNAPSHOT } else { "" };
        self.write_whole(mark, self.told_estimate())
    }

    /// The whole state as JSON with the estimate of `now`, which moves without any event.
    pub fn whole_at(&self, snapshot: bool, now: Now) -> String {
        let mark = if snapshot { SNAPSHOT } else { "" };
        self.write_whole(mark, self.estimate_at(now))
    }

    /// The whole state of a lost task that is heard of again, marked as revived.
    pub fn revived(&self, now: Now) -> String {
        self.write_whole(REVIVED, self.estimate_at(now))
    }

    fn write_whole(&self, mark: &str, estimate: Estimate) -> String {
        let mut out = self.begin();
        TaskField::NAMED
            .into_iter()
            .map(|(field, _)| field)
            .filter(|field| self.shown(*field, estimate))
            .for_each(|field| self.push(&mut out, field, estimate));
        self.view.own.push_all(&mut out);
        out.push_str(mark);
        out.push('}');
        out
    }

    /// What has changed after `seen`, as JSON, with the estimate that all subscribers were told. Status and progress are always there,
    /// for pages that keep no state of their own.
    pub fn delta(&self, seen: u32) -> String {
        self.write_delta(seen, self.told_estimate())
    }

    /// A delta for a reader that was behind. It counts the time left from the message's `timestamp`, so that must be of `now`.
    pub fn delta_at(&self, seen: u32, now: Now) -> String {
        let of_now = self.estimate_at(now);
        // Only these two count from the message's `timestamp`; rate and source stay those of the version that is sent.
        let estimate = Estimate {
            remaining_ms: of_now.remaining_ms,
            end_at_ms: of_now.end_at_ms,
            ..self.told_estimate()
        };
        self.write_delta(seen, estimate)
    }

    fn write_delta(&self, seen: u32, estimate: Estimate) -> String {
        let mut out = self.begin();
        // Versions and not `changed`, which knows only what is pending: a reader may be many versions behind.
        let is_told = |field: &TaskField| {
            self.versions[*field as usize] > seen
                || matches!(field, TaskField::Status | TaskField::Progress)
        };
        TaskField::NAMED
            .into_iter()
            .map(|(field, _)| field)
            .filter(is_told)
            .for_each(|field| self.push(&mut out, field, estimate));
        self.view.own.push_changed(&mut out, seen);
        out.push('}');
        out
    }

    fn begin(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push_str("{\"taskId\":");
        push_string(&mut out, &self.id);
        out.push_str(",\"seq\":");
        out.push_str(itoa::Buffer::new().format(self.seq));
        out
    }

    /// Whether a whole state names the field: those of the first protocol always, later ones only when they are set.
    fn shown(&self, field: TaskField, estimate: Estimate) -> bool {
        let view = &self.view;
        match field {
            TaskField::Message => view.message.is_some(),
            TaskField::Result => view.result.is_some(),
            TaskField::Error => view.error.is_some(),
            TaskField::Attempt => view.attempt.is_some(),
            TaskField::Rate => estimate.rate.is_some(),
            TaskField::EstimatedEndAt => estimate.end_at_ms.is_some(),
            TaskField::EtaSource => estimate.source.is_some(),
            TaskField::Stalled => view.stalled,
            TaskField::StartedAt => view.started_at.is_some(),
            TaskField::ParentId => view.parent_id.is_some(),
            TaskField::Meta => view.meta.is_some(),
            TaskField::Requested => view.requested.is_some(),
            TaskField::Indeterminate => view.indeterminate,
            TaskField::Controls => view.controls.is_some(),
            _ => true,
        }
    }

    fn push(&self, out: &mut String, field: TaskField, estimate: Estimate) {
        let view = &self.view;
        out.push_str(",\"");
        out.push_str(field.name());
        out.push_str("\":");
        match field {
            TaskField::Status => push_string(out, view.status.as_str()),
            TaskField::Progress => push_number(out, Some(view.progress)),
            // Unknown is 0 and "" here, not `null`: pages of the first protocol calculate with these three.
            TaskField::Current => push_number(out, Some(view.current.unwrap_or(0.0))),
            TaskField::Total => push_number(out, Some(view.total.unwrap_or(0.0))),
            TaskField::Stage => push_string(out, view.stage.as_deref().unwrap_or("")),
            TaskField::EstimatedTimeRemaining => push_number(out, estimate.remaining_ms),
            TaskField::EstimatedEndAt => push_number(out, estimate.end_at_ms.map(|ms| ms as f64)),
            TaskField::Message => push_text(out, view.message.as_deref()),
            TaskField::Result => push_raw(out, view.result.as_deref()),
            TaskField::Error => push_raw(out, view.error.as_deref()),
            TaskField::Attempt => push_number(out, view.attempt.map(|attempt| attempt as f64)),
            TaskField::Rate => push_number(out, estimate.rate),
            TaskField::EtaSource => push_text(out, estimate.source.map(EtaSource::as_str)),
            TaskField::Stalled => out.push_str(if view.stalled { "true" } else { "false" }),
            TaskField::StartedAt => push_number(out, view.started_at.map(|ms| ms as f64)),
            TaskField::UpdatedAt => push_number(out, Some(view.updated_at as f64)),
            TaskField::ParentId => push_text(out, view.parent_id.as_deref()),
            TaskField::Meta => push_raw(out, view.meta.as_deref()),
            TaskField::Requested => push_requested(out, view.requested.as_deref()),
            // Not `false`: the contract has the field either `true` or absent, and in a delta `null` means absent.
            TaskField::Indeterminate => {
                out.push_str(if view.indeterminate { "true" } else { "null" });
            }
            TaskField::Controls => push_controls(out, view.controls),
            TaskField::Own => {}
        }
    }
}

fn push_requested(out: &mut String, requested: Option<&Requested>) {
    let Some(requested) = requested else {
        return out.push_str("null");
    };
    out.push('{');
    requested.push_members(out);
    out.push('}');
}

fn push_controls(out: &mut String, controls: Option<Controls>) {
    let Some(controls) = controls else {
        return out.push_str("null");
    };
    out.push('[');
    for (index, control) in controls.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, control.as_str());
    }
    out.push(']');
}

fn push_text(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.push_str("null"),
    }
}

fn push_raw(out: &mut String, raw: Option<&RawValue>) {
    out.push_str(raw.map_or("null", RawValue::get));
}

/// Writes whole numbers without a fraction, as JavaScript does; serde_json would write `5.0`.
fn push_number(out: &mut String, number: Option<f64>) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number {
        None => out.push_str("null"),
        Some(number) if number.fract() == 0.0 && number.abs() < EXACT => {
            out.push_str(itoa::Buffer::new().format(number as i64));
        }
        Some(number) => match serde_json::to_string(&number) {
            Ok(text) => out.push_str(&text),
            Err(_) => out.push_str("null"),
        },
    }
}
