//! The head of one request: its text in one allocation, and where its parts lie in it.
//!
//! It answers questions (target, fields, persistence) and judges nothing: `syntax.rs` decides what a head must
//! look like, and makes one.

use std::borrow::Cow;

use ::http::Method;
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::grammar::{is_percent_encoded, list_items};
use super::problem::quote;
use crate::wire::refusal::Refusal;

/// Header fields kept inside the head itself: enough for a browser's usual request.
const INLINE_FIELDS: usize = 16;

/// Percent-decoded.
pub type Segments<'h> = SmallVec<[Cow<'h, str>; 8]>;

/// Request line and header section (RFC 9112 sections 3 and 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(super) text: Box<str>,
    pub(super) method: Span,
    pub(super) version_minor: u8,
    pub(super) authority: Option<Span>,
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    /// Values that were not UTF-8.
    pub(super) garbled: Box<[Span]>,
    pub(super) fields: Fields,
}

/// Where a part lies in the text. Sixteen bits suffice, because no head is longer (`syntax::MAX_HEAD_BYTES`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

pub(super) type Fields = SmallVec<[Field; INLINE_FIELDS]>;

impl Head {
    pub fn len_bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }

    /// Parsed at each call: a head keeps only the method's position, which is smaller.
    pub fn method(&self) -> Method {
        Method::from_bytes(self.method_text().as_bytes())
            .expect("httparse takes nothing but tokens")
    }

    /// As it was sent: methods are case-sensitive (RFC 9110 section 9.1).
    pub fn method_text(&self) -> &str {
        self.part(self.method)
    }

    pub fn version_minor(&self) -> u8 {
        self.version_minor
    }

    /// As it was sent, without the query; `/` when an absolute-form target has none, `*` for the asterisk-form (RFC
    /// 9112 section 3.2).
    pub fn path(&self) -> &str {
        match self.part(self.path) {
            "" => "/",
            path => path,
        }
    }

    /// Percent-decoded one by one, so that an encoded slash stays inside its segment (RFC 3986 section 3.3). `/` has
    /// none; a trailing slash adds an empty one.
    pub fn segments(&self) -> Result<Segments<'_>, Refusal> {
        match self.path().strip_prefix('/') {
            None | Some("") => Ok(Segments::new()),
            Some(path) => path.split('/').map(decoded_segment).collect(),
        }
    }

    /// The first value of a query parameter, form-decoded (WHATWG URL section 5.1): `+` is a space, and a `%` that
    /// begins no escape stays.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = form_urlencoded::parse(self.part(self.query?).as_bytes());
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The first field of that name, in any case. Bytes of a value that is not UTF-8 read as `?`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub fn headers<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h str> {
        self.fields()
            .filter_map(move |(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Whether a value of that name was not UTF-8, so that its text is not what was sent.
    pub fn is_garbled(&self, name: &str) -> bool {
        let mut fields = self.fields.iter();
        !self.garbled.is_empty()
            && fields.any(|field| {
                self.garbled.contains(&field.value)
                    && self.part(field.name).eq_ignore_ascii_case(name)
            })
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.fields
            .iter()
            .map(|field| (self.part(field.name), self.part(field.value)))
    }

    /// Whether the comma-separated list of all fields of that name contains the token, in any case (RFC 9110 section
    /// 5.6.1).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers(name)
            .flat_map(list_items)
            .any(|item| item.eq_ignore_ascii_case(token))
    }

    /// The authority of an absolute-form target, else the `Host` field (RFC 9112 section 3.2.2).
    pub fn host(&self) -> Option<&str> {
        match self.authority {
            Some(span) => Some(self.part(span)),
            None => self.header("host"),
        }
    }

    /// Whether the client wants the connection to persist (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        !self.has_token("connection", "close")
            && (self.version_minor > 0 || self.has_token("connection", "keep-alive"))
    }

    /// Whether the client may wait for `100 Continue` before it sends its body (RFC 9110 section 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.version_minor > 0 && self.has_token("expect", "100-continue")
    }

    /// Without parameters, as it was sent (RFC 9110 section 8.3.1).
    pub fn content_type(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        let end = memchr::memchr(b';', value.as_bytes()).unwrap_or(value.len());
        Some(value[..end].trim_matches([' ', '\t']))
    }

    fn part(&self, span: Span) -> &str {
        &self.text[usize::from(span.start)..usize::from(span.end)]
    }
}

fn decoded_segment(segment: &str) -> Result<Cow<'_, str>, Refusal> {
    match segment.contains('%') {
        false => Ok(Cow::Borrowed(segment)),
        true => percent_decoded(segment),
    }
}

