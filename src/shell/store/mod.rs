//! The durable store: one SQLite file with a table for each kind of record, and the thread that writes it.
//!
//! Owns the file alone, for as long as it is open; other processes are refused. It knows what
//! [`hub::journal`](crate::hub::durable::journal) says is to be kept and nothing of what that means: values pass through as
//! text, so that `sqlite3 joblight.db` shows what there is once the server has stopped.
//!
//! It is opened again and again until that succeeds, and read to its end before anything in it is changed: a file that
//! cannot be read stays as it is.
//!
//! A batch is kept when its transaction is committed to the write-ahead log. With `storage.synchronous = "normal"` that
//! outlives the process however it ends; with `"full"` the machine as well.

mod database;
mod error;
mod identity;
mod reading;
mod schema;
mod thread;

#[cfg(test)]
mod tests;

pub use database::Store;
pub use thread::{StoreReport, StoreThread};
