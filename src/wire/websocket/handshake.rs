//! The opening handshake, the server's part (RFC 6455 section 4.2), and the negotiation of permessage-deflate in it (section 9.1,
//! RFC 7692 sections 5 and 7.1).
//!
//! Takes a request's head, returns the bytes of the 101 response or the reason for a refusal. Paths, `Host`, `Origin` and tokens
//! are the caller's. Compresses nothing.

use crate::wire::http::{Head, Method, list_items, unquote};
use crate::wire::refusal::{ErrorCode, Refusal};
use data_encoding::BASE64;
use std::borrow::Cow;
use std::fmt::Write;
use tungstenite::handshake::derive_accept_key;

const VERSION: &str = "Sec-WebSocket-Version";
const KEY: &str = "Sec-WebSocket-Key";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub subprotocol: Option<&'static str>,
    pub compression: Compression,
    /// The whole 101 response; frames may follow it at once.
    pub response: Vec<u8>,
}

/// How far back a compressed message to a client may refer (RFC 7692 section 7.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// 512 bytes, for clients that limit the window.
    Bits9,
    /// 32 KiB, DEFLATE's maximum.
    Bits15,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    #[default]
    Off,
    /// Only the client compresses: it limits the window to 256 bytes, for which zlib cannot write.
    ReceiveOnly,
    /// The window is that of messages to the client.
    Both(Window),
}

impl Compression {
    /// Whether the client may send compressed messages.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// The window of messages to the client; `None`: they are not compressed.
    pub fn window(self) -> Option<Window> {
        match self {
            Self::Both(window) => Some(window),
            Self::Off | Self::ReceiveOnly => None,
        }
    }
}

/// Whether a request asks to become a WebSocket (RFC 6455 section 4.2.1, items 3 and 4).
pub fn is_upgrade(head: &Head) -> bool {
    head.has_token("upgrade", "websocket") && head.has_token("connection", "upgrade")
}

/// Answers an opening handshake (RFC 6455 section 4.2.2).
///
/// `supported` lists the server's subprotocols, ASCII names, the best first. If the client offers none of them the
/// connection has none, and the client decides whether it can live with that. Without `allow_compression` every
/// extension offer is ignored (RFC 6455 section 9.1).
pub fn accept(
    head: &Head,
    supported: &[&'static str],
    allow_compression: bool,
) -> Result<Accepted, Refusal> {
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n",
        derive_accept_key(check(head)?.as_bytes())
    );
    let offered = head.headers("sec-websocket-protocol").flat_map(list_items);
    let offered: Vec<&str> = offered.collect();
    let mut supported = supported.iter().copied();
    let subprotocol = supported.find(|name| offered.contains(name));
    if let Some(name) = subprotocol {
        let _ = write!(response, "sec-websocket-protocol: {name}\r\n");
    }
    let offer = choose(head.headers("sec-websocket-extensions")).filter(|_| allow_compression);
    if let Some(offer) = offer {
        let _ = write!(response, "sec-websocket-extensions: {}\r\n", offer.answer());
    }
    response.push_str("\r\n");
    Ok(Accepted {
        subprotocol,
        compression: offer.map_or(Compression::Off, Offer::compression),
        response: response.into_bytes(),
    })
}

/// The key of a handshake that keeps the rules (RFC 6455 sections 4.2.1 and 4.4).
fn check(head: &Head) -> Result<&str, Refusal> {
    let (version, key) = (only(head, VERSION)?, only(head, KEY)?);
    if head.method() != Method::GET {
        let detail = "a WebSocket handshake is a GET request";
        return Err(Refusal::new(ErrorCode::MethodNotAllowed, detail).allow("GET"));
    }
    if head.version_minor() == 0 {
        let detail = "a WebSocket handshake needs HTTP/1.1";
        return Err(Refusal::bad_request(detail));
    }
    for (name, token) in [("Connection", "upgrade"), ("Upgrade", "websocket")] {
        if !head.has_token(name, token) {
            return Err(invalid(name));
        }
    }
    if version.ok_or_else(|| invalid(VERSION))? != "13" {
        let detail = "unsupported Sec-WebSocket-Version: this server speaks 13";
        return Err(Refusal::new(ErrorCode::UpgradeRequired, detail));
    }
    let decodes = |key: &str| {
        BASE64
            .decode(key.as_bytes())
            .is_ok_and(|key| key.len() == 16)
    };
    key.filter(|key| decodes(key)).ok_or_else(|| invalid(KEY))
}

