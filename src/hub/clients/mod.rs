//! Clients: a viewer's life from its first connection to the end of its session, and the messages for it alone.
//!
//! Owns the state of one client, its direct messages, and the sessions whose client is away. It touches no connection: the engine
//! reports that one is gone, drained or back. The life of a slow reader is told in [`lifecycle`].
//!
//! | file | holds |
//! | --- | --- |
//! | [`client`] | one client and its memberships |
//! | [`lifecycle`] | attach, join, fall behind, recover, leave, resume |
//! | [`shared`], [`direct`] | its session, and messages for it alone, kept until it confirms them |
//! | [`expiry`] | sessions whose client is away, and when they end |

pub mod client;
pub mod direct;
pub mod expiry;
pub mod lifecycle;
pub mod shared;
