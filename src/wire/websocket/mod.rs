//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), the server's side: handshake, frames out, events in, close
//! codes, and compression without a compressor per connection.
//!
//! Pure: bytes in, values out. It owns no stream and no buffer; an idle connection costs one null pointer, the
//! [`Reader`]. What may follow what is tungstenite's business where it has types for it (handshake, frame headers)
//! and this folder's where it has none (reassembly without a buffer, UTF-8 judged byte by byte).

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
