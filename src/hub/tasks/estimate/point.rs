//! A moment of the work, and when a gap between two of them is unusual.

use serde::{Deserialize, Serialize};

/// A gap more than this many times as long as the usual one is looked at more closely.
pub(in crate::hub) const UNUSUAL_GAPS: i64 = 3;

/// How far the work was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
