//! The fields of a task as viewers name them, and what an estimate says of them.

use serde::{Deserialize, Serialize};

/// A field of the task payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TaskField {
    /// `status`
    Status,
    /// `progress`
    Progress,
    /// `current`
    Current,
    /// `total`
    Total,
    /// `stage`
    Stage,
    /// `estimatedTimeRemaining`
    EstimatedTimeRemaining,
    /// `estimatedEndAt`
    EstimatedEndAt,
    /// `message`
    Message,
    /// `result`
    Result,
    /// `error`
    Error,
    /// `attempt`
    Attempt,
    /// `rate`
    Rate,
    /// `etaSource`
    EtaSource,
    /// `stalled`
    Stalled,
    /// `startedAt`
    StartedAt,
    /// `updatedAt`
    UpdatedAt,
    /// `parentId`
    ParentId,
    /// `meta`
    Meta,
    /// `requested`
    Requested,
    /// `indeterminate`
    Indeterminate,
    /// `controls`
    Controls,
    /// Fields that the contract does not name.
    Own,
}

impl TaskField {
    pub(super) const COUNT: usize = 22;
    pub(super) const NAMED: [Self; Self::COUNT - 1] = [
        Self::Status,
        Self::Progress,
        Self::Current,
        Self::Total,
        Self::Stage,
        Self::EstimatedTimeRemaining,
        Self::EstimatedEndAt,
        Self::Message,
        Self::Result,
        Self::Error,
        Self::Attempt,
        Self::Rate,
        Self::EtaSource,
        Self::Stalled,
        Self::StartedAt,
        Self::UpdatedAt,
        Self::ParentId,
        Self::Meta,
        Self::Requested,
        Self::Indeterminate,
        Self::Controls,
    ];

    pub(super) fn bit(self) -> u32 {
        1 << self as u8
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Progress => "progress",
            Self::Current => "current",
            Self::Total => "total",
            Self::Stage => "stage",
            Self::EstimatedTimeRemaining => "estimatedTimeRemaining",
            Self::EstimatedEndAt => "estimatedEndAt",
            Self::Message => "message",
            Self::Result => "result",
            Self::Error => "error",
            Self::Attempt => "attempt",
            Self::Rate => "rate",
            Self::EtaSource => "etaSource",
            Self::Stalled => "stalled",
            Self::StartedAt => "startedAt",
            Self::UpdatedAt => "updatedAt",
            Self::ParentId => "parentId",
            Self::Meta => "meta",
            Self::Requested => "requested",
            Self::Indeterminate => "indeterminate",
            Self::Controls => "controls",
            Self::Own => "",
        }
    }
}

/// Who says when the task will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtaSource {
    /// The application.
    App,
    /// The observed rate.
    Rate,
}

impl EtaSource {
    /// The source that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::App, Self::Rate]
            .into_iter()
            .find(|source| source.as_str() == word)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Rate => "rate",
        }
    }
}

/// Speed and end of a task at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// `rate`, in units a second.
    pub rate: Option<f64>,
    /// `estimatedTimeRemaining`, in milliseconds.
    pub remaining_ms: Option<f64>,
    /// `estimatedEndAt`, in milliseconds since 1970.
    pub end_at_ms: Option<u64>,
    /// `etaSource`
    pub source: Option<EtaSource>,
}
