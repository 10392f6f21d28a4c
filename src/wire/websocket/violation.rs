//! Broken rules: what a client did wrong, and the close code it earns (RFC 6455 section 7.4.1).
//!
//! Owns the type and the rules that more than one file enforces. Judges nothing itself.

use super::close::CloseCode;

/// A broken rule: the connection is to be failed with this code (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Violation {
    /// The code for the close frame.
    pub code: CloseCode,
    /// The reason for the close frame.
    pub reason: &'static str,
}

impl Violation {
    /// A text that is no text (RFC 6455 section 8.1).
    pub const NOT_UTF8: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "text is not UTF-8",
    };
    /// A message over the limit, as it is or once inflated (RFC 6455 section 10.4).
    pub(super) const MESSAGE_TOO_BIG: Self = Self {
        code: CloseCode::TOO_BIG,
        reason: "message too big",
    };
    /// A compressed message that cannot be inflated (RFC 7692 section 6.2).
    pub(super) const NOT_DEFLATED: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "compressed message is corrupt",
    };

    /// A broken rule of framing (RFC 6455 section 5).
    pub(super) const fn protocol_error(reason: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL_ERROR,
            reason,
        }
    }
}
