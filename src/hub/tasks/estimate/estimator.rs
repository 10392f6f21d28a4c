//! One task's estimator: its clock, which stops while the task is paused, its base lines, and the application's own estimate.
//!
//! Owns all that is measured of one task within one attempt; a new attempt starts with a new estimator. Never sees a status: its caller
//! says `pause`, `resume`, `wake` and `begin_base_line`. Until there is a sample it holds nothing on the heap. A base line is *over* when
//! stage or total have changed: it says nothing more, and the next number begins another.

use super::line::{BaseLine, Unit, is_default};
use crate::base::time::{Span, Time};
use serde::{Deserialize, Serialize};

/// A task is stalled after this many usual gaps at the earliest.
const GAPS_BEFORE_STALL: u32 = 4;
/// The longest time left that the application may name, in milliseconds (31,000 years); more is taken for this, so that sums fit.
const MAX_APP_REMAINING_MS: f64 = 1e15;

/// Where a task stands, in each unit that it has named.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Position {
    pub current: Option<f64>,
    pub total: Option<f64>,
    /// `progress`, when it is known.
    pub percent: Option<f64>,
}

/// The observed speed of one task within one attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Estimator {
    /// Boxed, because many tasks are never measured.
    pub(in crate::hub) lines: Option<Box<Lines>>,
    /// When the task ends by the application's own estimate, on the task's clock.
    pub(in crate::hub) app_end_us: Option<i64>,
    /// When the clock stopped. Pausing costs nothing; it is `resume` that shifts what is known by the length of the pause.
    pub(in crate::hub) paused_at_us: Option<i64>,
    /// The attempt has had a base line: later ones need less to be known than the first.
    pub(in crate::hub) is_later: bool,
}

/// The base lines of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::hub) struct Lines {
    /// Stage or total has changed: the next number begins a base line.
    #[serde(rename = "over", default, skip_serializing_if = "is_default")]
    pub(in crate::hub) is_over: bool,
    pub(in crate::hub) main: BaseLine,
    /// Percent beside steps without a total, which say how fast but not how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::hub) percent: Option<Box<BaseLine>>,
}

impl Position {
    /// `total`, if it is above 0 and so can be reached.
    fn target(self) -> Option<f64> {
        self.total.filter(|total| *total > 0.0)
    }

    /// What the main base line counts.
    fn main(self) -> Option<(Unit, f64)> {
        let steps = self.current.map(|current| (Unit::Steps, current));
        steps.or_else(|| self.percent.map(|percent| (Unit::Percent, percent)))
    }

    /// Percent, where `current` counts towards no total.
    fn beside(self) -> Option<f64> {
        self.percent
            .filter(|_| self.current.is_some() && self.target().is_none())
    }
}

impl Estimator {
    /// Takes a sample. Standing still changes nothing; a lower number or another unit begins a base line.
    pub fn record(&mut self, position: Position, now: Time) {
        let (Some((unit, steps)), now_us) = (position.main(), micros(now)) else {
            return;
        };
        // Lower numbers are no mistake here: the rules have let them pass, so the work was begun again.
        let goes_on = |lines: &&mut Box<Lines>| !lines.is_over && lines.main.continues(unit, steps);
        let Some(lines) = self.lines.as_mut().filter(goes_on) else {
            // Read before it is set: this base line may be the attempt's first, all others are not.
            let is_later = std::mem::replace(&mut self.is_later, true) || self.lines.is_some();
            let begun = Lines {
                is_over: false,
                main: BaseLine::new(unit, steps, now_us, is_later),
                percent: begin_beside(position, now_us, is_later),
            };
            match &mut self.lines {
                Some(lines) => **lines = begun,
                None => self.lines = Some(Box::new(begun)),
            }
            return;
        };
        lines.main.record(steps, now_us);
        match (&mut lines.percent, position.beside()) {
            (Some(line), Some(percent)) => line.record(percent, now_us),
            (None, Some(_)) => lines.percent = begin_beside(position, now_us, true),
            _ => {}
        }
    }

