//! How often progress goes out: the broadcast interval, stretched while the server is under load.
//!
//! Owns one number, the slowdown (1 to `max_slowdown`). A long turn, or many readers with unsent bytes, multiply it, at most once per
//! interval; without either it decays as a function of time, so that recovering needs no timer and no turn. Knows no task: when one is
//! due is [`Broadcaster::plan_flush`](crate::hub::tasks::broadcaster::Broadcaster)'s to say.

use crate::base::time::{Span, Time};

/// A turn that takes more than one part in this many of the interval is long.
const TURN_SHARE: u64 = 2;
/// Factor by which one long turn stretches the interval.
const STRETCH: f64 = 1.5;
/// Beats per interval: the moments at which progress goes out.
const BEATS: u64 = 4;
/// Without load what is left of the stretch halves in this time, in seconds.
const HALF_LIFE_S: f64 = 1.0;

#[derive(Debug)]
pub struct Pace {
    interval: Span,
    max_slowdown: f64,
    slowdown: f64,
    /// When the interval was last stretched.
    at: Time,
}

impl Pace {
    /// One progress message per `interval` and task; under load up to `max_slowdown` times fewer.
    pub fn new(interval: Span, max_slowdown: f64) -> Self {
        Self {
            interval,
            max_slowdown: max_slowdown.max(1.0),
            slowdown: 1.0,
            at: Time::ZERO,
        }
    }

    /// The factor by which the interval is stretched now; 1 without load.
    pub fn slowdown(&self, now: Time) -> f64 {
        // Decay begins only when a whole stretched interval has passed without load, or steady load would make the pace swing.
        let calm = now.saturating_since(self.at) - self.stretched(self.slowdown);
        // Halving never arrives; below 1 % the interval is the configured one again.
        let left = (self.slowdown - 1.0) * 0.5_f64.powf(calm.as_secs_f64() / HALF_LIFE_S);
        if left < 0.01 { 1.0 } else { 1.0 + left }
    }

    pub fn interval(&self, now: Time) -> Span {
        self.stretched(self.slowdown(now))
    }

    /// The next beat at or after `due`. Tasks that go out on the same beat share a turn, and so one write to each client that watches
    /// several of them; a task waits up to a quarter of an interval longer for that.
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

    /// Stretches the interval if a turn took long, or if more than a quarter of the readers have unsent bytes.
    pub fn handle_turn(&mut self, now: Time, took: Span, backlogged_share: f64) {
        let long = took.as_micros() * TURN_SHARE > self.interval.as_micros();
        // Within one interval many turns may be long for the same reason, such as one burst.
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
