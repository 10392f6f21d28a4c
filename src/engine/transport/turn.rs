//! What one peer may bring in one turn. The rest waits, and the others have their turns between.
//!
//! A message, a frame, a request or a line each count once, however short: what they cost is hardly a matter of bytes.

use crate::base::time::Time;

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
pub struct Share {
    turn: u16,
    events: u16,
    pings: u8,
    /// Whether what is left of its input is handled in the next turn.
    pub is_cut: bool,
}

impl Share {
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

    /// It has brought something, or several things at once.
    pub fn count(&mut self, turn: &mut Turn, events: u16) {
        self.events += events;
        turn.events += u32::from(events);
    }

    /// It has sent a ping; whether that is answered at once.
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
