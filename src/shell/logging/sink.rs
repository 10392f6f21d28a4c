//! Where log lines go: standard error or a file. Only the log's thread waits here. Lines that are not taken are
//! counted, and reported in one line when the log goes on.

use super::queue::Batch;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// A log names clients, tasks and addresses: for its owner only.
const MODE: u32 = 0o600;
/// The wait before a non-blocking sink that takes nothing is tried again.
const REST: Duration = Duration::from_millis(50);

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

pub(super) struct Sink {
    output: Box<dyn Write + Send>,
    /// `None`: standard error.
    path: Option<String>,
    /// Lines lost since the last one that was taken.
    lost: u64,
    /// Why the last of them was lost.
    reason: String,
    /// The last line that was taken lacks its end.
    is_torn: bool,
}

impl Sink {
    /// `path` is `log.file`; empty: standard error.
    pub(super) fn open(path: &str) -> Result<Self, LogError> {
        let path = (!path.is_empty()).then(|| path.to_owned());
        let output: Box<dyn Write + Send> = match &path {
            Some(path) => Box::new(open_file(path)?),
            None => standard_error(),
        };
        Ok(Self::new(output, path))
    }

    pub(super) fn new(output: Box<dyn Write + Send>, path: Option<String>) -> Self {
        Self {
            output,
            path,
            lost: 0,
            reason: String::new(),
            is_torn: false,
        }
    }

    /// `line` formats a message of the log's own.
    pub(super) fn take(&mut self, batch: &Batch, line: impl Fn(log::Level, &str) -> String) {
        self.tell_of_lost(&line);
        let (before, behind) = batch.text.split_at(batch.reopen.unwrap_or_default());
        self.write(before);
        if batch.reopen.is_some() {
            self.reopen(&line);
        }
        self.write(behind);
        if batch.left_out > 0 {
            self.lost += batch.left_out;
            if self.reason.is_empty() {
                "it did not take them in time".clone_into(&mut self.reason);
            }
            self.tell_of_lost(&line);
        }
    }

    fn tell_of_lost(&mut self, line: &impl Fn(log::Level, &str) -> String) {
        if self.lost == 0 {
            return;
        }
        let (count, reason) = (self.lost, &self.reason);
        let message = format!("the log left out {count} lines here: {reason}");
        match self.write(line(log::Level::Warn, &message).as_bytes()) {
            true => (self.lost, self.reason) = (0, String::new()),
            false => self.lost = count,
        }
    }

    /// The path may lead to another file by now.
    fn reopen(&mut self, line: &impl Fn(log::Level, &str) -> String) {
        let Some(path) = &self.path else {
            return;
        };
        let (level, message) = match open_file(path) {
            Ok(file) => {
                (self.output, self.is_torn) = (Box::new(file), false);
                (log::Level::Info, "log.file is reopened".to_owned())
            }
            Err(error) => {
                let message = format!("{error}; the file that was open before goes on");
                (log::Level::Error, message)
            }
        };
        self.write(line(level, &message).as_bytes());
    }

    /// Writes whole lines, and counts those that are not taken.
    fn write(&mut self, text: &[u8]) -> bool {
        if text.is_empty() {
            return true;
        }
        let mended = match self.is_torn {
            true => self.write_all(b"\n"),
            false => Ok(()),
        };
        let taken = match mended.map_err(|(error, _)| (error, 0)) {
            Ok(()) => {
                self.is_torn = false;
                self.write_all(text)
            }
            failed => failed,
        };
        let Err((error, taken)) = taken else {
            return true;
        };
        let (whole, rest) = text.split_at(taken);
        self.is_torn |= !whole.is_empty() && !whole.ends_with(b"\n");
        self.lost += rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.reason = error.to_string();
        false
    }

    /// Fails with the error and how many bytes were taken before it.
    fn write_all(&mut self, text: &[u8]) -> Result<(), (io::Error, usize)> {
        let mut taken = 0;
        while taken < text.len() {
            match self.output.write(&text[taken..]) {
                Ok(0) => return Err((ErrorKind::WriteZero.into(), taken)),
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(REST),
                Err(error) => return Err((error, taken)),
            }
        }
        self.output.flush().map_err(|error| (error, taken))
    }
}

/// Bypasses the standard library's lock, for which a panicking thread's last words would wait.
fn standard_error() -> Box<dyn Write + Send> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

fn open_file(path: &str) -> Result<File, LogError> {
    open_to_append(Path::new(path)).map_err(|source| LogError::File {
        path: path.to_owned(),
        source,
    })
}

/// A FIFO is opened for both ends: nobody needs to read it yet, and a later reader gets the first lines.
fn open_to_append(path: &Path) -> io::Result<File> {
    let found = fs::metadata(path);
    if found
        .as_ref()
        .is_ok_and(|found| found.file_type().is_fifo())
    {
        return OpenOptions::new().read(true).write(true).open(path);
    }
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(MODE).open(path)?;
    if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        // A restrictive umask would keep us from opening it again.
        file.set_permissions(Permissions::from_mode(MODE))?;
    }
    Ok(file)
}
