//! How often something may happen, in sixteen bytes: events of this window and of the one before it, the latter
//! weighted by how much of it a window that ends now would still cover. The first event after a pause begins a window,
//! so a burst from rest gets exactly the limit. Refused attempts use up nothing; they are counted apart, as the
//! excess. What to do about an excess is the owner's affair.

use super::time::{Span, Time};

/// The start is kept as 32 bits of milliseconds, which come round after 49 days; a window is held far below that.
const WINDOW_MAX_MS: u64 = 1 << 30;

/// A sliding-window count. `Default` is at rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateWindow {
    started_ms: u32,
    current: u32,
    previous: u32,
    excess: u32,
}

/// What `RateWindow::record` thinks of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may happen, and was counted.
    Within,
    /// It is one too many.
    Over {
        /// After this long an attempt will be within the limit, if there is none before.
        retry_after: Span,
    },
}

impl RateWindow {
    /// Judges one attempt. A `limit` of 0 means none; a `window` is taken as at least a millisecond.
    pub fn record(&mut self, now: Time, window: Span, limit: u32) -> Verdict {
        if limit == 0 {
            return Verdict::Within;
        }
        let window_ms = whole_ms(window);
        let elapsed_ms = self.roll(now, window_ms);
        let remembered = u64::from(self.previous) * (window_ms - elapsed_ms)
            + u64::from(self.current) * window_ms;
        if remembered < u64::from(limit) * window_ms {
            self.current += 1;
            return Verdict::Within;
        }
        self.excess = self.excess.saturating_add(1);
        Verdict::Over {
            retry_after: Span::from_millis(self.wait_ms(elapsed_ms, window_ms, limit)),
        }
    }

    /// An attempt that was within the limit has come to nothing: it does not count.
    pub fn take_back(&mut self) {
        self.current = self.current.saturating_sub(1);
    }

    /// How many attempts the current window refused, as of the last `record`.
    pub fn excess(&self) -> u32 {
        self.excess
    }

    /// Whether nothing here matters any more: a fresh `RateWindow` would judge the same.
    pub fn is_stale(&self, now: Time, window: Span) -> bool {
        let mut rolled = *self;
        rolled.roll(now, whole_ms(window));
        rolled.is_at_rest()
    }

    /// Enters the window that `now` belongs to; returns how far into it `now` is.
    fn roll(&mut self, now: Time, window_ms: u64) -> u64 {
        let now_ms = now.as_millis() as u32;
        let elapsed_ms = u64::from(now_ms.wrapping_sub(self.started_ms));
        if elapsed_ms < window_ms && !self.is_at_rest() {
            return elapsed_ms;
        }
        if elapsed_ms < 2 * window_ms && self.current > 0 {
            *self = Self {
                started_ms: self.started_ms.wrapping_add(window_ms as u32),
                current: 0,
                previous: self.current,
                excess: 0,
            };
            return elapsed_ms - window_ms;
        }
        *self = Self {
            started_ms: now_ms,
            ..Self::default()
        };
        0
    }

    fn is_at_rest(&self) -> bool {
        self.current == 0 && self.previous == 0
    }

    /// How long until what is remembered has faded below the limit. While this window still has room it is the
    /// previous one that must fade; once it is full, this one must end and then fade itself.
    fn wait_ms(&self, elapsed_ms: u64, window_ms: u64, limit: u32) -> u64 {
        match limit.checked_sub(self.current) {
            Some(room) if room > 0 => {
                fade_ms(self.previous, room, window_ms).saturating_sub(elapsed_ms)
            }
            _ => window_ms - elapsed_ms + fade_ms(self.current, limit, window_ms),
        }
    }
}

/// The first millisecond of a window at which `count` events of the window before it weigh less than `room`.
fn fade_ms(count: u32, room: u32, window_ms: u64) -> u64 {
    let weight_ms_too_much = (u64::from(room) * window_ms).div_ceil(u64::from(count.max(1)));
    (window_ms + 1).saturating_sub(weight_ms_too_much)
}

