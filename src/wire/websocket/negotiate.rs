//! Negotiation of permessage-deflate (RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1): reads offers, chooses one,
//! writes the answer. Compresses nothing.

use std::borrow::Cow;

use ::http::HeaderValue;

use crate::wire::http::unquote;

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

/// An acceptable offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Offer {
    /// The client's limit, if it named one.
    server_max_window_bits: Option<u8>,
}

impl Offer {
    pub(super) fn compression(self) -> Compression {
        match self.server_max_window_bits {
            None | Some(15) => Compression::Both(Window::Bits15),
            Some(8) => Compression::ReceiveOnly,
            Some(_) => Compression::Both(Window::Bits9),
        }
    }

    /// The value of `Sec-WebSocket-Extensions` in the response. Without context takeover no message refers to another,
    /// which lets one compressor and one inflater serve every connection.
    pub(super) fn answer(self) -> HeaderValue {
        const ANSWER: &str =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let Some(bits) = self.server_max_window_bits else {
            return HeaderValue::from_static(ANSWER);
        };
        HeaderValue::try_from(format!("{ANSWER}; server_max_window_bits={bits}"))
            .expect("a constant and a number are visible ASCII")
    }
}

/// The first acceptable offer; the client sorts them by preference (RFC 7692 section 5). Other extensions and invalid
/// offers are skipped (section 7.1).
pub(super) fn choose<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Offer> {
    lines.find_map(|line| split_unquoted(line, ',').find_map(parse_offer))
}

const PARAMETERS: [&str; 4] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
];

/// `None`: another extension, or an offer to be declined (RFC 7692 section 7.1).
fn parse_offer(element: &str) -> Option<Offer> {
    let mut parts = split_unquoted(element, ';');
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let mut offer = Offer::default();
    let mut seen = [false; PARAMETERS.len()];
    for part in parts {
        let (name, value) = parse_parameter(part)?;
        let index = PARAMETERS.iter().position(|known| *known == name)?;
        if std::mem::replace(&mut seen[index], true) {
            return None;
        }
        match (name, value) {
            ("server_max_window_bits", Some(value)) => {
                offer.server_max_window_bits = Some(parse_window_bits(&value)?);
            }
            ("client_max_window_bits", Some(value)) => {
                parse_window_bits(&value)?;
            }
            ("server_max_window_bits", None) | (_, Some(_)) => return None,
            (_, None) => {}
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
mod tests {
    use super::*;

    const BOTH: Compression = Compression::Both(Window::Bits15);
    const NARROW: Compression = Compression::Both(Window::Bits9);

    fn negotiated(lines: &[&str]) -> Compression {
        let offer = choose(lines.iter().copied());
        offer.map_or(Compression::Off, Offer::compression)
    }

    #[test]
    fn takes_what_browsers_and_libraries_offer() {
        let cases = [
            ("permessage-deflate", BOTH),
            ("permessage-deflate; client_max_window_bits", BOTH),
            ("permessage-deflate;client_max_window_bits=12", BOTH),
            (
                "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                BOTH,
            ),
            ("permessage-deflate; server_max_window_bits=15", BOTH),
            ("permessage-deflate; server_max_window_bits=14", NARROW),
            ("permessage-deflate ; server_max_window_bits = 9", NARROW),
            (
                "permessage-deflate; server_max_window_bits=8",
                Compression::ReceiveOnly,
            ),
            ("permessage-deflate; server_max_window_bits=\"10\"", NARROW),
            (
                "permessage-deflate; server_max_window_bits=\"1\\0\"",
                NARROW,
            ),
        ];
        for (offer, compression) in cases {
            assert_eq!(negotiated(&[offer]), compression, "{offer}");
        }
    }

    /// RFC 7692 section 7.1: each of these must be declined.
    #[test]
    fn declines_offers_that_break_a_rule() {
        let parameters = [
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=10; server_max_window_bits=10",
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=\"\"",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=100",
            "server_max_window_bits=ten",
            "server_max_window_bits=\"10",
            "server_max_window_bits=\"10\"1",
            "server_max_window_bits=10=10",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=",
            "mystery",
            "mystery=1",
            "Server_No_Context_Takeover",
            "",
        ];
        for parameters in parameters {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(negotiated(&[&offer]), Compression::Off, "{offer}");
        }
    }

    #[test]
    fn the_first_acceptable_offer_wins() {
        let cases: &[(&[&str], Compression)] = &[
            (&[], Compression::Off),
            (&["", " , ,"], Compression::Off),
            (
                &["x-webkit-deflate-frame, permessage-bzip2"],
                Compression::Off,
            ),
            (&["permessage-deflate-2"], Compression::Off),
            (&["mux, permessage-deflate"], BOTH),
            (&["mux; max=\"a,permessage-deflate,b\""], Compression::Off),
            (
                &["mux; name=\"a\\\",b\"; x, permessage-deflate; server_max_window_bits=11"],
                NARROW,
            ),
            (
                &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
                NARROW,
            ),
            (
                &["permessage-deflate; mystery, permessage-deflate; server_max_window_bits=8"],
                Compression::ReceiveOnly,
            ),
            (
                &["mux", "permessage-deflate; mystery", "permessage-deflate"],
                BOTH,
            ),
            (
                &["permessage-deflate; server_max_window_bits=\"10, permessage-deflate"],
                Compression::Off,
            ),
        ];
        for (lines, compression) in cases {
            assert_eq!(negotiated(lines), *compression, "{lines:?}");
        }
    }

    #[test]
    fn the_answer_repeats_the_window_and_nothing_else() {
        let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let answer = |offer: &str| choose([offer].into_iter()).unwrap().answer();
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits=9",
        ] {
            assert_eq!(answer(offer), always, "{offer}");
        }
        for bits in 8..=15 {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let expected = format!("{always}; server_max_window_bits={bits}");
            assert_eq!(answer(&offer), expected.as_str());
        }
    }

    #[test]
    fn says_what_is_sent_and_taken() {
        let cases = [
            (Compression::Off, false, None),
            (Compression::ReceiveOnly, true, None),
            (NARROW, true, Some(Window::Bits9)),
            (BOTH, true, Some(Window::Bits15)),
        ];
        for (compression, is_on, window) in cases {
            assert_eq!((compression.is_on(), compression.window()), (is_on, window));
        }
        assert_eq!(size_of::<Compression>(), 1);
    }
}
