//! How it is told that the hub has refused something.

use crate::hub::{Full, TooLarge};
use crate::wire::refusal::{ErrorCode, Refusal};

impl From<&TooLarge> for Refusal {
    fn from(fault: &TooLarge) -> Self {
        Self::new(ErrorCode::TaskTooLarge, fault.to_string()).at(fault.field.to_string())
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::limit_exceeded(full.key())
    }
}
