//! A task's speed and end as viewers see them (contract section 4: `rate`, `estimatedTimeRemaining`, `estimatedEndAt`, `etaSource`),
//! and when a change of them is worth a message.
//!
//! The estimator measures; here its result meets the status, silence, and what the application says itself, which wins. There are two
//! estimates: [`Task::estimate_at`] is right for its moment and written for one reader; the one in the task's
//! [`View`](crate::hub::tasks::state::View) is what all subscribers were told, and moves only at [`Task::refresh_estimate`]. The
//! estimate changes with every microsecond: were that a change of the task, every task would be sent at every interval.

use crate::base::time::{Now, Span, Time};
use crate::hub::tasks::estimate::Position;
use crate::hub::tasks::fields::Estimate;
use crate::hub::tasks::fields::{EtaSource, TaskField};
use crate::hub::tasks::state::Task;
use crate::wire::message::{Field, Status};

/// Estimates beyond a year are noise; leave them out.
const MAX_ESTIMATE_MS: f64 = 365.0 * 24.0 * 3600.0 * 1000.0;
/// A change of the end by more than this is sent,
const MIN_MOVE_MS: f64 = 1000.0;
/// unless it is less than this part of the time left.
const MIN_MOVE_PART: f64 = 0.02;
/// A late task is looked at no earlier than this after it was due, and after the last look;
const MIN_LATE_LOOK: Span = Span::from_secs(1);
/// later on each time the silence has grown by one part in this many, so that looks get rarer as it lasts.
const LATE_LOOK_PART: u64 = 4;

impl Task {
    /// Gives the estimator a sample. `names_percent`: the event named `progress`.
    pub fn record_position(&mut self, names_percent: bool, now: Time) {
        let mut position = self.position();
        // Elsewhere 0 means unknown; a 0 that the application names is where its work begins.
        if names_percent {
            position.percent = Some(self.view.progress);
        }
        self.estimator.record(position, now);
    }

    /// Applies `estimatedTimeRemaining` and `rate` of an event. An end settles the time left even if the event does not mention it.
    pub fn apply_app_estimate(&mut self, remaining_ms: Field<f64>, rate: Field<f64>, now: Now) {
        if let Some(rate) = rate.into_change() {
            self.app_rate = rate.is_some();
            self.set_rate(rate);
        }
        match (remaining_ms.into_change(), self.view.status) {
            (Some(remaining_ms), _) => {
                self.estimator.set_app_remaining(remaining_ms, now.at);
                self.set_estimate(remaining_ms, remaining_ms.map(|_| EtaSource::App));
            }
            (None, Status::Completed) => self.set_estimate(Some(0.0), None),
            (None, status) if status.is_terminal() => self.set_estimate(None, None),
            (None, _) => {}
        }
    }

    /// The estimate of this moment.
    pub fn estimate_at(&self, now: Now) -> Estimate {
        let told = self.told_estimate();
        if self.view.status.is_terminal() {
            return Estimate {
                end_at_ms: None,
                ..told
            };
        }
        let is_stalled = self.view.stalled && self.view.status == Status::Running;
        // The rate of a stalled task is the one before the silence, which may be the connection's fault and not the work's.
        let observed_at = if is_stalled { self.last_event } else { now.at };
        let rate = match self.app_rate {
            true => told.rate,
            false => {
                let observed = self.estimator.rate(self.position(), observed_at);
                observed.map(rounded).filter(|rate| *rate > 0.0)
            }
        };
        if is_stalled {
            return Estimate {
                rate,
                ..Estimate::default()
            };
        }
        // `Some(None)`: the application named an end that is past. No observed one takes its place until it clears its own.
        match self.estimator.app_remaining_ms(now.at) {
            Some(left_ms) => self.app_estimate(told, rate, left_ms, now),
            None => self.observed_estimate(rate, now),
        }
    }

    /// What all subscribers were told, or are about to be.
    pub(in crate::hub) fn told_estimate(&self) -> Estimate {
        Estimate {
            rate: self.view.rate,
            remaining_ms: self.view.estimated_time_remaining,
            end_at_ms: self.view.estimated_end_at,
            source: self.view.eta_source,
        }
    }

    /// Makes the estimate of this moment the one that all subscribers are told. An end that has hardly moved stays as it is.
    pub fn refresh_estimate(&mut self, now: Now) {
        let estimate = self.estimate_at(now);
        self.set_rate(estimate.rate);
        self.set_estimate(estimate.remaining_ms, estimate.source);
        if has_moved(self.view.estimated_end_at, estimate) {
            self.view.estimated_end_at = estimate.end_at_ms;
            self.mark(TaskField::EstimatedEndAt);
        }
    }

    /// Whether subscribers were told an end that time alone can move: an observed one. The application's own stands until it says another.
    pub fn may_be_late(&self) -> bool {
        let view = &self.view;
        let is_observed =
            view.estimated_end_at.is_some() && view.eta_source != Some(EtaSource::App);
        is_observed && view.status == Status::Running && !view.stalled
    }

    /// Plans a look at the end that is told now, unless an earlier one is planned; `false`: the end cannot move.
    pub fn plan_late_look(&mut self, now: Time) -> bool {
        let next = self.next_late_look(now);
        let planned = self.late_look.into_iter();
        self.late_look = next.map(|next| planned.fold(next, Time::min));
        next.is_some()
    }

