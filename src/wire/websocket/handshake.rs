//! The opening handshake, the server's part (RFC 6455 section 4.2).
//!
//! Takes a parsed request, returns the bytes of the 101 response or the reason for a refusal. Reads list fields
//! itself (RFC 9110 section 5.6.1) and leaves the other checks and the accept key to tungstenite. Paths, `Host`,
//! `Origin` and tokens are the caller's.

use ::http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{self, Method, Version};
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::server::{create_response, write_response};

use super::negotiate::{self, Compression, Offer};
use crate::wire::http::list_items;

/// What the handshake needs of an HTTP request (RFC 6455 section 4.2.1).
#[derive(Debug, Clone, Copy)]
pub struct Request<'a, H> {
    pub method: &'a str,
    pub version_minor: u8,
    /// Name and value of every field; iterated more than once.
    pub headers: H,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub subprotocol: Option<&'static str>,
    pub compression: Compression,
    /// The whole 101 response; frames may follow it at once.
    pub response: Vec<u8>,
}

/// RFC 6455 sections 4.2.1 and 4.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("a WebSocket handshake is a GET request")]
    Method,
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    #[error("unsupported Sec-WebSocket-Version: this server speaks 13")]
    WebSocketVersion,
    /// Missing, repeated or malformed.
    #[error("missing or invalid header: {0}")]
    Header(&'static str),
}

impl HandshakeError {
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::WebSocketVersion => 426,
            Self::HttpVersion | Self::Header(_) => 400,
        }
    }

    /// Fields that the refusal must carry besides those of its status (RFC 6455 section 4.4, RFC 9110 section 15.5.6).
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::WebSocketVersion => &[("Sec-WebSocket-Version", "13")],
            Self::HttpVersion | Self::Header(_) => &[],
        }
    }
}

/// Whether a request asks to become a WebSocket (RFC 6455 section 4.2.1, items 3 and 4).
pub fn is_upgrade<'a>(headers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> bool {
    lists(headers.clone(), &UPGRADE, "websocket") && lists(headers, &CONNECTION, "upgrade")
}

/// Answers an opening handshake (RFC 6455 section 4.2.2).
///
/// `supported` lists the server's subprotocols, ASCII names, the best first. If the client offers none of them the
/// connection has none, and the client decides whether it can live with that. Without `allow_compression` every
/// extension offer is ignored (RFC 6455 section 9.1).
pub fn accept<'a, H>(
    request: &Request<'a, H>,
    supported: &[&'static str],
    allow_compression: bool,
) -> Result<Accepted, HandshakeError>
where
    H: Iterator<Item = (&'a str, &'a str)> + Clone,
{
    let relevant = relevant_request(request)?;
    let mut response = create_response(&relevant).map_err(|error| refusal(error, &relevant))?;
    let subprotocol = choose_subprotocol(request.headers.clone(), supported);
    if let Some(name) = subprotocol {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    let offer = allow_compression
        .then(|| negotiate::choose(lines(request.headers.clone(), &SEC_WEBSOCKET_EXTENSIONS)))
        .flatten();
    if let Some(offer) = offer {
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_EXTENSIONS, offer.answer());
    }
    let mut bytes = Vec::with_capacity(RESPONSE_SIZE_HINT);
    write_response(&mut bytes, &response)
        .expect("a Vec accepts every write, and each value is ASCII");
    Ok(Accepted {
        subprotocol,
        compression: offer.map_or(Compression::Off, Offer::compression),
        response: bytes,
    })
}

/// Room for the status line, five fields, a subprotocol and the parameters of an extension.
const RESPONSE_SIZE_HINT: usize = 320;

/// The request reduced to what tungstenite checks, with its lists resolved: tungstenite understands only one line in
/// one form.
fn relevant_request<'a, H>(request: &Request<'a, H>) -> Result<http::Request<()>, HandshakeError>
where
    H: Iterator<Item = (&'a str, &'a str)> + Clone,
{
    let mut headers = HeaderMap::with_capacity(4);
    if lists(request.headers.clone(), &CONNECTION, "upgrade") {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    if lists(request.headers.clone(), &UPGRADE, "websocket") {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    for name in [SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY] {
        let malformed = HandshakeError::Header(display_name(&name));
        let mut lines = lines(request.headers.clone(), &name);
        if let Some(line) = lines.next() {
            headers.insert(
                name.clone(),
                HeaderValue::from_bytes(line.as_bytes()).map_err(|_| malformed)?,
            );
        }
        // Neither may appear twice (RFC 6455 sections 11.3.1 and 11.3.5).
        if lines.next().is_some() {
            return Err(malformed);
        }
    }
    let mut relevant = http::Request::new(());
    *relevant.headers_mut() = headers;
    *relevant.method_mut() =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| HandshakeError::Method)?;
    *relevant.version_mut() = if request.version_minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    Ok(relevant)
}

fn refusal(error: Error, request: &http::Request<()>) -> HandshakeError {
    let Error::Protocol(error) = error else {
        unreachable!("the response is built from constants and a base64 text: {error}");
    };
    match error {
        ProtocolError::WrongHttpMethod => HandshakeError::Method,
        ProtocolError::WrongHttpVersion => HandshakeError::HttpVersion,
        ProtocolError::MissingUpgradeWebSocketHeader => {
            HandshakeError::Header(display_name(&UPGRADE))
        }
        ProtocolError::MissingSecWebSocketVersionHeader => {
            if request.headers().contains_key(SEC_WEBSOCKET_VERSION) {
                HandshakeError::WebSocketVersion
            } else {
                HandshakeError::Header(display_name(&SEC_WEBSOCKET_VERSION))
            }
        }
        ProtocolError::MissingSecWebSocketKey | ProtocolError::InvalidSecWebSocketKey => {
            HandshakeError::Header(display_name(&SEC_WEBSOCKET_KEY))
        }
        _ => HandshakeError::Header(display_name(&CONNECTION)),
    }
}

/// The server's favourite among the client's offers (RFC 6455 section 4.2.2, item 5, subprotocol).
fn choose_subprotocol<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    supported: &[&'static str],
) -> Option<&'static str> {
    let offered = lines(headers, &SEC_WEBSOCKET_PROTOCOL).flat_map(list_items);
    supported
        .iter()
        .copied()
        .find(|name| offered.clone().any(|offer| offer == *name))
}

