//! The messages of the contract (sections 2 to 4), between text and values.
//!
//! Owns the two envelopes, their two encodings, what clients send and what producers report. It decides nothing:
//! whether an event is late or a room may be joined is the hub's business.

pub mod cloud_event;
pub mod compact;
pub mod envelope;
pub mod event;
pub mod field;
pub mod incoming;
mod keyword;
pub mod malformed;
pub mod merge;
pub mod name;
pub mod number;
pub mod pack;
#[cfg(test)]
mod pack_tests;
pub mod patch;
pub mod relayable;
pub mod surrogates;
pub mod syntax_error;
pub mod unpack;
pub mod variant;

pub use envelope::{Batch, Envelope, ErrorCode, ErrorMessage, RoomOffset};
pub use event::{Event, Report, TASK_REMOVED, TaskEvent};
pub use field::Field;
pub use incoming::Incoming;
pub use malformed::Malformed;
pub use merge::Members;
pub use patch::{Control, Controls, Status, TaskPatch};
pub use relayable::check_relayable;
pub use variant::{Dialect, Encoding, Variant};
