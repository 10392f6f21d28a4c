//! What the hub wants to be reminded of. Nothing is cancelled: a reminder that has lost its meaning is ignored.

use super::cache::TaskKey;
use super::directory::{Directory, RoomKey};
use crate::base::time::{Span, Time};

/// A reminder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// When to send a task's pending progress.
    Flush(TaskKey),
    /// When to look whether a running task has gone silent.
    Stall(TaskKey),
    /// When to forget a task that has ended.
    Forget(TaskKey),
    /// When to see who has been away too long.
    Sessions,
    /// When to have the store keep sessions again that were written a moment ago.
    Rests,
    /// When to age a room's log.
    ExpireLog {
        /// The room.
        room: RoomKey,
        /// The low bits of its epoch.
        life: u32,
    },
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

    /// Sees to it that a room's log ages, unless it does already (`ttl` zero: never).
    pub fn expire_log(&mut self, directory: &mut Directory, room: RoomKey, now: Time, ttl: Span) {
        if !ttl.is_zero() {
            self.expire_log_at(directory, room, now + ttl);
        }
    }

    /// The same, from a moment on.
    pub fn expire_log_at(&mut self, directory: &mut Directory, room: RoomKey, at: Time) {
        if !std::mem::replace(&mut directory.room_mut(room).expiry_armed, true) {
            let life = directory.room(room).epoch as u32;
            self.push(at, Timer::ExpireLog { room, life });
        }
    }
}
