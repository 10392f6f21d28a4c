//! Why a request cannot be served by its syntax alone: a status, the thing at fault, and nothing else.
//!
//! It is built where the fault is seen, so that the answer can name it. It writes nothing; `problem.rs` makes it a
//! response.

use std::borrow::Cow;

/// How much of a peer's own text is repeated to it.
const QUOTED_CHARS: usize = 64;

/// A request that is refused, after which the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Reject {
    /// The status to answer with (RFC 9110 section 15).
    pub status: u16,
    /// What is wrong, for a person.
    pub detail: Cow<'static, str>,
    /// The header field or part of the request at fault, in lower case.
    pub field: Option<&'static str>,
}

impl Reject {
    /// A refusal that names no field.
    pub fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            detail: detail.into(),
            field: None,
        }
    }

    /// Names the header field or part of the request at fault.
    pub fn at(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }
}

/// A peer's text between back quotes, shortened to what a reader can use.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shortened_at_a_character() {
        assert_eq!(quote("abc"), "`abc`");
        let long = "é".repeat(QUOTED_CHARS + 1);
        assert_eq!(quote(&long), format!("`{}…`", "é".repeat(QUOTED_CHARS)));
    }
}
