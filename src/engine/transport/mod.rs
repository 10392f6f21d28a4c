//! Connections and their bytes: what waits for each, who is written next, who is still there, what was begun and not ended.
//!
//! It owns everything of a connection but its meaning: it knows no room and no path, and says nothing to anybody by itself. (A
//! slot keeps the half-read lines of its producer, with their tally, and looks into neither.) Where the bytes alone decide, it
//! acts; otherwise it reports a finding, or hands out who has departed.
//!
//! `connections` is the owner, with `close`, `answer`, `liveness` and `shedding` as the parts of what it does. `peers` holds the
//! slots and the marks of who is to be written, `peer` one slot, `framer` turns publications into frames. `turn`, `allowance`,
//! `confirmation`, `outbox_limits`, `standing` and `reply` are what a slot, or an answer, is made of; `unfinished` and
//! `newcomers` know who has left the most, and who has brought nothing.

pub mod allowance;
pub mod answer;
pub mod close;
pub mod confirmation;
pub mod connections;
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