/// The value of a field that may not appear twice (RFC 6455 sections 11.3.1 and 11.3.5).
fn only<'h>(head: &'h Head, name: &'static str) -> Result<Option<&'h str>, Refusal> {
    let mut values = head.headers(name);
    let value = values.next().map(str::trim_ascii);
    match values.next() {
        Some(_) => Err(invalid(name)),
        None => Ok(value),
    }
}

fn invalid(name: &'static str) -> Refusal {
    let detail = format!("missing or invalid header: {name}");
    Refusal::bad_request(detail).at(name)
}

/// An acceptable offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Offer {
    /// The client's limit, if it named one.
    server_max_window_bits: Option<u8>,
}

impl Offer {
    fn compression(self) -> Compression {
        match self.server_max_window_bits {
            None | Some(15) => Compression::Both(Window::Bits15),
            Some(8) => Compression::ReceiveOnly,
            Some(_) => Compression::Both(Window::Bits9),
        }
    }

    /// The value of `Sec-WebSocket-Extensions` in the response. Without context takeover no message refers to another,
    /// which lets one compressor and one inflater serve every connection.
    fn answer(self) -> String {
        const ANSWER: &str =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        match self.server_max_window_bits {
            None => ANSWER.to_owned(),
            Some(bits) => format!("{ANSWER}; server_max_window_bits={bits}"),
        }
    }
}

/// The first acceptable offer; the client sorts them by preference (RFC 7692 section 5). Other extensions and invalid
/// offers are skipped (section 7.1).
fn choose<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Offer> {
    lines.find_map(|line| split_unquoted(line, ',').find_map(parse_offer))
}

/// `None`: another extension, or an offer to be declined (RFC 7692 section 7.1).
fn parse_offer(element: &str) -> Option<Offer> {
    let mut parts = split_unquoted(element, ';');
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let mut offer = Offer::default();
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = parse_parameter(part)?;
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_max_window_bits", Some(value)) => {
                offer.server_max_window_bits = Some(parse_window_bits(&value)?);
            }
            ("client_max_window_bits", Some(value)) => drop(parse_window_bits(&value)?),
            ("client_max_window_bits", None) => {}
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            _ => return None,
        }
    }
    Some(offer)
}

/// A parameter's name and value, which may be quoted (RFC 6455 section 9.1); `None` if the quotes are broken.
fn parse_parameter(part: &str) -> Option<(&str, Option<Cow<'_, str>>)> {
    let Some((name, value)) = part.split_once('=') else {
        return Some((part.trim_ascii(), None));
    };
    let value = value.trim_ascii();
    let value = match value.starts_with('"') {
        true => Cow::Owned(
            unquote(value, |_| true)
                .filter(|(_, rest)| rest.is_empty())?
                .0,
        ),
        false => Cow::Borrowed(value),
    };
    Some((name.trim_ascii(), Some(value)))
}

/// 8 to 15, without leading zeros (RFC 7692 section 7.1.2).
fn parse_window_bits(value: &str) -> Option<u8> {
    match *value.as_bytes() {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// Splits at separators outside quoted strings.
fn split_unquoted(list: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |character| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => is_escaped = is_quoted,
            _ => {}
        }
        character == separator && !is_quoted
    })
    .map(str::trim_ascii)
}

#[cfg(test)]
mod tests;
