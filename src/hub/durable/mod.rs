//! What outlives the process: changes as rows, gathered until a store takes them, and rows back as state.
//!
//! Knows no store: a batch goes out, and the word that it is kept, or is not, comes back.
//!
//! | file | holds |
//! | --- | --- |
//! | [`journal`] | what waits for the next batch |
//! | [`records`] | that batch: each thing's newest row once |
//! | [`rows`], [`task_rows`], [`unread_rows`] | rows as text, and those that cannot be read |
//! | [`restore`] | a start from rows |
//! | [`write_debounce`] | sessions are written at most once a second |

pub mod journal;
pub mod persistence;
pub mod record;
pub mod records;
pub mod restore;
pub mod rows;
pub mod task_rows;
pub mod unread_rows;
pub mod write_debounce;
