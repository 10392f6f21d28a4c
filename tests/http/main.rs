//! The HTTP side of the contract over real sockets: framing, statuses, every call, listeners and statistics.

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod calls;
mod cloud_event_sdks;
mod cloud_events;
mod compaction;
mod controls;
mod curl;
mod event_ids;
mod events;
mod framing;
mod limits;
mod listeners;
mod names;
mod numbers;
mod origins;
mod own_fields;
mod pages;
mod relayable;
mod sizes;
mod statistics;
mod statuses;
mod texts;
