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
use crate::hub::tasks::size::Held;
use crate::hub::tasks::state::{Task, View, is_false};
use crate::wire::message::Status;
use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version that is written. The first version wrote none, which reads as 0.
const VERSION: u32 = 2;

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    v: u32,
}

/// A row. The view is borrowed when written. The estimator is a type of its own when written and raw JSON when read: one that cannot be
/// read is left out without the row.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row<V, E> {
    v: u32,
    /// When the row was written, in Unix milliseconds.
    saved_at: u64,
    /// Time since the last accepted event, in microseconds.
    news_age_us: u64,
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer_seq: Option<u64>,
    view: V,
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

impl Task {
    pub fn saved(&self, now: Now) -> String {
        let age_us = |at: Time| now.at.saturating_since(at).as_micros();
        let has_estimate = self.estimator != Estimator::default();
        let row: Row<&View, SavedEstimator> = Row {
            v: VERSION,
            saved_at: now.wall_ms,
            news_age_us: age_us(self.last_event),
            seq: self.seq,
            producer_seq: self.producer_seq,
            view: &self.view,
            app_rate: self.app_rate,
            announced: self.announced,
            has_progress: self.has_progress,
            lost: self.status_before_lost,
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
        row: Row<View, Box<RawValue>>,
        now: Now,
    ) -> Result<Self, serde_json::Error> {
        // Wall time bridges the two processes; from there the ages lead back to moments of this clock.
        let then_us = now.time_of(row.saved_at).as_micros();
        let moment = |age_us: u64| Time::from_micros(then_us.saturating_sub(age_us));
        let mut task = Self::new(id.into(), moment(row.news_age_us));
        (task.seq, task.producer_seq) = (row.seq, row.producer_seq);
        (task.app_rate, task.announced) = (row.app_rate, row.announced);
        (task.has_progress, task.status_before_lost) = (row.has_progress, row.lost);
        task.restarted_at = row.restart_age_us.map(moment);
        task.view = row.view;
        task.size_bound = Held::new(&task, false).bytes();
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

// A plain `default` would demand that `E` has one.
fn none<E>() -> Option<E> {
    None
}
