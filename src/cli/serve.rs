//! `joblight serve`: runs the server until it is told to stop.

use super::diagnostics::{tell, tell_last};
use crate::config::{Config, Warning};
use crate::shell::logging::LogOutput;
use crate::shell::server::{Foreground, run};
use std::process::ExitCode;

/// With `stdin`, events are read from standard input too.
pub fn serve(config: Config, warnings: Vec<Warning>, stdin: bool) -> ExitCode {
    let log = match LogOutput::start(&config.log) {
        Ok(log) => log,
        Err(error) => {
            tell(&error);
            return ExitCode::FAILURE;
        }
    };
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    match run(&config, Foreground { log, stdin }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell_last(&error);
            ExitCode::FAILURE
        }
    }
}
