//! How many connections there may be at once, by the configuration and by the process's file descriptors.

use crate::engine::Services;
use rlimit::Resource;
use std::fs;

/// Connections reserved for the API and producers, so that a crowd of viewers does not lock them out.
const RESERVE: usize = 32;
/// Descriptors for everything else: files of the store and the log while they are reopened, and a connection that is
/// accepted only to be refused.
const SPARE: usize = 16;
/// Assumed where the number of open descriptors is unknown.
const USUALLY_OPEN: usize = 32;

#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    viewers: usize,
    all: usize,
}

impl ConnectionLimits {
    /// Counts the descriptors that are free now. `max_connections` is the configured limit; 0: none.
    pub fn new(max_connections: usize) -> Self {
        let limit = Resource::NOFILE.get_soft().unwrap_or(u64::MAX);
        let open = fs::read_dir("/proc/self/fd").map_or(USUALLY_OPEN, Iterator::count);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let connection_limits = Self::within(limit.saturating_sub(open), max_connections);
        if max_connections > connection_limits.viewers {
            log::warn!(
                "server.max_connections is {max_connections}, and the limit of open files allows {}: raise it (ulimit -n)",
                connection_limits.viewers
            );
        }
        connection_limits
    }

    fn within(descriptors: usize, max_connections: usize) -> Self {
        // Even with hardly any descriptors each purpose gets its share.
        let spare = SPARE.min(descriptors / 4);
        let reserve = RESERVE.min(descriptors / 4);
        let all = descriptors - spare;
        let viewers = match max_connections {
            0 => all - reserve,
            max => max.min(all - reserve),
        };
        Self {
            viewers: viewers.max(1),
            all: (viewers + reserve).max(1),
        }
    }

    pub fn viewers(&self) -> usize {
        self.viewers
    }

    /// The limit for one more connection to a listener with these services.
    pub fn with_reserve(&self, services: Services) -> usize {
        match services.http() || services.ingest() {
            true => self.all,
            false => self.viewers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_leave_places_to_the_api() {
        for (descriptors, max, viewers, all) in [
            (1000, 0, 952, 984),
            (1000, 100, 100, 132),
            (1000, 5000, 952, 984),
            (40, 0, 20, 30),
            (40, 1, 1, 11),
            (0, 0, 1, 1),
        ] {
            let connection_limits = ConnectionLimits::within(descriptors, max);
            assert_eq!(connection_limits.viewers(), viewers, "{descriptors}");
            let with_reserve = |services| connection_limits.with_reserve(services);
            assert_eq!(with_reserve(Services::WEBSOCKET), viewers, "{descriptors}");
            for services in [Services::HTTP, Services::BOTH, Services::INGEST] {
                assert_eq!(with_reserve(services), all, "{descriptors}");
            }
        }
    }
}
