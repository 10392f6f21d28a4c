//! The state of one task, versioned field by field, so that what a viewer lacks is known without keeping it.
//!
//! Owns the fields of contract section 4 and how they are written as JSON. The rules by which events change them
//! stand in [`crate::hub::tasks::rules`].

use crate::base::time::{Now, Time};
use crate::hub::tasks::estimate::Estimator;
use crate::hub::tasks::fields::Estimate;
use crate::hub::tasks::fields::EtaSource;
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::listing::Listing;
use crate::hub::tasks::own_fields::{Change, OwnFields};
use crate::hub::tasks::requested::Requested;
use crate::wire::message::envelope::push_string;
use crate::wire::message::number::MAX_COUNT;
use crate::wire::message::{Controls, Status};
use serde_json::value::RawValue;

/// Fields whose change alone is held back by the threshold (contract section 4).
const MOVEMENT: u32 = 1 << TaskField::Progress as u8
    | 1 << TaskField::Current as u8
    | 1 << TaskField::Rate as u8
    | 1 << TaskField::EstimatedTimeRemaining as u8
    | 1 << TaskField::EstimatedEndAt as u8;
/// Fields that ride along with other changes and never cause a message.
const PASSENGERS: u32 = 1 << TaskField::UpdatedAt as u8 | 1 << TaskField::EtaSource as u8;

/// What marks a whole state as the first of a connection.
const SNAPSHOT: &str = ",\"snapshot\":true";
/// What marks that of a task which was lost.
const REVIVED: &str = ",\"revived\":true";

/// Cleared fields of one task that are remembered at once, for deltas.
const MAX_TOMBSTONES: usize = 32;

/// What viewers see of a task.
#[derive(Debug, Default)]
pub struct View {
    /// `status`
    pub status: Status,
    /// `progress`, 0 to 100.
    pub progress: f64,
    /// `current`
    pub current: Option<f64>,
    /// `total`
    pub total: Option<f64>,
    /// `stage`
    pub stage: Option<Box<str>>,
    /// `estimatedTimeRemaining`, in milliseconds.
    pub estimated_time_remaining: Option<f64>,
    /// `estimatedEndAt`, in milliseconds since 1970.
    pub estimated_end_at: Option<u64>,
    /// `message`
    pub message: Option<Box<str>>,
    /// `result`
    pub result: Option<Box<RawValue>>,
    /// `error`
    pub error: Option<Box<RawValue>>,
    /// `attempt`
    pub attempt: Option<u64>,
    /// `rate`
    pub rate: Option<f64>,
    /// `etaSource`
    pub eta_source: Option<EtaSource>,
    /// `stalled`
    pub stalled: bool,
    /// `startedAt`
    pub started_at: Option<u64>,
    /// `updatedAt`
    pub updated_at: u64,
    /// `parentId`
    pub parent_id: Option<Box<str>>,
    /// `meta`
    pub meta: Option<Box<RawValue>>,
    /// `requested`
    pub requested: Option<Box<Requested>>,
    /// `controls`; `None`: the worker has not said which it honours.
    pub controls: Option<Controls>,
    /// `indeterminate`: the task has not ended, and there is nothing to count by.
    pub indeterminate: bool,
    /// Fields that the contract does not name.
    pub own: OwnFields,
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub id: Box<str>,
    /// What viewers see.
    pub view: View,
    /// The number that the newest state carries as `seq`.
    pub seq: u64,
    /// The producer's last `seq` of this attempt.
    pub producer_seq: Option<u64>,
    /// Whether `rate` is the application's own.
    pub app_rate: bool,
    /// Whether `task_started` went out in this attempt and the task has not been paused since.
    pub announced: bool,
    /// Whether the application has named `progress` in this attempt: until then 0 means unknown.
    pub has_progress: bool,
    /// The status in which it was given up as lost: its end is provisional, and news of this attempt revive it.
    pub lost: Option<Status>,
    /// When the attempt was begun by `restart`, until another event counts.
    pub restarted_at: Option<Time>,
    /// At least as many bytes as the fields take, by the measure of [`crate::hub::tasks::size`].
    pub size_bound: usize,
    /// The speed of the task.
    pub estimator: Estimator,
    /// When the last event was accepted.
    pub last_event: Time,
    /// When progress last went out.
    pub last_flush: Option<Time>,
    /// Whether and when pending progress will go out.
    pub flush: Flush,
    /// Whether the store has yet to learn of it.
    pub is_unsaved: bool,
    /// Where time will find it.
    pub listing: Listing,
    /// When to see whether the end that was told has moved away, if it may.
    pub late_look: Option<Time>,
    /// When the oldest change that has not gone out was accepted.
    pub pending_since: Option<Time>,
    pub(in crate::hub) version: u32,
    pub(in crate::hub) versions: [u32; TaskField::COUNT],
    pub(in crate::hub) changed: u32,
    pub(in crate::hub) flushed_progress: f64,
    /// Deltas can be made for those who have seen this version, or a later one.
    pub(in crate::hub) delta_floor: u32,
}

/// Whether and when pending progress will go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Nothing is planned.
    Idle,
    /// At the end of this turn.
    Marked,
    /// When a timer of that time fires.
    Armed(Time),
}

