//! A point of the work, how far it was at a moment, and when a gap between two points is unusual. Shared by `line` and `rest`, which
//! must agree on both.

use serde::{Deserialize, Serialize};

/// A gap more than this many times the usual one is unusual: it may be a rest. Two rests are alike within the same factor.
pub(in crate::hub) const UNUSUAL_GAPS: i64 = 3;

/// How far the work was at a moment of the task's clock. Stored as a pair, because rows are written as often as tasks move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, f64)", into = "(i64, f64)")]
pub(in crate::hub) struct Point {
    pub(in crate::hub) at_us: i64,
    pub(in crate::hub) steps: f64,
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

pub(in crate::hub) fn seconds(span_us: i64) -> f64 {
    span_us as f64 / 1e6
}
