//! The fields of a task by their wire names, and the part of them that an estimate fills.
//!
//! Owns names and numbering, no values: those are in [`View`](crate::hub::tasks::state::View). A field's number is its bit in a task's
//! set of changes and its place in the table of versions, so it lives in memory only and never reaches the store.

use serde::{Deserialize, Serialize};

/// A field of the task payload, or, as `Own`, all fields that the application added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TaskField {
    Status,
    Progress,
    Current,
    Total,
    Stage,
    EstimatedTimeRemaining,
    EstimatedEndAt,
    Message,
    Result,
    Error,
    Attempt,
    Rate,
    EtaSource,
    Stalled,
    StartedAt,
    UpdatedAt,
    ParentId,
    Meta,
    Requested,
    Indeterminate,
    Controls,
    /// Own fields share one bit: which of them changed is in [`OwnFields`](crate::hub::tasks::own_fields::OwnFields).
    Own,
}

impl TaskField {
    pub(super) const COUNT: usize = 22;
    /// In the order in which a payload names them, which is that of their numbers.
    pub(super) const NAMED: [(Self, &'static str); Self::COUNT - 1] = [
        (Self::Status, "status"),
        (Self::Progress, "progress"),
        (Self::Current, "current"),
        (Self::Total, "total"),
        (Self::Stage, "stage"),
        (Self::EstimatedTimeRemaining, "estimatedTimeRemaining"),
        (Self::EstimatedEndAt, "estimatedEndAt"),
        (Self::Message, "message"),
        (Self::Result, "result"),
        (Self::Error, "error"),
        (Self::Attempt, "attempt"),
        (Self::Rate, "rate"),
        (Self::EtaSource, "etaSource"),
        (Self::Stalled, "stalled"),
        (Self::StartedAt, "startedAt"),
        (Self::UpdatedAt, "updatedAt"),
        (Self::ParentId, "parentId"),
        (Self::Meta, "meta"),
        (Self::Requested, "requested"),
        (Self::Indeterminate, "indeterminate"),
        (Self::Controls, "controls"),
    ];

    pub(super) fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Empty for `Own`, which names itself.
    pub(super) fn name(self) -> &'static str {
        Self::NAMED.get(self as usize).map_or("", |(_, name)| name)
    }
}

/// Where a task's time left comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtaSource {
    /// The application said so.
    App,
    /// Computed from the rate, observed or the application's.
    Rate,
}

impl EtaSource {
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::App, Self::Rate]
            .into_iter()
            .find(|source| source.as_str() == word)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Rate => "rate",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// In units a second.
    pub rate: Option<f64>,
    pub remaining_ms: Option<f64>,
    /// In milliseconds since 1970.
    pub end_at_ms: Option<u64>,
    pub source: Option<EtaSource>,
}
