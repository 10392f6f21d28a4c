//! Why a log does not start, or a file is not reopened.

use std::io;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file of `log.file` does not open.
    #[error(
        "log.file: cannot open {path:?}: {source}; expected a file that can be written, or \"\" for standard error"
    )]
    File {
        /// What was to be opened.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system starts no thread.
    #[error("cannot start the log's thread: {0}")]
    Thread(io::Error),
    /// The process has a log already.
    #[error("this process logs elsewhere already")]
    Taken(#[from] log::SetLoggerError),
}
