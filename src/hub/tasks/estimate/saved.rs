//! An estimator as the store keeps it: each moment as microseconds before the moment of saving, because a monotonic clock means nothing
//! to the next process, and the wall clock of that moment, which tells how long the process was away.
//!
//! Invariant: restored at the moment of saving, an estimator equals the one that was saved.

use super::estimator::{Estimator, Lines, bounded, micros};
use super::line::is_default;
use crate::base::time::Now;
use serde::{Deserialize, Serialize};

/// The stored form. Fields may be added, never renamed: rows of older versions are read, and an unknown field of a newer one is ignored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SavedEstimator {
    /// In milliseconds since 1970.
    #[serde(rename = "at")]
    saved_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lines: Option<Box<Lines>>,
    #[serde(rename = "said", default, skip_serializing_if = "Option::is_none")]
    app_end_us: Option<i64>,
    #[serde(rename = "paused", default, skip_serializing_if = "Option::is_none")]
    paused_at_us: Option<i64>,
    #[serde(rename = "later", default, skip_serializing_if = "is_default")]
    is_later: bool,
}

impl Estimator {
    /// The stored form as of `now`.
    pub fn saved(&self, now: Now) -> SavedEstimator {
        // Relative moments may be negative: a task may have begun before this process.
        let moved = self.clone().moved(-micros(now.at));
        SavedEstimator {
            saved_at_ms: now.wall_ms,
            lines: moved.lines,
            app_end_us: moved.app_end_us,
            paused_at_us: moved.paused_at_us,
            is_later: moved.is_later,
        }
    }

    /// The estimator from its stored form. The time since has passed for the task too, unless it was paused: its worker went on while the
    /// server was away.
    pub fn restored(saved: SavedEstimator, now: Now) -> Self {
        // Saturating: a wall clock that was set back reads as no time away.
        let away_ms = now.wall_ms.saturating_sub(saved.saved_at_ms);
        let away_us = bounded(away_ms.saturating_mul(1000));
        let estimator = Self {
            lines: saved.lines,
            app_end_us: saved.app_end_us,
            paused_at_us: saved.paused_at_us,
            is_later: saved.is_later,
        };
        estimator.moved(micros(now.at).saturating_sub(away_us))
    }

