//! Floor 5: a small blocking client, for the command line and for tests.
//!
//! It owns one viewer's connection and what that viewer knows; it never touches the server's own types for rooms and
//! tasks, because it has to know the contract from the outside only.
//!
//! - `viewer`: [`Client`], which watches rooms and reconnects by the contract's rules
//! - `reconnect`, `positions`, `task_states`: what decides, without a socket
//! - `connection`, `stream`: one WebSocket, over TCP or a Unix socket
//! - `http`: one request and its answer; `url`: the addresses of servers

pub mod connection;
pub mod http;
pub mod positions;
pub mod reconnect;
pub mod stream;
pub mod task_states;
pub mod url;
pub mod viewer;

pub use task_states::TaskStates;
pub use viewer::{Client, ClientError, ClientEvent, SUBSCRIBE_ID, ServerMessage};
