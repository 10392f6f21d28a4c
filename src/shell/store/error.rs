//! What goes wrong with the store, in words that say which file, what is the matter, and what would be right.

use rusqlite::ErrorCode;
use std::path::Path;

/// Why the store did not open, or did not keep something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {fault}")]
pub struct StoreError {
    path: String,
    pub(super) fault: Fault,
}

/// What is wrong with a file; several say what SQLite says, or what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("in use by another process; stop it, or give this one a storage.path of its own")]
    InUse,
    #[error(
        "cannot be written ({0}); expected a file that this user may write, in a directory where it may make files"
    )]
    NotWritable(String),
    /// SQLite says only that the file does not open; [`Fault::at`] looks why.
    #[error("cannot be opened ({0})")]
    Unopened(String),
    #[error(
        "there is no directory {0:?}; make it, or set storage.path to a file in one that exists"
    )]
    NoDirectory(String),
    #[error("is a directory; expected the path of a file, or \"\" to keep everything in memory")]
    IsDirectory,
    #[error(
        "damaged, or no database ({0}); put a copy from before in its place, or move it away to start afresh"
    )]
    Damaged(String),
    #[error(
        "a database of another program, left as it is; set storage.path to a file of joblight's own"
    )]
    Foreign,
    #[error(
        "has schema version {found}, and this joblight knows versions up to {known}; \
         start the newer joblight, or put a copy from before in its place"
    )]
    Newer { found: i64, known: i64 },
    /// The path does not lead to the file that is open any more.
    #[error(
        "the file was removed, replaced or cut short while in use; everything is rewritten, to a file of its own"
    )]
    Replaced,
    /// Another file of joblight's was put in the place of the one that was in use.
    #[error(
        "another file was put in its place, which this process has not read and leaves as it is; \
         restart to go on with that one, or move it away to have everything rewritten"
    )]
    Unread,
    #[error("the disk is full; make room on it")]
    Full,
    /// The disk takes what it is given and says nothing more.
    #[error("its disk does not answer")]
    Silent,
    #[error("the thread that writes it has panicked, which is a bug")]
    Stopped,
    #[error("{0}")]
    Other(String),
}

impl StoreError {
    /// Whether it takes somebody's hand to change that: then it is tried again seldom.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self.fault,
            Fault::Damaged(_) | Fault::Foreign | Fault::Newer { .. } | Fault::IsDirectory
        )
    }
}

impl Fault {
    /// The fault of the file at `path`.
    pub(super) fn at(self, path: &str) -> StoreError {
        let fault = match self {
            Self::Unopened(reason) => Self::why_unopened(Path::new(path), reason),
            fault => fault,
        };
        StoreError {
            path: path.to_owned(),
            fault,
        }
    }

    fn why_unopened(file: &Path, reason: String) -> Self {
        let directory = file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        match directory {
            _ if file.is_dir() => Self::IsDirectory,
            Some(directory) if !directory.is_dir() => {
                Self::NoDirectory(directory.display().to_string())
            }
            _ => Self::NotWritable(reason),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        let reason = error.to_string();
        match error {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => return Self::Damaged(reason),
            _ => {}
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::CannotOpen) => Self::Unopened(reason),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::NotWritable(reason),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(reason),
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Other(reason),
        }
    }
}
