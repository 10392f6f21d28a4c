//! Bytes to a request head, or to the reason why they are none.
//!
//! httparse reads; this file rejects what httparse tolerates (bare line feeds, length) and names the part of the head
//! that is wrong, which httparse does not.

use std::mem::MaybeUninit;

use super::body::Source;
use super::framing::body_source;
use super::limits::ParserLimits;
use super::reject::{Reject, quote};
use super::request::Head;
use super::token::is_token;

/// The most that any limit may allow: offsets into a head have sixteen bits.
pub(super) const MAX_HEAD_BYTES: usize = u16::MAX as usize;

/// The most that any limit may allow: the parsed fields lie on the stack.
const MAX_HEADERS: usize = 128;

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
pub(super) fn read_head(bytes: &[u8], limits: &ParserLimits) -> Result<Option<Found>, Reject> {
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

fn complete(raw: &[u8], request: &httparse::Request<'_, '_>) -> Result<Found, Reject> {
    // RFC 9112 section 2.2 allows a lone line feed as a line end; proxies differ on it.
    if has_bare_line_feed(raw, request.headers) {
        return Err(bare_line_feed());
    }
    let head = Head::new(raw, request)?;
    let source = body_source(&head)?;
    Ok(Found {
        head,
        bytes: raw.len(),
        source,
    })
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

fn bare_line_feed() -> Reject {
    Reject::new(
        400,
        "request head: a line ends in a line feed without a carriage return",
    )
}

fn too_long(window: &[u8], max_bytes: usize) -> Reject {
    if window.contains(&b'\n') {
        Reject::new(431, format!("request head: longer than {max_bytes} bytes"))
    } else {
        Reject::new(414, format!("request line: longer than {max_bytes} bytes")).at("target")
    }
}

fn explain(error: httparse::Error, window: &[u8], limits: &ParserLimits) -> Reject {
    match error {
        httparse::Error::Version => explain_version(window),
        httparse::Error::HeaderName => explain_header_name(window),
        httparse::Error::HeaderValue => {
            Reject::new(400, "request head: a header value has a control character")
        }
        httparse::Error::NewLine => {
            Reject::new(400, "request head: a carriage return without a line feed")
        }
        httparse::Error::TooManyHeaders => Reject::new(
            431,
            format!(
                "request head: more than {} header fields",
                limits.max_headers.min(MAX_HEADERS)
            ),
        ),
        httparse::Error::Token | httparse::Error::Status => Reject::new(
            400,
            format!(
                "request line: {} is not an HTTP request",
                quote(&first_line(window))
            ),
        ),
    }
}

/// RFC 9110 section 15.6.6: 505 is for versions only; anything else there is a bad request.
fn explain_version(window: &[u8]) -> Reject {
    let request_line = first_line(window);
    let version = request_line.rsplit(' ').next().unwrap_or_default();
    let is_version = version
        .strip_prefix("HTTP/")
        .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
    if is_version {
        Reject::new(
            505,
            format!(
                "request line: {} is not spoken here, only HTTP/1.0 and HTTP/1.1",
                quote(version)
            ),
        )
        .at("version")
    } else {
        Reject::new(
            400,
            format!(
                "request line: {} is not an HTTP request",
                quote(&request_line)
            ),
        )
    }
}

/// RFC 9112 sections 5.1 and 5.2: no white space before the colon, no folded lines. httparse stopped at the first line
/// whose name is no token.
fn explain_header_name(window: &[u8]) -> Reject {
    let name = window
        .split(|byte| *byte == b'\n')
        .skip(1)
        .map(|line| line.split(|byte| *byte == b':').next().unwrap_or_default())
        .find(|name| name.is_empty() || !name.iter().copied().all(is_token));
    let name = String::from_utf8_lossy(name.unwrap_or_default());
    let detail = if name.starts_with([' ', '\t']) {
        "request head: a header line begins with white space, and folded lines are obsolete"
            .to_owned()
    } else if name.ends_with([' ', '\t']) {
        format!(
            "header {}: white space before the colon",
            quote(name.trim_end())
        )
    } else if name.ends_with('\r') {
        format!("header {}: no colon", quote(name.trim_end()))
    } else {
        format!("header {}: not a name", quote(&name))
    };
    Reject::new(400, detail)
}

fn first_line(window: &[u8]) -> String {
    let line = window
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}
