//! One base line: how far the work is, how fast it went, and when it will be done if it goes on like this.
//!
//! Owns the samples of one attempt, stage, total and unit, reduced to a few numbers. Never sees a pause or a stage: its
//! [`Estimator`](super::Estimator) shifts it, or begins another. Times are microseconds of the task's own clock.
//!
//! The rate is work over time, both weighted by `exp(-age / time constant)`, so that it is unbiased from the first advance on (an average
//! of the rates of single gaps would let short gaps dominate). Advances within a fraction of the time constant are weighed together, so
//! most cost no `exp`. The end is computed from the last advance and not from the moment of reading, so it stands still while a steady
//! task works on its next step, and moves only when that is late.
//!
//! Invariants: `base <= rested`, `weighed <= last` in time and in steps; `done` and `time_s` hold the work up to `weighed`, and what
//! came after is added as they are read. An unusual gap is kept apart as a [`Rest`], whose states are at the head of
//! [`rest`](super::rest).

use super::gaps::Gaps;
use super::point::{Point, UNUSUAL_GAPS, seconds};
use super::rest::{Doubt, Kind, Rest, stretch};
use serde::{Deserialize, Serialize};

/// The time constant is this many usual gaps,
const GAPS_PER_TIME_CONSTANT: i64 = 8;
/// but no shorter
const MIN_TIME_CONSTANT_US: i64 = 15_000_000;
/// and no longer than this.
const MAX_TIME_CONSTANT_US: i64 = 600_000_000;
/// Advances within 1/32 of the time constant, as a shift, are weighed together.
const WEIGHED_TOGETHER_SHIFT: u32 = 5;
/// A rest that has not come again for this many times its length is no longer usual.
const RESTS_UNTIL_FORGOTTEN: i64 = 8;
/// A gap shorter than this is never unusual: it does not show in a rate that is measured over a much longer time.
const LEAST_REST_US: i64 = MIN_TIME_CONSTANT_US >> WEIGHED_TOGETHER_SHIFT;
/// More than this many times the steps before a rest, done since, are no second burst like the first.
const LONGER_BURST: f64 = 1.25;
/// A rest this many times as long as the observed work before it leaves that work out: it is the end of a burst of unknown length.
const OUTWEIGHS: i64 = 4;
/// Fewer advances than this say nothing about an attempt,
const MIN_ADVANCES: u32 = 3;
/// nor does an observation shorter than this,
const MIN_OBSERVATION_US: i64 = 3_000_000;
/// unless at least this part of the work is done.
const TELLING_PART: f64 = 0.1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) enum Unit {
    /// `current`
    #[default]
    #[serde(rename = "s")]
    Steps,
    /// `progress`
    #[serde(rename = "p")]
    Percent,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::hub) struct BaseLine {
    unit: Unit,
    /// The attempt had base lines before, or this one was observed for long enough: less is needed to be known.
    #[serde(rename = "later", default, skip_serializing_if = "is_default")]
    is_later: bool,
    advances: u32,
    base: Point,
    last: Point,
    /// The work up to here is in `done` and `time_s`.
    weighed: Point,
    /// The last advance before the last long gap, where a burst ended.
    rested: Point,
    /// Weighted steps.
    done: f64,
    /// Weighted seconds.
    #[serde(rename = "time")]
    time_s: f64,
    gaps: Gaps,
    /// The usual gap as of the last weighing, so that an advance need not walk the classes; 0: unknown.
    #[serde(rename = "usual", default, skip_serializing_if = "is_default")]
    usual_us: i64,
    #[serde(rename = "silence", default, skip_serializing_if = "is_default")]
    silence_us: i64,
    /// Time left in which a second stall counts as usual, because the last was recent.
    #[serde(rename = "doubt", default, skip_serializing_if = "is_default")]
    stall_memory_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<Rest>,
}

