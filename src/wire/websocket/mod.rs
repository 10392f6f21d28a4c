//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), the server's side.
//!
//! Pure: bytes in, values out. It owns no stream and no buffer, and no connection has a compressor; an idle connection
//! costs one null pointer, the [`Reader`]. tungstenite provides the handshake checks and frame headers; this folder
//! adds what tungstenite cannot: reassembly without a buffer, and UTF-8 judged byte by byte.
//!
//! - `handshake`, `negotiate`: from an HTTP request to a connection
//! - `reader`: frames to `ReaderEvent`s, with `mask`, `utf8` and `violation`
//! - `frame`, `close`: what is sent; `deflate`: compression both ways

mod close;
mod deflate;
mod frame;
mod handshake;
mod mask;
mod negotiate;
mod reader;
mod utf8;
mod violation;

pub use close::CloseCode;
pub use deflate::{Deflater, Inflater};
pub use frame::{
    EncodedFrame, MessageKind, PING, encode, encode_close, encode_compressed, encode_ping,
    encode_pong,
};
pub use handshake::{Accepted, HandshakeError, Request, accept, is_upgrade};
pub use negotiate::{Compression, Window};
pub use reader::{FrameLimits, Payload, Reader, ReaderEvent, Text};
pub use violation::Violation;
