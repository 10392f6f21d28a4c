//! What was promised, and when it is kept (contract section 5.6).
//!
//! It owns the condition of the store, the batch under way, what waits for one, and who has come before the store was read. It
//! never touches a disk, and no socket: batches go out, outcomes come in, and what need not wait any more is handed back.
//!
//! [`durability`] has the states, what is owned and what waits, [`opening`] and [`batches`] what moves it; [`lobby`] keeps those who
//! came early.

pub mod batches;
pub mod durability;
pub mod lobby;
pub mod opening;
