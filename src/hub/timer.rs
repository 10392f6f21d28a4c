//! Everything that the hub does later. Timers are never cancelled: one that fires without anything to do is ignored, which needs no
//! record of where it stands in the wheel.

use crate::base::time::Time;
use crate::hub::keys::TaskKey;

/// A wake-up that the hub asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// When to send a task's pending progress.
    Flush(TaskKey),
    /// When to end sessions whose client has been away for `session_ttl`.
    Sessions,
    /// When a task or log may have aged; [`Hub::next_aging`](super::Hub::next_aging) gives the time.
    Aging,
    /// When to write sessions again that changed within a second of their last write.
    WriteDebounce,
}

/// Timers requested in this turn and not yet handed to the wheel, in any order: the wheel sorts them.
pub type Timers = Vec<(Time, Timer)>;
