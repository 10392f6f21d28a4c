//! What became of a report or a control request.

use crate::hub::keys::TaskKey;
use crate::hub::tasks::size::{TooLarge, Truncated};
use crate::hub::tasks::verdict::DropReason;
use serde::Serialize;

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    Accepted(Accepted),
    /// Late, repeated or out of order; nothing has changed.
    Dropped(Dropped),
    /// A limit forbids it; nothing has changed.
    Refused(Refused),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// `None` for a room's message.
    pub task: Option<TaskKey>,
    pub truncated: Vec<Truncated>,
}

/// What a dropped event was about, as answers spell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Subject {
    #[serde(rename = "taskId")]
    Task(Box<str>),
    #[serde(rename = "room")]
    Room(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The task, if it is known.
    pub task: Option<TaskKey>,
    pub subject: Subject,
    pub reason: DropReason,
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
