//! What strangers can do to a running server, bounded in time and number: each attack tells what it cost, and fails when
//! that is more memory than it may be. How long others waited meanwhile is printed, for it depends on the machine.
//!
//! `JOBLIGHT_ATTACKED=<path>` names another binary to be attacked, so that two can be compared:
//! `cargo test --test attacks -- --nocapture --test-threads 1`.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod application;
mod floods;
#[path = "../support/masked.rs"]
mod masked;
mod target;
mod unfinished;