/// Whether a list field contains `token`, on any of its lines and in any case.
fn lists<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    name: &HeaderName,
    token: &str,
) -> bool {
    lines(headers, name)
        .flat_map(list_items)
        .any(|element| element.eq_ignore_ascii_case(token))
}

fn lines<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + Clone {
    headers
        .filter(move |(line_name, _)| line_name.eq_ignore_ascii_case(name.as_str()))
        .map(|(_, value)| value.trim_ascii())
}

/// The usual spelling.
fn display_name(name: &HeaderName) -> &'static str {
    match *name {
        UPGRADE => "Upgrade",
        SEC_WEBSOCKET_VERSION => "Sec-WebSocket-Version",
        SEC_WEBSOCKET_KEY => "Sec-WebSocket-Key",
        _ => "Connection",
    }
}

#[cfg(test)]
mod tests {
    use super::super::negotiate::Window;
    use super::*;

    type Lines<'a> = Vec<(&'a str, &'a str)>;
    type Changes<'a> = &'a [(&'a str, &'a str)];

    const SUPPORTED: &[&str] = &["joblight.json", "joblight.msgpack"];

    /// The request of RFC 6455 section 1.2, with some lines replaced (or removed, when the value is empty).
    fn sample<'a>(changes: &[(&'a str, &'a str)]) -> Lines<'a> {
        let mut lines: Lines<'a> = vec![
            ("Host", "server.example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ];
        lines.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let added = changes.iter().filter(|(_, value)| !value.is_empty());
        lines.extend(added.map(|(name, value)| (*name, *value)));
        lines
    }

    fn answer(
        method: &str,
        version_minor: u8,
        lines: &Lines<'_>,
    ) -> Result<Accepted, HandshakeError> {
        let request = Request {
            method,
            version_minor,
            headers: lines.iter().copied(),
        };
        accept(&request, SUPPORTED, false)
    }

    #[test]
    fn accepts_the_sample_of_the_rfc() {
        let accepted = answer("GET", 1, &sample(&[])).unwrap();
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&accepted.response).unwrap();
        assert_eq!(parsed, httparse::Status::Complete(accepted.response.len()));
        assert_eq!((response.code, response.version), (Some(101), Some(1)));
        let mut headers: Vec<_> = response
            .headers
            .iter()
            .map(|header| (header.name.to_ascii_lowercase(), header.value))
            .collect();
        headers.sort();
        let expected: [(String, &[u8]); 3] = [
            ("connection".into(), b"Upgrade"),
            (
                "sec-websocket-accept".into(),
                b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            ),
            ("upgrade".into(), b"websocket"),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn accepts_lists_repeated_lines_and_any_case() {
        let cases: &[Changes<'_>] = &[
            &[("Connection", "keep-alive, Upgrade")],
            &[("Connection", "keep-alive,\tUPGRADE")],
            &[("Connection", "keep-alive"), ("connection", "upgrade")],
            &[("Upgrade", "WebSocket")],
            &[("Upgrade", "h2c, websocket")],
            &[("Sec-WebSocket-Version", " 13 ")],
            &[
                ("Sec-WebSocket-Version", ""),
                ("SEC-WEBSOCKET-VERSION", "13"),
            ],
        ];
        for changes in cases {
            let lines = sample(changes);
            assert!(is_upgrade(lines.iter().copied()), "{changes:?}");
            assert!(answer("GET", 1, &lines).is_ok(), "{changes:?}");
        }
    }

    #[test]
    fn refuses_a_request_of_another_kind() {
        let cases = [
            ("POST", 1, HandshakeError::Method),
            ("G T", 1, HandshakeError::Method),
            ("GET", 0, HandshakeError::HttpVersion),
        ];
        for (method, version_minor, error) in cases {
            let outcome = answer(method, version_minor, &sample(&[]));
            assert_eq!(outcome, Err(error), "{method} {version_minor}");
        }
    }

    #[test]
    fn refuses_wrong_headers_by_name() {
        let cases = [
            ("Connection", ""),
            ("Connection", "keep-alive"),
            ("Connection", "upgraded"),
            ("Upgrade", ""),
            ("Upgrade", "h2c"),
            ("Sec-WebSocket-Version", ""),
            ("Sec-WebSocket-Key", ""),
            ("Sec-WebSocket-Key", "dG9vIHNob3J0"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ!="),
            ("Sec-WebSocket-Key", "\0"),
        ];
        for (name, value) in cases {
            let outcome = answer("GET", 1, &sample(&[(name, value)]));
            assert_eq!(
                outcome,
                Err(HandshakeError::Header(name)),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn refuses_repeated_headers() {
        let cases = [
            ("sec-websocket-version", "13", "Sec-WebSocket-Version"),
            (
                "sec-websocket-key",
                "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Key",
            ),
        ];
        for (again, value, name) in cases {
            let outcome = answer("GET", 1, &sample(&[(again, value)]));
            assert_eq!(outcome, Err(HandshakeError::Header(name)), "{again}");
        }
    }

    #[test]
    fn refuses_other_versions_of_the_protocol() {
        for version in ["8", "13, 8"] {
            let outcome = answer("GET", 1, &sample(&[("Sec-WebSocket-Version", version)]));
            assert_eq!(outcome, Err(HandshakeError::WebSocketVersion), "{version}");
        }
    }

    #[test]
    fn refusals_carry_what_their_status_demands() {
        let header = |error: HandshakeError, name| {
            error
                .headers()
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(HandshakeError::Header("Upgrade").status(), 400);
        assert_eq!(HandshakeError::HttpVersion.status(), 400);
        assert_eq!(HandshakeError::Method.status(), 405);
        assert_eq!(header(HandshakeError::Method, "Allow"), Some("GET"));
        assert_eq!(HandshakeError::WebSocketVersion.status(), 426);
        assert_eq!(
            header(HandshakeError::WebSocketVersion, "Sec-WebSocket-Version"),
            Some("13")
        );
        let message = HandshakeError::Header("Sec-WebSocket-Key").to_string();
        assert!(message.contains("Sec-WebSocket-Key"), "{message}");
    }

    #[test]
    fn chooses_the_subprotocol_by_the_servers_preference() {
        let cases: &[(Changes<'_>, Option<&str>)] = &[
            (&[], None),
            (&[("Sec-WebSocket-Protocol", "chat")], None),
            (
                &[("Sec-WebSocket-Protocol", "joblight.msgpack")],
                Some("joblight.msgpack"),
            ),
            (
                &[("Sec-WebSocket-Protocol", "joblight.msgpack, joblight.json")],
                Some("joblight.json"),
            ),
            (
                &[
                    ("Sec-WebSocket-Protocol", "chat"),
                    ("sec-websocket-protocol", "joblight.msgpack"),
                ],
                Some("joblight.msgpack"),
            ),
            (&[("Sec-WebSocket-Protocol", "JOBLIGHT.JSON")], None),
        ];
        for (changes, expected) in cases {
            let accepted = answer("GET", 1, &sample(changes)).unwrap();
            assert_eq!(accepted.subprotocol, *expected, "{changes:?}");
            let response = String::from_utf8(accepted.response).unwrap();
            let line = expected.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
            assert_eq!(response.contains("sec-websocket-protocol"), line.is_some());
            assert!(
                line.is_none_or(|line| response.contains(&line)),
                "{response}"
            );
        }
    }

    #[test]
    fn answers_an_offer_of_compression_where_that_is_allowed() {
        let lines = sample(&[
            ("Sec-WebSocket-Extensions", "mux"),
            (
                "sec-websocket-extensions",
                "permessage-deflate; server_max_window_bits=10",
            ),
        ]);
        let request = Request {
            method: "GET",
            version_minor: 1,
            headers: lines.iter().copied(),
        };
        for (is_allowed, compression) in [
            (true, Compression::Both(Window::Bits9)),
            (false, Compression::Off),
        ] {
            let accepted = accept(&request, SUPPORTED, is_allowed).unwrap();
            assert_eq!(accepted.compression, compression);
            let response = String::from_utf8(accepted.response).unwrap();
            let line = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
                        client_no_context_takeover; server_max_window_bits=10\r\n";
            assert_eq!(response.contains(line), is_allowed, "{response}");
            assert_eq!(response.contains("extensions"), is_allowed, "{response}");
        }
    }

    #[test]
    fn an_ordinary_request_is_no_upgrade() {
        for changes in [
            [("Upgrade", "")],
            [("Connection", "keep-alive")],
            [("Upgrade", "h2c")],
        ] {
            assert!(!is_upgrade(sample(&changes).iter().copied()), "{changes:?}");
        }
    }
}
