//! Whether and when a client comes back (contract section 9). Pure: it is told what happened and says what to do.
//!
//! The close code decides whether, the server's advice and its last words decide when: the delay of `connected.reconnect`,
//! doubled with each attempt where advised, half of it by chance, and never before `disconnected.delayMs` has passed.

use crate::base::random::Random;
use crate::base::time::Span;
use crate::wire::websocket::CloseCode;

/// What `connected.reconnect` advises. The defaults are the contract's, for a server that was never reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// Attempts before giving up; 0: no limit.
    pub max_attempts: u32,
    /// The wait before the first attempt.
    pub delay: Span,
    /// Whether it doubles with each attempt.
    pub exponential_backoff: bool,
}

impl Default for Advice {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            delay: Span::from_millis(1000),
            exponential_backoff: true,
        }
    }
}

/// How a connection was lost, or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The server closed with a code.
    Closed(CloseCode),
    /// The server refused the upgrade.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Span>,
    },
    /// No goodbye, or no answer at all.
    Broken,
}

/// What to do about a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Come back after a while.
    Retry {
        /// Which attempt that will be, from 1.
        attempt: u32,
        /// The wait.
        delay: Span,
    },
    /// Come back with a new token only.
    RenewToken,
    /// Stay away: it would end the same way.
    StayAway,
    /// The advised number of attempts is used up.
    GiveUp,
}

/// The longest wait that doubling leads to.
const MAX_DELAY: Span = Span::from_secs(30);
/// A connection that ended without a close frame (RFC 6455 section 7.1.5).
const ABNORMAL: CloseCode = CloseCode(1006);

/// The policy of one client, through all its connections.
#[derive(Debug)]
pub struct Reconnect {
    advice: Advice,
    attempts: u32,
    goodbye: Option<Goodbye>,
    random: Random,
}

/// What `disconnected` said.
#[derive(Debug, Clone, Copy)]
struct Goodbye {
    code: CloseCode,
    delay: Span,
}

impl Reconnect {
    /// A client that has not connected yet; the seed decides its waits.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            advice: Advice::default(),
            attempts: 0,
            goodbye: None,
            random: Random::from_seed(seed),
        }
    }

    /// The server has greeted.
    pub fn handle_connected(&mut self, advice: Advice) {
        self.advice = advice;
        self.attempts = 0;
        self.goodbye = None;
    }

    /// The server has announced that it will close.
    pub fn handle_disconnected(&mut self, code: CloseCode, delay: Span) {
        self.goodbye = Some(Goodbye { code, delay });
    }

    /// The connection is gone.
    pub fn handle_loss(&mut self, loss: Loss) -> Verdict {
        let goodbye = self.goodbye.take();
        let (code, at_least) = match loss {
            Loss::Closed(code) => (code, Span::ZERO),
            Loss::Refused {
                status,
                retry_after,
            } => (code_of_status(status), retry_after.unwrap_or(Span::ZERO)),
            // A reset may swallow the close frame, but not what was read before.
            Loss::Broken => (goodbye.map_or(ABNORMAL, |goodbye| goodbye.code), Span::ZERO),
        };
        if code == CloseCode::UNAUTHORIZED {
            return Verdict::RenewToken;
        }
        if !code.reconnect() {
            return Verdict::StayAway;
        }
        let announced = goodbye.map_or(Span::ZERO, |goodbye| goodbye.delay);
        self.next_attempt(at_least.max(announced))
    }

    fn next_attempt(&mut self, at_least: Span) -> Verdict {
        if self.advice.max_attempts > 0 && self.attempts >= self.advice.max_attempts {
            return Verdict::GiveUp;
        }
        let delay = self.backoff().max(at_least);
        self.attempts = self.attempts.saturating_add(1);
        Verdict::Retry {
            attempt: self.attempts,
            delay,
        }
    }

    /// The advised wait; half of it is left to chance, so that clients who left together do not return together.
    fn backoff(&mut self) -> Span {
        let Advice {
            delay,
            exponential_backoff,
            ..
        } = self.advice;
        let doublings = if exponential_backoff {
            self.attempts.min(31)
        } else {
            0
        };
        let whole = (delay * (1 << doublings)).min(MAX_DELAY.max(delay));
        let half = whole.as_micros() / 2;
        Span::from_micros(half + self.random.below(half + 1))
    }
}

