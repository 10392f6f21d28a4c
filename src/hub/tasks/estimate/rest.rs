//! A gap much longer than the others, and what it may mean: the rest after a burst, which will come again, or an
//! exception (a hiccup, or a setup before the first step), which will not.
//!
//! When it has come only once nobody can know. Until it is settled, the work is reckoned in cycles of all that was done
//! before and the rest after it, as far as the plain average allows.

use super::point::{Point, UNUSUAL_GAPS, seconds};
use serde::{Deserialize, Serialize};

/// While a rest is in doubt, its cycles may say this many times what the plain average says, or less.
const MOST_ABOVE_AVERAGE: f64 = 1.4;

/// An exception longer ago than this many times its length does not make another the second of its kind.
const RESTS_UNTIL_NEW: i64 = 4;

/// What a rest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::hub) enum Kind {
    /// It came once: nobody knows yet.
    #[serde(rename = "o")]
    Once,
    /// It came again: the work goes in bursts, or is slower now.
    #[serde(rename = "u")]
    Usual,
    /// An exception after some work. It does not count.
    #[serde(rename = "h")]
    Hiccup,
    /// An exception before the first step. It does not count.
    #[serde(rename = "s")]
    Setup,
}

/// The last gap much longer than the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::hub) struct Rest {
    #[serde(rename = "len")]
    pub(in crate::hub) us: i64,
    /// The advance that ended it,
    pub(in crate::hub) ended: Point,
    /// and how many there were by then.
    pub(in crate::hub) advances: u32,
    pub(in crate::hub) kind: Kind,
}

impl Rest {
    /// Whether a gap is as long as this, give or take.
    pub(in crate::hub) fn is_like(&self, gap_us: i64) -> bool {
        gap_us.saturating_mul(UNUSUAL_GAPS) >= self.us
    }

    pub(in crate::hub) fn is_exception(&self) -> bool {
        matches!(self.kind, Kind::Hiccup | Kind::Setup)
    }

    /// Whether another like this would be the second of its kind.
    pub(in crate::hub) fn is_recent(&self, last: Point) -> bool {
        last.at_us - self.ended.at_us <= self.us.saturating_mul(RESTS_UNTIL_NEW)
    }

    /// How long the work must go on until a rest that came once is an exception: longer than it did before, because a
    /// burst could last as long. After twice the rest it hardly matters which of the two it was.
    pub(in crate::hub) fn doubt_us(&self, before_us: i64) -> i64 {
        let burst_us = before_us.saturating_add(before_us / 4);
        burst_us.clamp(self.us / 2, self.us.saturating_mul(2))
    }
}

/// A rest that came once, amid the work before and after it.
#[derive(Debug, Clone, Copy)]
pub(in crate::hub) struct Doubt {
    /// The work before, at the speed that it had in the end.
    pub(in crate::hub) before: f64,
    pub(in crate::hub) before_s: f64,
    pub(in crate::hub) rest_s: f64,
    /// The work since the rest began,
    pub(in crate::hub) since: f64,
    /// and its time since the rest ended.
    pub(in crate::hub) since_s: f64,
}

impl Doubt {
    /// Steps and seconds by which the speed is measured. The next rest counts when it has begun.
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
        let per_step_s = (self.before_s + self.rest_s) / self.before;
        let cycles_s = (remaining + self.since) * per_step_s - self.rest_s - self.since_s;
        let cycles_s = cycles_s.min(remaining * per_step_s);
        let without_s = remaining * (self.before_s + self.since_s) / done;
        let least_s = average_s.max(cycles_s / MOST_ABOVE_AVERAGE);
        let cautious_s = cycles_s.min(least_s).min(average_s * MOST_ABOVE_AVERAGE);
        cautious_s.max(without_s)
    }
}

/// The time of `before_us` with one more rest in it, as a factor.
pub(in crate::hub) fn stretch(before_us: i64, rests_us: i64) -> f64 {
    match before_us {
        ..=0 => 1.0,
        _ => (seconds(before_us) + seconds(rests_us)) / seconds(before_us),
    }
}
