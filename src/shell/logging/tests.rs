//! The log over sinks that take everything, nothing, a part, or take it later.

use super::*;
use crate::config::LogLevel;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Condvar, Mutex};

/// Only a failing test waits so long.
const LIMIT: Duration = Duration::from_secs(20);

/// A sink that somebody opens, closes and reads.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Behind>, Condvar)>);

#[derive(Default)]
struct Behind {
    text: Vec<u8>,
    is_shut: bool,
    /// The thread has a batch that it cannot write.
    is_held: bool,
    fault: Option<io::ErrorKind>,
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut Behind)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn wait_until_held(&self) {
        let behind = self.0.0.lock().unwrap();
        let wait = self
            .0
            .1
            .wait_timeout_while(behind, LIMIT, |behind| !behind.is_held);
        assert!(!wait.unwrap().1.timed_out(), "the thread writes");
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().text.clone()).unwrap()
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut behind = self.0.0.lock().unwrap();
        behind.is_held = behind.is_shut;
        self.0.1.notify_all();
        let wait = self.0.1.wait_while(behind, |behind| behind.is_shut);
        let mut behind = wait.unwrap();
        match behind.fault {
            Some(fault) => Err(fault.into()),
            None => behind.text.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logger(level: LevelFilter) -> (LineLogger, Gate) {
    let gate = Gate::default();
    let sink = Sink::new(Box::new(gate.clone()), None);
    let logger = LineLogger::start(level, UtcOffset::UTC, sink).unwrap();
    (logger, gate)
}

fn say(logger: &LineLogger, level: Level, message: &str) {
    let args = format_args!("{message}");
    let record = Record::builder().level(level).args(args).build();
    logger.log(&record);
}

/// Everything that was written, once all of it is.
fn written(logger: &LineLogger, gate: &Gate) -> Vec<String> {
    assert!(logger.queue.drain(LIMIT), "the thread writes");
    let text = gate.text();
    let (lines, rest) = text.rsplit_once('\n').unwrap_or_default();
    assert_eq!(rest, "", "whole lines only");
    lines.split('\n').map(str::to_owned).collect()
}

#[test]
fn lines_bear_time_and_level_and_keep_their_order() {
    let (logger, gate) = logger(LevelFilter::Info);
    say(&logger, Level::Info, "first");
    say(&logger, Level::Debug, "too much");
    say(&logger, Level::Warn, "second");
    let lines = written(&logger, &gate);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("] [INFO] first"), "{lines:?}");
    assert!(lines[1].ends_with("] [WARN] second"), "{lines:?}");
    let brackets = (&lines[0][..1], &lines[0][5..6], &lines[0][20..21]);
    assert_eq!(brackets, ("[", "-", "]"));
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    let (logger, gate) = logger(LevelFilter::Info);
    let forged = "x\n[2025-01-01 00:00:00] [ERROR] forged\u{1b}[2J\u{9b}1m\u{202e}\u{2028}";
    say(&logger, Level::Info, forged);
    let lines = written(&logger, &gate);
    let shown = "x\\n[2025-01-01 00:00:00] [ERROR] forged\\u001b[2J\\u009b1m\\u202e\\u2028";
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with(shown), "{lines:?}");
}

#[test]
fn a_sink_that_takes_nothing_holds_up_nobody_and_what_is_left_out_is_counted() {
    let (logger, gate) = logger(LevelFilter::Info);
    gate.change(|behind| behind.is_shut = true);
    say(&logger, Level::Warn, "first");
    // Only what comes after that is one batch.
    gate.wait_until_held();
    let count = 40_000_u64;
    (0..count).for_each(|_| say(&logger, Level::Info, &"x".repeat(100)));
    assert!(!logger.queue.drain(Duration::from_millis(1)));
    gate.change(|behind| behind.is_shut = false);
    let lines = written(&logger, &gate);
    let told: Vec<u64> = lines
        .iter()
        .filter_map(|line| {
            line.split_once("[WARN] the log left out ")?
                .1
                .split(' ')
                .next()
        })
        .map(|number| number.parse().unwrap())
        .collect();
    assert_eq!(told.len(), 1, "one line says so");
    assert_eq!(lines.len() as u64 + told[0], count + 2);
    assert!(gate.text().len() < 2 * queue::MAX_BYTES);
}

#[test]
fn a_sink_that_fails_loses_lines_and_says_how_many_when_it_works_again() {
    for fault in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
        let (logger, gate) = logger(LevelFilter::Info);
        gate.change(|behind| behind.fault = Some(fault));
        for _ in 0..3 {
            say(&logger, Level::Error, "lost");
            assert!(logger.queue.drain(LIMIT));
        }
        gate.change(|behind| behind.fault = None);
        say(&logger, Level::Info, "goes on");
        let lines = written(&logger, &gate);
        assert_eq!(lines.len(), 2, "{lines:?}");
        let said = format!("the log left out 3 lines here: {}", io::Error::from(fault));
        assert!(lines[0].ends_with(&said), "{lines:?}");
    }
}

#[test]
fn a_file_that_does_not_open_is_named() {
    let error = Sink::open("/nowhere/at all/joblight.log").err().unwrap();
    let said = "log.file: cannot open \"/nowhere/at all/joblight.log\": ";
    assert!(error.to_string().starts_with(said), "{error}");
}

#[test]
fn the_process_logs_to_the_end_of_its_file_and_reopens_it() {
    let name = format!("joblight-logging-{}.log", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "from an earlier run\n").unwrap();
    let file = path.to_str().unwrap().to_owned();
    let level = LogLevel::Info;
    let config = LogConfig { level, file };
    let output = LogOutput::start(&config).unwrap();
    log::info!("started");
    output.finish();
    let moved = path.with_extension("1");
    std::fs::rename(&path, &moved).unwrap();
    log::info!("still to the old one");
    assert!(output.reopen());
    log::info!("to the new one");
    output.finish();
    let [old, new] = [&moved, &path].map(|path| std::fs::read_to_string(path).unwrap());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&moved).unwrap();
    assert!(old.starts_with("from an earlier run\n["), "{old}");
    assert!(old.contains("] [INFO] started\n"), "{old}");
    assert!(old.ends_with("] [INFO] still to the old one\n"), "{old}");
    assert!(new.ends_with("] [INFO] to the new one\n"), "{new}");
    assert_eq!(mode & 0o777, 0o600);
    let file = String::new();
    let second = LogOutput::start(&LogConfig { level, file });
    assert!(matches!(second, Err(LogError::Taken(_))));
}
