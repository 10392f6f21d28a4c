//! HTTP/1.1, the server's side (RFC 9110, RFC 9112): requests from bytes, responses to bytes.
//!
//! Pure and incremental: the owner passes in what a read delivered and polls events until there are none. This folder
//! knows syntax, message framing, and which messages are refused because two readers could disagree on where they
//! end. Routing, authentication and time-outs belong to the owner.
//!
//! - `parser`: the state machine, from bytes to `ParserEvent`s; `limits` bound it
//! - `syntax`, `request`: the head; `framing`: where the body ends; `reject`: why not
//! - `body`, `chunked`, `piece`: the body; `lines`: newline-delimited JSON in it
//! - `list`, `quoted`, `token`: small grammars that fields share
//! - `response`, `problem`, `date`: the way back

mod body;
mod chunked;
mod date;
mod framing;
mod limits;
mod lines;
mod list;
mod parser;
mod piece;
mod problem;
mod quoted;
mod reject;
mod request;
mod response;
mod syntax;
mod token;

#[cfg(test)]
mod parser_tests;

pub use ::http::Method;
pub use chunked::decode_chunked;
pub use date::{Date, DateCache};
pub use limits::ParserLimits;
pub use lines::{Line, LineSplitter, TooLong};
pub use list::list_items;
pub use parser::{Body, BodyMode, Parser, ParserEvent};
pub use piece::lines_at_once;
pub use problem::Problem;
pub use quoted::unquote;
pub use reject::Reject;
pub use request::{Head, Segments};
pub use response::{CONTINUE, Framing, Response, reason};
pub use token::is_token;
