//! The forms in which one and the same message may be sent.

use crate::wire::websocket::Window;

/// The envelope a connection speaks (contract section 2), chosen by the path it connected to.
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
    /// JSON in text frames.
    #[default]
    Json,
    /// MessagePack in binary frames.
    MessagePack,
}

impl Encoding {
    /// The encoding that a negotiated subprotocol stands for.
    pub fn from_subprotocol(name: Option<&str>) -> Self {
        match name {
            Some("joblight.msgpack") => Self::MessagePack,
            _ => Self::Json,
        }
    }
}

/// A dialect in an encoding, compressed or not: a message is encoded at most once for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Variant {
    /// The envelope.
    pub dialect: Dialect,
    /// Its encoding.
    pub encoding: Encoding,
    /// The window it is compressed with, if it is (RFC 7692).
    pub window: Option<Window>,
}

impl Variant {
    /// How many variants there are.
    pub const COUNT: usize = 12;

    /// A number below [`Variant::COUNT`], for tables.
    pub fn index(self) -> usize {
        let dialect = match self.dialect {
            Dialect::Payload => 0,
            Dialect::Data => 2,
        };
        let encoding = match self.encoding {
            Encoding::Json => 0,
            Encoding::MessagePack => 1,
        };
        let window = match self.window {
            None => 0,
            Some(Window::Bits9) => 4,
            Some(Window::Bits15) => 8,
        };
        dialect + encoding + window
    }

    /// The same without compression.
    pub fn plain(self) -> Self {
        Self {
            window: None,
            ..self
        }
    }
}
