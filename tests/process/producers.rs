//! Local producers: NDJSON from standard input and over a Unix socket.

use crate::support::process::{Directory, Process, command, write};
use crate::support::{Http, Viewer};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

/// Good lines, the first after a byte order mark, two that are none, blank ones, and a last one without an end.
const LINES: [&str; 7] = [
    "\u{feff}{\"type\":\"task_started\",\"payload\":{\"taskId\":\"t\",\"total\":4}}\n",
    "no event at all\n",
    "\n",
    "{\"type\":\"task_progress\",\"taskId\":\"t\",\"current\":1}\r\n",
    "{\"type\":\"task_progress\",\"payload\":{}}\n",
    "   \n",
    "{\"type\":\"task_completed\",\"payload\":{\"taskId\":\"t\"}}",
];

fn watch(process: &Process) -> Viewer {
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    viewer.subscribe(&["t"]);
    viewer
}

/// The warnings that the process has written, the next of which must be about the producer.
fn warning(process: &mut Process) -> String {
    let line = process.line("ingest: ");
    let warnings = process
        .seen
        .iter()
        .filter(|line| line.contains("[WARN]"))
        .count();
    assert_eq!(warnings, 1, "{:#?}", process.seen);
    line
}

#[test]
fn standard_input_brings_events_and_its_end_ends_nothing() {
    let directory = Directory::new();
    let mut given = command(
        &directory,
        &["--stdin", "--http.port", "0", "--websocket.port", "0"],
    );
    given.stdin(Stdio::piped());
    let mut process = Process::spawn(given);
    process.line("Log level");
    let mut viewer = watch(&process);
    let mut pipe = process.stdin();
    write(&mut pipe, &LINES[..6].concat());
    viewer.expect("task_started");
    let progress = viewer.expect("task_progress");
    assert_eq!(progress["payload"]["progress"], 25);
    // A line counts when it has ended, and the last one when its producer has gone.
    write(&mut pipe, LINES[6]);
    drop(pipe);
    viewer.until("task_completed");
    let line = warning(&mut process);
    assert!(
        line.starts_with("ingest: 2 lines were no events; line 2: "),
        "{line}"
    );
    let health = Http::connect(process.http()).request("GET", "/health", &[], b"");
    assert_eq!(health.json()["status"], "healthy");
    drop(viewer);
    process.stop();
}

#[test]
fn an_open_standard_input_does_not_delay_the_end() {
    let directory = Directory::new();
    let arguments = [
        "--stdin",
        "--http.port",
        "0",
        "--websocket.port",
        "0",
        "--server.shutdown_timeout",
        "600000",
    ];
    let mut given = command(&directory, &arguments);
    given.stdin(Stdio::piped());
    let mut process = Process::spawn(given);
    process.line("Log level");
    let pipe = process.stdin();
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    drop(pipe);
}

#[test]
fn a_unix_socket_brings_events_from_many_producers() {
    let directory = Directory::new();
    let socket = directory.text_path("ingest.sock");
    let mut process = Process::serve(&directory, &["--ingest.socket", &socket]);
    let mut viewer = watch(&process);
    let silent = UnixStream::connect(&socket).unwrap();
    let first = UnixStream::connect(&socket).unwrap();
    // Lines may come in any pieces.
    for byte in LINES[0].chars() {
        write(&first, &byte.to_string());
    }
    viewer.expect("task_started");
    write(&first, &LINES[1..].concat());
    drop(first);
    viewer.until("task_completed");
    let line = warning(&mut process);
    assert!(
        line.starts_with("ingest: 2 lines were no events; line 2: "),
        "{line}"
    );
    // The others are none the worse.
    write(
        &silent,
        "{\"type\":\"task_started\",\"taskId\":\"t\",\"attempt\":2}\n",
    );
    viewer.expect("task_started");
    drop((silent, viewer));
    process.stop();
}
