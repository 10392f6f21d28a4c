//! Problem documents (RFC 9457): the one shape of every HTTP error, for a person and for a program.

use super::response::{Response, reason};
use crate::wire::locale::Locale;
use crate::wire::refusal::Refusal;
use serde::Serialize;

/// How much of a peer's text is quoted back to it.
const QUOTED_CHARS: usize = 64;

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

impl Refusal {
    /// The problem document that answers a call.
    pub fn response(self, locale: Locale) -> Response {
        let detail = self.detail(locale);
        let refusal = *self.0;
        let document = Document {
            r#type: "about:blank",
            title: reason(refusal.status),
            status: refusal.status,
            detail: &detail,
            code: refusal.code.as_str(),
            field: refusal.field.as_deref(),
        };
        let text =
            serde_json::to_vec(&document).expect("strings and a number always have a JSON form");
        let mut response = Response::new(refusal.status).body("application/problem+json", text);
        if let Some(seconds) = refusal.retry_after_s {
            response = response.header("Retry-After", seconds.to_string());
        }
        if let Some(methods) = refusal.allow {
            response = response.header("Allow", methods);
        }
        // RFC 9110 sections 15.5.2 and 15.5.22 demand these, section 12.5.3 recommends the one of 415.
        match refusal.status {
            415 if refusal.field.as_deref() == Some("content-encoding") => {
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
    use crate::wire::refusal::ErrorCode;

    fn text(refusal: Refusal) -> String {
        let framing = Framing {
            head_only: false,
            keep_alive: true,
            version_minor: 1,
            date: Date::at(0),
        };
        String::from_utf8(refusal.response(Locale::English).encode(framing)).unwrap()
    }

    #[test]
    fn all_members_and_headers() {
        let refusal = Refusal::new(ErrorCode::RateLimited, "say \"please\"")
            .at("payload.id")
            .retry_after_s(7)
            .allow("GET, HEAD");
        let text = text(refusal);
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
            r#""detail":"say \"please\"","code":"rate_limited","field":"payload.id"}"#
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn a_refusal_that_concerns_no_field_names_none() {
        assert!(!text(Refusal::bad_request("no")).contains("field"));
    }

    #[test]
    fn long_text_is_shortened_at_a_character() {
        assert_eq!(quote("abc"), "`abc`");
        let long = "é".repeat(QUOTED_CHARS + 1);
        assert_eq!(quote(&long), format!("`{}…`", "é".repeat(QUOTED_CHARS)));
    }
}
