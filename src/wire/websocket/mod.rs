//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), the server's side.
//!
//! Pure: bytes in, values out. It owns no stream and no buffer, and no connection has a compressor; an idle connection
//! costs one null pointer, the [`Reader`]. tungstenite provides the accept key and frame headers; this folder
//! adds what tungstenite cannot: reassembly without a buffer, and UTF-8 judged byte by byte.
//!
//! - `handshake`: from an HTTP request to a connection, and what it agrees on
//! - `reader`: frames to `ReaderEvent`s; `payload`: unmasked, and judged as text
//! - `frame`, `close`: what is sent, and why it ends; `deflate`: compression both ways

mod close;
mod deflate;
mod frame;
mod handshake;
mod payload;
mod reader;

pub use close::{CloseCode, Violation};
pub use deflate::{Deflater, Inflater};
pub use frame::{
    EncodedFrame, MessageKind, PING, encode, encode_close, encode_compressed, encode_ping,
    encode_pong,
};
pub use handshake::{Accepted, Compression, Window, accept, is_upgrade};
pub use reader::{FrameLimits, Message, Reader, ReaderEvent};
