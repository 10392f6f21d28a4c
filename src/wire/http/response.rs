//! A response and its bytes (RFC 9112 section 4): one buffer, one pass.
//!
//! It knows the syntax of heads and the rules of lengths, and nothing of the content. No value can end a line early:
//! control characters become spaces.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use ::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;
use smallvec::SmallVec;

/// What a client that sent `Expect: 100-continue` waits for (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Room for the status line and the fields of every response.
const USUAL_HEAD_BYTES: usize = 192;
/// The last second of the year 9999, where the format ends.
const LAST_SECOND: u64 = 253_402_300_799;

const DATE_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// A response, not yet framed for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    content_type: Option<&'static str>,
    body: Bytes,
    headers: SmallVec<[(&'static str, Cow<'static, str>); 2]>,
}

/// What a response takes from its request and from the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// The request was `HEAD`: the same head, no body (RFC 9110 section 9.3.2).
    pub head_only: bool,
    pub keep_alive: bool,
    /// The request's; HTTP/1.0 must be told that the connection stays open.
    pub version_minor: u8,
    /// From a [`DateCache`], which makes it cheap.
    pub date: Date,
}

impl Response {
    pub fn new(status: u16) -> Self {
        debug_assert!((100..600).contains(&status), "{status} is not a status");
        Self {
            status,
            content_type: None,
            body: Bytes::new(),
            headers: SmallVec::new(),
        }
    }

    /// A document of our own, as JSON.
    pub fn document(status: u16, document: &impl Serialize) -> Self {
        let text = serde_json::to_vec(document);
        let text = text.expect("documents of our own always have a JSON form");
        Self::new(status).json(text)
    }

