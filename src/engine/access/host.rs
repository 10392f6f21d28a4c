//! Names of hosts as `Host` and `Origin` have them: equal or not, and who can be behind them.

use core::net::{IpAddr, Ipv6Addr};

/// A host, and its port if one was given.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    name: Name<'a>,
    port: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Address(IpAddr),
    /// Without the dot that may end it; its case means nothing (RFC 4343).
    Text(&'a str),
}

impl<'a> Host<'a> {
    /// Reads a name, an IPv4 address or an IPv6 address, in brackets or not, each with a port or without. `None`: it is
    /// none of these.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => None,
                None => return None,
            };
            let name = Name::Address(parse_v6(address)?);
            return Some(Self { name, port });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((rest, _)) if rest.contains(':') => {
                let name = Name::Address(parse_v6(text)?);
                return Some(Self { name, port: None });
            }
            Some((name, port)) => (name, parse_port(port)?),
            None => (text, None),
        };
        Some(Self {
            name: Name::parse(name)?,
            port,
        })
    }

    /// Whether both have the same name, whatever their ports.
    pub fn is_namesake(&self, other: &Host<'_>) -> bool {
        match (self.name, other.name) {
            (Name::Address(one), Name::Address(other)) => one == other,
            (Name::Text(one), Name::Text(other)) => one.eq_ignore_ascii_case(other),
            _ => false,
        }
    }

    /// Whether this is always the machine on which it is said (RFC 6761 section 6.3).
    pub fn is_loopback(&self) -> bool {
        match self.name {
            Name::Address(address) => address.is_loopback(),
            Name::Text(text) => {
                let last = text.rsplit('.').next();
                last.is_some_and(|label| label.eq_ignore_ascii_case("localhost"))
            }
        }
    }

    /// Whether no name server can have another machine be meant by it tomorrow.
    pub fn is_lasting(&self) -> bool {
        matches!(self.name, Name::Address(_)) || self.is_loopback()
    }

    /// The address, unless it is a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.name {
            Name::Address(address) => Some(address),
            Name::Text(_) => None,
        }
    }

    /// The port, which is `default` if none was given.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_plain);
        text.split('.').all(is_label).then_some(Self::Text(text))
    }
}

/// A port; it may be left out behind its colon (RFC 3986 section 3.2.3).
fn parse_port(text: &str) -> Option<Option<u16>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

/// An address without brackets; a zone (RFC 6874) means something to its sender alone.
fn parse_v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    let address: Ipv6Addr = address.parse().ok()?;
    Some(IpAddr::V6(address).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_whatever_their_case_dot_and_port() {
        let same = [
            ["example.com", "EXAMPLE.com.:8080"],
            ["127.0.0.1:3000", "127.0.0.1"],
            ["[::1]:3000", "::1"],
            ["[::ffff:10.1.2.3]", "10.1.2.3:80"],
            ["[fe80::1%25eth0]", "[FE80:0::1]:"],
        ];
        for [one, other] in same {
            let (one, other) = (Host::parse(one).unwrap(), Host::parse(other).unwrap());
            assert!(one.is_namesake(&other), "{one:?} {other:?}");
        }
        let other = [
            ["example.com", "example.com.evil.example"],
            ["localhost", "127.0.0.1"],
            ["a", "b"],
        ];
        for [one, other] in other {
            let (one, other) = (Host::parse(one).unwrap(), Host::parse(other).unwrap());
            assert!(!one.is_namesake(&other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn ports_do_not_count() {
        let known = Host::parse("a.example:443").unwrap();
        for asked in ["a.example", "A.example:1", "a.example.:443"] {
            assert!(known.is_namesake(&Host::parse(asked).unwrap()), "{asked}");
        }
    }

    #[test]
    fn what_can_be_rebound() {
        for text in [
            "localhost",
            "a.b.LocalHost.",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            let host = Host::parse(text).unwrap();
            assert!(host.is_loopback() && host.is_lasting(), "{text}");
        }
        for text in ["10.0.0.1", "[2001:db8::1]", "0.0.0.0"] {
            let host = Host::parse(text).unwrap();
            assert!(!host.is_loopback() && host.is_lasting(), "{text}");
        }
        for text in [
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "0x7f.1",
        ] {
            let host = Host::parse(text).unwrap();
            assert!(!host.is_loopback() && !host.is_lasting(), "{text}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for text in [
            "",
            ".",
            ":80",
            "a b",
            "a@localhost",
            "a/localhost",
            "*",
            "[::1",
            "[::1]x",
            "[localhost]",
            "a:65536",
            "a:b",
            "a:1:2",
            ".localhost",
            "[127.0.0.1]",
            "é.localhost",
        ] {
            assert!(Host::parse(text).is_none(), "{text}");
        }
    }
}
