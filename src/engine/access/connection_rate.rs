//! What addresses, and clients that are away, have used up of what they may have (contract section 8): connections, places and
//! messages. Those who come at a bad time wait in lines: they are given moments one after the other, so that they do not all come
//! back at once.
//!
//! Whoever comes through a trusted proxy has the address that the proxy says; the proxy itself is not limited.

use crate::base::network::household;
use crate::base::random::Random;
use crate::base::time::{Span, Time};
use crate::base::token_bucket::{Admission, Rate, TokenBucket};
use crate::engine::timer::Alarm;
use crate::hub::ClientId;
use core::net::IpAddr;
use hashbrown::HashMap;

/// How often what is full again is forgotten.
pub const MINUTE: Span = Span::from_secs(60);
/// More addresses than this in a minute are an attack; the oldest knowledge is then given up.
const MAX_ADDRESSES: usize = 65_536;
/// The moments in which an address may come back to a full server.
const SHARE: Rate = Rate {
    per_minute: SHARE_PER_MINUTE,
    burst: SHARE_PER_MINUTE,
};
/// Between two attempts of clients whose address has all the places that it may have.
const PLACE_STEP: Span = Span::from_secs(1);
/// The shortest time that anybody is told.
pub const SHORTEST: Span = Span::from_secs(1);
/// The longest that a line makes anybody wait.
pub const LONGEST: Span = Span::from_secs(120);
/// Moments of those lines that one address is given in a minute, a tenth of all; beyond that its clients come back as
/// those do who find a line too long.
pub const SHARE_PER_MINUTE: u32 = 300;

/// What is remembered.
#[derive(Debug)]
pub struct Addresses {
    known: HashMap<IpAddr, Known, ahash::RandomState>,
    present: HashMap<IpAddr, Present, ahash::RandomState>,
    /// What clients that are away have said too much.
    messages: HashMap<ClientId, TokenBucket, ahash::RandomState>,
    /// Pages that wait for a place on a full server, and others that do.
    pub pages: Line,
    pub others: Line,
    /// When to see to what is full again.
    pub timer: Alarm,
}

/// One address: what it has used up, and those who wait behind it.
#[derive(Debug, Default)]
struct Known {
    connections: TokenBucket,
    line: Line,
    /// Clients that wait for a place of this address.
    places: Line,
    /// The moments that it was given to come back to a full server.
    turned_away: TokenBucket,
}

/// What an address has now.
#[derive(Debug, Default)]
struct Present {
    connections: u32,
    clients: u32,
}

impl Addresses {
    /// Nobody has connected. `seed` keys the hash.
    pub fn new(seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], !seed[0], seed[1], !seed[1]);
        Self {
            known: HashMap::with_hasher(hasher.clone()),
            present: HashMap::with_hasher(hasher.clone()),
            messages: HashMap::with_hasher(hasher),
            pages: Line::default(),
            others: Line::default(),
            timer: Alarm::default(),
        }
    }

    /// Counts a connection; the answer says whether it is within the rate, and if not, when its turn comes.
    pub fn record(
        &mut self,
        now: Time,
        address: IpAddr,
        rate: Rate,
        random: &mut Random,
    ) -> Admission {
        let Known {
            connections, line, ..
        } = self.known(now, address);
        match connections.take(now, rate) {
            Admission::Within => Admission::Within,
            Admission::Over { retry_after } => Admission::Over {
                retry_after: line.join(now, retry_after, rate.gap(), random),
            },
        }
    }

    /// A connection that was counted has used nothing up after all.
    pub fn refund(&mut self, address: IpAddr, rate: Rate) {
        if let Some(known) = self.known.get_mut(&household(address)) {
            known.connections.refund(rate);
        }
    }

    /// When a client may come back whose address has as many as it may.
    pub fn wait_for_place(&mut self, now: Time, address: IpAddr, random: &mut Random) -> Span {
        let places = &mut self.known(now, address).places;
        places.join(now, Span::ZERO, PLACE_STEP, random)
    }

    /// Counts a connection that finds a full server; whether its address has a share left of the moments to come back.
    pub fn take_return_moment(&mut self, now: Time, address: IpAddr) -> bool {
        let turned_away = &mut self.known(now, address).turned_away;
        turned_away.take(now, SHARE) == Admission::Within
    }

    fn known(&mut self, now: Time, address: IpAddr) -> &mut Known {
        if self.known.len() >= MAX_ADDRESSES {
            self.forget_stale(now);
        }
        if self.known.len() >= MAX_ADDRESSES {
            self.known.clear();
        }
        self.known.entry(household(address)).or_default()
    }

    /// A connection of an address has come; tells how many it has now.
    pub fn add_connection(&mut self, address: IpAddr) -> usize {
        let present = self.present.entry(household(address)).or_default();
        present.connections += 1;
        present.connections as usize
    }

    pub fn remove_connection(&mut self, address: IpAddr) {
        self.change(address, |present| {
            present.connections = present.connections.saturating_sub(1)
        });
    }

    /// How many clients an address has now.
    pub fn clients(&self, address: IpAddr) -> usize {
        let present = self.present.get(&household(address));
        present.map_or(0, |present| present.clients as usize)
    }

    pub fn add_client(&mut self, address: IpAddr) {
        self.present.entry(household(address)).or_default().clients += 1;
    }

    pub fn remove_client(&mut self, address: IpAddr) {
        self.change(address, |present| {
            present.clients = present.clients.saturating_sub(1)
        });
    }

    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut Present)) {
        let address = household(address);
        if let Some(present) = self.present.get_mut(&address) {
            change(present);
            if present.connections == 0 && present.clients == 0 {
                self.present.remove(&address);
            }
        }
        if self.present.is_empty() {
            self.present.shrink_to_fit();
        }
    }

    /// Remembers what a client has used up that may come back.
    pub fn keep_messages(&mut self, now: Time, client: ClientId, messages: TokenBucket) {
        if !messages.is_full(now) {
            self.messages.insert(client, messages);
        }
    }

    /// What a client had used up that has come back.
    pub fn take_messages(&mut self, client: ClientId) -> TokenBucket {
        self.messages.remove(&client).unwrap_or_default()
    }

    /// Forgets what is full again.
    pub fn forget_stale(&mut self, now: Time) {
        self.known.retain(|_, known| {
            let is_full = known.connections.is_full(now) && known.turned_away.is_full(now);
            !is_full || known.line.is_waited_for(now) || known.places.is_waited_for(now)
        });
        self.messages.retain(|_, messages| !messages.is_full(now));
        if self.known.is_empty() {
            self.known.shrink_to_fit();
        }
        if self.messages.is_empty() {
            self.messages.shrink_to_fit();
        }
    }

    /// Whether anything is to be forgotten later.
    pub fn remembers(&self) -> bool {
        !(self.known.is_empty() && self.messages.is_empty())
    }
}

