//! What is wrong with a message, in words that name the field at fault.

use crate::wire::refusal::{ErrorCode, Refusal};
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}{}{reason}", if .field.is_empty() { "" } else { ": " })]
pub struct Malformed {
    /// A path such as `payload.taskIds[0]`; empty: the message itself.
    pub field: String,
    /// What stands there and what would be right.
    pub reason: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not JSON; the parser's reason.
    Syntax,
    /// Not JSON that anybody could read, and the field is known.
    Text,
    /// JSON, but a field is missing or wrong.
    Field,
}

impl Malformed {
    fn new(kind: Kind, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
            kind,
        }
    }

    pub fn syntax(reason: impl Into<String>) -> Self {
        Self::new(Kind::Syntax, "", reason)
    }

    pub fn text(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Kind::Text, field, reason)
    }

    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Kind::Field, field, reason)
    }

    /// Whether the text could not be read at all (`invalid_json`) or has wrong content (`invalid_message`).
    pub fn is_unreadable(&self) -> bool {
        self.kind != Kind::Field
    }

    /// Whether it is the parser's reason, which names no field.
    pub(super) fn is_syntax(&self) -> bool {
        self.kind == Kind::Syntax
    }

    /// Whether the message itself is of the wrong kind, and no field of it.
    pub fn is_about_all(&self) -> bool {
        self.kind == Kind::Field && self.field.is_empty()
    }

    /// The same complaint about a field deeper down, under `prefix`.
    pub fn under(self, prefix: &str) -> Self {
        let kind = match self.kind {
            Kind::Syntax => Kind::Field,
            kind => kind,
        };
        Self::new(kind, joined(prefix, &self.field), self.reason)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        let reason = malformed.to_string();
        let code = match malformed.is_unreadable() {
            true => ErrorCode::InvalidJson,
            false => ErrorCode::InvalidMessage,
        };
        let field = match malformed.field.is_empty() {
            true => "body".to_owned(),
            false => malformed.field,
        };
        Self::new(code, reason).at(field)
    }
}

fn joined(prefix: &str, field: &str) -> String {
    let dot = match field.starts_with('[') || field.is_empty() || prefix.is_empty() {
        true => "",
        false => ".",
    };
    format!("{prefix}{dot}{field}")
}

/// The beginning of a peer's text.
pub fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}
