//! Connections and their bytes: what waits for each, who is written next, who is still there, what was begun and not ended.
//!
//! It owns everything of a connection but its meaning: it knows no room and no path, and says nothing to anybody by itself. (It
//! words the log line of a broadcast, because the hub knows no language, and `newcomers` logs that connections are at their limit. A
//! slot keeps the half-read lines of its producer, with their tally, and looks into neither.) Where the bytes alone decide, it acts;
//! otherwise it reports a finding, or hands out who has departed.
//!
//! - `connections`: the owner; how connections begin and end
//! - `answer`, `liveness`: the owner's other parts: answers to requests, and who is late, silent or too slow
//! - `peers`: the slots, the marks of who is written, publications to their readers; `framer` makes frames of these
//! - `peer`: one slot, with `allowance` (what it may bring) and `confirmation` (what has reached it)
//! - `unfinished`, `newcomers`: who has left the most, and who has brought nothing

pub mod allowance;
pub mod answer;
pub mod confirmation;
pub mod connections;
pub mod framer;
pub mod liveness;
pub mod newcomers;
pub mod peer;
pub mod peers;
pub mod unfinished;