fn whole_ms(window: Span) -> u64 {
    window.as_millis().clamp(1, WINDOW_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Span = Span::from_secs(1);

    fn record_many(rate: &mut RateWindow, attempts: u32, at_ms: u64, limit: u32) -> u32 {
        let within =
            |_: &u32| rate.record(Time::from_millis(at_ms), SECOND, limit) == Verdict::Within;
        (0..attempts).filter(within).count() as u32
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<RateWindow>(), 16);
    }

    #[test]
    fn a_burst_from_rest_gets_exactly_the_limit() {
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 60, 123_456, 100), 60);
        assert_eq!(record_many(&mut rate, 60, 124_455, 100), 40);
        assert_eq!(rate.excess(), 20);
        assert_eq!(record_many(&mut rate, 500, 140_000, 100), 100);
        assert_eq!(rate.excess(), 400);
    }

    #[test]
    fn an_attempt_that_is_taken_back_does_not_count() {
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 3, 0, 3), 3);
        rate.take_back();
        assert_eq!(record_many(&mut rate, 3, 10, 3), 1);
        let mut rate = RateWindow::default();
        rate.take_back();
        assert_eq!(record_many(&mut rate, 3, 0, 3), 3);
    }

    #[test]
    fn the_previous_window_fades() {
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 100, 0, 100), 100);
        assert_eq!(record_many(&mut rate, 100, 1_000, 100), 0);
        assert_eq!(record_many(&mut rate, 100, 1_500, 100), 50);
        assert_eq!(record_many(&mut rate, 100, 2_000, 100), 50);
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 10_000, 5, 0), 10_000);
        assert!(rate.is_stale(Time::from_millis(5), SECOND));
    }

    #[test]
    fn once_a_second_waits_a_second() {
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 1, 400, 1), 1);
        let verdict = rate.record(Time::from_millis(401), SECOND, 1);
        assert_eq!(
            verdict,
            Verdict::Over {
                retry_after: Span::from_millis(1_000)
            }
        );
    }

    #[test]
    fn becomes_stale_when_nothing_is_remembered() {
        let mut rate = RateWindow::default();
        assert!(rate.is_stale(Time::ZERO, SECOND));
        rate.record(Time::from_millis(100), SECOND, 5);
        assert!(!rate.is_stale(Time::from_millis(2_099), SECOND));
        assert!(rate.is_stale(Time::from_millis(2_100), SECOND));
    }

    #[test]
    fn survives_the_wrap_of_its_clock() {
        let wrap_ms = u64::from(u32::MAX) + 1;
        let mut rate = RateWindow::default();
        assert_eq!(record_many(&mut rate, 70, wrap_ms - 10, 100), 70);
        assert_eq!(record_many(&mut rate, 70, wrap_ms + 10, 100), 30);
    }

    proptest! {
        #[test]
        fn retry_after_is_the_first_moment_that_works(
            steps in prop::collection::vec((0u64..1_500, 1u32..20), 1..60),
            limit in 1u32..30,
        ) {
            let mut rate = RateWindow::default();
            let mut now_ms = 0;
            for (wait_ms, attempts) in steps {
                now_ms += wait_ms;
                for _ in 0..attempts {
                    if let Verdict::Over { retry_after } = rate.record(Time::from_millis(now_ms), SECOND, limit) {
                        let retry_ms = now_ms + retry_after.as_millis();
                        let verdict_at = |at_ms| { rate.clone().record(Time::from_millis(at_ms), SECOND, limit) };
                        prop_assert_eq!(verdict_at(retry_ms), Verdict::Within);
                        prop_assert_ne!(verdict_at(retry_ms - 1), Verdict::Within);
                    }
                }
            }
        }

        #[test]
        fn no_window_sees_twice_the_limit(
            waits_ms in prop::collection::vec(0u64..120, 1..300),
            limit in 1u32..20,
        ) {
            let mut rate = RateWindow::default();
            let mut now_ms = 0;
            let mut admitted_ms = Vec::new();
            for wait_ms in waits_ms {
                now_ms += wait_ms;
                if rate.record(Time::from_millis(now_ms), SECOND, limit) == Verdict::Within {
                    admitted_ms.push(now_ms);
                }
                let recent = admitted_ms.iter().filter(|at_ms| **at_ms + 1_000 > now_ms).count();
                prop_assert!(recent as u32 <= 2 * limit);
            }
        }
    }
}
