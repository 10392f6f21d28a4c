//! The only clock that is read: monotonic time since the start, and the wall clock beside it.

use crate::base::time::{Now, Time};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that begins at zero now.
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            at: Time::from_micros(self.began.elapsed().as_micros() as u64),
            wall_ms: wall.as_millis() as u64,
        }
    }
}
