//! The HTTP API (contract section 7): a table of calls, and the function behind each row.
//!
//! It owns what a call means and knows no connection: an answer is a value, and its type says whether it waits for the store.
//!
//! `table` has the rows, `row` what one says, `calls` the way from a request to its row. `events` with `ingest`, `tally`,
//! `event_key` and `sizes` take what producers report; `tasks`, `rooms`, `clients` and `server` are the rest. `answers` has the
//! forms that several share.

pub mod answers;
pub mod call;
pub mod calls;
pub mod clients;
pub mod event_key;
pub mod events;
pub mod ingest;
pub mod rooms;
pub mod row;
pub mod server;
pub mod sizes;
pub mod table;
pub mod tally;
pub mod tasks;
