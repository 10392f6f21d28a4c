//! Delivery: publications on their way to readers.
//!
//! Owns message ids, serials and the counts of what was delivered. It encodes nothing and knows connections by id only: an
//! [`Outlet`](publication::Outlet) takes each publication together with its readers, and names those that refused.
//!
//! Two kinds of message are told apart by their [`Lane`](publication::Lane). A log entry must arrive: what a connection refuses is
//! replayed from the log. Progress need not: what a connection refuses is replaced by the newest state. So neither needs a queue per
//! reader. (`Once` is the exception: a broadcast to the data dialect, kept nowhere.)
//!
//! | file | holds |
//! | --- | --- |
//! | [`publication`] | one message for any number of readers, its lanes, and the outlet |
//! | [`audience`] | the readers of one publication |
//! | [`fanout`] | offers publications, and counts what was taken |
//! | [`publishing`] | a message for a room or for all clients |
//! | [`progress`] | a task's newest state: to each viewer the delta or snapshot that it lacks |
//! | [`replay`] | log entries and direct messages that one reader lacks |

pub mod audience;
pub mod fanout;
pub mod progress;
pub mod publication;
pub mod publishing;
pub mod replay;
