//! Who asks, when proxies stand between: the header in which they say whom they ask for is read from its end, as far as those
//! who have written it are trusted.

use super::host::Host;
use crate::base::network::Network;
use crate::wire::http::{Head, list_items, unquote};
use core::fmt;
use core::net::IpAddr;

/// The entry that stands for whoever connects over a Unix-domain socket.
pub const UNIX: &str = "unix";
/// How nginx writes one of those.
const UNIX_HOP: &str = "unix:";
/// The header of RFC 7239, whose elements have names.
const FORWARDED: &str = "forwarded";

/// `server.trusted_proxies` and `server.client_address_header`.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    networks: Vec<Network>,
    trusts_unix: bool,
    header: String,
}

/// Whom a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asker {
    /// The address, as far as anybody who is trusted has said; `None`: a Unix-domain socket's peer, of whom nobody has.
    pub address: Option<IpAddr>,
    /// Whether that is a proxy that is trusted, so that nobody knows for how many it speaks.
    pub is_proxy: bool,
}

impl Asker {
    /// The address whose share this is; nobody's, if it is a proxy's.
    pub fn limited(&self) -> Option<IpAddr> {
        self.address.filter(|_| !self.is_proxy)
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(out),
            None => out.write_str(UNIX),
        }
    }
}

impl Proxies {
    /// Reads the configuration; what is no network is passed over, as it has been refused there.
    pub fn new(trusted: &[String], header: &str) -> Self {
        Self {
            networks: trusted
                .iter()
                .filter_map(|text| Network::parse(text))
                .collect(),
            trusts_unix: trusted.iter().any(|text| text == UNIX),
            header: header.to_owned(),
        }
    }

    /// A peer as itself, and whether it is trusted to say whom it asks for. `None`: it came over a Unix-domain socket.
    pub fn peer(&self, address: Option<IpAddr>) -> Asker {
        let is_proxy = match address {
            None => self.trusts_unix,
            Some(address) => self.networks.iter().any(|known| known.contains(address)),
        };
        Asker { address, is_proxy }
    }

    /// Whom a request of a peer comes from: the last address in the header that is no trusted proxy's. What is no address
    /// ends the search, and the hop that has written it counts.
    pub fn asker(&self, peer: Option<IpAddr>, head: &Head) -> Asker {
        let mut asker = self.peer(peer.map(|address| address.to_canonical()));
        if !asker.is_proxy || self.header.is_empty() {
            return asker;
        }
        for hop in self.hops(head).into_iter().rev() {
            let hop = match hop.as_deref() {
                Some(UNIX_HOP) if self.trusts_unix => continue,
                hop => hop.and_then(address),
            };
            let Some(address) = hop else { break };
            asker = self.peer(Some(address));
            if !asker.is_proxy {
                break;
            }
        }
        asker
    }

    /// What each hop has said, in the order of their saying; several lines are one list (RFC 9110 section 5.3).
    fn hops(&self, head: &Head) -> Vec<Option<String>> {
        let lines = head.headers(&self.header);
        if self.header.eq_ignore_ascii_case(FORWARDED) {
            return lines.flat_map(forwarded).collect();
        }
        let items = lines.flat_map(list_items);
        items.map(|item| Some(item.trim().to_owned())).collect()
    }
}

/// An address without what may stand around it: quotes, brackets, a port.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = inner.unwrap_or(text);
    // A port may be a made-up word (RFC 7239 section 6).
    let bare = text.rsplit_once(":_").map_or(text, |(address, _)| address);
    Host::parse(bare)?.address()
}

/// The `for` of each element of a `Forwarded` header (RFC 7239 section 4); `None`: it has none, or cannot be read.
fn forwarded(line: &str) -> Vec<Option<String>> {
    let mut hops = Vec::new();
    let mut rest = line;
    let mut hop = None;
    let mut is_broken = false;
    while !rest.trim().is_empty() {
        let (pair, end) = take_pair(rest);
        match pair {
            Some((name, value)) if name.eq_ignore_ascii_case("for") => hop = Some(value),
            Some(_) => {}
            None => is_broken = true,
        }
        rest = end;
        let is_next = rest.starts_with(',');
        rest = rest.get(1..).unwrap_or("");
        if is_next || rest.is_empty() {
            let is_whole = !std::mem::take(&mut is_broken);
            hops.push(hop.take().filter(|_| is_whole));
        }
    }
    hops
}

