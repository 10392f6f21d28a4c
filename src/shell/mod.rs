//! Floor 5: the only syscalls. It decides nothing: what to write, store or close comes from the engine.
//!
//! - `server`: starts everything; `handle`: calls from other threads
//! - `event_loop`: the loop; `wakeup_coalescing`, `pause`: when it turns and when timers rest
//! - `listener`, `accept_error`, `socket`, `connection_limits`: connections
//! - `store`: SQLite on a thread of its own; `logging`: log lines, also on a thread
//! - `clock`, `memory`, `signals`: what else the system tells

mod accept_error;
pub mod clock;
pub mod connection_limits;
pub mod event_loop;
pub mod handle;
pub mod listener;
pub mod logging;
pub mod memory;
pub mod pause;
pub mod server;
pub mod signals;
pub mod socket;
pub mod store;
pub mod wakeup_coalescing;
