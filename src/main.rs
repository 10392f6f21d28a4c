//! Flags in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    joblight::cli::run()
}
