//! What became of an event or a control request.

use crate::hub::keys::TaskKey;
use crate::hub::tasks::rules::{DropReason, RequestRefused};
use crate::hub::tasks::size::{TooLarge, Truncated};

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It counted; these of its fields were cut.
    Accepted(TaskKey, Vec<Truncated>),
    /// It was late, repeated or out of order.
    Dropped(Option<TaskKey>, DropReason),
    /// It changes nothing, because it may not.
    Refused(Refused),
}

/// Why an event that is well formed was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The configured limit of that key forbids it.
    Limit(&'static str),
    /// Its task would become too large.
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

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefused {
    /// No such task.
    UnknownTask,
    /// The task is there, but cannot take it.
    ByTask(RequestRefused),
}