    /// Ends the base line: stage or total has changed.
    pub fn begin_base_line(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.is_over = true;
        }
    }

    /// Stops the clock.
    pub fn pause(&mut self, now: Time) {
        // Paused already: the clock stopped at the first pause.
        self.paused_at_us.get_or_insert(micros(now));
    }

    /// Starts the clock again, and moves what is known by the length of the pause, which leaves no trace in rate and time left.
    pub fn resume(&mut self, now: Time) {
        if let Some(paused_at_us) = self.paused_at_us.take() {
            self.shift((micros(now) - paused_at_us).max(0));
        }
    }

    /// Moves what is known by a span.
    pub(in crate::hub) fn shift(&mut self, span_us: i64) {
        if let Some(lines) = &mut self.lines {
            lines.each(|line| line.shift(span_us));
        }
        if let Some(end_us) = &mut self.app_end_us {
            *end_us = end_us.saturating_add(span_us);
        }
    }

    /// A stalled task is heard of again after this much silence, which is left out of its speed.
    pub fn wake(&mut self, silence: Span) {
        if let Some(lines) = &mut self.lines {
            lines.each(|line| line.wake(bounded(silence.as_micros())));
        }
    }

    /// Takes the application's own estimate: `remaining_ms` from now on, or `None` to withdraw it.
    pub fn set_app_remaining(&mut self, remaining_ms: Option<f64>, now: Time) {
        let now_us = self.clock_us(now);
        self.app_end_us = remaining_ms.map(|remaining_ms| {
            let remaining_us = (remaining_ms.min(MAX_APP_REMAINING_MS) * 1000.0) as i64;
            now_us.saturating_add(remaining_us)
        });
    }

    /// Milliseconds left by the application's own estimate: `None` without one, `Some(None)` when the time it named is over.
    pub fn app_remaining_ms(&self, now: Time) -> Option<Option<f64>> {
        let left_us = self.app_end_us?.saturating_sub(self.clock_us(now));
        Some((left_us > 0).then_some(left_us as f64 / 1000.0))
    }

    /// Units a second, of `current`, or percent where nothing else is counted; `None` until enough was seen.
    pub fn rate(&self, position: Position, now: Time) -> Option<f64> {
        let lines = self.known()?;
        // A rate needs no target; it is asked for only because enough is known once a part of the work is done.
        let target = match position.current {
            Some(_) => position.target(),
            None => Some(100.0),
        };
        lines.main.rate(target, self.clock_us(now))
    }

    /// Milliseconds until `current` reaches `total`, or `progress` reaches 100, if the task goes on as it does. `app_rate`, the
    /// application's, is in units of `current` and so never applied to percent.
    pub fn left_ms(&self, position: Position, app_rate: Option<f64>, now: Time) -> Option<f64> {
        let (lines, now_us) = (self.known()?, self.clock_us(now));
        match (position.current, position.target()) {
            (Some(_), Some(total)) => lines.main.left_ms(total, app_rate, now_us),
            // Steps without a total have a rate but no end; that comes from `progress`, if the application names it.
            (Some(_), None) => lines.percent.as_ref()?.left_ms(100.0, None, now_us),
            (None, _) => lines.main.left_ms(100.0, None, now_us),
        }
    }

    /// How long ago the base line that the end is computed from last advanced, and how long an advance usually takes.
    pub fn waited(&self, position: Position, now: Time) -> Option<(Span, Span)> {
        let lines = self.known()?;
        let is_beside = position.current.is_some() && position.target().is_none();
        let beside = lines.percent.as_deref().filter(|_| is_beside);
        let (waited_us, usual_us) = beside.unwrap_or(&lines.main).waited_us(self.clock_us(now));
        let span = |span_us: i64| Span::from_micros(span_us.max(0).unsigned_abs());
        Some((span(waited_us), span(usual_us)))
    }

    /// How long the task may be silent until it is stalled: `stall_timeout`, or longer if its usual gaps are.
    pub fn patience(&self, stall_timeout: Span) -> Span {
        // Of the main line: silence is measured against whatever the task counts, with or without an end.
        let usual_us = self.known().and_then(|lines| lines.main.pace_us());
        let usual = Span::from_micros(usual_us.unwrap_or(0).unsigned_abs());
        stall_timeout.max(usual * GAPS_BEFORE_STALL)
    }

    /// The base lines, unless they are over.
    fn known(&self) -> Option<&Lines> {
        self.lines.as_deref().filter(|lines| !lines.is_over)
    }

    /// The time on the task's clock, which stands still during a pause.
    fn clock_us(&self, now: Time) -> i64 {
        self.paused_at_us.unwrap_or_else(|| micros(now))
    }
}

