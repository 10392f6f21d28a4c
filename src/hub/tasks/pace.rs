//! How often progress goes out: the broadcast interval, stretched while the server is under pressure.
//!
//! A turn of the loop that ran long, or many readers with unsent bytes, push the pace down; calm lets it recover
//! by itself, as a function of time, so that no timer is needed.

use crate::base::time::{Span, Time};

/// How much faster than the interval a turn must be, or the interval stretches.
const TURN_SHARE: u64 = 2;
/// One push at most in an interval; each stretches by this factor.
const STRETCH: f64 = 1.5;
/// Progress goes out on so many beats in an interval.
const BEATS: u64 = 4;
/// Calm halves what is left of the stretch in this many seconds.
const HALF_LIFE_S: f64 = 1.0;

/// The adaptive interval.
#[derive(Debug)]
pub struct Pace {
    interval: Span,
    max_slowdown: f64,
    slowdown: f64,
    at: Time,
}

impl Pace {
    /// A pace of one message an `interval`, never more than `max_slowdown` times slower.
    pub fn new(interval: Span, max_slowdown: f64) -> Self {
        Self {
            interval,
            max_slowdown: max_slowdown.max(1.0),
            slowdown: 1.0,
            at: Time::ZERO,
        }
    }

    /// How many times slower than configured progress goes out now.
    pub fn slowdown(&self, now: Time) -> f64 {
        // Calm begins when a whole stretched interval has passed without a reason to stretch it again.
        let calm = now.saturating_since(self.at) - self.stretched(self.slowdown);
        let left = (self.slowdown - 1.0) * 0.5_f64.powf(calm.as_secs_f64() / HALF_LIFE_S);
        if left < 0.01 { 1.0 } else { 1.0 + left }
    }

    /// The interval in force.
    pub fn interval(&self, now: Time) -> Span {
        self.stretched(self.slowdown(now))
    }

    /// The next beat at or after `due`: tasks that go out on the same beats share turns, and writes to whoever watches many.
    pub fn next_beat(&self, due: Time) -> Time {
        let beat = self.interval.as_micros() / BEATS;
        match beat {
            0 => due,
            _ => Time::from_micros(due.as_micros().next_multiple_of(beat)),
        }
    }

    fn stretched(&self, slowdown: f64) -> Span {
        Span::from_micros((self.interval.as_micros() as f64 * slowdown) as u64)
    }

    /// Learns how long a turn took and which share of the readers has unsent bytes.
    pub fn handle_turn(&mut self, now: Time, took: Span, backlogged_share: f64) {
        let long = took.as_micros() * TURN_SHARE > self.interval.as_micros();
        let due = now.saturating_since(self.at) >= self.interval(now);
        if self.interval.is_zero() || !due || !(long || backlogged_share > 0.25) {
            return;
        }
        self.slowdown = (self.slowdown(now) * STRETCH).min(self.max_slowdown);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_turns_stretch_the_interval_and_calm_restores_it() {
        let mut pace = Pace::new(Span::from_millis(100), 4.0);
        let long = Span::from_millis(80);
        for turn in 1..100 {
            pace.handle_turn(Time::from_millis(turn * 100), long, 0.0);
        }
        let end = Time::from_millis(9_900);
        assert!(
            pace.slowdown(end) > 2.0 && pace.slowdown(end) <= 4.0,
            "{}",
            pace.slowdown(end)
        );
        assert_eq!(
            pace.interval(end + Span::from_secs(20)),
            Span::from_millis(100)
        );
    }

    #[test]
    fn backlogged_readers_stretch_it_too_and_short_turns_do_not() {
        let mut pace = Pace::new(Span::from_millis(100), 4.0);
        pace.handle_turn(Time::from_millis(500), Span::from_millis(1), 0.1);
        assert_eq!(pace.slowdown(Time::from_millis(500)), 1.0);
        pace.handle_turn(Time::from_millis(600), Span::from_millis(1), 0.5);
        assert_eq!(pace.slowdown(Time::from_millis(600)), 1.5);
    }
}
