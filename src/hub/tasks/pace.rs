//! How often progress goes out: the broadcast interval, stretched while the server is under load.
//!
//! Owns one number, the slowdown (1 to `max_slowdown`). A long turn, or many readers with unsent bytes, multiply it, at most once per
//! interval; without either it decays as a function of time, so that recovering needs no timer and no turn. Knows no task: when one is
//! due is [`Broadcaster::plan_flush`](crate::hub::tasks::broadcaster::Broadcaster)'s to say.

use crate::base::time::{Span, Time};
use crate::hub::settings::{HubSettings, Moment};

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
    slowdown: f64,
    /// When the interval was last stretched.
    at: Time,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            slowdown: 1.0,
            at: Time::ZERO,
        }
    }
}

impl Pace {
    /// The factor by which the interval is stretched now; 1 without load.
    pub fn slowdown(&self, moment: Moment<'_>) -> f64 {
        // Decay begins only when a whole stretched interval has passed without load, or steady load would make the pace swing.
        let stretched = stretched(moment.settings, self.slowdown);
        let calm = moment.now.at.saturating_since(self.at) - stretched;
        // Halving never arrives; below 1 % the interval is the configured one again.
        let left = (self.slowdown - 1.0) * 0.5_f64.powf(calm.as_secs_f64() / HALF_LIFE_S);
        if left < 0.01 { 1.0 } else { 1.0 + left }
    }

    /// A task's progress goes out once per interval; under load up to `max_slowdown` times less often.
    pub fn interval(&self, moment: Moment<'_>) -> Span {
        stretched(moment.settings, self.slowdown(moment))
    }

    /// Stretches the interval if a turn took long, or if more than a quarter of the readers have unsent bytes.
    pub fn handle_turn(&mut self, moment: Moment<'_>, took: Span, backlogged_share: f64) {
        let interval = interval(moment.settings);
        let long = took.as_micros() * TURN_SHARE > interval.as_micros();
        // Within one interval many turns may be long for the same reason, such as one burst.
        let due = moment.now.at.saturating_since(self.at) >= self.interval(moment);
        if interval.is_zero() || !due || !(long || backlogged_share > 0.25) {
            return;
        }
        let most = f64::from(moment.settings.broadcaster.max_slowdown.max(1));
        self.slowdown = (self.slowdown(moment) * STRETCH).min(most);
        self.at = moment.now.at;
    }
}

/// The next beat at or after `due`. Tasks that go out on the same beat share a turn, and so one write to each client that watches
/// several of them; a task waits up to a quarter of an interval longer for that.
pub fn next_beat(due: Time, settings: &HubSettings) -> Time {
    match interval(settings).as_micros() / BEATS {
        0 => due,
        beat => Time::from_micros(due.as_micros().next_multiple_of(beat)),
    }
}

fn stretched(settings: &HubSettings, slowdown: f64) -> Span {
    Span::from_micros((interval(settings).as_micros() as f64 * slowdown) as u64)
}

fn interval(settings: &HubSettings) -> Span {
    Span::from_millis(settings.broadcaster.broadcast_interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Now;

    fn settings() -> HubSettings {
        let mut settings = HubSettings::unlimited();
        settings.broadcaster.broadcast_interval = 100;
        settings.broadcaster.max_slowdown = 4;
        settings
    }

    fn at(settings: &HubSettings, millis: u64) -> Moment<'_> {
        let now = Now {
            at: Time::from_millis(millis),
            wall_ms: 0,
        };
        Moment { now, settings }
    }

    #[test]
    fn long_turns_stretch_the_interval_and_calm_restores_it() {
        let (mut pace, settings) = (Pace::default(), settings());
        let long = Span::from_millis(80);
        for turn in 1..100 {
            pace.handle_turn(at(&settings, turn * 100), long, 0.0);
        }
        let slowdown = pace.slowdown(at(&settings, 9_900));
        assert!(slowdown > 2.0 && slowdown <= 4.0, "{slowdown}");
        assert_eq!(pace.interval(at(&settings, 29_900)), Span::from_millis(100));
    }

    #[test]
    fn backlogged_readers_stretch_it_too_and_short_turns_do_not() {
        let (mut pace, settings) = (Pace::default(), settings());
        pace.handle_turn(at(&settings, 500), Span::from_millis(1), 0.1);
        assert_eq!(pace.slowdown(at(&settings, 500)), 1.0);
        pace.handle_turn(at(&settings, 600), Span::from_millis(1), 0.5);
        assert_eq!(pace.slowdown(at(&settings, 600)), 1.5);
    }
}
