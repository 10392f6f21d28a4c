//! Whether and when a client reconnects (contract section 9). Pure: it is told what happened and says what to do.
//!
//! The server's last word decides: `disconnected` says whether to reconnect and when, `Retry-After` when. Otherwise the
//! close code decides whether, and the advice of `connected.reconnect` when: its delay, doubled with each attempt where
//! advised, half of it random. The advised number bounds consecutive attempts that no server has answered.

use crate::base::random::Random;
use crate::base::time::Span;
use crate::wire::websocket::CloseCode;

/// `connected.reconnect`. The defaults are the contract's, for a server that was never reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// 0: no limit.
    pub max_attempts: u32,
    /// Before the first attempt.
    pub delay: Span,
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
    Closed(CloseCode),
    /// The server refused the upgrade.
    Refused {
        status: u16,
        retry_after: Option<Span>,
    },
    /// No close frame, or no answer at all.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectDecision {
    Retry {
        /// From 1.
        attempt: u32,
        delay: Span,
    },
    /// Reconnect only with a new token.
    RenewToken,
    /// Do not reconnect: it would end the same way.
    StayAway,
    /// The advised number of attempts is used up.
    GiveUp,
}

/// The longest delay that doubling leads to.
const MAX_DELAY: Span = Span::from_secs(30);
/// No close frame (RFC 6455 section 7.1.5).
const ABNORMAL: CloseCode = CloseCode(1006);

/// One client's policy, across all its connections.
#[derive(Debug)]
pub struct ReconnectPolicy {
    advice: Advice,
    /// Attempts since the last greeting.
    attempts: u32,
    /// Of these, the attempts since a server last named a time.
    unanswered: u32,
    goodbye: Option<Goodbye>,
    random: Random,
}

/// What `disconnected` said.
#[derive(Debug, Clone, Copy)]
struct Goodbye {
    code: CloseCode,
    reconnect: bool,
    delay: Span,
}

impl ReconnectPolicy {
    /// The seed decides the random part of the delays.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            advice: Advice::default(),
            attempts: 0,
            unanswered: 0,
            goodbye: None,
            random: Random::from_seed(seed),
        }
    }

    pub fn handle_connected(&mut self, advice: Advice) {
        self.advice = advice;
        (self.attempts, self.unanswered) = (0, 0);
        self.goodbye = None;
    }

    /// The server has announced that it will close. `reconnect`: whether to reconnect, if the message says so.
    pub fn handle_disconnected(&mut self, code: CloseCode, reconnect: Option<bool>, delay: Span) {
        self.goodbye = Some(Goodbye {
            code,
            reconnect: reconnect.unwrap_or(code.reconnect()),
            delay,
        });
    }

    pub fn handle_loss(&mut self, loss: Loss) -> ReconnectDecision {
        let goodbye = self.goodbye.take();
        let code = match loss {
            Loss::Closed(code) => code,
            Loss::Refused { status, .. } => code_of_status(status),
            Loss::Broken => ABNORMAL,
        };
        // A reset may swallow the close frame, but not messages that were read before.
        let code = goodbye.map_or(code, |goodbye| goodbye.code);
        if code == CloseCode::UNAUTHORIZED {
            return ReconnectDecision::RenewToken;
        }
        if !goodbye.map_or(code.reconnect(), |goodbye| goodbye.reconnect) {
            return ReconnectDecision::StayAway;
        }
        let told = match loss {
            Loss::Refused { retry_after, .. } => retry_after,
            Loss::Closed(_) | Loss::Broken => goodbye.map(|goodbye| goodbye.delay),
        };
        // A server that names 0 has not thought about it.
        match told.filter(|told| !told.is_zero()) {
            Some(told) => {
                self.unanswered = 0;
                self.retry_after(told)
            }
            None => self.retry_unanswered(),
        }
    }

    fn retry_unanswered(&mut self) -> ReconnectDecision {
        if self.advice.max_attempts > 0 && self.unanswered >= self.advice.max_attempts {
            return ReconnectDecision::GiveUp;
        }
        let delay = self.backoff();
        self.retry_after(delay)
    }

    fn retry_after(&mut self, delay: Span) -> ReconnectDecision {
        self.attempts = self.attempts.saturating_add(1);
        self.unanswered = self.unanswered.saturating_add(1);
        ReconnectDecision::Retry {
            attempt: self.attempts,
            delay,
        }
    }

    /// The advised delay, half of it random, so that clients who left together do not return together.
    fn backoff(&mut self) -> Span {
        let Advice {
            delay,
            exponential_backoff,
            ..
        } = self.advice;
        let doublings = if exponential_backoff {
            self.unanswered.min(31)
        } else {
            0
        };
        let whole = (delay * (1 << doublings)).min(MAX_DELAY.max(delay));
        let half = whole.as_micros() / 2;
        Span::from_micros(half + self.random.below(half + 1))
    }
}

