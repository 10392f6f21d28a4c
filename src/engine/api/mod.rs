//! The HTTP API (contract section 7): the calls, what each takes and what it answers.
//!
//! Owns what a call means. It never touches a connection: an answer is a value, and who sends it, and when, is not decided here.

pub mod answers;
pub mod calls;
pub mod clients;
pub mod event_key;
pub mod events;
pub mod ingest;
pub mod rooms;
pub mod route;
pub mod sizes;
pub mod tally;
pub mod tasks;
