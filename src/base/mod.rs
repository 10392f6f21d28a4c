//! Floor 0: no domain, no I/O. What every other floor may use; it uses nothing of theirs.
//!
//! - `time`: time as numbers that are passed in; `wheel`: all timers; `token_bucket`: rate limits
//! - `chunk_queue`: outbound bytes of all connections in one pool; `index`: links inside such pools; `slots`: a slab whose
//!   keys carry a generation; `slot_set`: slots counted once; `names`: keys found by name; `shrink`: when a table gives memory
//!   back
//! - `id`: message ids; `random`: the one source of randomness
//! - `network`, `pattern`: IP networks and name patterns; `printable`: foreign text in logs and terminals;
//!   `limit`: 0 for none
//! - `average`, `counter`: figures for the statistics
//! - `auto`, `choices`: values as the configuration spells them

pub mod auto;
pub mod average;
pub mod choices;
pub mod chunk_queue;
pub mod counter;
pub mod id;
pub mod index;
pub mod limit;
pub mod names;
pub mod network;
pub mod pattern;
pub mod printable;
pub mod random;
pub mod shrink;
pub mod slot_set;
pub mod slots;
pub mod time;
pub mod token_bucket;
pub mod wheel;
