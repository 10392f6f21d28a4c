//! What an operator is told on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use super::sources::SourceError;
use crate::config::Warning;

/// Tells every mistake, one a line.
pub(super) fn refuse(error: &SourceError) -> ExitCode {
    match error {
        SourceError::Unreadable { .. } => tell(error),
        SourceError::Mistakes(mistakes) => mistakes.iter().for_each(|mistake| tell(mistake)),
    }
    ExitCode::FAILURE
}

pub(super) fn tell_warnings(warnings: &[Warning]) {
    warnings
        .iter()
        .for_each(|warning| tell(&format_args!("warning: {warning}")));
}

/// A line on standard error, if anyone still reads it.
pub(super) fn tell(line: &dyn Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
