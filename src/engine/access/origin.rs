//! Web origins as the `Origin` header has them (RFC 6454): which page's host they name, and which are the same.

use super::host::Host;

/// The host of a page that a browser has from the network.
pub(super) fn page_host(origin: &str) -> Option<Host<'_>> {
    let (scheme, host) = origin.split_once("://")?;
    default_port(scheme)?;
    Host::parse(host)
}

/// Whether two texts mean the same origin (RFC 6454 section 5).
pub(super) fn is_same_origin(one: &str, other: &str) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let parts = |text: &'_ str| -> Option<(String, u16)> {
        let (scheme, host) = text.split_once("://")?;
        let port = Host::parse(host)?.port_or(default_port(scheme)?);
        Some((scheme.to_ascii_lowercase(), port))
    };
    let hosts = page_host(one).zip(page_host(other));
    hosts.is_some_and(|(one, other)| one.is_namesake(&other)) && parts(one) == parts(other)
}

fn default_port(scheme: &str) -> Option<u16> {
    match () {
        () if scheme.eq_ignore_ascii_case("http") => Some(80),
        () if scheme.eq_ignore_ascii_case("https") => Some(443),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_the_same_by_scheme_name_and_port() {
        for (one, other) in [
            ("https://a.example", "HTTPS://A.example:443"),
            ("http://a.example.", "http://a.example:80"),
            ("http://[::1]:5", "http://[0:0::1]:5"),
            ("null", "null"),
            ("app://x", "APP://x"),
        ] {
            assert!(is_same_origin(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://a.example:444"),
            ("https://a.example", "https://a.example.evil.example"),
            ("app://x", "app://y"),
        ] {
            assert!(!is_same_origin(one, other), "{one} {other}");
        }
    }
}
