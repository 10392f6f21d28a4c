//! The application's own link (contract section 7): messages of clients to it, and what it says.
//!
//! `pending` owns what waits for an answer and for room, `links` the connections, `outbound` and `inbound` the two directions.

pub mod inbound;
pub mod links;
pub mod outbound;
pub mod pending;
