//! One base line: how far the work is, how fast it went, and when it will be done if it goes on so.
//!
//! The rate is work over time, both weighted by `exp(-age / time constant)`, so that it is unbiased from the first
//! advance on. Advances that come faster than a fraction of the time constant are summed and weighed together: most
//! cost no `exp`. The end is foretold from the last advance and not from the moment of reading, so it stands still
//! while a steady task works on its next step. Times are microseconds of the task's own clock, which pauses shift.

use super::gaps::Gaps;
use serde::{Deserialize, Serialize};

/// The time constant is this many usual gaps,
const GAPS_PER_TIME_CONSTANT: i64 = 8;
/// but no shorter
const MIN_TIME_CONSTANT_US: i64 = 15_000_000;
/// and no longer than this.
const MAX_TIME_CONSTANT_US: i64 = 600_000_000;
/// Advances within this fraction of the time constant are weighed together (a shift: 1/32).
const WEIGHED_TOGETHER_SHIFT: u32 = 5;
/// A gap this many times as long as the usual one is looked at more closely.
const UNUSUAL_GAPS: i64 = 8;
/// What was seen before a gap this many times as long says nothing: observation began within a burst.
const OUTWEIGHS: f64 = 4.0;
/// Fewer advances than this say nothing of an attempt,
const MIN_ADVANCES: u32 = 3;
/// nor does a shorter observation,
const MIN_OBSERVATION_US: i64 = 3_000_000;
/// unless this part of the work is done.
const TELLING_PART: f64 = 0.1;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Unit {
    /// `current`
    #[serde(rename = "s")]
    Steps,
    /// `progress`
    #[serde(rename = "p")]
    Percent,
}

/// How far the work was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, f64)", into = "(i64, f64)")]
pub(super) struct Point {
    at_us: i64,
    steps: f64,
}

/// The observed speed of one attempt, stage, total and unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BaseLine {
    unit: Unit,
    /// Earlier base lines of the attempt have been seen.
    #[serde(rename = "later", default, skip_serializing_if = "is_default")]
    is_later: bool,
    advances: u32,
    base: Point,
    /// The last advance.
    last: Point,
    /// Up to here the work is part of `done`.
    weighed: Point,
    /// The last advance before the last long gap: where a burst began.
    rested: Point,
    /// Steps, each weighted.
    done: f64,
    /// Seconds, each weighted.
    #[serde(rename = "time")]
    time_s: f64,
    gaps: Gaps,
    /// The usual gap as of the last weighing; 0: unknown.
    #[serde(rename = "usual", default, skip_serializing_if = "is_default")]
    usual_us: i64,
    /// How long the task was stalled since the last advance.
    #[serde(rename = "silence", default, skip_serializing_if = "is_default")]
    silence_us: i64,
    /// What is left of the time in which another stall as long as the last would be no exception.
    #[serde(rename = "doubt", default, skip_serializing_if = "is_default")]
    doubt_us: i64,
}

