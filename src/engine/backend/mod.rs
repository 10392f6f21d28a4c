//! The application's own link (contract section 7): messages of clients to it, and what it says.
//!
//! It owns which links there are, which messages wait for room on one, and which for an answer. It never reads a socket, and
//! never decides which types of messages are the application's: the settings do.
//!
//! [`pending`] is what waits, [`outbound`] the way to the application, [`inbound`] the way from it.

pub mod inbound;
pub mod outbound;
pub mod pending;
