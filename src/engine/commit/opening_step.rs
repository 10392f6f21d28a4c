//! How far the opening of the store is.

use crate::engine::session::key::SessionKey;

/// How far the opening is, while the store is unread.
#[derive(Debug, Default)]
pub struct Opening {
    pub step: Step,
    /// Whether no try has failed yet: requests may wait.
    pub is_first: bool,
    /// Why the store did not open, as the log has it already.
    pub told: Vec<String>,
    pub session_key: Option<SessionKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// Nothing is read.
    #[default]
    Closed,
    /// Some of it is.
    Reading,
    /// All of it is, and rooms begin their epochs.
    Sealing,
}
