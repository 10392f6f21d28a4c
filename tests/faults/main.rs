//! What must not be lost when something breaks: the process, a reader, the network, the store. The binary from the outside.

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod first_rows;
mod hanging_disk;
mod pause;
mod reader;
mod reconnect;
mod socket;
mod stalled;
mod store;
mod store_opening;
mod store_removed;
mod watch;
