//! What became of an event or a control request.

use crate::hub::keys::TaskKey;
use crate::hub::tasks::size::{TooLarge, Truncated};
use crate::hub::tasks::verdict::{DropReason, RequestRefused};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The event counted, with these fields cut.
    Accepted(TaskKey, Vec<Truncated>),
    /// Late, repeated or out of order; nothing has changed.
    Dropped(Option<TaskKey>, DropReason),
    /// A limit forbids it; nothing has changed.
    Refused(Refused),
}

/// Why a well-formed event was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The configuration key of the limit that it exceeds.
    Limit(&'static str),
    TooLarge(TooLarge),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(limit) => write!(out, "limit exceeded: {limit}"),
            Self::TooLarge(fault) => fault.fmt(out),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefused {
    UnknownTask,
    /// The task is known, and its state forbids the request.
    ByTask(RequestRefused),
}
