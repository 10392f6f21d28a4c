//! The mediator: it owns every part of the server, and leads from one to the other: from bytes to what they mean, from a change to
//! those who wait for it, from the end of a connection to all that knew it.
//!
//! Nothing outside this folder reaches the whole server: others are lent what they need for one step. It decides nothing that an
//! owner can decide alone.
//!
//! | file | holds |
//! | --- | --- |
//! | [`engine`] | what is owned, and how it is lent |
//! | [`turn`] | a turn from outside: timers, its end, output |
//! | [`input`] | connections, and bytes of a peer within its share of a turn |
//! | [`requests`], [`messages`] | what they mean: HTTP requests, WebSocket messages |
//! | [`handshake`] | from a request to a WebSocket, and to a client |
//! | [`waiting`] | who has come before the store was read, and who waits for a list or a link |
//! | [`liveness`], [`endings`] | who is looked at, and how connections and the server end |
//! | [`inspect`] | what is held, for tests |

pub mod endings;
pub mod engine;
pub mod handshake;
pub mod input;
pub mod inspect;
pub mod liveness;
pub mod messages;
pub mod requests;
pub mod turn;
pub mod waiting;
