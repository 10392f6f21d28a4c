//! The only clock that is read: monotonic time, and the wall clock beside it.

use crate::base::time::{Now, Time};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where monotonic time begins: late enough for events before the start, which a store brings back, to have a time.
const HEAD_START: Duration = Duration::from_secs(366 * 24 * 3600);

#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            at: Time::from_micros((HEAD_START + self.began.elapsed()).as_micros() as u64),
            wall_ms: wall.as_millis() as u64,
        }
    }
}
