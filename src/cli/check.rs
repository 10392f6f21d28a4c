//! `joblight check`: prints the configuration that `serve` would run with, or all that is wrong with it.

use std::io::{self, Write};
use std::process::ExitCode;

use super::diagnostics::{printable_lines, refuse, tell_warnings};
use super::options::Options;
use super::sources;
use crate::config::print_resolved;

pub(super) fn check(options: &Options) -> ExitCode {
    match sources::load(options) {
        Ok((config, warnings)) => {
            tell_warnings(&warnings);
            // A reader such as `head` may have gone; the configuration is no worse for it.
            let text = printable_lines(&print_resolved(&config));
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}
