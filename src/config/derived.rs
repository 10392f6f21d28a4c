//! The values of keys that may be "auto".

use super::settings::Config;
use crate::base::auto::Auto;

/// The value of the key at a path, if it may be "auto".
pub(super) fn comes_to(config: &Config, path: &str) -> Option<usize> {
    match path {
        "websocket.max_viewer_rooms" => Some(config.max_viewer_rooms()),
        "websocket.rate_limit.message_burst" => Some(config.message_burst() as usize),
        "websocket.rate_limit.connection_burst" => Some(config.connection_burst() as usize),
        _ => None,
    }
}

impl Config {
    /// Most rooms that only viewers have asked for: by default a quarter of all.
    pub fn max_viewer_rooms(&self) -> usize {
        let config = &self.websocket;
        config.max_viewer_rooms.or(|| config.max_rooms.div_ceil(4))
    }

    /// Most messages that a client may send in a row: by default those of five minutes.
    pub fn message_burst(&self) -> u32 {
        let config = &self.websocket.rate_limit;
        burst(config.message_burst, config.max_messages_per_minute)
    }

    /// Most connections that an address may make in a row: by default those of five minutes.
    pub fn connection_burst(&self) -> u32 {
        let config = &self.websocket.rate_limit;
        burst(config.connection_burst, config.max_connections_per_minute)
    }
}

/// A burst is what the rate allows in this time.
const BURST_MINUTES: u32 = 5;

fn burst(set: Auto, per_minute: u32) -> u32 {
    match set {
        Auto::Number(number) => number,
        Auto::Derived => per_minute.saturating_mul(BURST_MINUTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{Kind, keys};

    #[test]
    fn every_key_that_may_be_auto_comes_to_something() {
        for key in keys() {
            let may_be_auto = matches!(key.kind, Kind::AutoWhole { .. });
            let found = comes_to(&Config::default(), key.path());
            assert_eq!(found.is_some(), may_be_auto, "{}", key.path());
        }
    }

    #[test]
    fn a_number_counts_and_auto_follows_the_other_keys() {
        let mut config = Config::default();
        config.websocket.max_rooms = 10;
        assert_eq!(config.max_viewer_rooms(), 3);
        config.websocket.max_rooms = 0;
        assert_eq!(config.max_viewer_rooms(), 0);
        config.websocket.max_viewer_rooms = Auto::Number(7);
        assert_eq!(config.max_viewer_rooms(), 7);
    }
}
