//! IP networks in CIDR notation (RFC 4632, RFC 4291 section 2.3), and which addresses count as one visitor.

use core::net::{IpAddr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Bits outside the mask are zero.
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(parse_length(length)?)),
            None => (text, None),
        };
        let given: IpAddr = address.parse().ok()?;
        let address = given.to_canonical();
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            // The prefix of an IPv4-mapped IPv6 address counts the 96 bits before it.
            Some(length) if given.is_ipv6() && address.is_ipv4() => length.checked_sub(96)?,
            Some(length) => length,
        };
        if length > width {
            return None;
        }
        let ones = u128::MAX.checked_shl(width - length).unwrap_or(0);
        let mask = match width {
            32 => ones & u128::from(u32::MAX),
            _ => ones,
        };
        Some(Self {
            bits: bits(address) & mask,
            mask,
            is_v4: address.is_ipv4(),
        })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4 && bits(address) & self.mask == self.bits
    }
}

/// What counts as one visitor: an IPv4 address, or the /64 that a single IPv6 host usually has.
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

fn parse_length(text: &str) -> Option<u32> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network = Network::parse(network).expect("a network");
        network.contains(address.parse().expect("an address"))
    }

    #[test]
    fn addresses_are_in_their_networks() {
        assert!(contains("127.0.0.0/8", "127.255.0.1") && !contains("127.0.0.0/8", "128.0.0.1"));
        assert!(
            contains("10.1.2.3/8", "10.9.9.9"),
            "bits beyond the length mean nothing"
        );
        assert!(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.4"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "203.0.113.9"));
        assert!(contains("::1/128", "::1") && !contains("::1", "::2"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
        assert!(
            contains("::ffff:10.0.0.0/104", "10.1.1.1") && contains("::ffff:10.0.0.1", "10.0.0.1")
        );
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a/8",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0/-1",
            "::ffff:10.0.0.0/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_household_has_one_address_or_a_network_of_ipv6() {
        let of = |text: &str| household(text.parse().expect("an address")).to_string();
        assert_eq!(of("203.0.113.9"), "203.0.113.9");
        assert_eq!(of("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
