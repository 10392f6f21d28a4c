//! Bytes to a request head and to where its body ends, or to the reason why they are none.
//!
//! httparse reads; this file rejects what httparse tolerates (bare line feeds, length) and names the part of the head
//! that is wrong, which httparse does not. RFC 9112 section 6.3 defines the length of a body, section 11.2 the attacks on it: a
//! proxy may stand between client and server, so whatever the two could read differently is an error here.

use super::body::Source;
use super::grammar::{is_token, list_items};
use super::problem::quote;
use super::request::{Field, Fields, Head, Span};
use crate::wire::refusal::{ErrorCode, Refusal};
use std::mem::MaybeUninit;

/// The most that any limit may allow: offsets into a head have sixteen bits.
pub(super) const MAX_HEAD_BYTES: usize = u16::MAX as usize;

/// The most that any limit may allow: the parsed fields lie on the stack.
const MAX_HEADERS: usize = 128;

/// The bounds of a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserLimits {
    /// Request line and header section together, and each trailer section; at most 65,535.
    pub max_head_bytes: usize,
    /// At most 128.
    pub max_headers: usize,
}

impl ParserLimits {
    /// With room for more header fields than any browser sends.
    pub fn new(max_head_bytes: usize) -> Self {
        Self {
            max_head_bytes,
            max_headers: 64,
        }
    }
}

impl Default for ParserLimits {
    fn default() -> Self {
        Self::new(16 * 1024)
    }
}

pub(super) struct Found {
    pub(super) head: Head,
    /// The head's length.
    pub(super) bytes: usize,
    pub(super) source: Source,
}

/// Reads the head that `bytes` begin with; `None` when it is incomplete.
///
/// A fault is reported as soon as a complete line shows it, in the order of the bytes, so that the result does not
/// depend on how they were split over reads.
pub(super) fn read_head(bytes: &[u8], limits: &ParserLimits) -> Result<Option<Found>, Refusal> {
    let max_bytes = limits.max_head_bytes.min(MAX_HEAD_BYTES);
    let window = &bytes[..bytes.len().min(max_bytes)];
    if window.first() == Some(&b'\n') {
        return Err(bare_line_feed());
    }
    let mut room = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let room = &mut room[..limits.max_headers.min(MAX_HEADERS)];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(window, room) {
        Ok(httparse::Status::Complete(len)) => complete(&window[..len], &request).map(Some),
        Ok(httparse::Status::Partial) if window.len() == max_bytes => {
            Err(too_long(window, max_bytes))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        // The rest of the line tells an unknown version from garbage.
        Err(httparse::Error::Version) if !window.contains(&b'\n') && window.len() < max_bytes => {
            Ok(None)
        }
        Err(error) => Err(explain(error, window, limits)),
    }
}

fn complete(raw: &[u8], request: &httparse::Request<'_, '_>) -> Result<Found, Refusal> {
    // RFC 9112 section 2.2 allows a lone line feed as a line end; proxies differ on it.
    if has_bare_line_feed(raw, request.headers) {
        return Err(bare_line_feed());
    }
    let head = head_of(raw, request)?;
    let source = body_source(&head)?;
    Ok(Found {
        head,
        bytes: raw.len(),
        source,
    })
}

fn head_of(raw: &[u8], request: &httparse::Request<'_, '_>) -> Result<Head, Refusal> {
    let method = request.method.unwrap_or_default();
    let target = Target::of(request.path.unwrap_or_default(), method)?;
    let span = |part: &[u8]| Span::of(part, raw);
    let field = |header: &httparse::Header<'_>| Field {
        name: span(header.name.as_bytes()),
        value: span(header.value),
    };
    let fields: Fields = request.headers.iter().map(field).collect();
    let (text, garbled) = printable(raw, &fields)?;
    Ok(Head {
        text,
        garbled,
        method: span(method.as_bytes()),
        version_minor: request.version.unwrap_or_default(),
        authority: target.authority.map(|part| span(part.as_bytes())),
        path: span(target.path.as_bytes()),
        query: target.query.map(|part| span(part.as_bytes())),
        fields,
    })
}

impl Span {
    /// `part` must be a slice of `whole`.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr() as usize - whole.as_ptr() as usize;
        let narrow = |offset: usize| {
            u16::try_from(offset).expect("the syntax check bounds a head to 65,535 bytes")
        };
        Self {
            start: narrow(start),
            end: narrow(start + part.len()),
        }
    }
}

/// A request target (RFC 9112 section 3.2).
struct Target<'t> {
    authority: Option<&'t str>,
    path: &'t str,
    query: Option<&'t str>,
}