impl Lines {
    pub(in crate::hub) fn each(&mut self, change: impl Fn(&mut BaseLine)) {
        change(&mut self.main);
        if let Some(percent) = &mut self.percent {
            change(percent);
        }
    }
}

fn begin_beside(position: Position, now_us: i64, is_later: bool) -> Option<Box<BaseLine>> {
    let percent = position.beside()?;
    Some(Box::new(BaseLine::new(
        Unit::Percent,
        percent,
        now_us,
        is_later,
    )))
}

/// A moment as a signed number, because a restored task began before this process, whose clock starts at 0.
pub(in crate::hub) fn micros(time: Time) -> i64 {
    bounded(time.as_micros())
}

/// Microseconds capped at 2^60 (36,000 years), so that a few of them can be added and subtracted without overflow.
pub(in crate::hub) fn bounded(span_us: u64) -> i64 {
    const MOST: u64 = 1 << 60;
    span_us.min(MOST) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn steps(current: f64, total: f64) -> Position {
        Position {
            current: Some(current),
            total: Some(total).filter(|total| *total > 0.0),
            percent: None,
        }
    }

    fn steady(seconds: u64) -> Estimator {
        let mut estimator = Estimator::default();
        (0..=seconds)
            .for_each(|second| estimator.record(steps(second as f64, 1_000.0), at(second)));
        estimator
    }

    #[test]
    fn nothing_is_said_before_three_advances_and_three_seconds() {
        let mut estimator = steady(2);
        let position = steps(2.0, 1_000.0);
        assert_eq!(estimator.rate(position, at(60)), None, "two advances");
        estimator.record(steps(3.0, 1_000.0), at(3));
        assert!(estimator.rate(position, at(3)).is_some());
        let mut hasty = Estimator::default();
        for step in 0..=9 {
            hasty.record(
                steps(f64::from(step), 1_000.0),
                Time::from_millis(100 * step as u64),
            );
        }
        assert_eq!(
            hasty.rate(position, Time::from_millis(900)),
            None,
            "less than three seconds"
        );
    }

    #[test]
    fn lateness_alone_lowers_the_rate() {
        let (estimator, position) = (steady(100), steps(100.0, 1_000.0));
        let rate = |second| estimator.rate(position, at(second)).expect("a rate");
        assert_eq!(rate(100), 1.0);
        assert_eq!(rate(101), 1.0, "no later than usual");
        assert!(rate(140) < 0.2, "{}", rate(140));
        let left_ms = |second| {
            estimator
                .left_ms(position, None, at(second))
                .expect("an end")
        };
        assert!((left_ms(101) - 899_000.0).abs() < 1.0, "{}", left_ms(101));
        assert!((102..500).all(|second| left_ms(second) > left_ms(second - 1) - 1_000.0));
    }

    #[test]
    fn the_last_step_is_never_due_at_once_and_none_is_left_when_it_is_done() {
        let mut estimator = steady(10);
        let position = steps(10.0, 11.0);
        for late_ms in [0, 1, 500, 5_000, 500_000] {
            let now = Time::from_millis(11_000 + late_ms);
            let left_ms = estimator.left_ms(position, None, now).expect("an end");
            assert!(left_ms >= late_ms as f64 && left_ms >= 1.0, "{left_ms}");
        }
        estimator.record(steps(11.0, 11.0), at(12));
        assert_eq!(estimator.left_ms(steps(11.0, 11.0), None, at(12)), None);
    }

    #[test]
    fn a_rate_needs_no_total_and_an_end_does() {
        let mut estimator = Estimator::default();
        (0..=9).for_each(|second| estimator.record(steps(second as f64 * 7.0, 0.0), at(second)));
        let position = steps(63.0, 0.0);
        assert_eq!(estimator.rate(position, at(9)), Some(7.0));
        assert_eq!(estimator.left_ms(position, None, at(9)), None);
        assert_eq!(
            estimator.left_ms(position, Some(7.0), at(9)),
            None,
            "by own rate neither"
        );
    }

    #[test]
    fn an_own_rate_counts_in_steps_alone() {
        let estimator = steady(10);
        let left_ms = estimator.left_ms(steps(10.0, 1_000.0), Some(2.0), at(10));
        assert_eq!(left_ms, Some(495_000.0));
        let mut percent = Estimator::default();
        let position = |percent| Position {
            percent: Some(percent),
            ..Position::default()
        };
        (0..=50).for_each(|second| percent.record(position(f64::from(second)), at(second as u64)));
        assert_eq!(
            percent.left_ms(position(50.0), Some(120.0), at(50)),
            Some(50_000.0)
        );
    }

    #[test]
    fn going_back_begins_a_base_line() {
        let mut estimator = steady(50);
        estimator.record(steps(3.0, 1_000.0), at(51));
        assert_eq!(estimator.rate(steps(3.0, 1_000.0), at(51)), None);
        (1..=3).for_each(|step| {
            estimator.record(steps(3.0 + step as f64, 1_000.0), at(51 + 2 * step))
        });
        assert_eq!(estimator.rate(steps(6.0, 1_000.0), at(57)), Some(0.5));
    }

    #[test]
    fn patience_is_four_usual_gaps_or_the_stall_timeout() {
        let timeout = Span::from_secs(60);
        assert_eq!(Estimator::default().patience(timeout), timeout);
        assert_eq!(steady(10).patience(timeout), timeout);
        let mut sparse = Estimator::default();
        (0..=5).for_each(|step| sparse.record(steps(step as f64, 50.0), at(65 * step)));
        assert_eq!(sparse.patience(timeout), Span::from_secs(260));
        sparse.begin_base_line();
        assert_eq!(
            sparse.patience(timeout),
            timeout,
            "another stage has another pace"
        );
    }

    #[test]
    fn an_estimate_of_the_application_counts_down_while_the_task_runs() {
        let mut estimator = Estimator::default();
        estimator.set_app_remaining(Some(90_000.0), at(10));
        assert_eq!(estimator.app_remaining_ms(at(40)), Some(Some(60_000.0)));
        estimator.pause(at(40));
        estimator.resume(at(4_000));
        assert_eq!(estimator.app_remaining_ms(at(4_010)), Some(Some(50_000.0)));
        assert_eq!(
            estimator.app_remaining_ms(at(4_060)),
            Some(None),
            "the time is over"
        );
        for word_ms in [f64::MAX, 1e300, 0.0] {
            estimator.set_app_remaining(Some(word_ms), at(10));
            assert!(estimator.app_remaining_ms(at(10)).is_some());
        }
        estimator.set_app_remaining(None, at(10));
        assert_eq!(estimator.app_remaining_ms(at(10)), None);
    }

    #[test]
    fn fast_work_keeps_its_rate_to_the_digit() {
        let mut estimator = Estimator::default();
        for step in 0..300_000_u64 {
            estimator.record(steps(step as f64, 1e9), Time::from_micros(step * 50));
        }
        let rate = estimator.rate(steps(299_999.0, 1e9), Time::from_micros(299_999 * 50));
        assert!((rate.expect("a rate") - 20_000.0).abs() < 0.01, "{rate:?}");
    }

    #[test]
    fn an_unmeasured_task_costs_little() {
        assert!(size_of::<Estimator>() <= 48, "{}", size_of::<Estimator>());
        assert!(size_of::<Lines>() <= 256, "{}", size_of::<Lines>());
    }
}
