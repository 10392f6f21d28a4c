//! Signals that must not end the server, one that opens its log anew, and those that keep their meaning.

use crate::support::process::{Directory, Process, command};
use crate::support::{Http, LIMIT};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

#[test]
fn signals_that_mean_nothing_are_passed_over_with_a_line() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &[]);
    for name in ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO"] {
        process.signal(name);
        process.line(&format!("SIG{name}: ignored"));
    }
    if cfg!(target_os = "linux") {
        for number in [16, 30, 40, 64] {
            process.signal(&number.to_string());
            process.line(&format!("signal {number}: ignored"));
        }
    }
    process.signal("PIPE");
    let mut http = Http::connect(process.http());
    assert_eq!(http.request("GET", "/health", &[], b"").status, 200);
    drop(http);
    process.stop();
}

#[test]
fn sighup_without_a_file_says_that_there_is_nothing_to_open_anew() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &[]);
    for _ in 0..2 {
        process.signal("HUP");
        let line = process.line("SIGHUP");
        assert!(line.contains("standard error"), "{line}");
    }
    process.stop();
}

#[test]
fn sigquit_still_ends_a_server_that_does_not_answer() {
    let directory = Directory::new();
    let flags = ["serve", "--http.port", "0", "--websocket.port", "0"];
    let served = command(&directory, &flags);
    // In the background of a shell this test inherits that the signal is ignored, and so would the server.
    let mut command = Command::new("env");
    command
        .args(["--default-signal=QUIT", "JOBLIGHT_STORAGE_PATH="])
        .arg(served.get_program())
        .args(flags)
        .current_dir(directory.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::spawn(command);
    process.line("Log level: ");
    process.signal("QUIT");
    assert_eq!(process.end().code(), None, "a signal has ended it");
}

/// The lines of a file, once one of them contains `part`.
fn lines_with(path: &Path, part: &str) -> Vec<String> {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(part) {
            return text.lines().map(str::to_owned).collect();
        }
        assert!(began.elapsed() < LIMIT, "no {part} in {text}");
        std::thread::yield_now();
    }
}

#[test]
fn sighup_opens_the_file_anew_and_a_failure_keeps_the_old_one() {
    let directory = Directory::new();
    fs::create_dir(directory.path("logs")).unwrap();
    let log = directory.path("logs/joblight.log");
    let flags = ["--websocket.port", "0", "--http.port", "0"];
    let file = ["--log.file", "logs/joblight.log"];
    let mut process = Process::spawn(command(&directory, &[&flags[..], &file].concat()));
    lines_with(&log, "Log level");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log), 0o600);
    let moved = directory.path("logs/joblight.log.1");
    fs::rename(&log, &moved).unwrap();
    process.signal("HUP");
    lines_with(&log, "[INFO] log.file is reopened");
    assert_eq!(mode(&log), 0o600);
    let away = directory.path("away");
    fs::rename(directory.path("logs"), &away).unwrap();
    process.signal("HUP");
    let said = lines_with(&away.join("joblight.log"), "[ERROR]");
    let said = said.last().expect("a line");
    assert!(
        said.contains("log.file: cannot open") && said.contains("open before goes on"),
        "{said}"
    );
    process.signal("TERM");
    lines_with(&away.join("joblight.log"), "stopped");
    assert_eq!(process.end().code(), Some(0));
}
