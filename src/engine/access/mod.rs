//! Access: who asks, from where, and what they may do.
//!
//! Decides by heads, addresses and settings alone; it holds what addresses have used up, and sends nothing.
//!
//! | file | holds |
//! | --- | --- |
//! | [`caller`], [`permission`] | who acts, may they, which rooms they see |
//! | [`keys`] | `http.api_key` |
//! | [`pages`], `host`, `origin` | which pages and hosts are served |
//! | `forwarded` | for whom a proxy asks |
//! | `refused` | what a page that is not served is told |
//! | [`connection_rate`], [`waiting_line`] | how often an address may connect, and who waits for a place |

pub mod caller;
pub mod connection_rate;
mod forwarded;
mod host;
pub mod keys;
mod origin;
pub mod pages;
pub mod permission;
mod refused;
pub mod waiting_line;

pub use forwarded::{Asker, Proxies, UNIX};
pub use host::Host;
pub use pages::{ANY, Access};