/// A line of clients that wait outside: only the last moment that was given out is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    last: Time,
}

impl Line {
    /// Whether a moment that was given out is still to come.
    pub fn is_waited_for(&self, now: Time) -> bool {
        self.last > now
    }

    /// The wait until the next free moment, which is not before `earliest` and `step` after the one before it.
    pub fn join(&mut self, now: Time, earliest: Span, step: Span, random: &mut Random) -> Span {
        let earliest = earliest.max(SHORTEST);
        let at = (now + earliest).max(self.last + step);
        let wait = at.saturating_since(now);
        let longest = LONGEST.max(earliest);
        if wait <= longest {
            self.last = at;
            return wait;
        }
        beyond(longest, random).max(earliest)
    }
}

/// A moment by chance in the second half of a wait.
pub fn beyond(longest: Span, random: &mut Random) -> Span {
    let half_ms = longest.as_millis() / 2;
    Span::from_millis(half_ms + random.below(half_ms))
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
        let rate = Rate {
            per_minute: 1,
            burst: 1,
        };
        assert_eq!(
            addresses.record(at(0), one, rate, &mut random),
            Admission::Within
        );
        assert!(matches!(
            addresses.record(at(1), other, rate, &mut random),
            Admission::Over { .. }
        ));
        addresses.forget_stale(at(2));
        assert!(addresses.remembers());
        addresses.forget_stale(at(600));
        assert!(!addresses.remembers());
    }

    #[test]
    fn who_is_here_is_counted_until_the_last_has_gone() {
        let mut addresses = Addresses::new([1, 2]);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::2".parse().unwrap();
        assert_eq!(
            (
                addresses.add_connection(one),
                addresses.add_connection(other)
            ),
            (1, 2)
        );
        addresses.add_client(other);
        assert_eq!(addresses.clients(one), 1);
        addresses.remove_connection(one);
        addresses.remove_client(one);
        addresses.remove_connection(other);
        assert!(addresses.present.is_empty());
        addresses.remove_client(one);
    }

    #[test]
    fn moments_are_a_step_apart_and_never_far_away() {
        let mut random = Random::from_seed([1; 32]);
        let (mut line, now) = (Line::default(), Time::from_millis(5_000));
        let step = Span::from_secs(6);
        let mut wait_ms = |now: Time| {
            line.join(now, Span::from_millis(300), step, &mut random)
                .as_millis()
        };
        let first: Vec<u64> = (0..3).map(|_| wait_ms(now)).collect();
        assert_eq!(first, [1_000, 7_000, 13_000]);
        for _ in 0..1_000 {
            assert!((1_000..=120_000).contains(&wait_ms(now)));
        }
        assert_eq!(wait_ms(Time::from_millis(300_000)), 1_000);
    }

    #[test]
    fn whoever_can_have_nothing_before_long_is_not_told_to_come_sooner() {
        let mut random = Random::from_seed([1; 32]);
        let mut line = Line::default();
        let earliest = Span::from_secs(300);
        for _ in 0..1_000 {
            let wait = line.join(Time::ZERO, earliest, Span::from_secs(60), &mut random);
            assert!(wait >= earliest);
        }
    }
}
