//! What the hub wants to be reminded of. Nothing is cancelled: a reminder that has lost its meaning is ignored.

use crate::base::time::Time;
use crate::hub::keys::TaskKey;

/// A reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// When to send a task's pending progress.
    Flush(TaskKey),
    /// When to see who has been away too long.
    Sessions,
    /// When to see to what time alone does to tasks and logs: [`Hub::next_aging`](super::Hub::next_aging) says when.
    Aging,
    /// When to have the store keep sessions again that were written a moment ago.
    Rests,
}

/// Reminders not yet handed to the wheel.
#[derive(Debug, Default)]
pub struct Timers {
    requested: Vec<(Time, Timer)>,
}

impl Timers {
    /// Asks for a reminder.
    pub fn push(&mut self, at: Time, timer: Timer) {
        self.requested.push((at, timer));
    }

    /// The next reminder to be set.
    pub fn pop(&mut self) -> Option<(Time, Timer)> {
        self.requested.pop()
    }
}
