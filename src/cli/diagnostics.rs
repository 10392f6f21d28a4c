//! What the commands tell an operator, on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;

use super::sources::SourceError;
use crate::base::printable::printable;
use crate::config::Warning;
use crate::shell::logging::LAST_WORDS;

/// The exit code when a command could not finish: the server cannot be reached, or tasks cannot be watched to their
/// end.
pub(super) const TROUBLE: u8 = 2;

/// Prints every mistake, one per line.
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

/// Prints a line, if anyone still reads it. Foreign text in it stays inside the line.
pub(super) fn tell(line: &dyn Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// Prints a line before the process ends, which it does even if the reader has stopped reading.
pub(super) fn tell_last(line: &dyn Display) {
    let line = line.to_string();
    let (told, is_told) = channel();
    thread::spawn(move || {
        tell(&line);
        let _ = told.send(());
    });
    let _ = is_told.recv_timeout(LAST_WORDS);
}

/// Our own lines, with foreign text in them.
pub(super) fn printable_lines(text: &str) -> String {
    let lines = text.split('\n').map(printable);
    lines.collect::<Vec<_>>().join("\n")
}
