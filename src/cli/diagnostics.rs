//! What an operator is told on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;

use super::sources::SourceError;
use crate::base::printable::printable;
use crate::config::Warning;
use crate::shell::logging::LAST_WORDS;

/// The exit code when a command could not do its work to the end: a server that cannot be reached, tasks that cannot be
/// watched.
pub(super) const TROUBLE: u8 = 2;

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

/// A line on standard error, if anyone still reads it. What came from outside is a part of it and nothing else.
pub(super) fn tell(line: &dyn Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string()));
}

/// The same for whoever may have stopped to read: the process ends all the same.
pub(super) fn tell_last(line: &dyn Display) {
    let line = line.to_string();
    let (told, is_told) = channel();
    thread::spawn(move || {
        tell(&line);
        let _ = told.send(());
    });
    let _ = is_told.recv_timeout(LAST_WORDS);
}

/// Lines that are our own, with words of others in them.
pub(super) fn printable_lines(text: &str) -> String {
    let lines = text.split('\n').map(printable);
    lines.collect::<Vec<_>>().join("\n")
}
