//! How much a client may still say (contract section 8, `websocket.rate_limit`), and how often it is warned before it is
//! closed.

use crate::base::time::{Span, Time};
use crate::base::token_bucket::{Admission, Rate, TokenBucket};

/// Warnings in a minute are a tenth of the messages, but never fewer than this.
const MIN_WARNINGS: u32 = 3;
/// Bytes of an answer that cost as much as a message.
const BYTES_PER_TOKEN: usize = 16 * 1024;

/// The messages and the warnings that are left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// The messages.
    pub messages: TokenBucket,
    warnings: TokenBucket,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is heard.
    Heard,
    /// It is not, and its sender is told so.
    Warned(Span),
    /// Its sender has been told often enough.
    Closed(Span),
}

impl Allowance {
    /// A message has come. The spans are those until another may.
    pub fn take(&mut self, now: Time, rate: Rate) -> Ruling {
        let Admission::Over { retry_after } = self.messages.take(now, rate) else {
            return Ruling::Heard;
        };
        let count = (rate.per_minute / 10).max(MIN_WARNINGS);
        let warnings = Rate {
            per_minute: count,
            burst: count,
        };
        match self.warnings.take(now, warnings) {
            Admission::Within => Ruling::Warned(retry_after),
            Admission::Over { .. } => Ruling::Closed(retry_after),
        }
    }

    /// A message was answered with so many bytes.
    pub fn charge(&mut self, now: Time, bytes: usize, rate: Rate) {
        self.messages
            .charge(now, (bytes / BYTES_PER_TOKEN) as u64, rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_minute: 60,
        burst: 10,
    };

    #[test]
    fn a_talker_is_warned_as_often_as_a_tenth_of_its_rate() {
        let mut allowance = Allowance::default();
        let mut rulings = (0..20).map(|_| allowance.take(Time::ZERO, RATE));
        assert!(
            rulings
                .by_ref()
                .take(10)
                .all(|ruling| ruling == Ruling::Heard)
        );
        let told = Span::from_secs(1);
        assert!(
            rulings
                .by_ref()
                .take(6)
                .all(|ruling| ruling == Ruling::Warned(told))
        );
        assert!(rulings.all(|ruling| ruling == Ruling::Closed(told)));
    }

    #[test]
    fn long_answers_cost_more() {
        let mut allowance = Allowance::default();
        allowance.charge(Time::ZERO, 16 * 1024 - 1, RATE);
        assert!(allowance.messages.is_full(Time::ZERO));
        allowance.charge(Time::ZERO, 12 * 16 * 1024, RATE);
        assert_eq!(
            allowance.take(Time::ZERO, RATE),
            Ruling::Warned(Span::from_secs(3))
        );
        assert_eq!(
            allowance.take(Time::from_millis(3_000), RATE),
            Ruling::Heard
        );
    }
}
