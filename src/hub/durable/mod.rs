//! What outlives the process: state written as rows, gathered in a batch until a store takes it, and rows restored as state.
//!
//! Owns the journal and the form of every row. It touches no store: a batch goes out, and the engine reports whether it was kept.
//! Rows hold state and no history: each thing is marked when it changes, and its newest row is written once per batch, so that a task
//! with a thousand updates between two batches costs one row. Only log entries and event ids are records of their own.
//!
//! | file | holds |
//! | --- | --- |
//! | [`journal`] | records and marks that wait for the next batch |
//! | [`records`] | makes that batch of them |
//! | [`record`] | the types that go to the store and come back |
//! | [`rows`], [`task_rows`], [`unread_rows`] | rows as text, and tasks' rows that cannot be read |
//! | [`restore`], [`persistence`] | a start from rows, and the calls of the hub around the store |
//! | [`write_debounce`] | a session is written at most once a second |

pub mod journal;
pub mod persistence;
pub mod record;
pub mod records;
pub mod restore;
pub mod rows;
pub mod task_rows;
pub mod unread_rows;
pub mod write_debounce;
