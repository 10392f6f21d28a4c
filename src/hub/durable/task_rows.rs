//! The row of a task: its whole state as viewers see it, and what only the server knows of it.
//!
//! Owns the form of the row, which has a version of its own. Why not store what viewers are sent? That form does not tell unknown from
//! 0, and a producer's event is checked and interpreted on its way in, so that neither restores exactly what was. Unknown values are
//! absent. Times of the monotonic clock are stored as ages relative to `savedAt`, because such a clock means nothing to another
//! process. `first` reads the rows of the first version; rows of a newer version are refused and kept as they are.

mod first;
#[cfg(test)]
mod tests;

use crate::base::time::{Now, Time};
use crate::hub::tasks::estimate::{Estimator, SavedEstimator};
use crate::hub::tasks::fields::EtaSource;
use crate::hub::tasks::own_fields::OwnFields;
use crate::hub::tasks::requested::Requested;
use crate::hub::tasks::size::Ledger;
use crate::hub::tasks::state::{Task, View};
use crate::wire::message::{Control, Status};
use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version that is written. The first version wrote none, which reads as 0.
const VERSION: u32 = 2;

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    v: u32,
}

/// A row. The estimator is a type of its own when written and raw JSON when read: one that cannot be read is left out without the row.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a, E> {
    v: u32,
    /// When the row was written, in Unix milliseconds.
    saved_at: u64,
    /// Time since the last accepted event, in microseconds.
    news_age_us: u64,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer_seq: Option<u64>,
    view: ViewRow<'a>,
    #[serde(default, skip_serializing_if = "is_false")]
    app_rate: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    announced: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    has_progress: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lost: Option<Status>,
    /// Time since `restart` began the attempt, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restart_age_us: Option<u64>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    estimator: Option<E>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ViewRow<'a> {
    status: Status,
    progress: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stage: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimated_time_remaining: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimated_end_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Cow<'a, RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eta_source: Option<EtaSource>,
    #[serde(default, skip_serializing_if = "is_false")]
    stalled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<u64>,
    updated_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_id: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meta: Option<Cow<'a, RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requested: Option<RequestedRow<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    controls: Option<Vec<Control>>,
    /// Fields that the contract does not name. Pairs, so that none can collide with a field of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    own: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
}

#[derive(Serialize, Deserialize)]
struct RequestedRow<'a> {
    action: Control,
    by: Cow<'a, str>,
    at: u64,
}

impl Task {
    pub fn saved(&self, now: Now) -> String {
        let age_us = |at: Time| now.at.saturating_since(at).as_micros();
        let has_estimate = self.estimator != Estimator::default();
        let row: Row<'_, SavedEstimator> = Row {
            v: VERSION,
            saved_at: now.wall_ms,
            news_age_us: age_us(self.last_event),
            seq: self.seq,
            producer_seq: self.producer_seq,
            view: ViewRow::new(&self.view),
            app_rate: self.app_rate,
            announced: self.announced,
            has_progress: self.has_progress,
            lost: self.lost,
            restart_age_us: self.restarted_at.map(age_us),
            estimator: has_estimate.then(|| self.estimator.saved(now)),
        };
        serde_json::to_string(&row).expect("a row is plain JSON")
    }

    pub fn restored(id: &str, row: &str, now: Now) -> Result<Self, serde_json::Error> {
        // The version is read by itself first, because a row of a newer one need not have these fields.
        let Version { v } = serde_json::from_str(row)?;
        match v {
            0 => first::restored(id, row, now),
            VERSION => Self::from_row(id, serde_json::from_str(row)?, now),
            newer => Err(Error::custom(format!(
                "version {newer} is not known; expected {VERSION} at most"
            ))),
        }
    }

    fn from_row(
        id: &str,
        row: Row<'_, Box<RawValue>>,
        now: Now,
    ) -> Result<Self, serde_json::Error> {
        // Wall time bridges the two processes; from there the ages lead back to moments of this clock.
        let then_us = now.time_of(row.saved_at).as_micros();
        let moment = |age_us: u64| Time::from_micros(then_us.saturating_sub(age_us));
        let mut task = Self::new(id.into(), moment(row.news_age_us));
        (task.seq, task.producer_seq) = (row.seq, row.producer_seq);
        (task.app_rate, task.announced) = (row.app_rate, row.announced);
        (task.has_progress, task.lost) = (row.has_progress, row.lost);
        task.restarted_at = row.restart_age_us.map(moment);
        task.view = row.view.view();
        task.size_bound = Ledger::of(&task).bytes();
        // A task without its estimate is better than no task: the estimate starts over.
        let estimator = row.estimator.as_deref().map(RawValue::get);
        let saved = estimator.and_then(|text| serde_json::from_str(text).ok());
        task.estimator =
            saved.map_or_else(Estimator::default, |saved| Estimator::restored(saved, now));
        // As if sent: viewers come with version 0 and get a snapshot anyway.
        task.refresh_indeterminate();
        task.commit();
        Ok(task)
    }
}

