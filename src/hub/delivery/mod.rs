//! Delivery: what each reader lacks, on its way to it.
//!
//! Owns message ids, serials and the count of what was delivered. Knows connections by id only; an
//! [`Outlet`](publication::Outlet) takes what is to be sent.
//!
//! | file | holds |
//! | --- | --- |
//! | [`publication`] | one message for many, and the outlet |
//! | [`audience`] | the readers of one publication |
//! | [`fanout`] | a message for a room or for everybody |
//! | [`progress`] | a task's newest state, to each viewer what it lacks |
//! | [`replay`] | log entries and direct messages, to one reader that is behind |

pub mod audience;
pub mod fanout;
pub mod progress;
pub mod publication;
pub mod replay;
