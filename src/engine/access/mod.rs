//! Access: who asks, from where, and what they may do.
//!
//! Decides by heads, addresses and settings alone; it holds what addresses have used up, and sends nothing.
//!
//! - [`caller`]: who acts, may they, which rooms they see
//! - [`pages`]: which pages and hosts are served, by `host`, a name as requests have it
//! - `forwarded`: for whom a proxy asks
//! - [`gate`]: who may connect now, and when others may come back, by [`connection_rate`], what addresses have used up

pub mod caller;
pub mod connection_rate;
mod forwarded;
pub mod gate;
mod host;
pub mod pages;

pub use forwarded::{Asker, Proxies, UNIX};
pub use host::Host;
pub use pages::{ANY, Access};
