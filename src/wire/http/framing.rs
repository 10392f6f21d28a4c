//! Where a request ends, and which requests are refused because two readers could disagree on it.
//!
//! RFC 9112 section 6.3 defines the length of a body, section 11.2 the attacks on it. A proxy may stand between
//! client and server: whatever the two could read differently is an error here.

use super::body::Source;
use super::list::list_items;
use super::reject::{Reject, quote};
use super::request::Head;

/// The body that follows `head`, or why the head cannot be trusted.
pub(super) fn body_source(head: &Head) -> Result<Source, Reject> {
    let found = Found::in_fields(head)?;
    if found.hosts == 0 && head.version_minor() > 0 {
        return Err(Reject::new(400, "header `host`: missing, and HTTP/1.1 needs it").at("host"));
    }
    if !found.has_transfer_encoding {
        let length = found.content_length.unwrap_or(0);
        if length > 0 {
            found.check_content_coding()?;
        }
        return Ok(Source::sized(length));
    }
    let refuse = |why: &'static str| Err(Reject::new(400, why).at("transfer-encoding"));
    if found.content_length.is_some() {
        return refuse(
            "headers `transfer-encoding` and `content-length`: at most one of them may be given",
        );
    }
    if head.version_minor() == 0 {
        return refuse("header `transfer-encoding`: HTTP/1.0 has none");
    }
    check_codings(head)?;
    found.check_content_coding()?;
    Ok(Source::chunked())
}

#[derive(Default)]
struct Found<'h> {
    hosts: usize,
    content_length: Option<u64>,
    has_transfer_encoding: bool,
    /// The first coding other than `identity`.
    content_coding: Option<&'h str>,
}

impl<'h> Found<'h> {
    fn in_fields(head: &'h Head) -> Result<Self, Reject> {
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
    fn check_content_coding(&self) -> Result<(), Reject> {
        let Some(coding) = self.content_coding else {
            return Ok(());
        };
        let detail = format!(
            "header `content-encoding`: {} is not undone here; expected the body as it is",
            quote(coding)
        );
        Err(Reject::new(415, detail).at("content-encoding"))
    }

    /// RFC 9112 section 3.2: exactly one `Host`, without the characters that delimit a URL's other parts.
    fn add_host(&mut self, value: &str) -> Result<(), Reject> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(Reject::new(400, "header `host`: given more than once").at("host"));
        }
        if value.contains([' ', '\t', ',', '/', '\\', '?', '#', '@']) {
            return Err(Reject::new(
                400,
                format!("header `host`: {} is not a host", quote(value)),
            )
            .at("host"));
        }
        Ok(())
    }

    /// RFC 9112 section 6.3, item 5: repeated values are accepted only when they agree.
    fn add_content_length(&mut self, value: &str) -> Result<(), Reject> {
        let refuse = |detail| Err(Reject::new(400, detail).at("content-length"));
        for item in value.split(',') {
            let item = item.trim_matches([' ', '\t']);
            let Some(length) = decimal(item) else {
                return refuse(format!(
                    "header `content-length`: {} is not a number of bytes",
                    quote(item)
                ));
            };
            if self.content_length.is_some_and(|earlier| earlier != length) {
                return refuse(
                    "header `content-length`: given twice, and the two differ".to_owned(),
                );
            }
            self.content_length = Some(length);
        }
        Ok(())
    }
}

/// `parse` alone would accept a sign.
fn decimal(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits { text.parse().ok() } else { None }
}

/// RFC 9112 sections 6.1 and 7: only `chunked` is understood, once and last.
fn check_codings(head: &Head) -> Result<(), Reject> {
    let mut is_chunked = false;
    for coding in head.headers("transfer-encoding").flat_map(list_items) {
        if is_chunked {
            let detail = "header `transfer-encoding`: nothing may follow `chunked`";
            return Err(Reject::new(400, detail).at("transfer-encoding"));
        }
        if !coding.eq_ignore_ascii_case("chunked") {
            let detail = format!(
                "header `transfer-encoding`: {} is not understood, only `chunked` is",
                quote(coding)
            );
            return Err(Reject::new(501, detail).at("transfer-encoding"));
        }
        is_chunked = true;
    }
    if is_chunked {
        Ok(())
    } else {
        Err(Reject::new(400, "header `transfer-encoding`: empty").at("transfer-encoding"))
    }
}