/// One `name=value`, and what follows it, from the `;` or `,` on.
fn take_pair(text: &str) -> (Option<(&str, String)>, &str) {
    let end = |text: &str| text.find([';', ',']).unwrap_or(text.len());
    let (broken, after) = text.split_at(end(text));
    let Some((name, value)) = broken.split_once('=') else {
        // Empty elements and parameters are none.
        let is_nothing = broken.trim().is_empty();
        return (is_nothing.then(|| ("", String::new())), after);
    };
    let name = name.trim();
    if !value.starts_with('"') {
        return (Some((name, value.trim().to_owned())), after);
    }
    let quoted = &text[broken.len() - value.len()..];
    let closed = unquote(quoted, |_| true).map(|(said, after)| (said, after.split_at(end(after))));
    match closed.filter(|(_, (gap, _))| gap.trim().is_empty()) {
        Some((said, (_, after))) => (Some((name, said)), after),
        // A quote that a client has opened must not swallow what a proxy adds behind its words.
        None => (None, &text[text.find(',').unwrap_or(text.len())..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{BodyMode, Parser, ParserEvent, ParserLimits};
    use crate::wire::input::Input;

    const LOOPBACK: Option<IpAddr> = Some(IpAddr::V4(core::net::Ipv4Addr::LOCALHOST));

    fn head(fields: &[&str]) -> Head {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let mut text = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes();
        let mut input = Input::new(&mut text);
        let mode = |_: &Head| BodyMode::Collect { max_bytes: 0 };
        match Parser::new().poll_event(&mut input, &ParserLimits::default(), mode) {
            Ok(Some(ParserEvent::Request { head, .. })) => head,
            other => panic!("{other:?}"),
        }
    }

    fn proxies(header: &str) -> Proxies {
        let trusted = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "unix"];
        Proxies::new(&trusted.map(str::to_owned), header)
    }

    fn asker(header: &str, peer: Option<&str>, fields: &[&str]) -> (String, bool) {
        let peer = peer.map(|text| text.parse().expect("an address"));
        let found = proxies(header).asker(peer, &head(fields));
        let address = found
            .address
            .map_or("-".to_owned(), |address| address.to_string());
        (address, found.is_proxy)
    }

    #[track_caller]
    fn check(header: &str, peer: Option<&str>, fields: &[&str], expected: &str, is_proxy: bool) {
        let found = asker(header, peer, fields);
        assert_eq!(found, (expected.to_owned(), is_proxy), "{fields:?}");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let local = Some("127.0.0.1");
        for (fields, expected, is_proxy) in [
            (&[][..], "127.0.0.1", true),
            (&["X-Forwarded-For: 203.0.113.9"], "203.0.113.9", false),
            (
                &["x-forwarded-for: 1.1.1.1, 203.0.113.9"],
                "203.0.113.9",
                false,
            ),
            (
                &["X-Forwarded-For: 203.0.113.9,10.1.1.1 , 127.0.0.1"],
                "203.0.113.9",
                false,
            ),
            (
                &["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.1.1.1"],
                "203.0.113.9",
                false,
            ),
            (
                &[
                    "X-Forwarded-For: 203.0.113.9",
                    "X-Forwarded-For: 198.51.100.1",
                ],
                "198.51.100.1",
                false,
            ),
            (&["X-Forwarded-For: 203.0.113.9:4711"], "203.0.113.9", false),
            (
                &["X-Forwarded-For: [2001:db8::1]:4711"],
                "2001:db8::1",
                false,
            ),
            (
                &["X-Forwarded-For: \"[2001:db8::1]\""],
                "2001:db8::1",
                false,
            ),
            (&["X-Forwarded-For: 2001:db8::1"], "2001:db8::1", false),
            (
                &["X-Forwarded-For: ::ffff:203.0.113.9"],
                "203.0.113.9",
                false,
            ),
            (&["X-Forwarded-For: 203.0.113.9, , "], "203.0.113.9", false),
            (&["X-Forwarded-For: 10.1.1.1, 127.0.0.1"], "10.1.1.1", true),
            (
                &["X-Forwarded-For: 203.0.113.9, unix:"],
                "203.0.113.9",
                false,
            ),
        ] {
            check("X-Forwarded-For", local, fields, expected, is_proxy);
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for word in [
            "unknown",
            "_hidden",
            "localhost",
            "1.2.3",
            "1.2.3.4.5",
            "a b",
            "[::1",
            "é",
        ] {
            let field = format!("X-Forwarded-For: 203.0.113.9, {word}");
            check(
                "X-Forwarded-For",
                Some("127.0.0.1"),
                &[&field],
                "127.0.0.1",
                true,
            );
            let field = format!("X-Forwarded-For: 203.0.113.9, {word}, 10.1.1.1");
            check(
                "X-Forwarded-For",
                Some("127.0.0.1"),
                &[&field],
                "10.1.1.1",
                true,
            );
        }
    }

    #[test]
    fn only_a_trusted_peer_is_heard_and_only_in_one_header() {
        let field = ["X-Forwarded-For: 203.0.113.9", "X-Real-IP: 198.51.100.1"];
        check(
            "X-Forwarded-For",
            Some("192.0.2.1"),
            &field,
            "192.0.2.1",
            false,
        );
        check(
            "X-Forwarded-For",
            Some("::ffff:127.0.0.1"),
            &field,
            "203.0.113.9",
            false,
        );
        check("X-Forwarded-For", None, &field, "203.0.113.9", false);
        check("X-Forwarded-For", None, &[], "-", true);
        check(
            "X-Real-IP",
            Some("127.0.0.1"),
            &field,
            "198.51.100.1",
            false,
        );
        check("Forwarded", Some("127.0.0.1"), &field, "127.0.0.1", true);
        check("", Some("127.0.0.1"), &field, "127.0.0.1", true);
        let distrustful = Proxies::new(&[], "X-Forwarded-For");
        for peer in [LOOPBACK, None] {
            let expected = Asker {
                address: peer,
                is_proxy: false,
            };
            assert_eq!(distrustful.asker(peer, &head(&field)), expected);
        }
    }

    #[test]
    fn forwarded_has_names_and_quotes() {
        for (value, expected, is_proxy) in [
            ("for=203.0.113.9", "203.0.113.9", false),
            (
                "For=\"203.0.113.9:4711\";proto=http;by=10.0.0.1",
                "203.0.113.9",
                false,
            ),
            ("proto=https;for=\"[2001:db8::1]:_x\"", "2001:db8::1", false),
            (
                "for=1.1.1.1, for=203.0.113.9 ; host=\"a,b;c\", for=10.0.0.1",
                "203.0.113.9",
                false,
            ),
            ("for=203.0.113.9, by=10.0.0.1", "127.0.0.1", true),
            (
                "for=203.0.113.9, for=_hidden, for=10.0.0.1",
                "10.0.0.1",
                true,
            ),
            ("for=203.0.113.9, for=unknown", "127.0.0.1", true),
            ("for=203.0.113.9, nonsense", "127.0.0.1", true),
            ("for=203.0.113.9, for=\"open", "127.0.0.1", true),
            ("for=\"open, for=203.0.113.9", "203.0.113.9", false),
            ("x=\", for=\"[2001:db8::1]\"", "2001:db8::1", false),
            (
                "x=\", for=203.0.113.9;by=\"10.0.0.1\"",
                "203.0.113.9",
                false,
            ),
            (
                "for=203.0.113.9, host=\"evil\\\", for=1.1.1.1\";for=198.51.100.1",
                "198.51.100.1",
                false,
            ),
        ] {
            let field = format!("Forwarded: {value}");
            check(
                "Forwarded",
                Some("127.0.0.1"),
                &[&field],
                expected,
                is_proxy,
            );
        }
    }
}
