//! How much a peer may bring: in one turn, of control frames, and of messages (contract section 8, `websocket.rate_limit`).
//!
//! What one peer may bring in one turn is bounded, so that the others have their turns between; the rest waits. A message, a
//! frame, a request or a line each count once, however short: what they cost is hardly a matter of bytes.

use crate::base::time::{Span, Time};
use crate::base::token_bucket::{Admission, Rate, TokenBucket};

/// What one peer may bring in a turn.
const MAX_OF_ONE: u16 = 256;
/// What all may bring together, before those who are left go first in the next turn.
const MAX_OF_ALL: u32 = 4096;
/// Pings of one peer that are answered one by one in a turn; beyond these only the newest is (RFC 6455 section 5.5.3).
const MAX_PONGS: u8 = 16;
/// How long the control frames of a peer are counted together, in seconds.
const CONTROL_SECONDS: u16 = 10;
/// How many of them it may send in that time without being asked: twenty a second.
const MAX_CONTROL_FRAMES: u16 = 200;

/// Warnings in a minute are a tenth of the messages, but never fewer than this.
const MIN_WARNINGS: u32 = 3;
/// Bytes of an answer that cost as much as a message.
const BYTES_PER_TOKEN: usize = 16 * 1024;

/// A turn, and what all have brought in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turn {
    number: u16,
    events: u32,
}

impl Turn {
    /// The next turn begins.
    pub fn begin(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.events = 0;
    }

    /// Whether enough was brought: what is not read yet is for the next turn.
    pub fn is_full(self) -> bool {
        self.events >= MAX_OF_ALL
    }

    /// Whether those who were cut short before have had their half of it.
    pub fn is_half_full(self) -> bool {
        self.events >= MAX_OF_ALL / 2
    }
}

/// What a peer has brought in a turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Intake {
    turn: u16,
    events: u16,
    pings: u8,
    /// Whether what is left of its input is handled in the next turn.
    pub is_cut: bool,
}

impl Intake {
    /// Whether the peer has had its share of a turn.
    pub fn is_used_up(&mut self, turn: Turn) -> bool {
        if self.turn != turn.number {
            *self = Self {
                turn: turn.number,
                is_cut: self.is_cut,
                ..Self::default()
            };
        }
        self.events >= MAX_OF_ONE
    }

    /// Counts what the peer has brought: several lines may come at once.
    pub fn count(&mut self, turn: &mut Turn, events: u16) {
        self.events += events;
        turn.events += u32::from(events);
    }

    /// Counts a ping; whether it is answered at once.
    pub fn count_ping(&mut self) -> bool {
        self.pings = self.pings.saturating_add(1);
        self.pings <= MAX_PONGS
    }
}

/// How many control frames a peer has sent lately that nobody asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ControlFrames {
    began_s: u16,
    count: u16,
}

impl ControlFrames {
    /// Counts one more; `false`: it was one too many.
    pub fn record(&mut self, now: Time) -> bool {
        let now_s = (now.as_millis() / 1000) as u16;
        if self.count == 0 || now_s.wrapping_sub(self.began_s) >= CONTROL_SECONDS {
            (self.began_s, self.count) = (now_s, 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= MAX_CONTROL_FRAMES
    }
}

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
    Heard,
    /// Not heard, and the sender is told so. The span is that until another may come.
    Warned(Span),
    /// Not heard, and the sender has been told often enough.
    Closed(Span),
}

impl Allowance {
    /// Takes a message from what is left.
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
