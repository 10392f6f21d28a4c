//! How fast a task moves and when it will end: a rate in the task's own unit, and the time left by it or by the application's
//! own estimate.
//!
//! Owns samples and what is derived from them. Knows neither statuses nor fields: [`eta`](crate::hub::tasks::eta) feeds it and decides
//! what is shown. Time is an argument.
//!
//! Samples belong to one *base line*: one attempt, stage, total and unit (steps or percent). The first number of a base line is where it
//! begins, not progress: a job resumed at 1,300 of 1,351 did not do 1,300 steps in its first second. An *advance* is a number above the
//! last, a *gap* the time between two advances. The rate is weighted by time with a memory that scales with the task's usual gap, so one
//! rule serves a thousand steps a second and one step a day; while a task is no later than its usual gap nothing decays. Paused time
//! leaves no trace, and stalled time none in the speed.
//!
//! | file | holds |
//! | --- | --- |
//! | `estimator` | the base lines of a task, its clock, and the application's own estimate |
//! | `line` | one base line: work over time, and the end it leads to |
//! | `gaps` | how long the task usually takes between advances |
//! | `rest` | a gap much longer than the others: a rest that comes again, or an exception |
//! | `point` | a moment of the work, and the shared scale of "much longer" |
//! | `saved` | an estimator as the store keeps it |

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
