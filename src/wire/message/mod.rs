//! The messages of the contract (sections 2 to 4), between text and values.
//!
//! It decides nothing: whether an event is late or a room may be joined is the hub's business.
//!
//! - `incoming`: the envelope of a client's or producer's message; `event`, `patch`, `cloud_event`: what it reports
//! - `field`, `keyword`, `name`, `number`: the values in it; `malformed`, `syntax_error`: what is wrong with it
//! - `compact`, `relayable`, `scan`, `surrogates`, `merge`: JSON that stays text on its way through
//! - `envelope`, `variant`: what goes out, and in which forms; `pack`, `unpack`: MessagePack

pub mod cloud_event;
pub mod compact;
pub mod envelope;
pub mod event;
#[cfg(test)]
mod event_tests;
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
mod scan;
pub mod surrogates;
pub mod syntax_error;
pub mod unpack;
pub mod variant;

pub use envelope::{Envelope, ErrorMessage, RoomOffset, encode_batch};
pub use event::{Event, Report, TASK_REMOVED, TaskEvent};
pub use field::Field;
pub use incoming::Incoming;
pub use malformed::Malformed;
pub use merge::Members;
pub use patch::{Control, Controls, Status, TaskPatch};
pub use relayable::check_relayable;
pub use variant::{Dialect, Encoding, Variant};
