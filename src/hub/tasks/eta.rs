//! What a task says of its speed and its end (contract section 4: `rate`, `estimatedTimeRemaining`, `estimatedEndAt`,
//! `etaSource`), and when that counts as news.
//!
//! The estimator measures; here its answer meets status, silence and the application's own word. What is written for
//! one reader is right at that moment; the state that all have been told moves at [`Task::refresh_estimate`] only.

use crate::base::time::{Now, Span, Time};
use crate::hub::tasks::estimate::Position;
use crate::hub::tasks::fields::Estimate;
use crate::hub::tasks::fields::{EtaSource, TaskField};
use crate::hub::tasks::state::Task;
use crate::wire::message::{Field, Status};

/// Estimates beyond a year are noise; leave them out.
const MAX_ESTIMATE_MS: f64 = 365.0 * 24.0 * 3600.0 * 1000.0;
/// An end that has moved by this much is worth telling,
const MIN_MOVE_MS: f64 = 1000.0;
/// unless so much is left that nobody would see it.
const MIN_MOVE_PART: f64 = 0.02;
/// A late task is looked at this long after it was due and after the last look,
const MIN_LATE_LOOK: Span = Span::from_secs(1);
/// or when it has been silent for this part of the silence longer: looks get rarer as it goes on.
const LATE_LOOK_PART: u64 = 4;

impl Task {
    /// Records where the task stands; `names_percent`: the event that led here named `progress`.
    pub fn record_position(&mut self, names_percent: bool, now: Time) {
        let mut position = self.position();
        if names_percent {
            position.percent = Some(self.view.progress);
        }
        self.estimator.record(position, now);
    }

    /// Takes what an event says of time left and rate. At the end both are settled without a word.
    pub fn take_own_word(&mut self, remaining_ms: Field<f64>, rate: Field<f64>, now: Now) {
        if let Some(rate) = rate.into_change() {
            self.app_rate = rate.is_some();
            self.set_rate(rate);
        }
        if let Some(remaining_ms) = remaining_ms.into_change() {
            self.estimator.say(remaining_ms, now.at);
            self.set_estimate(remaining_ms, remaining_ms.map(|_| EtaSource::App));
        } else if self.view.status == Status::Completed {
            self.set_estimate(Some(0.0), None);
        } else if self.view.status.is_terminal() {
            self.set_estimate(None, None);
        }
    }

    /// What is to be said at this moment.
    pub fn estimate_at(&self, now: Now) -> Estimate {
        let told = self.told_estimate();
        if self.view.status.is_terminal() {
            return Estimate {
                end_at_ms: None,
                ..told
            };
        }
        let is_stalled = self.view.stalled && self.view.status == Status::Running;
        // The silence of a stalled task says nothing of its speed.
        let observed_at = if is_stalled { self.last_event } else { now.at };
        let observed = || self.estimator.rate(self.position(), observed_at);
        let own = told.rate.filter(|_| self.app_rate);
        let rate = own.or_else(|| {
            let observed = observed().map(readable);
            observed.filter(|rate| *rate > 0.0 && !self.app_rate)
        });
        if is_stalled {
            return Estimate {
                rate,
                ..Estimate::default()
            };
        }
        match self.estimator.said_ms(now.at) {
            Some(said_ms) => self.said_estimate(told, rate, said_ms, now),
            None => self.observed_estimate(rate, own, now),
        }
    }

    /// What all who watch have been told, or are about to be.
    pub(in crate::hub) fn told_estimate(&self) -> Estimate {
        Estimate {
            rate: self.view.rate,
            remaining_ms: self.view.estimated_time_remaining,
            end_at_ms: self.view.estimated_end_at,
            source: self.view.eta_source,
        }
    }

    /// Makes the estimate of this moment the one that all will be told. An end that has hardly moved stays.
    pub fn refresh_estimate(&mut self, now: Now) {
        let estimate = self.estimate_at(now);
        self.set_rate(estimate.rate);
        self.set_estimate(estimate.remaining_ms, estimate.source);
        if has_moved(self.view.estimated_end_at, estimate) {
            self.view.estimated_end_at = estimate.end_at_ms;
            self.mark(TaskField::EstimatedEndAt);
        }
    }

    /// Whether all have been told an end that moves with time alone.
    pub fn may_be_late(&self) -> bool {
        let view = &self.view;
        let is_observed =
            view.estimated_end_at.is_some() && view.eta_source != Some(EtaSource::App);
        is_observed && view.status == Status::Running && !view.stalled
    }

    /// When to look at the task again for its end, after a look or a message at this moment. A task that is not late is
    /// looked at when it would be.
    pub fn next_late_look(&self, now: Time) -> Option<Time> {
        let (waited, usual) = self.waited(now)?;
        let (waited_us, usual_us) = (waited.as_micros(), usual.as_micros());
        let wait = match usual_us.checked_sub(waited_us) {
            Some(early_us) => MIN_LATE_LOOK + Span::from_micros(early_us),
            None => MIN_LATE_LOOK.max(Span::from_micros(waited_us / LATE_LOOK_PART)),
        };
        Some(now + wait)
    }