/// For `skip_serializing_if`: rows are written as often as tasks move, so they leave out what is zero.
pub(in crate::hub) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl BaseLine {
    pub(in crate::hub) fn new(unit: Unit, steps: f64, now_us: i64, is_later: bool) -> Self {
        let at_us = now_us;
        let mut line = Self::default();
        (line.unit, line.is_later) = (unit, is_later);
        [line.base, line.last, line.weighed, line.rested] = [Point { at_us, steps }; 4];
        line
    }

    /// Whether a number continues this base line: same unit, and not lower.
    pub(in crate::hub) fn continues(&self, unit: Unit, steps: f64) -> bool {
        unit == self.unit && steps >= self.last.steps
    }

    /// Takes a sample. Standing still changes nothing.
    pub(in crate::hub) fn record(&mut self, steps: f64, now_us: i64) {
        if steps <= self.last.steps {
            return;
        }
        let gap_us = now_us - self.last.at_us;
        // A gap of no length would be an infinite rate.
        if gap_us <= 0 && self.silence_us == 0 {
            return self.add_to_last(steps);
        }
        if self.silence_us > 0 && !self.is_usual_silence(gap_us) {
            return self.skip(steps, now_us);
        }
        let next = Point {
            at_us: now_us,
            steps,
        };
        let gap_us = now_us - self.last.at_us;
        // A rest in doubt comes first: another like it settles that it is usual, and anything shorter is work that may settle that it is
        // an exception.
        if let Some(rest) = self.doubtful() {
            if !rest.is_like(gap_us) {
                self.gaps.add(gap_us);
                self.advance(next);
                return self.settle(rest);
            }
            self.confirm(rest.us, rest);
            self.weigh();
        }
        let longest_us = self
            .usual_us
            .saturating_mul(UNUSUAL_GAPS)
            .max(LEAST_REST_US);
        if gap_us > longest_us && self.handle_unusual_gap(next) {
            return;
        }
        // Half the usual gap, because in bursts the usual gap is the rest, and rests vary.
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
        self.advance(next);
        if let Some(rest) = &mut self.rest
            && rest.kind == Kind::Usual
            && rest.is_like(gap_us)
        {
            (rest.us, rest.ended) = ((rest.us + gap_us) / 2, next);
        }
    }

    fn advance(&mut self, next: Point) {
        self.last = next;
        self.advances = self.advances.saturating_add(1);
    }

    /// The task was stalled and is heard of again: the silence counts neither as work time nor as lateness.
    pub(in crate::hub) fn wake(&mut self, silence_us: i64) {
        if self.has_pace() {
            self.shift(silence_us);
            self.silence_us += silence_us;
        }
    }

    /// Moves every moment by `span_us`.
    pub(in crate::hub) fn shift(&mut self, span_us: i64) {
        for point in [
            &mut self.base,
            &mut self.last,
            &mut self.weighed,
            &mut self.rested,
        ] {
            point.at_us = point.at_us.saturating_add(span_us);
        }
        if let Some(rest) = &mut self.rest {
            rest.ended.at_us = rest.ended.at_us.saturating_add(span_us);
        }
    }

    /// The usual gap by which silence is measured, once there is a pace. A rest in doubt is left out: one long gap must not make the
    /// hub four times as patient.
    pub(in crate::hub) fn pace_us(&self) -> Option<i64> {
        let usual_us = match self.doubtful() {
            Some(rest) => {
                let mut gaps = self.gaps.clone();
                gaps.remove(rest.us);
                gaps.usual_us()
            }
            None => self.gaps.usual_us(),
        };
        usual_us.filter(|_| self.has_pace())
    }

    /// The usual gap, or a longer rest that comes again or may.
    fn usual_us(&self) -> Option<i64> {
        let rest = self
            .rest
            .filter(|rest| matches!(rest.kind, Kind::Once | Kind::Usual));
        self.gaps.usual_us().max(rest.map(|rest| rest.us))
    }

    /// After this long without an advance the task is late. A recent exception may turn out to be the first of many rests, so it counts.
    fn on_time_us(&self) -> i64 {
        let rest = self.rest.filter(|rest| rest.is_recent(self.last));
        self.usual_us().max(rest.map(|rest| rest.us)).unwrap_or(0)
    }

    /// A single gap is no pace: it may be a stall, or the first step may take longer than others.
    fn has_pace(&self) -> bool {
        self.advances >= 2
    }

    /// How long ago the last advance was, and how long an advance usually takes.
    pub(in crate::hub) fn waited_us(&self, now_us: i64) -> (i64, i64) {
        (now_us - self.last.at_us, self.usual_us().unwrap_or(0))
    }

    /// Steps a second, once enough is known of the way to `target`.
    pub(in crate::hub) fn rate(&self, target: Option<f64>, now_us: i64) -> Option<f64> {
        let rate = self
            .is_known(target, now_us)
            .then(|| self.pace(now_us).late);
        rate.filter(|rate| rate.is_finite() && *rate > 0.0)
    }

    /// Milliseconds until `target`, at `app_rate` if the application sent one, else as observed. At least 1 while there is work left.
    pub(in crate::hub) fn left_ms(
        &self,
        target: f64,
        app_rate: Option<f64>,
        now_us: i64,
    ) -> Option<f64> {
        let is_known = app_rate.is_some() || self.is_known(Some(target), now_us);
        match is_known && self.last.steps < target {
            true => self.known_left_ms(target, app_rate, now_us),
            false => None,
        }
    }

    fn known_left_ms(&self, target: f64, app_rate: Option<f64>, now_us: i64) -> Option<f64> {
        let pace = match app_rate {
            Some(rate) => Pace {
                on_time: rate,
                late: rate,
            },
            None => self.pace(now_us),
        };
        if !(pace.late > 0.0 && pace.late.is_finite()) {
            return None;
        }
        let waited_us = (now_us - self.last.at_us).max(0);
        let end_us = match self.doubt(now_us).filter(|_| app_rate.is_none()) {
            Some((doubt, is_resting)) => doubt.left_s(target - self.last.steps, is_resting) * 1e6,
            None => self.end_us(target, pace.on_time, waited_us),
        };
        let usual_us = self.on_time_us();
        // Late: what was left after the usual gap, at the lower rate, and no less than the task is late already. So the time left grows as
        // the silence does, and never jumps.
        let left_us = match waited_us - usual_us {
            late_us if late_us > 0 => {
                let left_us = (end_us - usual_us as f64).max(0.0) * pace.on_time / pace.late;
                left_us.max(late_us as f64)
            }
            _ => end_us - waited_us as f64,
        };
        Some((left_us / 1000.0).max(1.0))
    }

    /// Microseconds from the last advance until `target`, as long as the next one is not late.
    fn end_us(&self, target: f64, pace: f64, waited_us: i64) -> f64 {
        let end_after_us = |point: Point| {
            (point.at_us - self.last.at_us) as f64 + (target - point.steps) / pace * 1e6
        };
        let end_us = end_after_us(self.last);
        if let Some(rest) = self
            .rest
            .filter(|rest| rest.is_exception() && rest.is_recent(self.last))
            && waited_us > self.resting_us(rest)
        {
            // The exception seems to come again. Then it is a rest, and the time so far lacks two of them: one for the burst before the
            // exception, and one for the burst after.
            let seen_us = self.last.at_us - self.base.at_us;
            return end_us * stretch(seen_us, rest.us.saturating_mul(2));
        }
        let usual_us = self.usual_us().unwrap_or(0);
        match self.are_bursty() {
            false => return end_us,
            // The burst is over and the rest has begun: nothing comes before it ends.
            true if waited_us > usual_us / 4 => return end_us.max(usual_us as f64),
            true => {}
        }
        // Within a burst it is unknown how much of it is still to come, so the end is computed from where the last burst ended. What is
        // left takes no less than it would without another rest.
        let per_step = f64::from(self.advances) / (self.last.steps - self.base.steps);
        let least_us = (target - self.last.steps) * per_step * self.gaps.within_bursts_us();
        end_us.min(end_after_us(self.rested).max(least_us))
    }

    /// Whether enough was seen to say anything: advances and time, or a part of the work.
    fn is_known(&self, target: Option<f64>, now_us: i64) -> bool {
        let observed_us = now_us - self.base.at_us;
        let enough =
            self.advances >= MIN_ADVANCES && (self.is_later || observed_us >= MIN_OBSERVATION_US);
        enough || target.is_some_and(|target| self.is_telling(target, now_us))
    }

    /// Whether the part of the work that is done says enough, however few its advances were. The step under way counts in proportion, or
    /// nothing would be said of fifteen one-hour steps before the second is done.
    fn is_telling(&self, target: f64, now_us: i64) -> bool {
        let seen_us = self.last.at_us - self.base.at_us;
        let waited_us = (now_us - self.last.at_us).min(self.usual_us().unwrap_or(0));
        let work =
            (self.last.steps - self.base.steps) * (seen_us + waited_us) as f64 / seen_us as f64;
        let is_seen = self.advances >= 2 || seen_us >= MIN_OBSERVATION_US;
        is_seen && work >= (target - self.base.steps) * TELLING_PART
    }

    /// Merges an advance at the moment of the last one into that. At the first moment it moves where the base line begins.
    fn add_to_last(&mut self, steps: f64) {
        self.last.steps = steps;
        if self.advances == 0 {
            (self.base, self.weighed, self.rested) = (self.last, self.last, self.last);
        }
    }

    /// Whether the silence before this advance belongs to the task's pace: the second stall within a short time. Then it counts as work
    /// time after all. The first is remembered, so that the next can be the second.
    fn is_usual_silence(&mut self, gap_us: i64) -> bool {
        let whole_us = gap_us + self.silence_us;
        let is_usual = self.stall_memory_us > 0;
        if is_usual {
            self.shift(-self.silence_us);
            // The stall before was left out of the sums, but was of the same kind: `confirm` adds a rest for the burst on either side.
            if self.doubtful().is_none() {
                self.weigh();
                let rest = self.rest_before(self.last, whole_us, Kind::Hiccup);
                self.confirm(whole_us.saturating_mul(2), rest);
            }
            self.gaps.add(whole_us);
        }
        (self.stall_memory_us, self.silence_us) = (whole_us, 0);
        is_usual
    }

    /// Leaves out the gap that ends here and measures from this advance on: which part of the silence was work is unknown.
    fn skip(&mut self, steps: f64, now_us: i64) {
        if let Some(rest) = self.doubtful() {
            self.confirm(rest.us, rest);
            self.rest = None;
        }
        self.weigh();
        self.last = Point {
            at_us: now_us,
            steps,
        };
        (self.weighed, self.rested) = (self.last, self.last);
    }

    /// Takes an unusual gap. `true`: it is the first of its kind, and `next` was recorded with it as a rest in doubt. `false`: it is work
    /// like any other (a large step, or a rest that has come again), still to be recorded.
    #[cold]
    fn handle_unusual_gap(&mut self, next: Point) -> bool {
        let gap_us = next.at_us - self.last.at_us;
        self.weigh();
        let pace = self.done / self.time_s;
        let is_slow = self.advances == 0 || is_slow(next.steps - self.last.steps, gap_us, pace);
        if !is_slow || gap_us <= self.usual_us.saturating_mul(UNUSUAL_GAPS) {
            return false;
        }
        let again = self
            .rest
            .filter(|rest| rest.is_like(gap_us) && rest.is_recent(self.last));
        // Rests that the sums lack, if each burst is to have one: there were two bursts around a hiccup, and one after a setup. The gap at
        // hand belongs to the burst that it begins.
        let rests = match again.map(|rest| rest.kind) {
            Some(Kind::Hiccup) => 2,
            Some(Kind::Setup) => 1,
            _ => 0,
        };
        if let Some(rest) = again.filter(|_| rests > 0) {
            self.confirm(rest.us.saturating_mul(rests), rest);
            self.usual_us = self.usual_us().unwrap_or(0);
            return false;
        }
        self.rested = self.last;
        self.gaps.add(gap_us);
        self.advance(next);
        self.rest = Some(self.rest_before(next, gap_us, Kind::Once));
        true
    }

    fn rest_before(&self, ended: Point, us: i64, kind: Kind) -> Rest {
        Rest {
            us,
            ended,
            advances: self.advances,
            kind,
        }
    }

    /// The rest that has come only once so far.
    fn doubtful(&self) -> Option<Rest> {
        self.rest.filter(|rest| rest.kind == Kind::Once)
    }

    fn are_bursty(&self) -> bool {
        let rest = self.rest.filter(|rest| rest.kind == Kind::Usual);
        self.gaps.are_bursty(rest.map(|rest| rest.us))
    }

    /// Makes a rest usual, and adds the rests that are missing (`missing_us`) to the weighted time. A burst much shorter than the rest says
    /// nothing, because observation began within it: then the sums start over.
    fn confirm(&mut self, missing_us: i64, rest: Rest) {
        let before_us = self.rested.at_us.min(self.weighed.at_us) - self.base.at_us;
        if rest.kind == Kind::Once && rest.us >= before_us.saturating_mul(OUTWEIGHS) {
            (self.done, self.time_s) = (0.0, 0.0);
        }
        self.time_s *= stretch(before_us, missing_us);
        self.rest = Some(Rest {
            kind: Kind::Usual,
            ..rest
        });
    }

    /// Settles a rest in doubt once there was enough work since. If the step at its end was slow for that work, it was an exception and is
    /// taken out, as if the task had been paused; if not, it was work, and there is no rest.
    fn settle(&mut self, rest: Rest) {
        let before_us = self.rested.at_us - self.base.at_us;
        let since_us = self.last.at_us - rest.ended.at_us;
        let is_long = since_us >= rest.stall_memory_us(before_us);
        let (before, since) = (
            self.rested.steps - self.base.steps,
            self.last.steps - self.rested.steps,
        );
        let is_more = rest.advances > MIN_ADVANCES && since > before * LONGER_BURST;
        if self.advances - rest.advances < MIN_ADVANCES || !(is_long || is_more) {
            return;
        }
        let pace = (self.last.steps - rest.ended.steps) / seconds(since_us);
        if is_slow(rest.ended.steps - self.rested.steps, rest.us, pace) {
            self.gaps.remove(rest.us);
            // Taking time out must not take back that there was enough of it.
            self.is_later |= self.last.at_us - self.base.at_us >= MIN_OBSERVATION_US;
            // All but a usual gap, for the step at its end.
            let out_us = rest.us - self.gaps.usual_us().unwrap_or(0).min(rest.us);
            for point in [&mut self.base, &mut self.weighed, &mut self.rested] {
                point.at_us = point.at_us.saturating_add(out_us);
            }
            let kind = if before_us > 0 {
                Kind::Hiccup
            } else {
                Kind::Setup
            };
            self.rest = Some(Rest { kind, ..rest });
        } else {
            self.rest = None;
        }
        self.weigh();
        self.rested = self.last;
    }

    /// What the time left depends on while a rest is in doubt, and whether another rest seems to have begun.
    fn doubt(&self, now_us: i64) -> Option<(Doubt, bool)> {
        let rest = self.doubtful()?;
        let before_s = seconds(self.rested.at_us - self.base.at_us);
        let pace = self.done / self.time_s;
        let doubt = Doubt {
            before: if pace.is_finite() {
                pace * before_s
            } else {
                0.0
            },
            before_s,
            rest_s: seconds(rest.us),
            since: self.last.steps - self.rested.steps,
            since_s: seconds(self.last.at_us - rest.ended.at_us),
        };
        let waited_us = now_us - self.last.at_us;
        Some((doubt, waited_us > self.resting_us(rest)))
    }

    /// After this long without an advance, another such rest seems to have begun.
    fn resting_us(&self, rest: Rest) -> i64 {
        (rest.us / 4).max(self.usual_us.saturating_mul(2))
    }

    /// Adds the work up to the last advance to the weighted sums, and forgets what is too old: a usual rest, a stall, old gaps.
    fn weigh(&mut self) {
        let span_us = self.last.at_us - self.weighed.at_us;
        self.rest = self.rest.filter(|rest| {
            let since_us = self.last.at_us - rest.ended.at_us;
            rest.kind != Kind::Usual || since_us <= rest.us.saturating_mul(RESTS_UNTIL_FORGOTTEN)
        });
        self.usual_us = self.usual_us().unwrap_or(0);
        (self.done, self.time_s) = self.weighted(self.usual_us);
        self.weighed = self.last;
        self.stall_memory_us = (self.stall_memory_us - span_us).max(0);
        self.gaps.forget(2 * time_constant_us(self.usual_us));
    }

    /// Weighted steps and seconds up to the last advance, as [`BaseLine::weigh`] would make them.
    fn weighted(&self, usual_us: i64) -> (f64, f64) {
        let span_s = seconds(self.last.at_us - self.weighed.at_us);
        if span_s <= 0.0 {
            return (self.done, self.time_s);
        }
        let constant_s = seconds(time_constant_us(usual_us));
        // The span is taken as steady work, whose weight is the integral of the exponential over it.
        let kept = (-span_s / constant_s).exp();
        let fresh_s = constant_s * (1.0 - kept);
        let fresh = (self.last.steps - self.weighed.steps) / span_s * fresh_s;
        (self.done * kept + fresh, self.time_s * kept + fresh_s)
    }

    /// The rate as of the last advance, and as of now.
    fn pace(&self, now_us: i64) -> Pace {
        let usual_us = self.usual_us().unwrap_or(0);
        let doubt = self.doubt(now_us);
        let (done, time_s) = match doubt {
            Some((doubt, is_resting)) => doubt.sums(is_resting),
            None => self.weighted(usual_us),
        };
        let waited_us = now_us - self.last.at_us;
        let mut on_time = done / time_s;
        if doubt.is_none() && waited_us < usual_us / 4 && self.are_bursty() {
            // The tail since the last weighing may hold a whole rest and only a part of the burst after it: that is no slower work.
            on_time = on_time.max(self.done / self.time_s);
        }
        let late_us = waited_us - self.on_time_us();
        if late_us <= 0 {
            return Pace {
                on_time,
                late: on_time,
            };
        }
        // Time beyond the usual gap counts as time without work.
        let constant_s = seconds(time_constant_us(usual_us));
        let kept = (-seconds(late_us) / constant_s).exp();
        let late = done * kept / (time_s * kept + constant_s * (1.0 - kept));
        Pace { on_time, late }
    }
}

struct Pace {
    /// As of the last advance, in steps a second.
    on_time: f64,
    /// As of now: less when the next advance is late.
    late: f64,
}

/// Whether a gap with this many steps was much slower than `pace`. A long gap that ends in a large step is work, and no rest.
fn is_slow(steps: f64, time_us: i64, pace: f64) -> bool {
    steps * (UNUSUAL_GAPS as f64) < pace * seconds(time_us)
}

fn time_constant_us(usual_us: i64) -> i64 {
    usual_us
        .saturating_mul(GAPS_PER_TIME_CONSTANT)
        .clamp(MIN_TIME_CONSTANT_US, MAX_TIME_CONSTANT_US)
}
