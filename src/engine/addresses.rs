//! How often each address connects (contract section 8, `max_connections_per_minute`).

use super::returns::Line;
use crate::base::random::Random;
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
    known: HashMap<IpAddr, Known, ahash::RandomState>,
}

/// One address: what it has used up, and those who wait behind it.
#[derive(Debug, Default)]
struct Known {
    window: RateWindow,
    line: Line,
}

impl Addresses {
    /// Nobody has connected. `seed` keys the hash.
    pub fn new(seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], !seed[0], seed[1], !seed[1]);
        Self {
            known: HashMap::with_hasher(hasher),
        }
    }

    /// Counts a connection; the answer says whether it is within `limit` a minute, and if not, when its turn comes.
    pub fn record(
        &mut self,
        now: Time,
        address: IpAddr,
        limit: u32,
        random: &mut Random,
    ) -> Verdict {
        if self.known.len() >= MAX_ADDRESSES {
            self.forget_stale(now);
        }
        if self.known.len() >= MAX_ADDRESSES {
            self.known.clear();
        }
        let Known { window, line } = self.known.entry(network_of(address)).or_default();
        match window.record(now, MINUTE, limit) {
            Verdict::Within => Verdict::Within,
            Verdict::Over { retry_after } => {
                let step = Span::from_millis(MINUTE.as_millis() / u64::from(limit.max(1)));
                let retry_after = line.join(now, retry_after, step, random);
                Verdict::Over { retry_after }
            }
        }
    }

    /// Forgets who has not connected for a while; tells whether anybody is left.
    pub fn forget_stale(&mut self, now: Time) -> bool {
        self.known
            .retain(|_, known| !known.window.is_stale(now, MINUTE));
        if self.known.is_empty() {
            self.known.shrink_to_fit();
        }
        !self.known.is_empty()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
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
        let mut random = Random::from_seed([1; 32]);
        let at = |seconds: u64| Time::from_millis(seconds * 1000);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(
            addresses.record(at(0), one, 1, &mut random),
            Verdict::Within
        );
        assert!(matches!(
            addresses.record(at(1), other, 1, &mut random),
            Verdict::Over { .. }
        ));
        assert!(!addresses.forget_stale(at(600)));
        assert!(addresses.is_empty());
    }
}
