//! How fast a task moves and when it will end: a rate that knows its units, and what the application said itself.
//!
//! Samples belong to one *base line*: one attempt, stage, total and unit (steps or percent). The first number of a base
//! line is where it begins, not progress. The rate is weighted by time and forgets with the pace of the task, and as
//! long as a task is no later than its usual gap nothing decays. Time spent paused leaves no trace.
//! `gaps` knows how long the task usually takes between advances, `line` measures one base line, `rest` is a gap
//! much longer than the others and what it may mean, `estimator` owns the
//! base lines of a task and its clock. Time is an argument; nothing here reads one.

mod estimator;
mod gaps;
mod line;
mod point;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod profiles;
mod rest;
mod saved;

pub use estimator::{Estimator, Position};
pub use saved::SavedEstimator;
