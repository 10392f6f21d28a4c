//! A rate limit in eight bytes: a bucket of tokens that refills at a steady rate and holds a burst.
//!
//! The bucket stores the time at which it will be full again (the *theoretical arrival time* of the generic cell rate
//! algorithm), so a full bucket is all zeros and needs no upkeep. Refused attempts cost no token. What to do about an
//! excess is the owner's decision.

use super::time::{Span, Time};

const MINUTE_NS: u64 = 60_000_000_000;
/// However much is charged, a bucket is full again within this time beyond its burst.
const MAX_DEBT_NS: u64 = 60 * MINUTE_NS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 0: no limit.
    pub per_minute: u32,
    /// The bucket's depth; 0 counts as 1.
    pub burst: u32,
}

/// `Default` is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    full_at_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A token was taken.
    Within,
    /// The bucket was empty.
    Over {
        /// Until the next token, unless somebody else takes it.
        retry_after: Span,
    },
}

impl Rate {
    pub const NONE: Self = Self {
        per_minute: 0,
        burst: 0,
    };

    pub fn is_none(self) -> bool {
        self.per_minute == 0
    }

    /// The time between two tokens.
    pub fn gap(self) -> Span {
        Span::from_micros(self.gap_ns().div_ceil(1000))
    }

    fn gap_ns(self) -> u64 {
        match self.per_minute {
            0 => 0,
            per_minute => MINUTE_NS.div_ceil(per_minute.into()),
        }
    }

    /// How far the time of fullness may lie ahead of now while a token is still left.
    fn slack_ns(self) -> u64 {
        self.gap_ns()
            .saturating_mul(u64::from(self.burst.saturating_sub(1)))
    }
}

impl TokenBucket {
    pub fn take(&mut self, now: Time, rate: Rate) -> Admission {
        if rate.is_none() {
            return Admission::Within;
        }
        let missing_ns = self.full_at_ns.saturating_sub(nanos(now));
        let Some(wait_ns) = missing_ns
            .checked_sub(rate.slack_ns())
            .filter(|wait_ns| *wait_ns > 0)
        else {
            self.full_at_ns = self
                .full_at_ns
                .max(nanos(now))
                .saturating_add(rate.gap_ns());
            debug_assert!(
                self.full_at_ns.saturating_sub(nanos(now))
                    <= rate.slack_ns().saturating_add(rate.gap_ns()),
                "taking tokens alone never leads into debt"
            );
            return Admission::Within;
        };
        Admission::Over {
            retry_after: Span::from_micros(wait_ns.div_ceil(1000)),
        }
    }

    /// Takes tokens even from an empty bucket, for work that is already done.
    pub fn charge(&mut self, now: Time, tokens: u64, rate: Rate) {
        let debt_ns = rate.gap_ns().saturating_mul(tokens).min(MAX_DEBT_NS);
        let latest_ns = nanos(now)
            .saturating_add(rate.slack_ns())
            .saturating_add(MAX_DEBT_NS);
        let full_at_ns = self.full_at_ns.max(nanos(now)).saturating_add(debt_ns);
        if debt_ns > 0 {
            self.full_at_ns = full_at_ns.min(latest_ns);
        }
    }

    /// Returns a token that turned out not to be needed.
    pub fn refund(&mut self, rate: Rate) {
        self.full_at_ns = self.full_at_ns.saturating_sub(rate.gap_ns());
    }

    /// Whether it behaves like a new bucket, so that its owner may forget it.
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at_ns <= nanos(now)
    }
}