impl<'t> Target<'t> {
    fn of(text: &'t str, method: &str) -> Result<Self, Refusal> {
        let (authority, rest) = match text.split_once("://") {
            _ if text.starts_with('/') => (None, text),
            Some((scheme, rest)) if is_scheme(scheme) => {
                let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (Some(authority), rest)
            }
            _ if text == "*" && method == "OPTIONS" => (None, text),
            _ => {
                let detail = format!(
                    "request target: {} is neither a path nor an absolute address",
                    quote(text)
                );
                return Err(Refusal::bad_request(detail).at("target"));
            }
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

fn is_scheme(text: &str) -> bool {
    ["http", "https", "ws", "wss"]
        .iter()
        .any(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// The head's text, and the values that are not UTF-8. Values may hold any byte from 0x80 on (RFC 9110 section 5.5,
/// obs-text); bytes of values that are not UTF-8 become `?`, which keeps every offset and is never a delimiter.
fn printable(raw: &[u8], fields: &[Field]) -> Result<(Box<str>, Box<[Span]>), Refusal> {
    if let Ok(text) = simdutf8::basic::from_utf8(raw) {
        return Ok((text.into(), Box::default()));
    }
    let mut text = raw.to_vec();
    let mut garbled = Vec::new();
    for field in fields {
        let value = &mut text[usize::from(field.value.start)..usize::from(field.value.end)];
        if std::str::from_utf8(value).is_err() {
            garbled.push(field.value);
            value
                .iter_mut()
                .filter(|byte| !byte.is_ascii())
                .for_each(|byte| *byte = b'?');
        }
    }
    let text =
        String::from_utf8(text).map_err(|_| Refusal::bad_request("request head: not UTF-8"))?;
    Ok((text.into_boxed_str(), garbled.into_boxed_slice()))
}

/// Every line but the request line begins with a name, except the blank one. So line ends stand right before names and
/// at the end of the head, and no other byte needs a look.
fn has_bare_line_feed(raw: &[u8], headers: &[httparse::Header<'_>]) -> bool {
    let follows_line_end = |header: &httparse::Header<'_>| {
        let start = header.name.as_ptr() as usize - raw.as_ptr() as usize;
        raw[..start].ends_with(b"\r\n")
    };
    !raw.ends_with(b"\r\n\r\n") || !headers.iter().all(follows_line_end)
}

fn bare_line_feed() -> Refusal {
    let detail = "request head: a line ends in a line feed without a carriage return";
    Refusal::bad_request(detail)
}

fn too_long(window: &[u8], max_bytes: usize) -> Refusal {
    match window.contains(&b'\n') {
        true => {
            let detail = format!("request head: longer than {max_bytes} bytes");
            Refusal::new(ErrorCode::HeadTooLarge, detail)
        }
        false => {
            let detail = format!("request line: longer than {max_bytes} bytes");
            Refusal::new(ErrorCode::TargetTooLong, detail).at("target")
        }
    }
}

fn explain(error: httparse::Error, window: &[u8], limits: &ParserLimits) -> Refusal {
    match error {
        httparse::Error::Version => explain_version(window),
        httparse::Error::HeaderName => explain_header_name(window),
        httparse::Error::HeaderValue => {
            Refusal::bad_request("request head: a header value has a control character")
        }
        httparse::Error::NewLine => {
            Refusal::bad_request("request head: a carriage return without a line feed")
        }
        httparse::Error::TooManyHeaders => {
            let max_headers = limits.max_headers.min(MAX_HEADERS);
            let detail = format!("request head: more than {max_headers} header fields");
            Refusal::new(ErrorCode::HeadTooLarge, detail)
        }
        httparse::Error::Token | httparse::Error::Status => no_request_line(&first_line(window)),
    }
}

/// RFC 9110 section 15.6.6: 505 is for versions only; anything else there is a bad request.
fn explain_version(window: &[u8]) -> Refusal {
    let request_line = first_line(window);
    let version = request_line.rsplit(' ').next().unwrap_or_default();
    let number = version.strip_prefix("HTTP/").unwrap_or_default();
    if !number.starts_with(|digit: char| digit.is_ascii_digit()) {
        return no_request_line(&request_line);
    }
    let version = quote(version);
    let detail = format!("request line: {version} is not spoken here, only HTTP/1.0 and HTTP/1.1");
    Refusal::new(ErrorCode::VersionNotSupported, detail).at("version")
}

fn no_request_line(line: &str) -> Refusal {
    let detail = format!("request line: {} is not an HTTP request", quote(line));
    Refusal::bad_request(detail)
}

/// RFC 9112 sections 5.1 and 5.2: no white space before the colon, no folded lines. httparse stopped at the first line
/// whose name is no token.
fn explain_header_name(window: &[u8]) -> Refusal {
    let name = window
        .split(|byte| *byte == b'\n')
        .skip(1)
        .map(|line| line.split(|byte| *byte == b':').next().unwrap_or_default())
        .find(|name| name.is_empty() || !name.iter().copied().all(is_token));
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    let (quoted, bare) = (quote(&name), quote(name.trim_end()));
    let detail = if name.starts_with([' ', '\t']) {
        let what = "a header line begins with white space, and folded lines are obsolete";
        format!("request head: {what}")
    } else if name.ends_with([' ', '\t']) {
        format!("header {bare}: white space before the colon")
    } else if name.ends_with('\r') {
        format!("header {bare}: no colon")
    } else {
        format!("header {quoted}: not a name")
    };
    Refusal::bad_request(detail)
}

fn first_line(window: &[u8]) -> String {
    let line = window
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

fn bad_field(field: &'static str, what: &str) -> Refusal {
    Refusal::bad_request(format!("header `{field}`: {what}")).at(field)
}

/// The body that follows `head`, or why the head cannot be trusted.
fn body_source(head: &Head) -> Result<Source, Refusal> {
    const CODING: &str = "transfer-encoding";
    let found = BodyFields::of(head)?;
    if found.hosts == 0 && head.version_minor() > 0 {
        return Err(bad_field("host", "missing, and HTTP/1.1 needs it"));
    }
    if !found.has_transfer_encoding {
        let length = found.content_length.unwrap_or(0);
        if length > 0 {
            found.check_content_coding()?;
        }
        return Ok(Source::Sized { remaining: length });
    }
    if found.content_length.is_some() {
        let detail =
            "headers `transfer-encoding` and `content-length`: at most one of them may be given";
        return Err(Refusal::bad_request(detail).at(CODING));
    }
    if head.version_minor() == 0 {
        return Err(bad_field(CODING, "HTTP/1.0 has none"));
    }
    // RFC 9112 sections 6.1 and 7: only `chunked` is understood, once and last.
    let mut is_chunked = false;
    for coding in head.headers(CODING).flat_map(list_items) {
        if is_chunked {
            return Err(bad_field(CODING, "nothing may follow `chunked`"));
        }
        if !coding.eq_ignore_ascii_case("chunked") {
            let coding = quote(coding);
            let detail =
                format!("header `{CODING}`: {coding} is not understood, only `chunked` is");
            return Err(Refusal::new(ErrorCode::NotImplemented, detail).at(CODING));
        }
        is_chunked = true;
    }
    if !is_chunked {
        return Err(bad_field(CODING, "empty"));
    }
    found.check_content_coding()?;
    Ok(Source::Chunked(Default::default()))
}

#[derive(Default)]
struct BodyFields<'h> {
    hosts: usize,
    content_length: Option<u64>,
    has_transfer_encoding: bool,
    /// The first coding other than `identity`.
    content_coding: Option<&'h str>,
}

impl<'h> BodyFields<'h> {
    fn of(head: &'h Head) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for (name, value) in head.fields() {
            // The lengths alone rule out nearly every field of a usual request.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => found.add_host(value)?,
                14 if name.eq_ignore_ascii_case("content-length") => {
                    found.add_content_length(value)?
                }
                16 if name.eq_ignore_ascii_case("content-encoding") => {
                    let is_other = |coding: &&str| !coding.eq_ignore_ascii_case("identity");
                    let other = list_items(value).find(is_other);
                    found.content_coding = found.content_coding.or(other);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    found.has_transfer_encoding = true
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// RFC 9110 section 15.5.16: bodies are read as they are.
    fn check_content_coding(&self) -> Result<(), Refusal> {
        let Some(coding) = self.content_coding.map(quote) else {
            return Ok(());
        };
        let detail = format!(
            "header `content-encoding`: {coding} is not undone here; expected the body as it is"
        );
        Err(Refusal::new(ErrorCode::UnsupportedMediaType, detail).at("content-encoding"))
    }

    /// RFC 9112 section 3.2: exactly one `Host`, without the characters that delimit a URL's other parts.
    fn add_host(&mut self, value: &str) -> Result<(), Refusal> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(bad_field("host", "given more than once"));
        }
        if value.contains([' ', '\t', ',', '/', '\\', '?', '#', '@']) {
            let what = format!("{} is not a host", quote(value));
            return Err(bad_field("host", &what));
        }
        Ok(())
    }

    /// RFC 9112 section 6.3, item 5: repeated values are accepted only when they agree.
    fn add_content_length(&mut self, value: &str) -> Result<(), Refusal> {
        let refuse = |what: &str| Err(bad_field("content-length", what));
        for item in value.split(',') {
            let item = item.trim_matches([' ', '\t']);
            let Some(length) = decimal(item) else {
                return refuse(&format!("{} is not a number of bytes", quote(item)));
            };
            if self.content_length.is_some_and(|earlier| earlier != length) {
                return refuse("given twice, and the two differ");
            }
            self.content_length = Some(length);
        }
        Ok(())
    }
}

/// `parse` alone would accept a sign.
fn decimal(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}
