//! Problem documents (RFC 9457): the one shape of every HTTP error, for a person and for a program, made where the fault is seen,
//! so that it can name it. It becomes a [`Response`].

use super::response::{Response, reason};
use serde::Serialize;
use std::borrow::Cow;

/// How much of a peer's text is quoted back to it.
const QUOTED_CHARS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    /// A machine-readable word, such as `invalid_message`.
    pub code: &'static str,
    /// For a person: what is wrong and what would be right.
    pub detail: Cow<'static, str>,
    /// The part of the request at fault.
    pub field: Option<Cow<'static, str>>,
    /// `Retry-After` (RFC 9110 section 10.2.3).
    pub retry_after_s: Option<u64>,
    /// `Allow` (RFC 9110 section 10.2.1), as in `GET, HEAD`.
    pub allow: Option<&'static str>,
}

/// The members of RFC 9457 section 3.1, and `code` and `field`, which are ours.
#[derive(Serialize)]
struct Document<'p> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'p str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'p str>,
}

impl Problem {
    pub fn new(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            field: None,
            retry_after_s: None,
            allow: None,
        }
    }

    /// A request that is refused by its syntax alone, after which the connection is closed.
    pub(super) fn reject(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, code(status), detail)
    }

    /// Names the part of the request at fault.
    pub fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub fn allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        let document = Document {
            r#type: "about:blank",
            title: reason(problem.status),
            status: problem.status,
            detail: &problem.detail,
            code: problem.code,
            field: problem.field.as_deref(),
        };
        let text =
            serde_json::to_vec(&document).expect("strings and a number always have a JSON form");
        let mut response = Self::new(problem.status).body("application/problem+json", text);
        if let Some(seconds) = problem.retry_after_s {
            response = response.header("Retry-After", seconds.to_string());
        }
        if let Some(methods) = problem.allow {
            response = response.header("Allow", methods);
        }
        // RFC 9110 sections 15.5.2 and 15.5.22 demand these, section 12.5.3 recommends the one of 415.
        match problem.status {
            415 if problem.field.as_deref() == Some("content-encoding") => {
                response.header("Accept-Encoding", "identity")
            }
            401 => response.header("WWW-Authenticate", "Bearer"),
            426 => response
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket"),
            _ => response,
        }
    }
}

/// The code of a request that the parser refuses.
fn code(status: u16) -> &'static str {
    match status {
        408 => "request_timeout",
        413 => "body_too_large",
        414 => "target_too_long",
        415 => "unsupported_media_type",
        431 => "head_too_large",
        501 => "not_implemented",
        505 => "version_not_supported",
        _ => "bad_request",
    }
}

/// A peer's text in back quotes, shortened.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::response::{Date, Framing};
    use super::*;

    fn text(problem: Problem) -> String {
        let framing = Framing {
            head_only: false,
            keep_alive: true,
            version_minor: 1,
            date: Date::at(0),
        };
        String::from_utf8(Response::from(problem).encode(framing)).unwrap()
    }

    #[test]
    fn all_members_and_headers() {
        let problem = Problem::new(429, "too_many", "say \"please\"")
            .at("payload.id")
            .retry_after_s(7)
            .allow("GET, HEAD");
        let text = text(problem);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
        for field in [
            "Content-Type: application/problem+json",
            "Retry-After: 7",
            "Allow: GET, HEAD",
        ] {
            assert!(head.lines().any(|line| line == field), "{head}");
        }
        let expected = concat!(
            r#"{"type":"about:blank","title":"Too Many Requests","status":429,"#,
            r#""detail":"say \"please\"","code":"too_many","field":"payload.id"}"#
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn a_request_that_is_refused_by_its_syntax_has_a_code() {
        let problem = Problem::reject(413, "body: too long").at("content-length");
        assert_eq!(
            problem,
            Problem::new(413, "body_too_large", "body: too long").at("content-length")
        );
        assert!(!text(Problem::reject(400, "no")).contains("field"));
    }

    #[test]
    fn long_text_is_shortened_at_a_character() {
        assert_eq!(quote("abc"), "`abc`");
        let long = "é".repeat(QUOTED_CHARS + 1);
        assert_eq!(quote(&long), format!("`{}…`", "é".repeat(QUOTED_CHARS)));
    }
}
