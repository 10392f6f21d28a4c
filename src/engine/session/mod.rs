//! What viewers may ask, and what they are told (contract sections 2 to 6).
//!
//! It owns the secrets of sessions, the questions whether messages have arrived, and lists of workspaces that are being sent. It
//! knows no socket: what it says goes out through `transport`. It knows rooms and tasks by the hub alone.
//!
//! [`requests`] are what a client may ask for; [`subscriptions`] its ways into rooms and out, and what it
//! is told of what it has missed; [`workspaces`] the same for clients of the data dialect. [`questions`] ask whether messages have
//! arrived, [`key`] makes the secrets.

pub mod key;
pub mod questions;
pub mod requests;
pub mod subscriptions;
pub mod workspaces;
