//! Access: who asks, from where, and what they may do.
//!
//! Decides by heads, addresses and settings alone; it holds what addresses have used up, and sends nothing.
//!
//! - [`caller`], [`permission`]: who acts, may they, which rooms they see; [`keys`]: `http.api_key`
//! - [`pages`]: which pages and hosts are served, by `host`, a name as requests have it
//! - `forwarded`: for whom a proxy asks
//! - [`connection_rate`]: how often an address may connect, and who waits for a place

pub mod caller;
pub mod connection_rate;
mod forwarded;
mod host;
pub mod keys;
pub mod pages;
pub mod permission;

pub use forwarded::{Asker, Proxies, UNIX};
pub use host::Host;
pub use pages::{ANY, Access};
