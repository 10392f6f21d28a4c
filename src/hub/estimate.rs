//! How fast a task moves: a time-weighted, double-smoothed rate.
//!
//! The arithmetic is that of indicatif's `Estimator` (its `state.rs`), with time as an argument: two exponentially
//! weighted averages in a row, each normalised for the time before the first sample, reweighted at every reading
//! so that a stall shows. Time spent paused does not count.

use crate::base::time::{Now, Span, Time};
use serde::{Deserialize, Serialize};

/// Samples weigh a tenth after this many seconds.
const WEIGHTING_SECONDS: f64 = 15.0;
/// Fewer advances than this say nothing.
const MIN_ADVANCES: u32 = 3;
/// A shorter observation than this says nothing.
const MIN_OBSERVATION: Span = Span::from_secs(3);

/// The observed speed of one task within one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Estimator {
    observed: Option<Observed>,
    paused_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq)]
struct Observed {
    start: Time,
    last: Time,
    steps: f64,
    advances: u32,
    smoothed: f64,
    double_smoothed: f64,
}

/// An estimator as a store keeps it: moments are ages in microseconds, because monotonic clocks do not travel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SavedEstimator {
    saved_at: u64,
    observed: Option<SavedObserved>,
    paused_us: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedObserved {
    start_us: u64,
    last_us: u64,
    steps: f64,
    advances: u32,
    smoothed: f64,
    double_smoothed: f64,
}

impl Estimator {
    /// All that a restored estimator needs.
    pub fn saved(&self, now: Now) -> SavedEstimator {
        let age = |at: Time| now.at.saturating_since(at).as_micros();
        SavedEstimator {
            saved_at: now.wall_ms,
            observed: self.observed.as_ref().map(|observed| SavedObserved {
                start_us: age(observed.start),
                last_us: age(observed.last),
                steps: observed.steps,
                advances: observed.advances,
                smoothed: observed.smoothed,
                double_smoothed: observed.double_smoothed,
            }),
            paused_us: self.paused_at.map(age),
        }
    }

    /// The estimator that was saved; the time until now has passed for the task as well.
    pub fn restored(saved: SavedEstimator, now: Now) -> Self {
        let then = now.time_of(saved.saved_at).as_micros();
        let time = |age_us: u64| Time::from_micros(then.saturating_sub(age_us));
        Self {
            observed: saved.observed.map(|observed| Observed {
                start: time(observed.start_us),
                last: time(observed.last_us),
                steps: observed.steps,
                advances: observed.advances,
                smoothed: observed.smoothed,
                double_smoothed: observed.double_smoothed,
            }),
            paused_at: saved.paused_us.map(time),
        }
    }

    /// Takes note that the task stands at `steps`. Standing still changes nothing; going back begins anew.
    pub fn record(&mut self, steps: f64, now: Time) {
        match &mut self.observed {
            Some(observed) if steps >= observed.steps => observed.advance(steps, now),
            _ => self.observed = Some(Observed::new(steps, now)),
        }
    }

    /// Stops the clock.
    pub fn pause(&mut self, now: Time) {
        self.paused_at.get_or_insert(now);
    }

    /// Lets the clock go on; the pause leaves no trace in the rate.
    pub fn resume(&mut self, now: Time) {
        let Some(paused_at) = self.paused_at.take() else {
            return;
        };
        let pause = now.saturating_since(paused_at);
        if let Some(observed) = &mut self.observed {
            observed.start += pause;
            observed.last += pause;
        }
    }

    /// Steps a second, once three advances and three seconds have been seen.
    pub fn rate(&self, now: Time) -> Option<f64> {
        let observed = self.observed.as_ref()?;
        let now = self.paused_at.unwrap_or(now);
        let known = observed.advances >= MIN_ADVANCES
            && now.saturating_since(observed.start) >= MIN_OBSERVATION;
        known
            .then(|| observed.rate(now))
            .filter(|rate| rate.is_finite() && *rate > 0.0)
    }
}

impl Observed {
    fn new(steps: f64, now: Time) -> Self {
        Self {
            start: now,
            last: now,
            steps,
            advances: 0,
            smoothed: 0.0,
            double_smoothed: 0.0,
        }
    }

    fn advance(&mut self, steps: f64, now: Time) {
        let elapsed = now.saturating_since(self.last).as_secs_f64();
        if steps <= self.steps || elapsed <= 0.0 {
            return;
        }
        let fresh = (steps - self.steps) / elapsed;
        let weight = weight(elapsed);
        self.smoothed = self.smoothed * weight + fresh * (1.0 - weight);
        let normalised = self.smoothed / self.total_weight(now);
        self.double_smoothed = self.double_smoothed * weight + normalised * (1.0 - weight);
        self.steps = steps;
        self.last = now;
        self.advances = self.advances.saturating_add(1);
    }

    fn rate(&self, now: Time) -> f64 {
        let reweight = weight(now.saturating_since(self.last).as_secs_f64());
        let total_weight = self.total_weight(now);
        let smoothed = self.smoothed * reweight / total_weight;
        let double_smoothed = self.double_smoothed * reweight + smoothed * (1.0 - reweight);
        double_smoothed / total_weight
    }

    /// What the samples since the start weigh, of an infinite past's 1.
    fn total_weight(&self, now: Time) -> f64 {
        1.0 - weight(now.saturating_since(self.start).as_secs_f64())
    }
}

fn weight(age_s: f64) -> f64 {
    0.1_f64.powf(age_s / WEIGHTING_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn nothing_is_said_before_three_advances_and_three_seconds() {
        let mut estimator = Estimator::default();
        (0..=2).for_each(|second| estimator.record(second as f64, at(second)));
        assert_eq!(estimator.rate(at(60)), None, "two advances");
        estimator.record(3.0, at(3));
        assert!(estimator.rate(at(3)).is_some());
        let mut hasty = Estimator::default();
        (0..=9).for_each(|step| hasty.record(step as f64, Time::from_millis(step * 100)));
        assert_eq!(
            hasty.rate(Time::from_millis(900)),
            None,
            "less than three seconds"
        );
    }

    #[test]
    fn a_steady_task_has_its_rate() {
        let mut estimator = Estimator::default();
        (0..=20).for_each(|second| estimator.record(second as f64 * 5.0, at(second)));
        let rate = estimator.rate(at(20)).unwrap();
        assert!((rate - 5.0).abs() < 0.01, "{rate}");
    }

    #[test]
    fn a_pause_leaves_no_trace() {
        let mut estimator = Estimator::default();
        (0..=10).for_each(|second| estimator.record(second as f64, at(second)));
        let before = estimator.rate(at(10)).unwrap();
        estimator.pause(at(10));
        assert_eq!(estimator.rate(at(500)).unwrap(), before, "frozen");
        estimator.resume(at(510));
        estimator.record(11.0, at(511));
        let after = estimator.rate(at(511)).unwrap();
        assert!((after - before).abs() < 0.1, "{before} {after}");
    }

    #[test]
    fn a_stall_shows() {
        let mut estimator = Estimator::default();
        (0..=10).for_each(|second| estimator.record(second as f64, at(second)));
        assert!(estimator.rate(at(40)).unwrap() < 0.2);
    }
}
