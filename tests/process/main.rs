//! The binary from the outside, as an operator meets it: start, log lines, sockets, producers, signals, and the end.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod files;
mod lines;
mod listening;
mod log;
mod producers;
mod refusals;
mod shutdown;
mod signals;
mod sockets;