/// The close code with the meaning of an HTTP status.
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

    fn policy(max_attempts: u32, exponential_backoff: bool) -> ReconnectPolicy {
        let mut policy = ReconnectPolicy::new([7; 32]);
        policy.handle_connected(Advice {
            max_attempts,
            delay: Span::from_millis(1000),
            exponential_backoff,
        });
        policy
    }

    #[track_caller]
    fn delay_ms_of(verdict: ReconnectDecision) -> u64 {
        match verdict {
            ReconnectDecision::Retry { delay, .. } => delay.as_millis(),
            other => panic!("no retry but {other:?}"),
        }
    }

    #[test]
    fn the_code_decides_whether() {
        for code in [1001, 1006, 1011, 1012, 1013, 4408, 4429, 4430] {
            let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(code)));
            assert!(matches!(verdict, ReconnectDecision::Retry { .. }), "{code}");
        }
        for code in [1000, 1002, 1003, 1005, 1007, 1008, 1009, 4000, 4403] {
            let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(code)));
            assert_eq!(verdict, ReconnectDecision::StayAway, "{code}");
        }
        let verdict = policy(10, true).handle_loss(Loss::Closed(CloseCode(4401)));
        assert_eq!(verdict, ReconnectDecision::RenewToken);
    }

    #[test]
    fn the_delay_doubles_up_to_a_limit_and_half_of_it_is_chance() {
        let mut policy = policy(0, true);
        for whole_ms in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            let delay_ms = delay_ms_of(policy.handle_loss(Loss::Broken));
            assert!(
                (whole_ms / 2..=whole_ms).contains(&delay_ms),
                "{delay_ms} of {whole_ms}"
            );
        }
        let steady = (0..50).fold((u64::MAX, 0), |(least, most), _| {
            let mut policy = self::policy(0, false);
            policy.random = Random::from_seed([most as u8; 32]);
            policy.handle_loss(Loss::Broken);
            let delay_ms = delay_ms_of(policy.handle_loss(Loss::Broken));
            (least.min(delay_ms), most.max(delay_ms))
        });
        assert!(steady.0 >= 500 && steady.1 <= 1000, "{steady:?}");
    }

    fn told(policy: &mut ReconnectPolicy, code: u16, delay_ms: u64) -> ReconnectDecision {
        let code = CloseCode(code);
        policy.handle_disconnected(code, Some(true), Span::from_millis(delay_ms));
        policy.handle_loss(Loss::Closed(code))
    }

    fn refused(
        policy: &mut ReconnectPolicy,
        status: u16,
        retry_after: Option<Span>,
    ) -> ReconnectDecision {
        policy.handle_loss(Loss::Refused {
            status,
            retry_after,
        })
    }

    #[test]
    fn the_moment_that_the_server_names_is_kept_exactly() {
        let mut policy = policy(10, true);
        for delay_ms in [7300, 1, 90_000] {
            assert_eq!(delay_ms_of(told(&mut policy, 1013, delay_ms)), delay_ms);
        }
        for seconds in [40, 1] {
            let verdict = refused(&mut policy, 429, Some(Span::from_secs(seconds)));
            assert_eq!(delay_ms_of(verdict), seconds * 1000);
        }
        // It holds once: what fails later is no business of that goodbye.
        assert!((1000..=2000).contains(&delay_ms_of(policy.handle_loss(Loss::Broken))));
        policy.handle_disconnected(CloseCode::GOING_AWAY, Some(true), Span::from_millis(1234));
        let broken = policy.handle_loss(Loss::Broken);
        assert_eq!(delay_ms_of(broken), 1234, "the close frame was lost");
    }

    #[test]
    fn no_time_at_all_is_no_time_named() {
        let mut policy = policy(10, false);
        for _ in 0..3 {
            assert!(delay_ms_of(told(&mut policy, 4429, 0)) >= 500);
            assert!(delay_ms_of(refused(&mut policy, 503, Some(Span::ZERO))) >= 500);
            assert!(delay_ms_of(refused(&mut policy, 503, None)) >= 500);
        }
    }

    #[test]
    fn attempts_that_a_server_answers_are_not_used_up() {
        let mut policy = policy(2, false);
        for attempt in 1..=100 {
            let verdict = told(&mut policy, 1013, 1500);
            assert!(
                matches!(verdict, ReconnectDecision::Retry { attempt: counted, .. } if counted == attempt)
            );
        }
        let verdict = policy.handle_loss(Loss::Broken);
        assert!(matches!(
            verdict,
            ReconnectDecision::Retry { attempt: 101, .. }
        ));
        assert_eq!(policy.handle_loss(Loss::Broken), ReconnectDecision::GiveUp);
    }

    #[test]
    fn last_words_count_more_than_the_code() {
        for (code, reconnect, loss) in [
            (1008, false, Loss::Broken),
            (1013, false, Loss::Closed(CloseCode(1013))),
            (1001, false, Loss::Closed(CloseCode(1005))),
        ] {
            let mut policy = policy(10, true);
            policy.handle_disconnected(CloseCode(code), Some(reconnect), Span::ZERO);
            assert_eq!(
                policy.handle_loss(loss),
                ReconnectDecision::StayAway,
                "{code}"
            );
        }
        let mut policy = policy(10, true);
        assert_eq!(delay_ms_of(told(&mut policy, 4000, 2000)), 2000);
        policy.handle_disconnected(CloseCode::FORBIDDEN, None, Span::ZERO);
        assert_eq!(
            policy.handle_loss(Loss::Broken),
            ReconnectDecision::StayAway
        );
    }

    #[test]
    fn attempts_are_counted_until_a_greeting() {
        let mut policy = policy(2, false);
        for attempt in 1..=2 {
            let verdict = policy.handle_loss(Loss::Broken);
            assert!(
                matches!(verdict, ReconnectDecision::Retry { attempt: counted, .. } if counted == attempt)
            );
        }
        assert_eq!(policy.handle_loss(Loss::Broken), ReconnectDecision::GiveUp);
        policy.handle_connected(Advice::default());
        assert!(matches!(
            policy.handle_loss(Loss::Broken),
            ReconnectDecision::Retry { attempt: 1, .. }
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
            assert!(
                matches!(verdict(status), ReconnectDecision::Retry { .. }),
                "{status}"
            );
        }
        for status in [200, 400, 403, 404, 421, 426] {
            assert_eq!(verdict(status), ReconnectDecision::StayAway, "{status}");
        }
        assert_eq!(verdict(401), ReconnectDecision::RenewToken);
    }

    #[test]
    fn huge_advice_does_not_overflow() {
        let mut policy = ReconnectPolicy::new([1; 32]);
        policy.handle_connected(Advice {
            max_attempts: 0,
            delay: Span::from_millis(u64::MAX),
            exponential_backoff: true,
        });
        for _ in 0..100 {
            let verdict = policy.handle_loss(Loss::Broken);
            assert!(matches!(verdict, ReconnectDecision::Retry { .. }));
        }
    }
}
