//! Log lines, to a file or to standard error: `[2025-12-29 13:51:03] [INFO] message`.
//!
//! Lines wait in memory until the loop ends its turn, so that a turn costs at most one write; warnings and errors
//! leave at once, with all that waits before them. A sink that fails (a closed pipe, a full disk) loses lines and never
//! stops the server. Times are local when the zone can be known, by the offset that holds when the log starts.

use std::fs::OpenOptions;
use std::io::{self, Write};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};
use time::UtcOffset;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::config::LogConfig;

/// Escaped by doubling, the bracket around the time is part of the line.
const TIME_FORMAT: StaticFormatDescription =
    format_description!("[[[year]-[month]-[day] [hour]:[minute]:[second]]");

/// Bytes of waiting lines beyond which they are written before the turn ends.
const MAX_WAITING_BYTES: usize = 64 * 1024;

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
    /// The process has a log already.
    #[error("this process logs elsewhere already")]
    Taken(#[from] log::SetLoggerError),
}

/// The running log of the process.
#[derive(Debug)]
pub struct LogOutput {
    _only_from_start: (),
}

impl LogOutput {
    /// Opens the log that `config` asks for and makes it the process's own. Call it before any thread is started:
    /// the zone of the local time cannot be asked for later.
    pub fn start(config: &LogConfig) -> Result<Self, LogError> {
        let sink: Box<dyn Write + Send> = match config.file.as_str() {
            "" => Box::new(io::stderr()),
            path => Box::new(open(path)?),
        };
        let level = LevelFilter::from(config.level);
        let zone = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
        log::set_boxed_logger(Box::new(TurnLogger::new(level, zone, sink)))?;
        log::set_max_level(level);
        Ok(Self {
            _only_from_start: (),
        })
    }

    /// Writes the lines that wait. Due at the end of every turn and at the exit; cheap when none wait.
    pub fn flush(&self) {
        log::logger().flush();
    }
}

impl Drop for LogOutput {
    fn drop(&mut self) {
        self.flush();
    }
}

fn open(path: &str) -> Result<impl Write + Send + use<>, LogError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|source| LogError::File {
        path: path.to_owned(),
        source,
    })
}

/// simplelog's logger over waiting lines, flushed by what is serious.
struct TurnLogger {
    lines: Box<WriteLogger<WaitingLines>>,
}

impl TurnLogger {
    fn new(level: LevelFilter, zone: UtcOffset, sink: Box<dyn Write + Send>) -> Self {
        let format = ConfigBuilder::new()
            .set_time_format_custom(TIME_FORMAT)
            .set_time_offset(zone)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off)
            .build();
        Self {
            lines: WriteLogger::new(
                level,
                format,
                WaitingLines {
                    waiting: Vec::new(),
                    sink,
                },
            ),
        }
    }
}

impl Log for TurnLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.lines.log(record);
        if record.level() <= Level::Warn {
            self.lines.flush();
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

/// Whole lines on their way to the sink.
struct WaitingLines {
    waiting: Vec<u8>,
    sink: Box<dyn Write + Send>,
}

impl Write for WaitingLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() > MAX_WAITING_BYTES && bytes.ends_with(b"\n") {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    /// Lines that the sink does not take are lost: keeping them would fill the memory of a server whose log is broken.
    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self
            .sink
            .write_all(&self.waiting)
            .and_then(|()| self.sink.flush());
        self.waiting.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn say(logger: &TurnLogger, level: Level, message: &str) {
        logger.log(
            &Record::builder()
                .level(level)
                .args(format_args!("{message}"))
                .build(),
        );
    }

    #[test]
    fn lines_wait_for_the_turn_and_warnings_do_not() {
        let sink = Shared::default();
        let logger = TurnLogger::new(LevelFilter::Info, UtcOffset::UTC, Box::new(sink.clone()));
        say(&logger, Level::Info, "first");
        say(&logger, Level::Debug, "too much");
        assert_eq!(sink.text(), "");
        say(&logger, Level::Warn, "second");
        let text = sink.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].ends_with("] [INFO] first") && lines[1].ends_with("] [WARN] second"),
            "{text}"
        );
        assert_eq!(
            (&lines[0][..1], &lines[0][5..6], &lines[0][20..21]),
            ("[", "-", "]")
        );
        say(&logger, Level::Info, "third");
        logger.flush();
        assert!(sink.text().ends_with("[INFO] third\n"));
    }

    #[test]
    fn a_flood_is_written_before_the_turn_ends() {
        let sink = Shared::default();
        let logger = TurnLogger::new(LevelFilter::Info, UtcOffset::UTC, Box::new(sink.clone()));
        (0..100).for_each(|_| say(&logger, Level::Info, &"x".repeat(1000)));
        assert!(sink.text().len() > MAX_WAITING_BYTES && sink.text().ends_with("x\n"));
    }

    #[test]
    fn a_closed_sink_loses_lines_and_nothing_else() {
        let logger = TurnLogger::new(LevelFilter::Trace, UtcOffset::UTC, Box::new(Closed));
        (0..100).for_each(|_| say(&logger, Level::Info, &"x".repeat(1000)));
        say(&logger, Level::Error, "lost");
        logger.flush();
    }

    #[test]
    fn a_file_that_does_not_open_is_named() {
        let error = open("/nowhere/at all/joblight.log").err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("log.file: cannot open \"/nowhere/at all/joblight.log\": ")
        );
    }

    #[test]
    fn the_process_logs_to_the_end_of_its_file() {
        let name = format!("joblight-logging-{}.log", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, "from an earlier run\n").unwrap();
        let file = path.to_str().unwrap().to_owned();
        let config = LogConfig {
            level: crate::config::LogLevel::Info,
            file,
        };
        let output = LogOutput::start(&config).unwrap();
        log::info!("started");
        output.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.starts_with("from an earlier run\n["), "{text}");
        assert!(text.contains("] [INFO] started\n"), "{text}");
        assert!(matches!(
            LogOutput::start(&LogConfig {
                file: String::new(),
                ..config
            }),
            Err(LogError::Taken(_))
        ));
    }
}
