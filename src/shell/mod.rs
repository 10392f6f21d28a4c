//! Floor 5: the only syscalls. It decides nothing: what to write, store or close comes from the engine.
//!
//! - `server`: starts everything; `handle`: calls from other threads
//! - `event_loop`: the loop; `pacing`: when it turns and when timers rest
//! - `listener`, `socket`: connections
//! - `store`: SQLite on a thread of its own; `logging`: log lines, also on a thread
//! - `system`, `signals`: what else the system tells

mod event_loop;
pub mod handle;
mod listener;
pub mod logging;
mod pacing;
pub mod server;
mod signals;
mod socket;
pub mod store;
mod system;
