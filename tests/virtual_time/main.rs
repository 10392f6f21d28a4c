//! The whole engine in virtual time, without a socket: a year in a second, and every run the same.
//!
//! `support/world` is what the shell is in production; everything else is themes. A random walk that fails prints its seed,
//! and `SIM_SEED=<seed> cargo test --test virtual_time walk` repeats that walk alone.

mod askers;
mod backend;
mod bodies;
mod commands;
#[path = "../support/dice.rs"]
mod dice;
mod durability;
mod endings;
mod estimates;
#[path = "../support/event.rs"]
mod event;
mod floods;
mod guests;
mod heartbeat;
mod idleness;
mod keeping;
mod kept;
mod large_logs;
mod late_ends;
mod logless;
mod lost;
#[path = "../support/masked.rs"]
mod masked;
mod model;
mod obedience;
mod old_names;
mod origins;
mod pacing;
mod pongs;
mod pressure;
mod questions;
mod removals;
mod restarts;
mod resuming;
mod session_model;
mod session_walk;
mod sessions;
mod settings;
#[path = "../support/shadow_task.rs"]
mod shadow_task;
mod silence;
mod since;
mod slow_readers;
mod store_failures;
mod store_opening;
mod store_rows;
mod task_rows;
mod time_left;
mod turns;
mod unfinished;
mod unread;
mod viewer_model;
mod viewer_rooms;
mod visit;
mod walk;
mod wishes;
mod workspaces;
#[path = "../support/world/mod.rs"]
mod world;
