//! How often each address connects (contract section 8, `max_connections_per_minute`).

use super::returns::{Line, SHARE_PER_MINUTE};
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
    /// The moments that it was given to come back to a full server.
    turned_away: RateWindow,
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
        let Known { window, line, .. } = self.known(now, address);
        match window.record(now, MINUTE, limit) {
            Verdict::Within => Verdict::Within,
            Verdict::Over { retry_after } => {
                let step = Span::from_millis(MINUTE.as_millis() / u64::from(limit.max(1)));
                let retry_after = line.join(now, retry_after, step, random);
                Verdict::Over { retry_after }
            }
        }
    }

    /// A connection that was counted was refused all the same: it has used nothing up.
    pub fn take_back(&mut self, address: IpAddr) {
        if let Some(known) = self.known.get_mut(&network_of(address)) {
            known.window.take_back();
        }
    }

    /// Counts a connection that finds a full server; whether its address has a share left of the moments to come back.
    pub fn has_share(&mut self, now: Time, address: IpAddr) -> bool {
        let turned_away = &mut self.known(now, address).turned_away;
        turned_away.record(now, MINUTE, SHARE_PER_MINUTE) == Verdict::Within
    }

    fn known(&mut self, now: Time, address: IpAddr) -> &mut Known {
        if self.known.len() >= MAX_ADDRESSES {
            self.forget_stale(now);
        }
        if self.known.len() >= MAX_ADDRESSES {
            self.known.clear();
        }
        self.known.entry(network_of(address)).or_default()
    }

    /// Forgets who has not connected for a while; tells whether anybody is left.
    pub fn forget_stale(&mut self, now: Time) -> bool {
        let is_stale = |window: &RateWindow| window.is_stale(now, MINUTE);
        self.known
            .retain(|_, known| !(is_stale(&known.window) && is_stale(&known.turned_away)));
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
