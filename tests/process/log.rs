//! A log that nobody reads, that cannot be written, that is moved away, or that strangers try to write in.

use crate::support::process::{Directory, Outcome, Process, command, message, outcome};
use crate::support::{Http, LIMIT, Viewer};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Instant;

/// Every message leaves a line at this level.
const TALKATIVE: [&str; 6] = [
    "--http.port",
    "0",
    "--websocket.port",
    "0",
    "--log.level",
    "debug",
];

/// A server whose standard error is read up to the start-up lines, and then left alone.
struct Unread {
    child: Child,
    stderr: BufReader<ChildStderr>,
    http: SocketAddr,
}

impl Unread {
    fn start(directory: &Directory) -> Self {
        let mut server = command(directory, &TALKATIVE);
        let mut child = server.stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut port = 0;
        loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some((_, rest)) = line.split_once("http://localhost:") {
                port = rest.trim().parse().unwrap();
            }
            if line.contains("Log level") {
                break;
            }
        }
        let http = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            child,
            stderr,
            http,
        }
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(id: u32, name: &str) {
    let kill = format!("kill -{name} {id}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    assert!(status.unwrap().success());
}

/// Has the server write so many lines of some 250 bytes.
fn make_noise(http: SocketAddr, lines: usize) {
    let mut http = Http::connect(http);
    let room = "r".repeat(200);
    let path = format!("/api/rooms/{room}/broadcast");
    for _ in 0..lines {
        let answer = http.request("POST", &path, &[], b"{\"payload\": 0}");
        assert_eq!(answer.status, 200);
    }
}

fn is_healthy(http: SocketAddr) -> bool {
    let health = Http::connect(http).request("GET", "/health", &[], b"");
    health.json()["status"] == "healthy"
}

#[test]
fn nobody_reads_standard_error_and_everybody_is_served() {
    let directory = Directory::new();
    let mut unread = Unread::start(&directory);
    make_noise(unread.http, 1000);
    assert!(is_healthy(unread.http));
    unread.signal("TERM");
    assert_eq!(unread.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_is_read_again_says_how_much_is_missing() {
    let directory = Directory::new();
    let mut unread = Unread::start(&directory);
    make_noise(unread.http, 8000);
    assert!(is_healthy(unread.http));
    let mut told = None;
    while told.is_none() {
        let mut line = String::new();
        assert!(unread.stderr.read_line(&mut line).unwrap() > 0);
        assert!(line.starts_with('[') && line.ends_with('\n'), "{line:?}");
        told = line
            .split_once("[WARN] the log left out ")
            .map(|(_, rest)| rest.to_owned());
    }
    let told = told.unwrap();
    let (count, reason) = told.split_once(" lines here: ").expect("a count");
    assert!(count.parse::<u32>().unwrap() > 1000, "{told}");
    assert_eq!(reason.trim_end(), "it did not take them in time");
    unread.signal("TERM");
    let mut rest = String::new();
    unread.stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.lines().last().map(message), Some("stopped"));
    assert_eq!(unread.child.wait().unwrap().code(), Some(0));
}

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Reads a line at a time until one contains `part`.
fn read_until(lines: &mut impl BufRead, part: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no {part}");
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn a_fifo_that_nobody_has_opened_yet_holds_up_neither_start_nor_service() {
    let directory = Directory::new();
    let fifo = directory.path("log");
    make_fifo(&fifo);
    let socket = directory.text_path("http.sock");
    let flags = ["serve", "--websocket.port", "0", "--http.port", &socket];
    let log = ["--log.file", "log", "--log.level", "debug"];
    let mut process = Process::spawn(command(&directory, &[&flags[..], &log].concat()));
    let health = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        crate::support::process::write(&stream, request);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    let began = Instant::now();
    while !health().is_some_and(|answer| answer.contains("healthy")) {
        assert!(began.elapsed() < LIMIT, "it does not serve");
        std::thread::yield_now();
    }
    let mut lines = BufReader::new(File::open(&fifo).unwrap());
    read_until(&mut lines, "Log level: debug");
    process.signal("TERM");
    read_until(&mut lines, "stopped");
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn a_log_on_a_full_device_costs_its_lines_only() {
    let directory = Directory::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let port = address.port().to_string();
    let flags = ["--websocket.port", "0", "--http.port", &port];
    let log = ["--log.file", "/dev/full", "--log.level", "debug"];
    let mut process = Process::spawn(command(&directory, &[&flags[..], &log].concat()));
    let began = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(began.elapsed() < LIMIT, "it does not listen");
        std::thread::yield_now();
    }
    make_noise(address, 100);
    assert!(is_healthy(address));
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(0));
    assert_eq!(process.seen, [""; 0]);
}

/// What a stranger sends to turn colours on, to forge a line, or to turn text around.
const EVIL: &str = "\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{2066}\u{2028}\u{2029}\u{85}\u{200b}\u{feff}";

fn assert_is_plain(text: &str) {
    let harmful =
        |c: char| c != '\n' && (c.is_control() || EVIL.contains(c) && !"[31m2J".contains(c));
    assert!(!text.contains(harmful), "{text:?}");
}

#[test]
fn nothing_that_comes_from_outside_reaches_the_log_as_a_command() {
    let directory = Directory::new();
    let mut server = command(&directory, &TALKATIVE);
    server.env(format!("JOBLIGHT_X{EVIL}\nforged"), "1");
    let mut process = Process::spawn(server);
    process.line("Log level");
    let mut http = Http::connect(process.http());
    let type_of_event = json!({"type": format!("item{EVIL}"), "payload": {"taskId": "t"}});
    http.request(
        "POST",
        "/api/events",
        &[],
        type_of_event.to_string().as_bytes(),
    );
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    let id = viewer.expect("connected")["payload"]["clientId"].clone();
    // U+2028 and marks of direction are no control characters, and names may hold them.
    let room = "r\u{202e}\u{2028}\u{2066}\u{200b}";
    viewer.send(&json!({"type": "subscribe", "rooms": [room], "taskIds": [room]}));
    viewer.expect("subscription_ack");
    let payload = json!({"type": "x", "payload": {"taskId": room}});
    http.request("POST", "/api/events", &[], payload.to_string().as_bytes());
    let path = format!(
        "/api/clients/{}?code=4000&reason=%1B%5B31m%E2%80%AE%0Aforged",
        id.as_str().unwrap()
    );
    http.request("DELETE", &path, &[], b"");
    viewer.close_code();
    process.line("client disconnected");
    process.signal("TERM");
    let Outcome { stderr, .. } = process.outcome();
    assert!(
        stderr.contains("joined room r\\u202e\\u2028\\u2066\\u200b"),
        "{stderr}"
    );
    assert_is_plain(&stderr);
    for line in stderr.lines() {
        assert!(line.starts_with('['), "a forged line: {line:?}");
    }
}

#[test]
fn nothing_that_an_operator_or_a_server_says_reaches_the_terminal_as_a_command() {
    let directory = Directory::new();
    let evil = format!("x{EVIL}\nforged");
    for arguments in [
        &["check", "--http.port", evil.as_str()][..],
        &["check", "--config", &evil],
        &["check", "--log.file", &evil],
        &["serve", "--log.file", &format!("absent/{evil}")],
        &["emit", "--url", &evil, "started", "t"],
        &["watch", "--url", &evil, "t"],
        &["emit", "--url", "http://127.0.0.1:1", "started", &evil],
        &[&evil],
        &["serve", &format!("--{evil}"), "1"],
    ] {
        let said = outcome(&directory, arguments);
        assert_is_plain(&said.stderr);
        assert_is_plain(&said.stdout);
        assert!(
            !said.stderr.lines().any(|line| line == "forged"),
            "{said:?}"
        );
    }
    directory.write(
        "evil.toml",
        &format!("[http]\n\"{EVIL}\" = 1\nport = \"{EVIL}\"\n"),
    );
    let said = outcome(&directory, &["check", "--config", "evil.toml"]);
    assert_is_plain(&said.stderr);
}