/// How much a task's pending changes matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// Nothing to send.
    Nothing,
    /// Movement below the threshold: it may wait ten intervals.
    Small,
    /// To be sent with the next interval.
    Significant,
}

impl Task {
    /// A task that has just become known.
    pub fn new(id: Box<str>, now: Time) -> Self {
        Self {
            id,
            view: View {
                indeterminate: true,
                ..View::default()
            },
            seq: 0,
            producer_seq: None,
            app_rate: false,
            announced: false,
            has_progress: false,
            lost: None,
            restarted_at: None,
            size_bound: 0,
            estimator: Estimator::default(),
            last_event: now,
            last_flush: None,
            flush: Flush::Idle,
            is_unsaved: false,
            listing: Listing::Unlisted,
            late_look: None,
            pending_since: None,
            version: 1,
            versions: [0; TaskField::COUNT],
            changed: 0,
            flushed_progress: 0.0,
            delta_floor: 0,
        }
    }

    /// The version of the state that was last sent.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Records that a field has changed since the last flush.
    pub fn mark(&mut self, field: TaskField) {
        self.changed |= field.bit();
        self.versions[field as usize] = self.version + 1;
    }

    /// Whether a field has changed since the last flush.
    pub fn is_marked(&self, field: TaskField) -> bool {
        self.changed & field.bit() != 0
    }

    /// The state moves: viewers get a number above the last, the producer's own where that is higher.
    pub fn count_event(&mut self, producer_seq: Option<u64>) {
        let next = (self.seq + 1).max(producer_seq.unwrap_or(0));
        self.seq = next.min(MAX_COUNT);
    }

    /// Sets or clears a field that the contract does not name.
    pub fn set_own(&mut self, name: Box<str>, value: Option<Box<RawValue>>) {
        let is_full = || self.view.own.tombstones() >= MAX_TOMBSTONES;
        if value.is_none() && is_full() {
            // Whoever has not seen these cleared is sent the whole state.
            self.view.own.drop_tombstones();
            self.delta_floor = self.version + 1;
        }
        if self.view.own.set(name, value, self.version + 1) == Change::Changed {
            self.mark(TaskField::Own);
        }
    }

    /// Whether what has changed after a version is still known field by field.
    pub fn has_delta(&self, seen: u32) -> bool {
        seen >= self.delta_floor
    }

    /// How much the pending changes matter.
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

    /// Makes the pending changes the state that has been sent.
    pub fn commit(&mut self) {
        if self.changed != 0 {
            self.version += 1;
            self.changed = 0;
        }
        self.flushed_progress = self.view.progress;
        self.pending_since = None;
    }

    /// Sets `indeterminate` from what there is to count by.
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
        (self.view.progress - self.flushed_progress).abs() >= min_change_threshold
    }

    /// The status as far as events are concerned: that of a lost task is the one in which it was given up.
    pub fn standing(&self) -> Status {
        self.lost.unwrap_or(self.view.status)
    }

    /// The whole state as JSON, as all who watch have been told it; with `snapshot`, marked as one.
    pub fn whole(&self, snapshot: bool) -> String {
        let mark = if snapshot { SNAPSHOT } else { "" };
        self.write_whole(mark, self.told_estimate())
    }

    /// The whole state as it is now: the estimate moves without any event.
    pub fn whole_at(&self, snapshot: bool, now: Now) -> String {
        let mark = if snapshot { SNAPSHOT } else { "" };
        self.write_whole(mark, self.estimate_at(now))
    }

    /// The same of a task that was lost and is heard of again, marked as such.
    pub fn revived(&self, now: Now) -> String {
        self.write_whole(REVIVED, self.estimate_at(now))
    }

    fn write_whole(&self, mark: &str, estimate: Estimate) -> String {
        let mut out = self.begin();
        TaskField::NAMED
            .into_iter()
            .filter(|field| self.shown(*field, estimate))
            .for_each(|field| self.push(&mut out, field, estimate));
        self.view.own.push_all(&mut out);
        out.push_str(mark);
        out.push('}');
        out
    }

    /// What has changed after `seen`, as JSON, as it was when the estimate was last refreshed; status and progress in any case,
    /// for pages that keep no state of their own.
    pub fn delta(&self, seen: u32) -> String {
        self.write_delta(seen, self.told_estimate())
    }

    /// The same some time later, for a reader who was behind: it counts the time left from the message's `timestamp`.
    pub fn delta_at(&self, seen: u32, now: Now) -> String {
        let of_now = self.estimate_at(now);
        let estimate = Estimate {
            remaining_ms: of_now.remaining_ms,
            end_at_ms: of_now.end_at_ms,
            ..self.told_estimate()
        };
        self.write_delta(seen, estimate)
    }

    fn write_delta(&self, seen: u32, estimate: Estimate) -> String {
        let mut out = self.begin();
        let is_told = |field: &TaskField| {
            self.versions[*field as usize] > seen
                || matches!(field, TaskField::Status | TaskField::Progress)
        };
        TaskField::NAMED
            .into_iter()
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

    /// Whether a whole state names the field: what seed 000's interface demands always, the others when they are set.
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

/// Whole numbers without a fraction, as JavaScript writes them.
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
