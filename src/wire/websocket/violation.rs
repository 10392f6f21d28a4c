//! Violations of the protocol, and the close code of each (RFC 6455 section 7.4.1).

use super::close::CloseCode;

/// The connection must be failed with this code (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Violation {
    pub code: CloseCode,
    pub reason: &'static str,
}

impl Violation {
    /// RFC 6455 section 8.1.
    pub const NOT_UTF8: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "text is not UTF-8",
    };
    /// As sent, or once inflated (RFC 6455 section 10.4).
    pub(super) const MESSAGE_TOO_BIG: Self = Self {
        code: CloseCode::TOO_BIG,
        reason: "message too big",
    };
    /// RFC 7692 section 6.2.
    pub(super) const NOT_DEFLATED: Self = Self {
        code: CloseCode::INVALID_PAYLOAD,
        reason: "compressed message is corrupt",
    };

    /// RFC 6455 section 5.
    pub(super) const fn protocol_error(reason: &'static str) -> Self {
        Self {
            code: CloseCode::PROTOCOL_ERROR,
            reason,
        }
    }
}