fn percent_decoded(segment: &str) -> Result<Cow<'_, str>, Refusal> {
    let refusal =
        |what| Refusal::bad_request(format!("path: segment {} {what}", quote(segment))).at("path");
    if !is_percent_encoded(segment) {
        return Err(refusal("has a `%` that begins no escape"));
    }
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map_err(|_| refusal("does not decode to UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::super::syntax::ParserLimits;
    use super::super::syntax::read_head;
    use super::*;
    use crate::wire::refusal::ErrorCode;

    fn head(text: &str) -> Head {
        head_of_bytes(text.as_bytes())
    }

    fn head_of_bytes(bytes: &[u8]) -> Head {
        read_head(bytes, &ParserLimits::default())
            .unwrap()
            .unwrap()
            .head
    }

    fn with_fields(fields: &str) -> Head {
        head(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"))
    }

    fn with_target(target: &str) -> Head {
        head(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    #[test]
    fn methods() {
        for text in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            let head = head(&format!("{text} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!((head.method().as_str(), head.method_text()), (text, text));
        }
        let other = head("get / HTTP/1.0\r\n\r\n");
        assert_eq!((other.method().as_str(), other.version_minor()), ("get", 0));
    }

    #[test]
    fn targets_in_every_form() {
        let cases = [
            ("/", "/", "a", None),
            ("/a/b?q=1", "/a/b", "a", Some("1")),
            ("http://other:80/x?q=2", "/x", "other:80", Some("2")),
            ("HTTPS://other", "/", "other", None),
            ("http://other?q=3", "/", "other", Some("3")),
            ("/x?u=http://y/&q=4", "/x", "a", Some("4")),
        ];
        for (target, path, host, query) in cases {
            let head = with_target(target);
            assert_eq!(head.path(), path, "{target}");
            assert_eq!(head.host(), Some(host), "{target}");
            assert_eq!(head.query("q").as_deref(), query, "{target}");
        }
        let asterisk = head("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((asterisk.method(), asterisk.path()), (Method::OPTIONS, "*"));
        assert!(asterisk.segments().unwrap().is_empty());
    }

    #[test]
    fn segments_are_decoded_one_by_one() {
        let cases: [(&str, &[&str]); 6] = [
            ("/", &[]),
            ("/api/tasks", &["api", "tasks"]),
            ("/api/", &["api", ""]),
            ("//a", &["", "a"]),
            ("/a%2Fb/c%20d/%C3%A9", &["a/b", "c d", "é"]),
            ("/é?x", &["é"]),
        ];
        for (target, expected) in cases {
            assert_eq!(
                with_target(target).segments().unwrap().as_slice(),
                expected,
                "{target}"
            );
        }
        for target in ["/%", "/a%4", "/%zz", "/%ff", "/ok/%C3", "/%+1", "/%é"] {
            assert_eq!(
                with_target(target).segments().unwrap_err().code(),
                ErrorCode::BadRequest,
                "{target}"
            );
        }
    }

    #[test]
    fn query_parameters_are_form_decoded_and_the_first_wins() {
        let head = with_target("/?a=1+2%263&b&a=x&%63=%zz&d=a=b&e=%FF");
        let query = |name| head.query(name).map(Cow::into_owned);
        assert_eq!(query("a").as_deref(), Some("1 2&3"));
        assert_eq!(query("b").as_deref(), Some(""));
        assert_eq!(query("c").as_deref(), Some("%zz"));
        assert_eq!(query("d").as_deref(), Some("a=b"));
        assert_eq!(query("e").as_deref(), Some("\u{fffd}"));
        assert_eq!(query("f"), None);
        assert_eq!(with_target("/").query(""), None);
    }

    #[test]
    fn fields_ignore_case_and_lists_span_fields() {
        let head = with_fields("Accept: x\r\naccept:  y, Z \t\r\nX-Empty:");
        assert_eq!(head.header("ACCEPT"), Some("x"));
        assert_eq!(head.headers("accept").collect::<Vec<_>>(), ["x", "y, Z"]);
        assert_eq!(head.header("x-empty"), Some(""));
        assert_eq!(head.header("accep"), None);
        assert!(head.has_token("accept", "z") && head.has_token("Accept", "X"));
        assert!(!head.has_token("accept", "y, z") && !head.has_token("x-empty", ""));
    }

    #[test]
    fn more_fields_than_fit_inline_are_kept() {
        let fields: Vec<String> = (0..40).map(|index| format!("X-{index}: {index}")).collect();
        assert_eq!(with_fields(&fields.join("\r\n")).header("x-39"), Some("39"));
    }

    #[test]
    fn persistence() {
        let cases = [
            ("1.1", "x: y", true),
            ("1.1", "Connection: close", false),
            ("1.1", "Connection: keep-alive, Close", false),
            ("1.1", "Connection: Upgrade", true),
            ("1.0", "x: y", false),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "Connection: keep-alive\r\nConnection: close", false),
        ];
        for (version, field, expected) in cases {
            let head = head(&format!(
                "GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n"
            ));
            assert_eq!(head.keep_alive(), expected, "{version} {field}");
        }
    }

    #[test]
    fn expectations_and_media_types() {
        assert!(with_fields("Expect: 100-Continue").expects_continue());
        assert!(!head("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue());
        let json = with_fields("Content-Type: Application/JSON ; charset=utf-8");
        assert_eq!(json.content_type(), Some("Application/JSON"));
        assert_eq!(with_fields("x: y").content_type(), None);
    }

    #[test]
    fn values_that_are_not_utf8_keep_their_place() {
        let head =
            head_of_bytes(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xffa\xe9\r\nY: \xc3\xa9\r\n\r\n");
        assert_eq!(head.header("x"), Some("?a?"));
        assert_eq!(head.header("y"), Some("é"));
        assert!(head.is_garbled("x") && !head.is_garbled("y") && !head.is_garbled("host"));
    }

    #[test]
    fn a_head_is_small() {
        assert!(
            std::mem::size_of::<Head>() <= 192,
            "{}",
            std::mem::size_of::<Head>()
        );
    }
}
