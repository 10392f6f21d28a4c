//! The HTTP side of the contract over real sockets: framing, statuses, every call, listeners and statistics.

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod calls;
mod controls;
mod curl;
mod events;
mod framing;
mod limits;
mod listeners;
mod pages;
mod readable;
mod sizes;
mod statistics;
mod statuses;