/// The close code that says what an HTTP status says.
fn code_of_status(status: u16) -> CloseCode {
    match status {
        401 => CloseCode::UNAUTHORIZED,
        408 => CloseCode::TIMED_OUT,
        429 => CloseCode::RATE_LIMITED,
        500 | 502..=504 => CloseCode::TRY_AGAIN_LATER,
        _ => CloseCode::FORBIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_attempts: u32, exponential_backoff: bool) -> Reconnect {
        let mut policy = Reconnect::new([7; 32]);
        policy.handle_connected(Advice {
            max_attempts,
            delay: Span::from_millis(1000),
            exponential_backoff,
        });
        policy
    }

    #[track_caller]
    fn delay_ms(verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Retry { delay, .. } => delay.as_millis(),
            other => panic!("no retry but {other:?}"),
        }
    }

    #[test]
    fn the_code_decides_whether() {
        for code in [1001, 1006, 1011, 1012, 1013, 4408, 4429, 4430] {
            let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(code)));
            assert!(matches!(verdict, Verdict::Retry { .. }), "{code}");
        }
        for code in [1000, 1002, 1003, 1005, 1007, 1008, 1009, 4000, 4403] {
            let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(code)));
            assert_eq!(verdict, Verdict::StayAway, "{code}");
        }
        let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(4401)));
        assert_eq!(verdict, Verdict::RenewToken);
    }

    #[test]
    fn the_delay_doubles_up_to_a_limit_and_half_of_it_is_chance() {
        let mut policy = policy(0, true);
        for whole_ms in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let delay_ms = delay_ms(policy.handle_loss(Loss::Broken));
            assert!(
                (whole_ms / 2..=whole_ms).contains(&delay_ms),
                "{delay_ms} of {whole_ms}"
            );
        }
        let steady = (0..50).fold((u64::MAX, 0), |(least, most), _| {
            let mut policy = self::policy(0, false);
            policy.random = Random::from_seed([most as u8; 32]);
            policy.handle_loss(Loss::Broken);
            let delay_ms = delay_ms(policy.handle_loss(Loss::Broken));
            (least.min(delay_ms), most.max(delay_ms))
        });
        assert!(steady.0 >= 500 && steady.1 <= 1000, "{steady:?}");
    }

    #[test]
    fn nobody_comes_before_the_time_that_the_server_announced() {
        let mut policy = policy(10, true);
        policy.handle_disconnected(CloseCode::GOING_AWAY, Span::from_millis(7300));
        assert_eq!(
            policy.handle_loss(Loss::Closed(CloseCode::GOING_AWAY)),
            Verdict::Retry {
                attempt: 1,
                delay: Span::from_millis(7300)
            }
        );
        // It holds once: what fails later is no business of that goodbye.
        assert!(delay_ms(policy.handle_loss(Loss::Broken)) <= 2000);
        let refused = Loss::Refused {
            status: 429,
            retry_after: Some(Span::from_secs(40)),
        };
        assert_eq!(delay_ms(policy.handle_loss(refused)), 40_000);
    }

    #[test]
    fn last_words_count_when_the_close_frame_was_lost() {
        let mut policy = policy(10, true);
        policy.handle_disconnected(CloseCode::FORBIDDEN, Span::ZERO);
        assert_eq!(policy.handle_loss(Loss::Broken), Verdict::StayAway);
    }

    #[test]
    fn attempts_are_counted_until_a_greeting() {
        let mut policy = policy(2, false);
        for attempt in 1..=2 {
            let verdict = policy.handle_loss(Loss::Broken);
            assert!(
                matches!(verdict, Verdict::Retry { attempt: counted, .. } if counted == attempt)
            );
        }
        assert_eq!(policy.handle_loss(Loss::Broken), Verdict::GiveUp);
        policy.handle_connected(Advice::default());
        assert!(matches!(
            policy.handle_loss(Loss::Broken),
            Verdict::Retry { attempt: 1, .. }
        ));
    }

    #[test]
    fn a_refused_upgrade_says_whether_to_come_back() {
        let verdict = |status| {
            policy(10, true).handle_loss(Loss::Refused {
                status,
                retry_after: None,
            })
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(verdict(status), Verdict::Retry { .. }), "{status}");
        }
        for status in [200, 400, 403, 404, 421, 426] {
            assert_eq!(verdict(status), Verdict::StayAway, "{status}");
        }
        assert_eq!(verdict(401), Verdict::RenewToken);
    }

    #[test]
    fn huge_advice_does_not_overflow() {
        let mut policy = Reconnect::new([1; 32]);
        policy.handle_connected(Advice {
            max_attempts: 0,
            delay: Span::from_millis(u64::MAX),
            exponential_backoff: true,
        });
        for _ in 0..100 {
            let verdict = policy.handle_loss(Loss::Broken);
            assert!(matches!(verdict, Verdict::Retry { .. }));
        }
    }
}
