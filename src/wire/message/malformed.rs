//! What is wrong with a message, in words that name the field at fault.

use crate::wire::refusal::{ErrorCode, Refusal};
use std::borrow::Cow;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON; the parser's reason.
    #[error("{0}")]
    Json(String),
    /// Not JSON that anybody could read, and the field is known.
    #[error("{field}{}{reason}", separator(.field))]
    Text {
        /// A path such as `payload.taskIds[0]`; empty: the text itself.
        field: String,
        /// What stands there and what would be right.
        reason: String,
    },
    /// JSON, but a field is missing or wrong.
    #[error("{field}{}{reason}", separator(.field))]
    Field {
        /// A path such as `payload.taskIds[0]`; empty: the message itself.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

fn separator(field: &str) -> &'static str {
    if field.is_empty() { "" } else { ": " }
}

impl Malformed {
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// Whether the text could not be read at all (`invalid_json`) or has wrong content (`invalid_message`).
    pub fn is_unreadable(&self) -> bool {
        !matches!(self, Self::Field { .. })
    }

    /// The same complaint about a field deeper down, under `prefix`.
    pub fn under(self, prefix: &str) -> Self {
        match self {
            Self::Json(reason) => Self::Field {
                field: prefix.to_owned(),
                reason,
            },
            Self::Text { field, reason } => Self::Text {
                field: joined(prefix, &field),
                reason,
            },
            Self::Field { field, reason } => Self::Field {
                field: joined(prefix, &field),
                reason,
            },
        }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        let code = match malformed.is_unreadable() {
            true => ErrorCode::InvalidJson,
            false => ErrorCode::InvalidMessage,
        };
        let reason = malformed.to_string();
        let field = match malformed {
            Malformed::Json(_) => "body".to_owned(),
            Malformed::Text { field, .. } if field.is_empty() => "body".to_owned(),
            Malformed::Text { field, .. } | Malformed::Field { field, .. } => field,
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