    /// The same estimator with every moment moved by `span_us`.
    fn moved(mut self, span_us: i64) -> Self {
        self.shift(span_us);
        if let Some(moment_us) = &mut self.paused_at_us {
            *moment_us = moment_us.saturating_add(span_us);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::estimator::Position;
    use super::*;
    use crate::base::time::{Span, Time};
    use proptest::prelude::*;

    fn now(ms: u64) -> Now {
        Now {
            at: Time::from_millis(ms),
            wall_ms: 1_700_000_000_000 + ms,
        }
    }

    fn fed(reports: &[(u64, u8, u32)]) -> (Estimator, Position, u64) {
        let (mut estimator, mut position, mut ms) = (Estimator::default(), Position::default(), 5);
        for (gap_ms, kind, number) in reports {
            ms += gap_ms;
            let (at, number) = (Time::from_millis(ms), f64::from(*number));
            match kind {
                0 => estimator.pause(at),
                1 => estimator.resume(at),
                2 => estimator.wake(Span::from_millis(*gap_ms)),
                3 => estimator.begin_base_line(),
                4 => estimator.set_app_remaining(Some(number * 1000.0), at),
                5 => position.total = Some(number),
                6 => position.percent = Some(position.percent.unwrap_or(0.0) + number / 100.0),
                _ => position.current = Some(position.current.unwrap_or(0.0) + number),
            }
            estimator.record(position, at);
        }
        (estimator, position, ms)
    }

    proptest! {
        #[test]
        fn a_restored_estimator_says_what_the_saved_one_would_have_said(
            reports in prop::collection::vec((0u64..100_000, 0u8..14, 0u32..1_000), 0..60),
            away_ms in 0u64..1_000_000,
        ) {
            let (estimator, position, ms) = fed(&reports);
            let row = serde_json::to_string(&estimator.saved(now(ms))).expect("plain numbers");
            let saved: SavedEstimator = serde_json::from_str(&row).expect("a row");
            let later = Now { at: Time::from_millis(3), ..now(ms + away_ms) };
            let restored = Estimator::restored(saved, later);
            let then = now(ms + away_ms).at;
            let close = |one: Option<f64>, other: Option<f64>| match (one, other) {
                (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-9,
                (one, other) => one == other,
            };
            prop_assert!(close(restored.rate(position, later.at), estimator.rate(position, then)));
            for own in [None, Some(3.0)] {
                let (left, was) =
                    (restored.left_ms(position, own, later.at), estimator.left_ms(position, own, then));
                prop_assert!(close(left, was), "{left:?} {was:?}");
            }
            prop_assert_eq!(restored.app_remaining_ms(later.at), estimator.app_remaining_ms(then));
            prop_assert_eq!(restored.patience(Span::ZERO), estimator.patience(Span::ZERO));
        }

        #[test]
        fn whatever_was_reported_nothing_absurd_is_said(
            reports in prop::collection::vec((0u64..100_000, 0u8..14, 0u32..1_000), 0..60),
            later_ms in prop_oneof![Just(0u64), 1u64..10_000_000_000, Just(u64::MAX / 1_000)],
        ) {
            let (estimator, position, ms) = fed(&reports);
            let later = Time::from_millis(ms.saturating_add(later_ms));
            let is_sane = |number: Option<f64>| number.is_none_or(|number| number > 0.0 && number.is_finite());
            prop_assert!(is_sane(estimator.rate(position, later)));
            for own in [None, Some(0.0), Some(1e-300), Some(1e300)] {
                let left_ms = estimator.left_ms(position, own, later);
                prop_assert!(is_sane(left_ms.filter(|left_ms| *left_ms != f64::INFINITY)), "{left_ms:?}");
                prop_assert!(left_ms.is_none_or(|left_ms| left_ms >= 1.0));
            }
        }

        #[test]
        fn restoring_at_once_changes_nothing(
            reports in prop::collection::vec((0u64..100_000, 0u8..14, 0u32..1_000), 0..60),
        ) {
            let (estimator, _, ms) = fed(&reports);
            prop_assert_eq!(Estimator::restored(estimator.saved(now(ms)), now(ms)), estimator);
        }
    }

    #[test]
    fn an_estimator_that_knows_nothing_is_a_short_row() {
        let row = serde_json::to_string(&Estimator::default().saved(now(1))).expect("a row");
        assert_eq!(row, r#"{"at":1700000000001}"#);
        let row: SavedEstimator =
            serde_json::from_str("{\"at\":0,\"ofTomorrow\":1}").expect("a row");
        assert_eq!(Estimator::restored(row, now(9)), Estimator::default());
    }

    #[test]
    fn a_row_of_an_earlier_version_is_read() {
        let row = r#"{"at":1700000010000,"lines":{"main":{"unit":"s","advances":10,"base":[-10000000,0.0],
            "last":[0,10.0],"weighed":[0,10.0],"rested":[-1000000,9.0],"done":7.2,"time":7.2,
            "gaps":[[1,10000.0,10.0]],"usual":1000000}}}"#;
        let saved: SavedEstimator = serde_json::from_str(row).expect("a row");
        let restored = Estimator::restored(saved, now(10_000));
        let position = Position {
            current: Some(10.0),
            total: Some(50.0),
            percent: None,
        };
        let left_ms = restored.left_ms(position, None, now(10_000).at);
        assert!((left_ms.expect("an end") - 40_000.0).abs() < 1.0);
        assert_eq!(restored.patience(Span::ZERO), Span::from_secs(4));
    }

    #[test]
    fn a_wall_clock_that_was_set_back_does_no_harm() {
        let (estimator, position, ms) =
            fed(&[(0, 9, 1), (1_000, 9, 1), (1_000, 9, 1), (1_000, 9, 1)]);
        let earlier = Now {
            wall_ms: 7,
            ..now(ms)
        };
        let restored = Estimator::restored(estimator.saved(now(ms)), earlier);
        assert_eq!(restored.rate(position, earlier.at), Some(1.0));
    }
}
