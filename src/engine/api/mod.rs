//! The HTTP API (contract section 7): a table of calls, and the function behind each row.
//!
//! It owns what a call means and knows no connection: an answer is a value, and its type says whether it waits for the store.
//!
//! [`table`] has the rows and leads a request to one, [`call`] is what a row says and what its function is given. [`events`] with
//! [`fitting`] and [`ingest`] take what producers report; [`tasks`], [`rooms`] and [`statistics`] are the rest.

pub mod call;
pub mod events;
pub mod fitting;
pub mod ingest;
pub mod rooms;
pub mod statistics;
pub mod table;
pub mod tasks;
