//! Floor 1: bytes to values and back. Pure: it owns no connection and no buffer, and knows neither rooms nor policy.
//!
//! - `input`: the cursor that every parser takes received bytes from
//! - `http`, `websocket`: the two protocols, the server's side
//! - `message`: the contract's messages
//! - `refusal`, `error_code`: why something was not done
//! - `locale`: every sentence for people, in the languages spoken

pub mod error_code;
pub mod http;
pub mod input;
pub mod locale;
pub mod message;
pub mod refusal;
pub mod websocket;
