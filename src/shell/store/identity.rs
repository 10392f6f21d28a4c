//! Whether the path still leads to the file that is open: SQLite goes on writing one that was removed, and tells nobody.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Which files are in use. Nobody else writes them while they are claimed, so they do not become shorter by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    file: Number,
    /// The write-ahead log's, once it is there: what was committed last is nowhere else.
    log: Option<Number>,
    bytes: u64,
}

/// What tells a file from all others. A number may be given again when its file is gone, but not with the same birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Number {
    /// That of the file to which a path leads.
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(number)
    }
}

impl Identity {
    /// Which files a path leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            file: number(&file),
            log: fs::metadata(log_path(path)).ok().as_ref().map(number),
            bytes: file.len(),
        })
    }

    /// The database file's own.
    pub(super) fn file(&self) -> Number {
        self.file
    }

    /// Whether these are still the same, and whole.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|found| {
            let has_log = self.log.is_none() || found.log == self.log;
            has_log && found.file == self.file && found.bytes >= self.bytes
        })
    }

    /// Whether the file is still there, but shorter.
    pub(super) fn is_cut_at(&self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|found| found.file == self.file && found.bytes < self.bytes)
    }

    /// Removes the log of a file that is gone, lest it is taken for that of the one which is there now.
    pub(super) fn remove_log_beside_another(&self, path: &Path) {
        let log = log_path(path);
        let is_ours = fs::metadata(&log).is_ok_and(|found| Some(number(&found)) == self.log);
        let is_there = fs::metadata(path).is_ok_and(|found| number(&found) == self.file);
        if is_ours && !is_there {
            // What cannot be removed is empty: all of it went into the file.
            let _ = fs::remove_file(log);
        }
    }

    /// They have changed by what their owner did: a log may have come, and a length counts only while they are the same.
    pub(super) fn take_note(&mut self, found: &Self) {
        if found.file == self.file {
            self.log = self.log.or(found.log);
            self.bytes = found.bytes;
        }
    }
}

fn number(file: &Metadata) -> Number {
    Number {
        device: file.dev(),
        inode: file.ino(),
        // Some file systems do not know.
        born: file.created().ok(),
    }
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
