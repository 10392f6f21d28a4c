//! Floor 5: a small blocking client, for the command line and for tests. It knows the contract from the outside only.
//!
//! [`Client`] watches rooms over a WebSocket and comes back by the contract's rules when its connection is lost;
//! [`http::post`] reports. What decides ([`reconnect::Reconnect`], [`places::Places`], [`task_states::TaskStates`]) touches no socket.

pub mod connection;
pub mod http;
pub mod places;
pub mod reconnect;
pub mod stream;
pub mod task_states;
pub mod url;
pub mod viewer;

pub use task_states::TaskStates;
pub use viewer::{Client, ClientError, Event, Message, SUBSCRIBE_ID};
