//! A gap much longer than the others, and what it may mean: a rest between bursts, which will come again, or an exception (a hiccup, or
//! a setup before the first step), which will not.
//!
//! A rest that has come once may be either: `Once -> Usual` when another like it comes, `Once -> Hiccup | Setup` when the work has gone
//! on for long enough without one, and either of those `-> Usual` when it does come again. While it is in doubt, the work is taken as
//! cycles of what was done before it and one such rest, within bounds set by the plain average, because cycles alone are far off when
//! it was an exception. Changes nothing: [`line`](super::line) owns the base line and its rest.

use super::point::{Point, UNUSUAL_GAPS, seconds};
use serde::{Deserialize, Serialize};

/// While a rest is in doubt, the time left exceeds that by the plain average by at most this factor.
const MOST_ABOVE_AVERAGE: f64 = 1.4;

/// An exception that ended longer ago than this many times its length does not count as the first of two.
const RESTS_UNTIL_NEW: i64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) enum Kind {
    /// Came once; not settled yet.
    #[serde(rename = "o")]
    Once,
    /// Came again: the work goes in bursts, or is slower now. Counts as work time.
    #[serde(rename = "u")]
    Usual,
    /// An exception after some work. Left out of the speed.
    #[serde(rename = "h")]
    Hiccup,
    /// An exception before the first step. Left out of the speed.
    #[serde(rename = "s")]
    Setup,
}

/// The last unusual gap of a base line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::hub) struct Rest {
    /// Its length. Rests come again in other lengths, so a usual one is an average.
    #[serde(rename = "len")]
    pub(in crate::hub) us: i64,
    /// The advance that ended it.
    pub(in crate::hub) ended: Point,
    /// How many advances there were by then, this one included.
    pub(in crate::hub) advances: u32,
    pub(in crate::hub) kind: Kind,
}

impl Rest {
    /// Whether a gap is long enough to be another rest of this kind.
    pub(in crate::hub) fn is_like(&self, gap_us: i64) -> bool {
        // No upper bound: a gap that is longer still is a rest all the more.
        gap_us.saturating_mul(UNUSUAL_GAPS) >= self.us
    }

    pub(in crate::hub) fn is_exception(&self) -> bool {
        matches!(self.kind, Kind::Hiccup | Kind::Setup)
    }

    /// Whether another rest like this, beginning at `last`, would be the second of its kind.
    pub(in crate::hub) fn is_recent(&self, last: Point) -> bool {
        last.at_us - self.ended.at_us <= self.us.saturating_mul(RESTS_UNTIL_NEW)
    }

    /// How long the work must go on until a rest that came once counts as an exception: a quarter longer than it did before, because a
    /// burst lasts as long as the one before. After twice the rest it hardly matters which of the two it was.
    pub(in crate::hub) fn stall_memory_us(&self, before_us: i64) -> i64 {
        let burst_us = before_us.saturating_add(before_us / 4);
        burst_us.clamp(self.us / 2, self.us.saturating_mul(2))
    }
}

/// A rest that came once, with the work before and after it.
#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct Doubt {
    /// Steps before the rest, at the speed that the work had just before it.
    pub(in crate::hub) before: f64,
    pub(in crate::hub) before_s: f64,
    pub(in crate::hub) rest_s: f64,
    /// Steps since the rest began, the one at its end included.
    pub(in crate::hub) since: f64,
    /// Seconds since the rest ended.
    pub(in crate::hub) since_s: f64,
}

impl Doubt {
    /// Steps and seconds of the plain average. A second rest counts once it has begun.
    pub(in crate::hub) fn sums(&self, is_resting: bool) -> (f64, f64) {
        let rests = if is_resting && self.before > 0.0 {
            2.0
        } else {
            1.0
        };
        let time_s = self.before_s + self.since_s + rests * self.rest_s;
        (self.before + self.since, time_s)
    }

    /// Seconds from the last advance until `remaining` more steps are done.
    pub(in crate::hub) fn left_s(&self, remaining: f64, is_resting: bool) -> f64 {
        let (done, time_s) = self.sums(is_resting);
        let average_s = remaining * time_s / done;
        if is_resting || self.before <= 0.0 {
            return average_s;
        }
        // Three answers: by cycles (the rest comes after each burst like the first), by the plain average (one rest in all the work so
        // far), and without rests (it was an exception). Below the average the cycles are believed. Above it their answer is divided by
        // a factor, to lie between the average and that factor of it. What the steps alone need is the least.
        let per_step_s = (self.before_s + self.rest_s) / self.before;
        let cycles_s = (remaining + self.since) * per_step_s - self.rest_s - self.since_s;
        // The burst that runs has used up part of its cycle; being late in it must not make the rest of the work longer.
        let cycles_s = cycles_s.min(remaining * per_step_s);
        let without_s = remaining * (self.before_s + self.since_s) / done;
        let least_s = average_s.max(cycles_s / MOST_ABOVE_AVERAGE);
        let cautious_s = cycles_s.min(least_s).min(average_s * MOST_ABOVE_AVERAGE);
        cautious_s.max(without_s)
    }
}

/// The factor by which time grows when rests are added to it.
pub(in crate::hub) fn stretch(before_us: i64, rests_us: i64) -> f64 {
    match before_us {
        ..=0 => 1.0,
        _ => (seconds(before_us) + seconds(rests_us)) / seconds(before_us),
    }
}