    pub fn json(self, text: impl Into<Bytes>) -> Self {
        self.body("application/json", text)
    }

    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.content_type = Some(content_type);
        self.body = body.into();
        self
    }

    /// Adds a header field; control characters in its value are sent as spaces. `Date`, `Content-Length`,
    /// `Content-Type` and the persistence tokens of `Connection` belong to the encoder.
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn status(&self) -> u16 {
        self.status
    }

    pub fn encode(&self, framing: Framing) -> Vec<u8> {
        let field_bytes = |(name, value): &(&str, Cow<'_, str>)| name.len() + value.len() + 4;
        let fields: usize = self.headers.iter().map(field_bytes).sum();
        let mut out = Vec::with_capacity(USUAL_HEAD_BYTES + fields + self.body.len());
        self.put_head(framing, &mut out);
        if self.may_have_body() && !framing.head_only {
            out.extend_from_slice(&self.body);
        }
        out
    }

    fn put_head(&self, framing: Framing, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(digits.format(self.status).as_bytes());
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        put_field(out, "Date", framing.date.as_bytes());
        self.put_connection(framing, out);
        for (name, value) in &self.headers {
            put_checked_field(out, name, value);
        }
        if let Some(content_type) = self.content_type {
            put_checked_field(out, "Content-Type", content_type);
        }
        if self.may_have_body() {
            let length = digits.format(self.body.len());
            put_field(out, "Content-Length", length.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// RFC 9112 section 9.3: only what the version does not imply. Interim and upgrade responses say nothing.
    fn put_connection(&self, framing: Framing, out: &mut Vec<u8>) {
        if self.status < 200 {
            return;
        }
        if !framing.keep_alive {
            put_field(out, "Connection", b"close");
        } else if framing.version_minor == 0 {
            put_field(out, "Connection", b"keep-alive");
        }
    }

    /// RFC 9110 section 8.6: these have neither `Content-Length` nor body.
    fn may_have_body(&self) -> bool {
        !matches!(self.status, 100..200 | 204 | 304)
    }
}

/// The reason phrase of a status (RFC 9110 section 15, RFC 6585).
pub fn reason(status: u16) -> &'static str {
    match status {
        // RFC 9110 renamed these two; the library has the older names.
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        _ => StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Other"),
    }
}

fn put_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn put_checked_field(out: &mut Vec<u8>, name: &str, value: &str) {
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    match value.bytes().any(is_control) {
        true => {
            let spaced = |byte: u8| if is_control(byte) { b' ' } else { byte };
            put_field(out, name, &value.bytes().map(spaced).collect::<Vec<u8>>());
        }
        false => put_field(out, name, value.as_bytes()),
    }
}

/// The `Date` field (RFC 9110 sections 5.6.7 and 6.6.1), from a time that is passed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    text: [u8; DATE_BYTES],
}

impl Date {
    pub fn at(wall_ms: u64) -> Self {
        let second = (wall_ms / 1000).min(LAST_SECOND);
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        let text = text
            .as_bytes()
            .try_into()
            .expect("an IMF-fixdate of a four-digit year has one length");
        Self { text }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Formats a date once a second instead of once a response.
#[derive(Debug, Clone, Default)]
pub struct DateCache(Option<(u64, Date)>);

impl DateCache {
    pub fn at(&mut self, wall_ms: u64) -> Date {
        let second = wall_ms / 1000;
        match self.0 {
            Some((known, date)) if known == second => date,
            _ => self.0.insert((second, Date::at(wall_ms))).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing() -> Framing {
        Framing {
            head_only: false,
            keep_alive: true,
            version_minor: 1,
            date: Date::at(784_111_777_000),
        }
    }

    fn text(response: &Response, framing: Framing) -> String {
        String::from_utf8(response.encode(framing)).unwrap()
    }

    #[test]
    fn a_usual_answer_byte_for_byte() {
        let response = Response::new(200).header("X-A", "b").json(b"{}".to_vec());
        let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: b\r\n\
                        Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(text(&response, framing()), expected);
        assert_eq!(response.status(), 200);
        let head = text(
            &response,
            Framing {
                head_only: true,
                ..framing()
            },
        );
        assert_eq!(head, expected.strip_suffix("{}").unwrap());
    }

    #[test]
    fn length_and_persistence() {
        let closing = Framing {
            keep_alive: false,
            ..framing()
        };
        let old = Framing {
            version_minor: 0,
            ..framing()
        };
        let old_closing = Framing {
            version_minor: 0,
            ..closing
        };
        let cases = [
            (Response::new(200), framing(), Some("0"), None),
            (Response::new(404), closing, Some("0"), Some("close")),
            (Response::new(200), old, Some("0"), Some("keep-alive")),
            (Response::new(200), old_closing, Some("0"), Some("close")),
            (Response::new(204), framing(), None, None),
            (Response::new(304), framing(), None, None),
            (Response::new(101), closing, None, None),
        ];
        for (response, framing, length, connection) in cases {
            let text = text(&response, framing);
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            assert_eq!(field("Content-Length: "), length, "{text}");
            assert_eq!(field("Connection: "), connection, "{text}");
        }
    }

    #[test]
    fn every_status_that_is_used_has_a_phrase() {
        let used = [
            100, 101, 200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 406, 408, 409, 411,
            413, 414, 415, 421, 422, 426, 429, 431, 500, 501, 503, 505,
        ];
        assert!(used.iter().all(|status| reason(*status) != "Other"));
        assert!(CONTINUE.starts_with(format!("HTTP/1.1 100 {}\r\n\r\n", reason(100)).as_bytes()));
    }

    #[test]
    fn dates_from_the_epoch_to_the_end_of_the_format() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        let mut cache = DateCache::default();
        for (wall_ms, text) in cases {
            assert_eq!(Date::at(wall_ms).as_bytes(), text.as_bytes());
            assert_eq!(cache.at(wall_ms), Date::at(wall_ms));
            assert_eq!(cache.at(wall_ms), Date::at(wall_ms));
        }
    }

    proptest! {
        #[test]
        fn a_client_reads_what_was_meant(
            status in 200_u16..600,
            value in any::<String>(),
            body in proptest::collection::vec(any::<u8>(), 0..200),
            keep_alive: bool,
        ) {
            let response = Response::new(status).header("X-Value", value.clone()).body("text/plain", body.clone());
            let bytes = response.encode(Framing { keep_alive, ..framing() });
            let mut room = [httparse::EMPTY_HEADER; 8];
            let mut parsed = httparse::Response::new(&mut room);
            let head_bytes = parsed.parse(&bytes).unwrap().unwrap();
            let field = |name: &str| parsed.headers.iter().find(|header| header.name == name).map(|header| header.value);
            let spaced = value.replace(|c: char| c.is_ascii_control() && c != '\t', " ");
            prop_assert_eq!(parsed.code, Some(status));
            prop_assert_eq!(field("X-Value").unwrap(), spaced.trim_matches([' ', '\t']).as_bytes());
            if response.may_have_body() {
                prop_assert_eq!(field("Content-Length").unwrap().to_vec(), body.len().to_string().into_bytes());
                prop_assert_eq!(&bytes[head_bytes..], &body[..]);
            } else {
                prop_assert_eq!(bytes.len(), head_bytes);
            }
            prop_assert_eq!(parsed.headers.len(), 3 + usize::from(!keep_alive) + usize::from(response.may_have_body()));
        }
    }
}