    /// Whether its next advance takes longer than usual, so that its end moves away.
    pub fn is_late(&self, now: Time) -> bool {
        self.waited(now)
            .is_some_and(|(waited, usual)| waited > usual)
    }

    /// How long a task that may be late has not advanced, and how long that usually takes.
    fn waited(&self, now: Time) -> Option<(Span, Span)> {
        let position = self.may_be_late().then(|| self.position())?;
        self.estimator.waited(position, now)
    }

    /// A look at a late task: an end that has moved becomes the one that all will be told; `true`: it has.
    pub fn look_late(&mut self, now: Now) -> bool {
        // Whoever came meanwhile was told more than the others.
        let is_ahead = self.is_marked(TaskField::EstimatedEndAt);
        if is_ahead || has_moved(self.view.estimated_end_at, self.estimate_at(now)) {
            self.refresh_estimate(now);
            return true;
        }
        false
    }

    /// Sets `rate`.
    pub fn set_rate(&mut self, rate: Option<f64>) {
        if self.view.rate != rate {
            self.view.rate = rate;
            self.mark(TaskField::Rate);
        }
    }

    /// Sets `estimatedTimeRemaining` and who says so.
    pub fn set_estimate(&mut self, remaining_ms: Option<f64>, source: Option<EtaSource>) {
        if self.view.estimated_time_remaining != remaining_ms {
            self.view.estimated_time_remaining = remaining_ms;
            self.mark(TaskField::EstimatedTimeRemaining);
        }
        if self.view.eta_source != source {
            self.view.eta_source = source;
            self.mark(TaskField::EtaSource);
        }
    }

    fn position(&self) -> Position {
        let view = &self.view;
        Position {
            current: view.current,
            total: view.total,
            percent: Some(view.progress).filter(|progress| *progress > 0.0),
        }
    }

    /// The application's word counts down by whole seconds at least, so that it is shown as it was said.
    fn said_estimate(
        &self,
        told: Estimate,
        rate: Option<f64>,
        said_ms: Option<f64>,
        now: Now,
    ) -> Estimate {
        let Some(said_ms) = said_ms else {
            return Estimate {
                rate,
                ..Estimate::default()
            };
        };
        let told = Some(told).filter(|told| told.source == Some(EtaSource::App));
        let remaining_ms = told
            .and_then(|told| told.remaining_ms)
            .filter(|told_ms| (told_ms - said_ms).abs() <= MIN_MOVE_MS);
        let end_at_ms = self.end_at_ms(said_ms, now).map(|end_at_ms| {
            let told = told.and_then(|told| told.end_at_ms);
            told.filter(|told_ms| told_ms.abs_diff(end_at_ms) as f64 <= MIN_MOVE_MS)
                .unwrap_or(end_at_ms)
        });
        Estimate {
            rate,
            remaining_ms: Some(remaining_ms.unwrap_or(said_ms.round().max(1.0))),
            end_at_ms,
            source: Some(EtaSource::App),
        }
    }

    fn observed_estimate(&self, rate: Option<f64>, own: Option<f64>, now: Now) -> Estimate {
        let left_ms = match self.view.status {
            Status::Running | Status::Paused => {
                self.estimator.left_ms(self.position(), own, now.at)
            }
            _ => None,
        };
        let remaining_ms = left_ms
            .map(f64::round)
            .filter(|left_ms| *left_ms <= MAX_ESTIMATE_MS);
        Estimate {
            rate,
            remaining_ms,
            end_at_ms: remaining_ms.and_then(|left_ms| self.end_at_ms(left_ms, now)),
            source: remaining_ms.map(|_| EtaSource::Rate),
        }
    }

    /// Only the clock of a running task leads to an end.
    fn end_at_ms(&self, left_ms: f64, now: Now) -> Option<u64> {
        let is_known = self.view.status == Status::Running && left_ms <= MAX_ESTIMATE_MS;
        is_known.then(|| now.wall_ms.saturating_add(left_ms.round() as u64))
    }
}

fn has_moved(told_ms: Option<u64>, estimate: Estimate) -> bool {
    match (told_ms, estimate.end_at_ms) {
        (Some(told_ms), Some(end_at_ms)) => {
            let part_ms = estimate.remaining_ms.unwrap_or(0.0) * MIN_MOVE_PART;
            told_ms.abs_diff(end_at_ms) as f64 > part_ms.max(MIN_MOVE_MS)
        }
        (told_ms, end_at_ms) => told_ms != end_at_ms,
    }
}

/// Three decimals, and four digits where a task is slow: one step an hour is a rate as well.
fn readable(rate: f64) -> f64 {
    // Rounding would make such a number infinite, and has nothing left to round.
    if rate >= 1e15 {
        return rate;
    }
    let decimals = (3 - rate.log10().floor() as i32).clamp(3, 18);
    let scale = 10_f64.powi(decimals);
    (rate * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn rates_of_any_size_stay_numbers() {
        for rate in [5e-324, 1e-300, 0.333_333, 1.0, 1e15, 1.7e308, f64::MAX] {
            let shown = readable(rate);
            assert!(
                shown.is_finite() && (shown - rate).abs() <= rate * 1e-3 + 1e-18,
                "{rate}: {shown}"
            );
        }
    }
}
