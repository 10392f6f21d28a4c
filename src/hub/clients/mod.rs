//! Clients: a viewer's life from its first connection to the end of its session, and what is for it alone.
//!
//! Owns what is known of one client, its direct messages, and which sessions wait for their client to come back.
//!
//! | file | holds |
//! | --- | --- |
//! | [`client`] | one client and its memberships |
//! | [`lifecycle`] | attach, join, fall behind, leave, resume, recover |
//! | [`direct`], [`mail`] | messages for one client, kept until it confirms them |
//! | [`expiry`] | sessions whose client has been away too long |

pub mod client;
pub mod direct;
pub mod expiry;
pub mod lifecycle;
pub mod mail;
