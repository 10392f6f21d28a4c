//! The whole engine in virtual time, without a socket: a year in a second, and every run the same.
//!
//! `world` is what the shell is in production; everything else is themes.

mod endings;
mod estimates;
mod frames;
mod heartbeat;
mod idleness;
mod pacing;
mod pressure;
mod world;
