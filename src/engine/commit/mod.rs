//! What was promised, and when it is kept (contract section 5.6).
//!
//! `store` owns the condition of the store and what waits for it; `lobby` who came before it was read. It never touches a disk:
//! batches go out, and outcomes come in.

pub mod batches;
pub mod lobby;
pub mod opening;
pub mod opening_step;
pub mod release;
pub mod respond;
pub mod store;
pub mod store_turn;
