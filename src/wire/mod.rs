//! Floor 1: bytes to values and back, pure.

pub mod http;
pub mod input;
pub mod locale;
pub mod message;
pub mod websocket;
