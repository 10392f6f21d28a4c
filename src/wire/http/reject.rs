//! Why a request is refused by its syntax alone.
//!
//! Built where the fault is seen, so that the answer can name it; `problem.rs` makes it a response.

use std::borrow::Cow;

/// How much of a peer's text is quoted back to it.
const QUOTED_CHARS: usize = 64;

/// The connection is closed after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {detail}")]
pub struct Reject {
    pub status: u16,
    /// For a person.
    pub detail: Cow<'static, str>,
    /// The header field or part of the request at fault, in lower case.
    pub field: Option<&'static str>,
}

impl Reject {
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

/// A peer's text in back quotes, shortened.
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
