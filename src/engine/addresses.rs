//! How often each address connects (contract section 8, `max_connections_per_minute`).

use crate::base::rate_window::{RateWindow, Verdict};
use crate::base::time::{Span, Time};
use core::net::{IpAddr, Ipv6Addr};
use hashbrown::HashMap;

/// The window of every rate limit.
pub const MINUTE: Span = Span::from_secs(60);
/// More addresses than this in a minute are an attack; the oldest knowledge is then given up.
const MAX_ADDRESSES: usize = 65_536;

/// The rate windows of addresses that connected lately.
#[derive(Debug)]
pub struct Addresses {
    windows: HashMap<IpAddr, RateWindow, ahash::RandomState>,
}

impl Addresses {
    /// Nobody has connected. `seed` keys the hash.
    pub fn new(seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], !seed[0], seed[1], !seed[1]);
        Self {
            windows: HashMap::with_hasher(hasher),
        }
    }

    /// Counts a connection; the answer says whether it is within `limit` a minute.
    pub fn record(&mut self, now: Time, address: IpAddr, limit: u32) -> Verdict {
        if self.windows.len() >= MAX_ADDRESSES {
            self.forget_stale(now);
        }
        if self.windows.len() >= MAX_ADDRESSES {
            self.windows.clear();
        }
        self.windows
            .entry(network_of(address))
            .or_default()
            .record(now, MINUTE, limit)
    }

    /// Forgets who has not connected for a while; tells whether anybody is left.
    pub fn forget_stale(&mut self, now: Time) -> bool {
        self.windows
            .retain(|_, window| !window.is_stale(now, MINUTE));
        if self.windows.is_empty() {
            self.windows.shrink_to_fit();
        }
        !self.windows.is_empty()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

/// One host has a whole /64 of IPv6 addresses, so the network counts, not the address.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_limited_and_forgotten() {
        let mut addresses = Addresses::new([1, 2]);
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(addresses.record(at(0), one, 1), Verdict::Within);
        assert!(matches!(
            addresses.record(at(1), other, 1),
            Verdict::Over { .. }
        ));
        assert!(!addresses.forget_stale(at(600)));
        assert!(addresses.is_empty());
    }
}
