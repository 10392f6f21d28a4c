//! Where time finds a task: each is listed once at most, by the moment that counts for it, so that one reminder serves all.

use crate::base::time::Time;

/// The list that a task is in, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// Time does nothing to it.
    #[default]
    Unlisted,
    /// It has not ended, and is to be looked at then: it may have gone silent.
    Alive(Time),
    /// It has completed or was cancelled then.
    Completed(Time),
    /// It has failed then.
    Failed(Time),
}
