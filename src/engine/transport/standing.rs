//! What a connection may ask for, by its listener, and what is known of its address: a byte each.

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Services(u8);

impl Services {
    /// Of the WebSocket listener.
    pub const WEBSOCKET: Self = Self(1);
    /// Of the HTTP listener.
    pub const HTTP: Self = Self(2);
    /// Of a listener that serves both.
    pub const BOTH: Self = Self(1 | 2);
    /// Of the ingest socket and of standard input.
    pub const INGEST: Self = Self(4);

    /// WebSocket upgrades.
    pub fn websocket(self) -> bool {
        self.0 & Self::WEBSOCKET.0 != 0
    }

    /// The HTTP API.
    pub fn http(self) -> bool {
        self.0 & Self::HTTP.0 != 0
    }

    /// Newline-delimited events, nothing else.
    pub fn ingest(self) -> bool {
        self.0 & Self::INGEST.0 != 0
    }
}

/// What is known of a connection and its address, in one byte.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing(u8);

impl Standing {
    /// It is a trusted proxy's, which has no share of anything.
    pub const PROXY: Self = Self(1);
    /// The connection is counted among those of its address.
    pub const COUNTED: Self = Self(2);
    /// It is counted among the clients of its address.
    pub const PLACED: Self = Self(4);
    /// It has sent a whole request, or the head of one whose body is handled as it comes.
    pub const ASKED: Self = Self(8);

    /// Whether that is so.
    pub fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// The same, but for one mark.
    #[must_use]
    pub fn with(self, mark: Self, is_set: bool) -> Self {
        match is_set {
            true => Self(self.0 | mark.0),
            false => Self(self.0 & !mark.0),
        }
    }
}
