//! The waits of those who come at a bad time: moments one after the other, so that they do not all come back at once.

use crate::base::random::Random;
use crate::base::time::{Span, Time};

/// The shortest time that anybody is told.
pub const SHORTEST: Span = Span::from_secs(1);
/// The longest that a line makes anybody wait.
pub const LONGEST: Span = Span::from_secs(120);
/// Moments of those lines that one address is given in a minute, a tenth of all; beyond that its clients come back as
/// those do who find a line too long.
pub const SHARE_PER_MINUTE: u32 = 300;

/// Those who wait outside: only the last moment that was given out is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    last: Time,
}

impl Line {
    /// Whether a moment that was given out is still to come.
    pub fn is_waited_for(&self, now: Time) -> bool {
        self.last > now
    }

    /// The wait until the next free moment, which is not before `earliest` and `step` after the one before it.
    pub fn join(&mut self, now: Time, earliest: Span, step: Span, random: &mut Random) -> Span {
        let earliest = earliest.max(SHORTEST);
        let at = (now + earliest).max(self.last + step);
        let wait = at.saturating_since(now);
        let longest = LONGEST.max(earliest);
        if wait <= longest {
            self.last = at;
            return wait;
        }
        beyond(longest, random).max(earliest)
    }
}

/// A moment by chance in the second half of a wait.
pub fn beyond(longest: Span, random: &mut Random) -> Span {
    let half_ms = longest.as_millis() / 2;
    Span::from_millis(half_ms + random.below(half_ms))
}

/// Those who wait for a place on a full server.
#[derive(Debug, Clone, Copy, Default)]
pub struct FullLines {
    pub pages: Line,
    pub others: Line,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_a_step_apart_and_never_far_away() {
        let mut random = Random::from_seed([1; 32]);
        let (mut line, now) = (Line::default(), Time::from_millis(5_000));
        let step = Span::from_secs(6);
        let mut wait_ms = |now: Time| {
            line.join(now, Span::from_millis(300), step, &mut random)
                .as_millis()
        };
        let first: Vec<u64> = (0..3).map(|_| wait_ms(now)).collect();
        assert_eq!(first, [1_000, 7_000, 13_000]);
        for _ in 0..1_000 {
            assert!((1_000..=120_000).contains(&wait_ms(now)));
        }
        assert_eq!(wait_ms(Time::from_millis(300_000)), 1_000);
    }

    #[test]
    fn whoever_can_have_nothing_before_long_is_not_told_to_come_sooner() {
        let mut random = Random::from_seed([1; 32]);
        let mut line = Line::default();
        let earliest = Span::from_secs(300);
        for _ in 0..1_000 {
            let wait = line.join(Time::ZERO, earliest, Span::from_secs(60), &mut random);
            assert!(wait >= earliest);
        }
    }
}
