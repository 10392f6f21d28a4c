//! When clients that are sent away come back (contract section 9). Each is told a moment of its own, so that a crowd that
//! was sent away together does not return together, and nobody is told less than a second.
//!
//! Whoever waits for a place stands in a [`Line`]: the moments that a line gives out are a step apart, the step in which
//! places can be had (the share of a minute that an address has) or in which attempts cost little (a full server). So
//! clients that do as they are told knock no faster than that, as long as the line is no longer than `LONGEST`; those
//! beyond its end come back by chance, because of those before them some have given up, or were never serious.
//!
//! Pages and others wait for a full server in a line each, and an address has a share of both: nobody who knocks much
//! makes all others wait.

use super::state::State;
use crate::base::random::Random;
use crate::base::time::{Now, Span, Time};
use crate::wire::websocket::CloseCode;
use core::net::IpAddr;

/// The shortest time that anybody is told.
const SHORTEST: Span = Span::from_secs(1);
/// The longest that a line makes anybody wait.
const LONGEST: Span = Span::from_secs(120);
/// Between two attempts on a full server, in each of the two lines.
const FULL_STEP: Span = Span::from_millis(40);
/// Moments of those lines that one address is given in a minute, a tenth of all; beyond that its clients come back as
/// those do who find a line too long.
pub const SHARE_PER_MINUTE: u32 = 300;
/// Over how many milliseconds returning clients are spread, for each thousand of them.
const SPREAD_MS: u64 = 1000;

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
fn beyond(longest: Span, random: &mut Random) -> Span {
    let half_ms = longest.as_millis() / 2;
    Span::from_millis(half_ms + random.below(half_ms))
}

/// Those who wait for a place on a full server.
#[derive(Debug, Clone, Copy, Default)]
pub struct FullLines {
    pages: Line,
    others: Line,
}

/// Who is sent away from a full server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A WebSocket that is told by a goodbye.
    Page,
    /// A request that is told by its answer.
    Other,
}

/// When a client comes back that is sent away with a code; zero when it is not to come back.
pub fn delay(state: &mut State, now: Now, code: CloseCode) -> Span {
    match code {
        CloseCode::TRY_AGAIN_LATER => delay_of_full(state, now, None, Sort::Page),
        code if code.reconnect() => spread(state, SHORTEST),
        _ => Span::ZERO,
    }
}

/// When a client comes back that finds no place. `address`: where it came from, if it came on its own account.
pub fn delay_of_full(state: &mut State, now: Now, address: Option<IpAddr>, sort: Sort) -> Span {
    let has_share =
        address.is_none_or(|address| state.addresses_mut(now).has_share(now.at, address));
    let State {
        full_lines, random, ..
    } = state;
    let line = match sort {
        Sort::Page => &mut full_lines.pages,
        Sort::Other => &mut full_lines.others,
    };
    match has_share {
        true => line.join(now.at, SHORTEST, FULL_STEP, random),
        false => beyond(LONGEST, random),
    }
}

/// A moment after `earliest`, by chance; the more connections there are, the later it may be.
pub fn spread(state: &mut State, earliest: Span) -> Span {
    // Clients leave the hub as they are told, connections only later.
    let span_ms = SPREAD_MS.max(SPREAD_MS * state.peers.len() as u64 / 1000);
    earliest.max(SHORTEST) + Span::from_millis(state.random.below(span_ms))
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
