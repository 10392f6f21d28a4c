//! Floor 6: the command line. It reads arguments, environment and files, and passes values to the floors below.
//!
//! - `flags`: arguments to `options`; `sources`: the configuration from its file, the environment and the flags
//! - `serve`, `check`, `watch`, `emit`: the commands; `progress_line`: what `watch` prints
//! - `diagnostics`: what goes to standard error

mod check;
mod diagnostics;
mod emit;
mod flags;
mod options;
mod progress_line;
mod serve;
mod sources;
mod watch;

pub use serve::serve;

use std::io::{self, Write};
use std::process::ExitCode;

use flags::Invocation;

/// The exit code for wrong arguments, as clap has it.
const USAGE: u8 = 2;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    match flags::parse(std::env::args_os()) {
        Ok(Invocation::Check(options)) => check::check(&options),
        Ok(Invocation::Watch(options)) => watch::watch(&options),
        Ok(Invocation::Emit(options)) => emit::emit(options),
        Ok(Invocation::Serve { options, stdin }) => match sources::load(&options) {
            Ok((config, warnings)) => serve(config, warnings, stdin),
            Err(error) => diagnostics::refuse(&error),
        },
        Err(message) => {
            // Help and version arrive as errors too. A reader that went away is no reason to panic.
            let text = diagnostics::printable_lines(&message.render().to_string());
            if message.use_stderr() {
                let _ = io::stderr().write_all(text.as_bytes());
                ExitCode::from(USAGE)
            } else {
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
        }
    }
}
