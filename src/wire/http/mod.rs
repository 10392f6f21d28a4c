//! HTTP/1.1, the server's side (RFC 9110, RFC 9112): requests from bytes, responses to bytes.
//!
//! Pure and incremental: the owner passes in what a read delivered and polls events until there are none. This folder
//! knows syntax, message framing, and which messages are refused because two readers could disagree on where they
//! end. Routing, authentication and time-outs belong to the owner.
//!
//! - `parser`: the state machine, from bytes to `ParserEvent`s
//! - `syntax`, `request`: the head, and where the body ends; `body`: its pieces; `lines`: newline-delimited JSON in it
//! - `response`, `problem`: the way back
//! - `grammar`: what parts of a head share

mod body;
mod grammar;
mod lines;
mod parser;
mod problem;
mod request;
mod response;
mod syntax;

#[cfg(test)]
mod parser_tests;

pub use ::http::Method;
pub use body::{decode_chunked, lines_at_once};
pub use grammar::{is_percent_encoded, is_token, list_items, unquote};
pub use lines::{Line, LineSplitter, TooLong};
pub use parser::{Body, BodyMode, Parser, ParserEvent};
pub use request::{Head, Segments};
pub use response::{CONTINUE, Date, DateCache, Framing, Response, reason};
pub use syntax::ParserLimits;
