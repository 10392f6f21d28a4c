//! How the store is: one value, and the only moves between its values.
//!
//! | from | when | to |
//! | --- | --- | --- |
//! | `Absent` | a store is being opened | `Unread`, closed |
//! | `Unread`, closed | the first slice comes | `Unread`, reading |
//! | `Unread`, any | it cannot be opened, or not be read to its end | `Unread`, closed; what was read is forgotten |
//! | `Unread`, reading | all of it is read | `Unread`, sealing: rooms begin their epochs |
//! | `Unread`, sealing | the epochs are kept | `Good`: service begins |
//! | `Unread`, sealing | they are not kept, or not in time | `Good`, then as below: what it holds is known all the same |
//! | `Good` | a batch fails, takes too long, or too much gathers behind it | `Failing`, resting |
//! | `Failing`, resting | the rest is over | `Failing`, probing: one row, for to put everything together takes a while |
//! | `Failing`, probing | the row is kept | `Failing`, probed |
//! | `Failing`, probed | the next batch goes out | `Failing`, rewriting: everything |
//! | `Failing`, rewriting | everything is kept | `Good` |
//! | `Failing`, any | a batch fails, or takes too long | `Failing`, resting, twice as long |
//!
//! While it is `Absent` nobody is promised anything, so nothing waits. While it is `Unread` nothing is decided: calls are
//! refused or wait a moment, and viewers wait in the lobby. While it is `Failing` live delivery goes on, and every promise is
//! answered by saying that it is not kept.

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// There is none: nothing outlives the process, and nobody is promised that it does.
    #[default]
    Absent,
    /// It was not read yet: nothing is decided.
    Unread {
        step: Opening,
        /// Why it did not open, once a try has failed.
        reason: Option<String>,
        /// Whether requests may wait: no try has failed, and the first has not taken long.
        is_soon: bool,
    },
    Good,
    /// It failed, and is tried again.
    Failing {
        step: Recovery,
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Closed,
    /// Some of it is.
    Reading,
    /// All of it is, and rooms begin their epochs.
    Sealing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Resting,
    /// This batch, a single row, shows whether it works.
    Probing(u64),
    /// It works, and is to be given everything.
    Probed,
    /// This batch writes everything again.
    Rewriting(u64),
}

impl Condition {
    /// What is wrong, as clients and callers are told.
    pub fn fault(&self) -> Option<&str> {
        match self {
            Self::Absent | Self::Good => None,
            Self::Unread { reason: None, .. } => Some("it is being opened"),
            Self::Unread {
                reason: Some(reason),
                ..
            }
            | Self::Failing { reason, .. } => Some(reason),
        }
    }

    /// Whether it is still to be read: nothing is decided before.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::Unread { .. })
    }

    /// How far the opening is; `None`: it is over, or there is none.
    pub fn opening(&self) -> Option<Opening> {
        match self {
            Self::Unread { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// How far the recovery is; `None`: it does not fail.
    pub fn recovery(&self) -> Option<Recovery> {
        match self {
            Self::Failing { step, .. } => Some(*step),
            _ => None,
        }
    }
}
