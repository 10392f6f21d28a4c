//! What a listener serves.

/// What the connections of a listener may ask for.
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
