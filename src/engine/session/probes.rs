//! How many confirmations may be asked for now, and who is asked again later.

use crate::base::time::{Span, Time};
use crate::base::wheel::TimerId;
use crate::hub::ConnectionId;
use std::collections::VecDeque;

/// Most pings in a second that ask for a confirmation; the other clients are asked later.
const PROBES_PER_SECOND: u64 = 256;
/// Refill step of the ping budget: pings go out in groups so that their pongs share wake-ups.
pub const PAUSE: Span = Span::from_millis(100);

/// How many questions may be asked now.
#[derive(Debug, Default)]
pub struct Probes {
    pub tokens: u64,
    pub refilled: Time,
    /// Whether a timer will go on.
    pub is_armed: bool,
    /// Those who have answered in vain, where no heartbeat asks them again, and when they are asked.
    pub postponed: VecDeque<(Time, ConnectionId)>,
    pub timer: Option<TimerId>,
}

impl Probes {
    pub fn refill(&mut self, now: Time) {
        let rested = now.saturating_since(self.refilled);
        let earned = rested.as_micros().saturating_mul(PROBES_PER_SECOND) / 1_000_000;
        if rested >= PAUSE || self.refilled == Time::ZERO {
            self.tokens = (self.tokens + earned).min(PROBES_PER_SECOND);
            self.refilled = now;
        }
    }
}
