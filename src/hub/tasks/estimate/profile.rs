//! One course of work as a list of timed reports, and a reader that compares the time left with the truth at many moments.

use super::estimator::{Estimator, Position};
use crate::base::time::{Span, Time};

/// The factor by which an estimate may be wrong.
const TOLERANCE: f64 = 1.5;
const STALL_TIMEOUT: Span = Span::from_secs(60);
/// Advances after which a new base line is expected to be known.
const ADVANCES_OF_CHANGE: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::hub) enum Report {
    Steps(f64, f64),
    /// `current` without a total, and `progress`.
    Count(f64, f64),
    Percent(f64),
    Stage(f64, f64),
    Pause,
    Resume,
}

/// Reports in order of time; the last one ends the work.
#[derive(Debug, Clone, Default)]
pub(in crate::hub) struct Profile {
    reports: Vec<(u64, Report)>,
    /// Readings before this moment are not compared.
    pub(in crate::hub) from_ms: u64,
    /// Milliseconds by which an estimate may be wrong near the end, where a factor says nothing: irregular work has irregular last steps.
    pub(in crate::hub) slack_ms: f64,
    /// Compares with the mean speed of the base line instead of the truth, which no estimate can know before the work changes.
    pub(in crate::hub) is_of_base_line: bool,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct Reading {
    /// The index of the last report.
    pub(in crate::hub) index: usize,
    pub(in crate::hub) moment_ms: u64,
    pub(in crate::hub) left_ms: Option<f64>,
    pub(in crate::hub) truth_ms: Option<f64>,
    /// By the average speed since the base line began, as of the last report.
    pub(in crate::hub) average_ms: Option<f64>,
}

/// The base line as a reader without an estimator would see it.
#[derive(Debug, Clone, Copy)]
struct Mean {
    began: (u64, f64),
    last: (u64, f64),
    target: f64,
    advances: u32,
}

impl Profile {
    /// Begins with `first` at time 0.
    pub(in crate::hub) fn new(first: Report) -> Self {
        let mut profile = Self::default();
        profile.reports.push((0, first));
        profile
    }

    /// Adds a report `gap_ms` after the last.
    pub(in crate::hub) fn then(&mut self, gap_ms: u64, report: Report) {
        self.reports.push((self.end_ms() + gap_ms, report));
    }

    pub(in crate::hub) fn end_ms(&self) -> u64 {
        self.reports.last().map_or(0, |(at_ms, _)| *at_ms)
    }

    /// Compares readings from the first tenth of the work on.
    pub(in crate::hub) fn after_a_tenth(mut self) -> Self {
        let work_ms = self.work_ms();
        let whole_ms = work_ms[work_ms.len() - 1];
        let (mut before_ms, mut from_ms) = (0, self.end_ms());
        while before_ms < from_ms {
            let middle_ms = (before_ms + from_ms) / 2;
            match (whole_ms - self.work_left_ms(&work_ms, middle_ms)) * 10 >= whole_ms {
                true => from_ms = middle_ms,
                false => before_ms = middle_ms + 1,
            }
        }
        self.from_ms = from_ms;
        self
    }

    /// Compares readings at many moments, and returns how many.
    pub(in crate::hub) fn check(&self, name: &str) -> usize {
        let mut compared = 0;
        for reading in self.readings(STALL_TIMEOUT) {
            let moment_ms = reading.moment_ms;
            let (false, Some(truth_ms)) = (moment_ms < self.from_ms, reading.truth_ms) else {
                continue;
            };
            let left_ms = reading.left_ms;
            let left_ms =
                left_ms.unwrap_or_else(|| panic!("{name}: nothing is known at {moment_ms} ms"));
            self.compare(name, moment_ms, left_ms, truth_ms);
            compared += 1;
        }
        compared
    }

    /// Readings at many moments, without those at which the task is stalled.
    pub(in crate::hub) fn readings(&self, stall_timeout: Span) -> Vec<Reading> {
        let (mut estimator, mut position) = (Estimator::default(), Position::default());
        let (mut mean, mut last_ms) = (None, 0);
        let (work_ms, mut readings) = (self.work_ms(), Vec::new());
        for (index, (at_ms, report)) in self.reports.iter().enumerate() {
            let silence = Span::from_millis(at_ms - last_ms);
            if *report != Report::Resume && silence > estimator.patience(stall_timeout) {
                estimator.wake(silence);
            }
            last_ms = *at_ms;
            apply(&mut estimator, &mut position, *report, *at_ms);
            mean = Mean::after(mean, *report, *at_ms);
            let Some((next_ms, _)) = self.reports.get(index + 1) else {
                break;
            };
            for part in [0.0, 0.05, 0.35, 0.65, 0.95, 1.0] {
                let moment_ms = at_ms + ((next_ms - at_ms) as f64 * part) as u64;
                let is_stalled =
                    Span::from_millis(moment_ms - at_ms) > estimator.patience(stall_timeout);
                if moment_ms == *next_ms || is_stalled {
                    continue;
                }
                readings.push(Reading {
                    index,
                    moment_ms,
                    left_ms: estimator.left_ms(position, None, Time::from_millis(moment_ms)),
                    truth_ms: self.truth_ms(mean, &work_ms, moment_ms),
                    average_ms: mean.and_then(|mean| mean.average_left_ms()),
                });
            }
        }
        readings
    }