fn nanos(time: Time) -> u64 {
    time.as_micros().saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_minute: u32, burst: u32) -> Rate {
        Rate { per_minute, burst }
    }

    fn take_many(bucket: &mut TokenBucket, attempts: u32, at_ms: u64, rate: Rate) -> u32 {
        let within = |_: &u32| bucket.take(Time::from_millis(at_ms), rate) == Admission::Within;
        (0..attempts).filter(within).count() as u32
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<TokenBucket>(), 8);
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_the_rate() {
        let mut bucket = TokenBucket::default();
        let rate = rate(60, 5);
        assert_eq!(take_many(&mut bucket, 60, 123_456, rate), 5);
        assert_eq!(take_many(&mut bucket, 60, 124_455, rate), 0);
        assert_eq!(take_many(&mut bucket, 60, 124_456, rate), 1);
        assert_eq!(take_many(&mut bucket, 60, 127_456, rate), 3);
        assert_eq!(take_many(&mut bucket, 60, 900_000, rate), 5);
    }

    #[test]
    fn without_a_burst_one_comes_at_a_time() {
        for burst in [0, 1] {
            let mut bucket = TokenBucket::default();
            assert_eq!(take_many(&mut bucket, 9, 0, rate(60, burst)), 1);
            assert_eq!(take_many(&mut bucket, 9, 1_000, rate(60, burst)), 1);
        }
    }

    #[test]
    fn a_token_that_is_given_back_is_there_again() {
        let mut bucket = TokenBucket::default();
        let rate = rate(1, 3);
        assert_eq!(take_many(&mut bucket, 9, 0, rate), 3);
        bucket.refund(rate);
        assert_eq!(take_many(&mut bucket, 9, 0, rate), 1);
        bucket = TokenBucket::default();
        bucket.refund(rate);
        assert_eq!(take_many(&mut bucket, 9, 0, rate), 3);
    }

    #[test]
    fn a_charge_is_paid_back_before_the_next_token() {
        let mut bucket = TokenBucket::default();
        let rate = rate(60, 5);
        bucket.charge(Time::ZERO, 8, rate);
        assert_eq!(take_many(&mut bucket, 9, 3_999, rate), 0);
        assert_eq!(take_many(&mut bucket, 9, 4_000, rate), 1);
        bucket.charge(Time::from_millis(4_000), u64::MAX, rate);
        assert!(bucket.is_full(Time::from_millis(4_000_000)));
        bucket = TokenBucket::default();
        bucket.charge(Time::from_millis(5), 0, rate);
        bucket.charge(Time::from_millis(5), 9, Rate::NONE);
        assert_eq!(bucket, TokenBucket::default());
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = TokenBucket::default();
        assert_eq!(take_many(&mut bucket, 10_000, 5, Rate::NONE), 10_000);
        assert!(bucket.is_full(Time::ZERO));
    }

    proptest! {
        #[test]
        fn retry_after_is_the_first_moment_that_works(
            steps in prop::collection::vec((0u64..90_000, 1u32..20), 1..60),
            per_minute in 1u32..300,
            burst in 0u32..30,
        ) {
            let (mut bucket, rate) = (TokenBucket::default(), rate(per_minute, burst));
            let mut now = Time::ZERO;
            for (wait_ms, attempts) in steps {
                now += Span::from_millis(wait_ms);
                for _ in 0..attempts {
                    if let Admission::Over { retry_after } = bucket.take(now, rate) {
                        let verdict_after = |span| bucket.clone().take(now + span, rate);
                        let before = Span::from_micros(retry_after.as_micros() - 1);
                        prop_assert_eq!(verdict_after(retry_after), Admission::Within);
                        prop_assert_ne!(verdict_after(before), Admission::Within);
                    }
                }
            }
        }

        #[test]
        fn no_stretch_of_time_sees_more_than_its_rate_and_one_burst(
            waits_ms in prop::collection::vec(0u64..5_000, 1..300),
            per_minute in 1u32..120,
            burst in 1u32..20,
        ) {
            let (mut bucket, rate) = (TokenBucket::default(), rate(per_minute, burst));
            let mut now_ms = 0;
            let mut taken_ms = Vec::new();
            for wait_ms in waits_ms {
                now_ms += wait_ms;
                if bucket.take(Time::from_millis(now_ms), rate) == Admission::Within {
                    taken_ms.push(now_ms);
                }
            }
            for (first, from_ms) in taken_ms.iter().enumerate() {
                for (last, to_ms) in taken_ms.iter().enumerate().skip(first) {
                    let most = u64::from(burst) + (to_ms - from_ms) * u64::from(per_minute) / 60_000;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn whoever_keeps_to_the_rate_is_never_refused(
            gaps_ms in prop::collection::vec(0u64..5_000, 1..100),
            per_minute in 1u32..120,
        ) {
            let (mut bucket, rate) = (TokenBucket::default(), rate(per_minute, 1));
            let mut now = Time::ZERO;
            for gap_ms in gaps_ms {
                prop_assert_eq!(bucket.take(now, rate), Admission::Within);
                now += rate.gap() + Span::from_millis(gap_ms);
            }
        }
    }
}
