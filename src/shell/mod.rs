//! Floor 5: the only syscalls. The loop, its sockets, listeners, signals, clock, log and store; it decides nothing.

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
