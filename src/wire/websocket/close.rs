//! Why a connection ends: close codes (RFC 6455 section 7.4), whether the peer should reconnect, and the code of each violation of
//! the protocol.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Also the answer to a peer that closes without a code.
    pub const NORMAL: Self = Self(1000);
    /// The server is shutting down.
    pub const GOING_AWAY: Self = Self(1001);
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Text or a close reason is not UTF-8; sent at the first bad byte (RFC 6455 section 8.1).
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A newer connection replaces this one, or the peer does what is not wanted here.
    pub const POLICY: Self = Self(1008);
    /// A message exceeds the limit; sent as soon as its header says so.
    pub const TOO_BIG: Self = Self(1009);
    /// The server is full; sent right after the handshake (IANA registry, RFC 6455 section 11.7).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// No valid token, or an expired one. Codes from 4000 on are for private use (RFC 6455 section 7.4.2).
    pub const UNAUTHORIZED: Self = Self(4401);
    /// The identity is known and may not be here.
    pub const FORBIDDEN: Self = Self(4403);
    /// The handshake or a heartbeat took too long.
    pub const TIMED_OUT: Self = Self(4408);
    pub const RATE_LIMITED: Self = Self(4429);
    /// A slow reader reached the hard limit of its backlog.
    pub const TOO_SLOW: Self = Self(4430);

    /// Whether a client should simply reconnect. Not after 4401, which needs a new token first, and not after unknown
    /// codes.
    pub fn reconnect(self) -> bool {
        matches!(self.0, 1001 | 1006 | 1011..=1013 | 4408 | 4429 | 4430)
    }

    /// Whether a close frame may carry this code: 1004 is undefined, 1005, 1006 and 1015 are for local use only, 1016
    /// to 2999 are reserved.
    pub fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_by_the_contract() {
        for code in [1001, 1006, 1011, 1012, 1013, 4408, 4429, 4430] {
            assert!(CloseCode(code).reconnect(), "{code}");
        }
        for code in [1000, 1002, 1003, 1007, 1008, 1009, 1014, 4401, 4403] {
            assert!(!CloseCode(code).reconnect(), "{code}");
        }
    }

    #[test]
    fn codes_allowed_on_the_wire() {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1008, 1013, 1014, 3000, 3999, 4000, 4999,
        ] {
            assert!(CloseCode(code).is_allowed_on_wire(), "{code}");
        }
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
        ] {
            assert!(!CloseCode(code).is_allowed_on_wire(), "{code}");
        }
    }

    #[test]
    fn every_constant_may_be_sent() {
        let constants = [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::PROTOCOL_ERROR,
            CloseCode::INVALID_PAYLOAD,
            CloseCode::TOO_BIG,
            CloseCode::TRY_AGAIN_LATER,
            CloseCode::UNAUTHORIZED,
            CloseCode::FORBIDDEN,
            CloseCode::TIMED_OUT,
            CloseCode::RATE_LIMITED,
            CloseCode::TOO_SLOW,
        ];
        assert!(constants.iter().all(|code| code.is_allowed_on_wire()));
    }
}
