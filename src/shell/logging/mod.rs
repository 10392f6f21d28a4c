//! Log lines, to a file or to standard error: `[2025-12-29 13:51:03] [INFO] message`.
//!
//! A thread of its own writes them, so that a log which nobody reads holds up nobody: lines wait in a bounded queue until
//! the loop ends its turn, warnings and errors until the thread has woken. What does not fit, or what the sink does not take
//! (a closed pipe, a full disk), is counted and said later. Each message is one line, whatever is in it. Times are local when
//! the zone can be known, by the offset that holds when the log starts.

mod queue;
mod sink;

pub use sink::LogError;

use crate::base::printable::printable;
use crate::config::LogConfig;
use log::{Level, LevelFilter, Log, Metadata, Record};
use queue::Queue;
use sink::Sink;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// The bracket around the time is part of the line, and is escaped by doubling.
const TIME_FORMAT: StaticFormatDescription =
    format_description!("[[[year]-[month]-[day] [hour]:[minute]:[second]]");

/// How long the end waits for a log that does not take its last lines.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct LogOutput {
    queue: Arc<Queue>,
    has_file: bool,
}

impl LogOutput {
    /// Opens the configured log and makes it the process's own. Call it before any thread is started: the local time
    /// zone cannot be asked for later.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let zone = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
        let level = LevelFilter::from(config.level);
        let logger = LineLogger::start(level, zone, Sink::open(&config.file)?)?;
        let queue = logger.queue.clone();
        log::set_boxed_logger(Box::new(logger))?;
        log::set_max_level(level);
        Ok(Self {
            queue,
            has_file: !config.file.is_empty(),
        })
    }

    /// Has waiting lines written, without waiting for it. Due at the end of every turn; cheap when no line waits.
    pub fn flush(&self) {
        self.queue.wake();
    }

    /// Waits until waiting lines are written, but not for long.
    pub fn finish(&self) {
        self.queue.drain(LAST_WORDS);
    }

    /// Reopens `log.file`, so that whoever moved the old file has it to itself. `false`: there is no file.
    pub fn reopen(&self) -> bool {
        if self.has_file {
            self.queue.reopen();
        }
        self.has_file
    }
}

impl Drop for LogOutput {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Formats messages and hands the lines to the log's thread.
struct LineLogger {
    level: LevelFilter,
    zone: UtcOffset,
    queue: Arc<Queue>,
}

impl LineLogger {
    fn start(level: LevelFilter, zone: UtcOffset, mut sink: Sink) -> Result<Self, LogError> {
        let queue = Arc::new(Queue::default());
        let waiting = queue.clone();
        let write = move || {
            while let Some(batch) = waiting.next() {
                sink.take(&batch, |level, message| line(zone, level, message));
            }
        };
        let thread = Builder::new().name("log".into()).spawn(write);
        thread.map_err(LogError::Thread)?;
        Ok(Self { level, zone, queue })
    }
}

impl Drop for LineLogger {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Log for LineLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let message = record.args().to_string();
            let line = line(self.zone, record.level(), &message);
            self.queue.push(&line, record.level() <= Level::Warn);
        }
    }

    fn flush(&self) {
        self.queue.wake();
    }
}

/// The only way into the log: foreign text in a message stays inside its line.
fn line(zone: UtcOffset, level: Level, message: &str) -> String {
    let time = OffsetDateTime::now_utc().to_offset(zone);
    let time = time.format(TIME_FORMAT).unwrap_or_default();
    format!("{time} [{level}] {}\n", printable(message))
}

#[cfg(test)]
mod tests;