    fn compare(&self, name: &str, moment_ms: u64, left_ms: f64, truth_ms: f64) {
        let is_near = (left_ms - truth_ms).abs() <= self.slack_ms + 1.0;
        let factor = (left_ms / truth_ms).max(truth_ms / left_ms);
        assert!(
            is_near || factor <= TOLERANCE,
            "{name}: {left_ms} ms left at {moment_ms} ms, in truth {truth_ms}"
        );
    }

    fn truth_ms(&self, mean: Option<Mean>, work_ms: &[u64], moment_ms: u64) -> Option<f64> {
        match self.is_of_base_line {
            true => mean?.left_ms(moment_ms),
            false => Some(self.work_left_ms(work_ms, moment_ms) as f64),
        }
    }

    /// The time still to be spent working, pauses left out.
    fn work_left_ms(&self, work_ms: &[u64], moment_ms: u64) -> u64 {
        let index = self
            .reports
            .partition_point(|(at_ms, _)| *at_ms <= moment_ms)
            - 1;
        let since_ms = moment_ms - self.reports[index].0;
        let next_ms = work_ms.get(index + 1).copied().unwrap_or(work_ms[index]);
        let done_ms = (work_ms[index] + since_ms).min(next_ms);
        work_ms[work_ms.len() - 1] - done_ms
    }

    /// The time that was spent working before each report.
    fn work_ms(&self) -> Vec<u64> {
        let (mut done_ms, mut is_paused, mut last_ms) = (0, false, 0);
        let reports = self.reports.iter();
        reports
            .map(|(at_ms, report)| {
                done_ms += if is_paused { 0 } else { at_ms - last_ms };
                last_ms = *at_ms;
                is_paused = *report == Report::Pause || is_paused && *report != Report::Resume;
                done_ms
            })
            .collect()
    }
}

impl Mean {
    fn after(known: Option<Self>, report: Report, at_ms: u64) -> Option<Self> {
        let (steps, target) = match report {
            Report::Steps(steps, total) | Report::Stage(steps, total) => (steps, total),
            _ => return known,
        };
        let goes_on =
            known.filter(|mean| mean.target == target && !matches!(report, Report::Stage(..)));
        let Some(mut mean) = goes_on else {
            return Some(Self {
                began: (at_ms, steps),
                last: (at_ms, steps),
                target,
                advances: 0,
            });
        };
        mean.advances += 1;
        mean.last = (at_ms, steps);
        Some(mean)
    }

    fn average_left_ms(self) -> Option<f64> {
        let (steps, seen_ms) = (self.last.1 - self.began.1, self.last.0 - self.began.0);
        (steps > 0.0).then(|| (self.target - self.last.1) / steps * seen_ms as f64)
    }

    fn left_ms(self, moment_ms: u64) -> Option<f64> {
        if self.advances < ADVANCES_OF_CHANGE || self.last.1 >= self.target {
            return None;
        }
        let rate = (self.last.1 - self.began.1) / (self.last.0 - self.began.0) as f64;
        let left_ms = (self.target - self.last.1) / rate - (moment_ms - self.last.0) as f64;
        Some(left_ms.max(1.0))
    }
}

/// Feeds a report to an estimator as the rules do with an event.
pub(in crate::hub) fn apply(
    estimator: &mut Estimator,
    position: &mut Position,
    report: Report,
    at_ms: u64,
) {
    let now = Time::from_millis(at_ms);
    match report {
        Report::Pause => return estimator.pause(now),
        Report::Resume => return estimator.resume(now),
        Report::Percent(percent) => position.percent = Some(percent),
        Report::Count(current, percent) => {
            (position.current, position.percent) = (Some(current), Some(percent));
        }
        Report::Steps(current, total) | Report::Stage(current, total) => {
            if position.total != Some(total) || matches!(report, Report::Stage(..)) {
                estimator.begin_base_line();
            }
            (position.current, position.total) = (Some(current), Some(total));
        }
    }
    estimator.record(*position, now);
}
