//! What is decided about an event or a control request: how it counts, or why it does not.

use crate::wire::message::{Control, Controls, Status, TaskEvent};

/// What was decided about an event that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub announcement: Announcement,
    pub attempt: Attempt,
    /// The task's status once the event is applied.
    pub status: Status,
    /// The producer's `seq` starts over with this event, so the last one known is no bound for it.
    pub counts_anew: bool,
}

impl Verdict {
    pub fn begins(&self) -> bool {
        matches!(self.attempt, Attempt::Begins(_))
    }

    /// Whether oversized fields are cut; otherwise the event is refused. A lifecycle event must count, or the task would never end;
    /// a progress event that carries a terminal status is one.
    pub fn may_be_cut(&self, kind: TaskEvent) -> bool {
        kind != TaskEvent::Progress || self.announcement != Announcement::Progress
    }
}

/// How an event that counts reaches subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// Conflated: the newest state goes out with the next flush.
    Progress,
    /// Logged and sent at once, after pending progress.
    Lifecycle(TaskEvent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The event belongs to the current attempt, named or not.
    Same,
    /// The event gives the current, unnamed attempt its number.
    Named(u64),
    /// The event begins the attempt of this number.
    Begins(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The event id is known, a lifecycle event brings nothing new, or a restart is asked for a second time.
    Repeat,
    /// `seq` is not above the last of this attempt.
    OldSeq,
    OldAttempt,
    /// The task has ended, and the event begins no further attempt.
    Ended,
}

impl DropReason {
    /// In the order of [`DropReason::index`].
    pub const ALL: [Self; 4] = [Self::Repeat, Self::OldSeq, Self::OldAttempt, Self::Ended];

    /// As answers and statistics spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::OldSeq => "oldSeq",
            Self::OldAttempt => "oldAttempt",
            Self::Ended => "ended",
        }
    }

    /// Below `ALL.len()`, for arrays with one counter per reason.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefused {
    UnknownTask,
    /// The task has ended with this status.
    Ended(Status),
    /// This request is pending: a `cancel`, which only the task's end answers.
    Pending(Control),
    /// The worker declared that it honours only these.
    NotHonoured(Controls),
}
