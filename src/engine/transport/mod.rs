//! Connections and their bytes: what waits for each, who is written next, who is still there, what was begun and not ended.
//!
//! It knows no room, no task and no path.

pub mod allowance;
pub mod answer;
pub mod close;
pub mod confirmation;
pub mod framer;
pub mod liveness;
pub mod newcomers;
pub mod outbox_limits;
pub mod peer;
pub mod peers;
pub mod reply;
pub mod shedding;
pub mod standing;
pub mod turn;
pub mod unfinished;
