//! joblight: live progress of batch jobs in every browser that watches, from one small process.

pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod conn;
pub mod engine;
pub mod hub;
pub mod shell;
pub mod wire;

pub use config::{Config, ListenPort};
pub use engine::commands::{ClientInfo, CommandError};
pub use shell::handle::Handle;
pub use shell::server::{Addresses, Server, ServerError};
