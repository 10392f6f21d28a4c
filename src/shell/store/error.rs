//! What goes wrong with the store, in words that say which file, what is the matter, and what would be right.

use rusqlite::ErrorCode;
use std::path::Path;

/// Why the store did not open, or did not keep something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has it open.
    #[error(
        "{path}: in use by another process; stop it, or give this one a storage.path of its own"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// The file, or its directory, may not be written.
    #[error(
        "{path}: cannot be written ({reason}); expected a file that this user may write, in a directory where it may make files"
    )]
    NotWritable {
        /// The file.
        path: String,
        /// What SQLite says.
        reason: String,
    },
    /// The path leads nowhere.
    #[error(
        "{path}: there is no directory {directory:?}; make it, or set storage.path to a file in one that exists"
    )]
    NoDirectory {
        /// The file.
        path: String,
        /// What is missing.
        directory: String,
    },
    /// The path is that of a directory.
    #[error(
        "{path}: is a directory; expected the path of a file, or \"\" to keep everything in memory"
    )]
    IsDirectory {
        /// The directory.
        path: String,
    },
    /// The bytes are no database, or no longer one.
    #[error(
        "{path}: damaged, or no database ({reason}); put a copy from before in its place, or move it away to start afresh"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        reason: String,
    },
    /// It belongs to something else.
    #[error(
        "{path}: a database of another program, left as it is; set storage.path to a file of joblight's own"
    )]
    Foreign {
        /// The file.
        path: String,
    },
    /// A later joblight wrote it.
    #[error(
        "{path}: has schema version {found}, and this joblight knows versions up to {known}; \
         start the newer joblight, or put a copy from before in its place"
    )]
    Newer {
        /// The file.
        path: String,
        /// The file's version.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// The path does not lead to the file that is open any more.
    #[error(
        "{path}: the file was removed, replaced or cut short while in use; everything is rewritten, to a file of its own"
    )]
    Replaced {
        /// The file.
        path: String,
    },
    /// Another file of joblight's was put in the place of the one that was in use.
    #[error(
        "{path}: another file was put in its place, which this process has not read and leaves as it is; \
         restart to go on with that one, or move it away to have everything rewritten"
    )]
    Unread {
        /// The file.
        path: String,
    },
    /// No room is left.
    #[error("{path}: the disk is full; make room on it")]
    Full {
        /// The file.
        path: String,
    },
    /// The disk takes what it is given and says nothing more.
    #[error("{path}: its disk does not answer")]
    Silent {
        /// The file.
        path: String,
    },
    /// The store's thread is gone.
    #[error("{path}: the thread that writes it has panicked, which is a bug")]
    Stopped {
        /// The file.
        path: String,
    },
    /// Anything else.
    #[error("{path}: {reason}")]
    Other {
        /// The file.
        path: String,
        /// What SQLite says.
        reason: String,
    },
}

impl StoreError {
    /// Whether it takes somebody's hand to change that: then it is tried again seldom.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Foreign { .. }
                | Self::Newer { .. }
                | Self::IsDirectory { .. }
        )
    }

    /// What an error of SQLite means for the file at `path`.
    pub(super) fn new(path: &str, error: &rusqlite::Error) -> Self {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => return Self::Damaged { path, reason },
            _ => {}
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::CannotOpen) => Self::unopened(path, reason),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, reason }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, reason }
            }
            Some(ErrorCode::DiskFull) => Self::Full { path },
            _ => Self::Other { path, reason },
        }
    }

    /// SQLite says only that the file does not open; this looks why.
    fn unopened(path: String, reason: String) -> Self {
        let file = Path::new(&path);
        let directory = file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        match directory {
            _ if file.is_dir() => Self::IsDirectory { path },
            Some(directory) if !directory.is_dir() => Self::NoDirectory {
                directory: directory.display().to_string(),
                path,
            },
            _ => Self::NotWritable { path, reason },
        }
    }
}