impl<'a> ViewRow<'a> {
    fn new(view: &'a View) -> Self {
        // Destructured without `..`: a new field that is not stored does not compile.
        let View {
            status,
            progress,
            current,
            total,
            stage,
            estimated_time_remaining,
            estimated_end_at,
            message,
            result,
            error,
            attempt,
            rate,
            eta_source,
            stalled,
            started_at,
            updated_at,
            parent_id,
            meta,
            requested,
            controls,
            indeterminate: _,
            own,
        } = view;
        Self {
            status: *status,
            progress: *progress,
            current: *current,
            total: *total,
            stage: stage.as_deref().map(Cow::Borrowed),
            estimated_time_remaining: *estimated_time_remaining,
            estimated_end_at: *estimated_end_at,
            message: message.as_deref().map(Cow::Borrowed),
            result: result.as_deref().map(Cow::Borrowed),
            error: error.as_deref().map(Cow::Borrowed),
            attempt: *attempt,
            rate: *rate,
            eta_source: *eta_source,
            stalled: *stalled,
            started_at: *started_at,
            updated_at: *updated_at,
            parent_id: parent_id.as_deref().map(Cow::Borrowed),
            meta: meta.as_deref().map(Cow::Borrowed),
            requested: requested.as_deref().map(RequestedRow::new),
            controls: controls.map(|controls| controls.iter().collect()),
            own: own
                .iter()
                .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
                .collect(),
        }
    }

    fn view(self) -> View {
        let text = |text: Option<Cow<'_, str>>| text.map(|text| text.into_owned().into());
        let raw = |raw: Option<Cow<'_, RawValue>>| raw.map(Cow::into_owned);
        let mut own = OwnFields::default();
        for (name, value) in self.own {
            // Version 0: no viewer of this process has seen an older one.
            own.set(name.into_owned().into(), Some(value.into_owned()), 0);
        }
        View {
            status: self.status,
            progress: self.progress,
            current: self.current,
            total: self.total,
            stage: text(self.stage),
            estimated_time_remaining: self.estimated_time_remaining,
            estimated_end_at: self.estimated_end_at,
            message: text(self.message),
            result: raw(self.result),
            error: raw(self.error),
            attempt: self.attempt,
            rate: self.rate,
            eta_source: self.eta_source,
            stalled: self.stalled,
            started_at: self.started_at,
            updated_at: self.updated_at,
            parent_id: text(self.parent_id),
            meta: raw(self.meta),
            requested: self.requested.map(RequestedRow::requested),
            controls: self.controls.map(|controls| controls.into_iter().collect()),
            // Derived: the caller computes it once the estimator is there.
            indeterminate: false,
            own,
        }
    }
}

impl<'a> RequestedRow<'a> {
    fn new(requested: &'a Requested) -> Self {
        Self {
            action: requested.control,
            by: Cow::Borrowed(&requested.by),
            at: requested.at,
        }
    }

    fn requested(self) -> Box<Requested> {
        Box::new(Requested {
            control: self.action,
            by: self.by.into_owned().into(),
            at: self.at,
        })
    }
}

// A plain `default` would demand that `E` has one.
fn none<E>() -> Option<E> {
    None
}

fn is_false(flag: &bool) -> bool {
    !flag
}
