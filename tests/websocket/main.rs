//! The WebSocket side of the contract over real sockets: handshakes, frames, messages, rooms and limits.

#[path = "../support/mod.rs"]
mod support;

mod backend;
mod frames;
mod handshake;
mod limits;
mod malformed;
mod message_pack;
mod messages;
mod proxies;
mod raw;
mod rooms;
mod sessions;
mod wishes;
mod workspaces;