/// Rows are written as often as tasks move: what is nothing is left out.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BaseLine {
    pub(super) fn new(unit: Unit, steps: f64, now_us: i64, is_later: bool) -> Self {
        let base = Point {
            at_us: now_us,
            steps,
        };
        Self {
            unit,
            is_later,
            advances: 0,
            base,
            last: base,
            weighed: base,
            rested: base,
            done: 0.0,
            time_s: 0.0,
            gaps: Gaps::default(),
            usual_us: 0,
            silence_us: 0,
            doubt_us: 0,
        }
    }

    /// Whether these numbers go on from those that were recorded.
    pub(super) fn continues(&self, unit: Unit, steps: f64) -> bool {
        unit == self.unit && steps >= self.last.steps
    }

    /// Records where the task stands. Standing still changes nothing.
    pub(super) fn record(&mut self, steps: f64, now_us: i64) {
        if steps <= self.last.steps {
            return;
        }
        let gap_us = now_us - self.last.at_us;
        if gap_us <= 0 && self.silence_us == 0 {
            return self.add_to_last(steps);
        }
        if self.silence_us > 0 && !self.is_usual_silence(gap_us) {
            return self.skip(steps, now_us);
        }
        let gap_us = now_us - self.last.at_us;
        let is_rested = gap_us * 2 > self.usual_us;
        let tail_us = self.last.at_us - self.weighed.at_us;
        // A burst is weighed together with the rest before it, or it would weigh more than that.
        if tail_us >= time_constant_us(self.usual_us) >> WEIGHED_TOGETHER_SHIFT
            && (is_rested || tail_us > self.usual_us * 2)
        {
            self.weigh();
        }
        if is_rested {
            self.rested = self.last;
        }
        self.gaps.add(gap_us);
        if gap_us > self.usual_us * UNUSUAL_GAPS {
            self.handle_unusual_gap(gap_us);
        }
        self.last = Point {
            at_us: now_us,
            steps,
        };
        self.advances = self.advances.saturating_add(1);
    }

    /// The task was stalled and lives: the silence is no work and no lateness.
    pub(super) fn wake(&mut self, silence_us: i64) {
        if self.has_pace() {
            self.shift(silence_us);
            self.silence_us += silence_us;
        }
    }

    /// Moves all that is known of the past by `span_us`.
    pub(super) fn shift(&mut self, span_us: i64) {
        for point in [
            &mut self.base,
            &mut self.last,
            &mut self.weighed,
            &mut self.rested,
        ] {
            point.at_us = point.at_us.saturating_add(span_us);
        }
    }

    /// The gap by which silence is measured, in microseconds, once there is a pace.
    pub(super) fn pace_us(&self) -> Option<i64> {
        self.usual_us().filter(|_| self.has_pace())
    }

    fn usual_us(&self) -> Option<i64> {
        self.gaps.usual_us()
    }

    /// One gap is no pace: the silence in it may have been a stall, or simply the first step.
    fn has_pace(&self) -> bool {
        self.advances >= 2
    }

    /// How long ago the last advance was, and how long the next usually takes.
    pub(super) fn waited_us(&self, now_us: i64) -> (i64, i64) {
        (now_us - self.last.at_us, self.usual_us().unwrap_or(0))
    }

    /// Steps a second, of work that is done at `target`.
    pub(super) fn rate(&self, target: Option<f64>, now_us: i64) -> Option<f64> {
        let rate = self
            .is_known(target, now_us)
            .then(|| self.pace(now_us).late);
        rate.filter(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// Milliseconds until `target`; `own_rate`: by the application's word instead of observation.
    pub(super) fn left_ms(&self, target: f64, own_rate: Option<f64>, now_us: i64) -> Option<f64> {
        if self.last.steps >= target || own_rate.is_none() && !self.is_known(Some(target), now_us) {
            return None;
        }
        let pace = match own_rate {
            Some(rate) => Pace {
                on_time: rate,
                late: rate,
            },
            None => self.pace(now_us),
        };
        if !(pace.late > 0.0 && pace.late.is_finite()) {
            return None;
        }
        let end_after_us = |point: Point| {
            (point.at_us - self.last.at_us) as f64 + (target - point.steps) / pace.on_time * 1e6
        };
        let end_us = match self.gaps.are_bursty() {
            // Within a burst nobody knows how much of it is still to come: the end of the one before is the measure.
            true => end_after_us(self.last).min(end_after_us(self.rested)),
            false => end_after_us(self.last),
        };
        let waited_us = (now_us - self.last.at_us).max(0);
        let usual_us = self.usual_us().unwrap_or(0);
        let left_us = match waited_us - usual_us {
            late_us if late_us > 0 => {
                let left_us = (end_us - usual_us as f64).max(0.0) * pace.on_time / pace.late;
                left_us.max(late_us as f64)
            }
            _ => end_us - waited_us as f64,
        };
        Some((left_us / 1000.0).max(1.0))
    }

    fn is_known(&self, target: Option<f64>, now_us: i64) -> bool {
        let observed_us = now_us - self.base.at_us;
        let enough =
            self.advances >= MIN_ADVANCES && (self.is_later || observed_us >= MIN_OBSERVATION_US);
        enough || target.is_some_and(|target| self.is_telling(target, now_us))
    }

    /// Whether the part of the work that is done tells enough, however few its advances were. The next step counts as
    /// far as it should have come.
    fn is_telling(&self, target: f64, now_us: i64) -> bool {
        let seen_us = self.last.at_us - self.base.at_us;
        let waited_us = (now_us - self.last.at_us).min(self.usual_us().unwrap_or(0));
        let work =
            (self.last.steps - self.base.steps) * (seen_us + waited_us) as f64 / seen_us as f64;
        let is_seen = self.advances >= 2 || seen_us >= MIN_OBSERVATION_US;
        is_seen && work >= (target - self.base.steps) * TELLING_PART
    }

    /// Several advances at one moment are one. Together with the first they are where the base line begins.
    fn add_to_last(&mut self, steps: f64) {
        self.last.steps = steps;
        if self.advances == 0 {
            (self.base, self.weighed, self.rested) = (self.last, self.last, self.last);
        }
    }

    /// Whether the silence before this advance belongs to the task's pace. Then it counts as time like any other.
    fn is_usual_silence(&mut self, gap_us: i64) -> bool {
        let whole_us = gap_us + self.silence_us;
        let is_usual = self.doubt_us > 0;
        if is_usual {
            self.shift(-self.silence_us);
            // The one before was of the same kind and was left out.
            self.gaps.add(whole_us);
        }
        (self.doubt_us, self.silence_us) = (whole_us, 0);
        is_usual
    }

    /// Goes on from here: nobody knows how much was done in which part of the silence.
    fn skip(&mut self, steps: f64, now_us: i64) {
        self.weigh();
        self.last = Point {
            at_us: now_us,
            steps,
        };
        (self.weighed, self.rested) = (self.last, self.last);
    }

    #[cold]
    fn handle_unusual_gap(&mut self, gap_us: i64) {
        let seen_s = self.time_s + seconds(self.last.at_us - self.weighed.at_us);
        if seconds(gap_us) >= seen_s * OUTWEIGHS {
            (self.done, self.time_s) = (0.0, 0.0);
            self.weighed = self.last;
        }
        self.usual_us = self.gaps.usual_us().unwrap_or(0);
    }

    /// Makes the work up to the last advance part of the weighted sums.
    fn weigh(&mut self) {
        let span_us = self.last.at_us - self.weighed.at_us;
        self.usual_us = self.gaps.usual_us().unwrap_or(0);
        (self.done, self.time_s) = self.weighted(self.usual_us);
        self.weighed = self.last;
        self.doubt_us = (self.doubt_us - span_us).max(0);
        self.gaps.forget(2 * time_constant_us(self.usual_us));
    }

    /// Weighted steps and seconds up to the last advance.
    fn weighted(&self, usual_us: i64) -> (f64, f64) {
        let span_s = seconds(self.last.at_us - self.weighed.at_us);
        if span_s <= 0.0 {
            return (self.done, self.time_s);
        }
        let constant_s = seconds(time_constant_us(usual_us));
        let kept = (-span_s / constant_s).exp();
        let fresh_s = constant_s * (1.0 - kept);
        let fresh = (self.last.steps - self.weighed.steps) / span_s * fresh_s;
        (self.done * kept + fresh, self.time_s * kept + fresh_s)
    }

    fn pace(&self, now_us: i64) -> Pace {
        let usual_us = self.usual_us().unwrap_or(0);
        let (done, time_s) = self.weighted(usual_us);
        let waited_us = now_us - self.last.at_us;
        let mut on_time = done / time_s;
        if self.gaps.are_bursty() && waited_us < usual_us / 4 {
            // The rest is known and the burst may not be over: that is no slower work.
            on_time = on_time.max(self.done / self.time_s);
        }
        if waited_us <= usual_us {
            return Pace {
                on_time,
                late: on_time,
            };
        }
        let constant_s = seconds(time_constant_us(usual_us));
        let kept = (-seconds(waited_us - usual_us) / constant_s).exp();
        let late = done * kept / (time_s * kept + constant_s * (1.0 - kept));
        Pace { on_time, late }
    }
}

/// Steps a second.
struct Pace {
    /// As of the last advance.
    on_time: f64,
    /// As of now: less when the next advance is overdue.
    late: f64,
}

impl From<(i64, f64)> for Point {
    fn from((at_us, steps): (i64, f64)) -> Self {
        Self { at_us, steps }
    }
}

impl From<Point> for (i64, f64) {
    fn from(point: Point) -> Self {
        (point.at_us, point.steps)
    }
}

fn time_constant_us(usual_us: i64) -> i64 {
    usual_us
        .saturating_mul(GAPS_PER_TIME_CONSTANT)
        .clamp(MIN_TIME_CONSTANT_US, MAX_TIME_CONSTANT_US)
}

fn seconds(span_us: i64) -> f64 {
    span_us as f64 / 1e6
}
