//! Whether the path still leads to the open file: SQLite goes on writing a file that was removed, and tells nobody.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files in use. Nobody else writes them while they are claimed, so they never shrink by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    file: Number,
    /// The write-ahead log's, once it exists: the latest commits are nowhere else.
    log: Option<Number>,
    bytes: u64,
}

/// Identifies a file. An inode number may be reused once its file is gone, but not with the same birth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl Number {
    pub(super) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(number)
    }
}

impl Identity {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self {
            file: number(&file),
            log: fs::metadata(log_path(path)).ok().as_ref().map(number),
            bytes: file.len(),
        })
    }

    pub(super) fn file(&self) -> Number {
        self.file
    }

    /// Whether the path still leads to these files, and they are whole.
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

    /// Removes the log of a file that is gone, so that it is not taken for the log of the present file.
    pub(super) fn remove_log_beside_another(&self, path: &Path) {
        let log = log_path(path);
        let is_ours = fs::metadata(&log).is_ok_and(|found| Some(number(&found)) == self.log);
        let is_there = fs::metadata(path).is_ok_and(|found| number(&found) == self.file);
        if is_ours && !is_there {
            // A log that cannot be removed is empty: all of it went into the file.
            let _ = fs::remove_file(log);
        }
    }

    /// Records changes by our own writing: a log may have appeared, and lengths count only while the files are the
    /// same.
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
