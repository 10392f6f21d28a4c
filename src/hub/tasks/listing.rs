//! Which of the table's lists a task is in. A task is in one list at most, ordered by the moment that matters there, so that the
//! first entry of each list is all that has to be watched and one timer serves every task.

use crate::base::time::Time;

/// The list that a task is in, and the time by which that list is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Listing {
    /// Time alone changes nothing: paused, or the timeouts are off.
    #[default]
    Unlisted,
    /// Not ended, and to be looked at then: it may have gone silent, or its end may have moved.
    Alive(Time),
    /// Completed or cancelled at that time.
    Completed(Time),
    /// Failed at that time. A list of its own, because failed tasks are kept longer and give way last.
    Failed(Time),
}
