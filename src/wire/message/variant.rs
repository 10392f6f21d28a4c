//! The forms in which one message may be sent.

use crate::wire::websocket::{MessageKind, Window};

/// The envelope of a connection (contract section 2), chosen by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `{"type", "payload", "timestamp", "id"}`, on the configured path.
    #[default]
    Payload,
    /// `{"type", "data"}`, on `/`.
    Data,
}

/// How an envelope becomes bytes (contract section 4), chosen by subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// In text frames.
    #[default]
    Json,
    /// In binary frames.
    MessagePack,
}

impl Dialect {
    /// What the field is called that holds what a message says.
    pub fn body(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Data => "data",
        }
    }
}

impl Encoding {
    /// The kind of WebSocket message that carries it.
    pub fn kind(self) -> MessageKind {
        match self {
            Self::Json => MessageKind::Text,
            Self::MessagePack => MessageKind::Binary,
        }
    }

    pub fn from_subprotocol(name: Option<&str>) -> Self {
        match name {
            Some("joblight.msgpack") => Self::MessagePack,
            _ => Self::Json,
        }
    }
}

/// A message is encoded at most once per variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Variant {
    pub dialect: Dialect,
    pub encoding: Encoding,
    /// The window it is compressed with; `None`: not compressed.
    pub window: Option<Window>,
}

impl Variant {
    pub const COUNT: usize = 3 * Self::COUNT_PLAIN;
    /// How many are without compression; they come first.
    pub const COUNT_PLAIN: usize = 4;

    /// Below [`Variant::COUNT`], for tables.
    pub fn index(self) -> usize {
        let window = self.window.map_or(0, |window| 1 + window as usize);
        self.encoding as usize + 2 * self.dialect as usize + Self::COUNT_PLAIN * window
    }

    pub fn plain(self) -> Self {
        Self {
            window: None,
            ..self
        }
    }
}
