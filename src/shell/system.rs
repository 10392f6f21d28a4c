//! What the system tells: the time, the memory that is used (Linux's `/proc`, proc(5)), and how many connections there may be.

use crate::base::time::{Now, Time};
use crate::engine::MemoryUse;
use rlimit::Resource;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where monotonic time begins: late enough for events before the start, which a store brings back, to have a time.
const HEAD_START: Duration = Duration::from_secs(366 * 24 * 3600);
/// Connections reserved for the API and producers, so that a crowd of viewers does not lock them out.
const RESERVE: usize = 32;
/// Descriptors for everything else: files of the store and the log while they are reopened, and a connection that is
/// accepted only to be refused.
const SPARE: usize = 16;
/// Assumed where the number of open descriptors is unknown.
const USUALLY_OPEN: usize = 32;

/// The only clock that is read: monotonic time, and the wall clock beside it.
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

/// Resident bytes of this process and available bytes: the machine's, or the control group's limit when that is lower.
/// Zeros where `/proc` is missing.
pub fn memory_use() -> MemoryUse {
    MemoryUse {
        used: kilobytes("/proc/self/status", "VmRSS:"),
        total: total(),
    }
}

fn total() -> u64 {
    let machine = kilobytes("/proc/meminfo", "MemTotal:");
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    limit.map_or(machine, |limit: u64| limit.min(machine))
}

fn kilobytes(path: &str, field: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

/// How many connections there may be at once, by the configuration and by the process's file descriptors: at
/// least one viewer, and with hardly any descriptors each purpose gets its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub viewers: usize,
    pub reserve: usize,
}

impl ConnectionLimits {
    /// Counts the descriptors that are free now. `max_connections` is the configured limit; 0: none.
    pub fn new(max_connections: usize) -> Self {
        let limit = Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        let open = fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, Iterator::count);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let limits = Self::within(limit.saturating_sub(open), max_connections);
        if max_connections > limits.viewers {
            log::warn!(
                "server.max_connections is {max_connections}, and the limit of open files allows {}: raise it (ulimit -n)",
                limits.viewers
            );
        }
        limits
    }

    fn within(descriptors: usize, max_connections: usize) -> Self {
        let spare = SPARE.min(descriptors / 4);
        let reserve = RESERVE.min(descriptors / 4);
        let places = descriptors - spare - reserve;
        let viewers = match max_connections {
            0 => places,
            max => max.min(places),
        };
        Self {
            viewers: viewers.max(1),
            reserve,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_leave_places_to_the_api() {
        for (descriptors, max, viewers, reserve) in [
            (1000, 0, 952, 32),
            (1000, 100, 100, 32),
            (1000, 5000, 952, 32),
            (40, 0, 20, 10),
            (40, 1, 1, 10),
            (0, 0, 1, 0),
        ] {
            let limits = ConnectionLimits { viewers, reserve };
            assert_eq!(
                ConnectionLimits::within(descriptors, max),
                limits,
                "{descriptors}"
            );
        }
    }
}