    /// When to look at the task's end again, after a look or a message at this moment: soon after it would be late, or, if it is late
    /// already, when the silence has grown noticeably.
    pub fn next_late_look(&self, now: Time) -> Option<Time> {
        let (waited, usual) = self.waited(now)?;
        let (waited_us, usual_us) = (waited.as_micros(), usual.as_micros());
        let wait = match usual_us.checked_sub(waited_us) {
            Some(early_us) => MIN_LATE_LOOK + Span::from_micros(early_us),
            None => MIN_LATE_LOOK.max(Span::from_micros(waited_us / LATE_LOOK_PART)),
        };
        Some(now + wait)
    }

    /// Whether the next advance takes longer than usual, so that the end moves away.
    pub fn is_late(&self, now: Time) -> bool {
        self.waited(now)
            .is_some_and(|(waited, usual)| waited > usual)
    }

    /// How long ago a task that may be late last advanced, and how long an advance usually takes.
    fn waited(&self, now: Time) -> Option<(Span, Span)> {
        let position = self.may_be_late().then(|| self.position())?;
        self.estimator.waited(position, now)
    }

    /// Refreshes the estimate of a late task if its end has moved noticeably; `true` if there is something to send.
    pub fn look_late(&mut self, now: Now) -> bool {
        // A snapshot for a client that joined has refreshed the estimate without sending it to the others.
        let is_ahead = self.is_marked(TaskField::EstimatedEndAt);
        if is_ahead || has_moved(self.view.estimated_end_at, self.estimate_at(now)) {
            self.refresh_estimate(now);
            return true;
        }
        false
    }

    pub fn set_rate(&mut self, rate: Option<f64>) {
        if self.view.rate != rate {
            self.view.rate = rate;
            self.mark(TaskField::Rate);
        }
    }

    /// Sets `estimatedTimeRemaining` and `etaSource`.
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
            // 0 is also what `progress` is before it is named.
            percent: Some(view.progress).filter(|progress| *progress > 0.0),
        }
    }

    /// The application's own estimate. It counts down in steps of more than a second: until then viewers see the number that
    /// was sent, and not one that is off by the milliseconds since.
    fn app_estimate(
        &self,
        told: Estimate,
        rate: Option<f64>,
        left_ms: Option<f64>,
        now: Now,
    ) -> Estimate {
        let Some(left_ms) = left_ms else {
            return Estimate {
                rate,
                ..Estimate::default()
            };
        };
        let told = Some(told).filter(|told| told.source == Some(EtaSource::App));
        let remaining_ms = told
            .and_then(|told| told.remaining_ms)
            .filter(|told_ms| (told_ms - left_ms).abs() <= MIN_MOVE_MS);
        let end_at_ms = self.end_at_ms(left_ms, now).map(|end_at_ms| {
            let told = told.and_then(|told| told.end_at_ms);
            told.filter(|told_ms| told_ms.abs_diff(end_at_ms) as f64 <= MIN_MOVE_MS)
                .unwrap_or(end_at_ms)
        });
        Estimate {
            rate,
            remaining_ms: Some(remaining_ms.unwrap_or(left_ms.round().max(1.0))),
            end_at_ms,
            source: Some(EtaSource::App),
        }
    }

    fn observed_estimate(&self, rate: Option<f64>, now: Now) -> Estimate {
        let app_rate = rate.filter(|_| self.app_rate);
        let left_ms = match self.view.status {
            Status::Running | Status::Paused => {
                self.estimator.left_ms(self.position(), app_rate, now.at)
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

    /// `None` unless the task is running: while the clock stands still the end is unknown.
    fn end_at_ms(&self, left_ms: f64, now: Now) -> Option<u64> {
        let is_known = self.view.status == Status::Running && left_ms <= MAX_ESTIMATE_MS;
        is_known.then(|| now.wall_ms.saturating_add(left_ms.round() as u64))
    }
}

/// Whether the end differs noticeably from the one that was told.
fn has_moved(told_ms: Option<u64>, estimate: Estimate) -> bool {
    match (told_ms, estimate.end_at_ms) {
        (Some(told_ms), Some(end_at_ms)) => {
            let part_ms = estimate.remaining_ms.unwrap_or(0.0) * MIN_MOVE_PART;
            told_ms.abs_diff(end_at_ms) as f64 > part_ms.max(MIN_MOVE_MS)
        }
        (told_ms, end_at_ms) => told_ms != end_at_ms,
    }
}

/// Rounds a rate to three decimals, and to four digits where it is below 1: one step an hour is a rate as well.
fn rounded(rate: f64) -> f64 {
    // Scaling could make such a number infinite, and there is no fraction left to round.
    if rate >= 1e15 {
        return rate;
    }
    let decimals = (3 - rate.log10().floor() as i32).clamp(3, 18);
    let scale = 10_f64.powi(decimals);
    (rate * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rates_of_any_size_stay_numbers() {
        for rate in [5e-324, 1e-300, 0.333_333, 1.0, 1e15, 1.7e308, f64::MAX] {
            let shown = rounded(rate);
            assert!(
                shown.is_finite() && (shown - rate).abs() <= rate * 1e-3 + 1e-18,
                "{rate}: {shown}"
            );
        }
    }
}
