//! Unix-domain listeners and the two families of localhost.

use crate::support::process::{Directory, Process, command, outcome, write};
use crate::support::{LIMIT, Viewer};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

struct Paths {
    directory: Directory,
    websocket: String,
    http: String,
    ingest: String,
}

impl Paths {
    fn new() -> Self {
        let directory = Directory::new();
        Self {
            websocket: directory.text_path("ws.sock"),
            http: directory.text_path("http.sock"),
            ingest: directory.text_path("ingest.sock"),
            directory,
        }
    }

    fn arguments(&self) -> [&str; 7] {
        [
            "serve",
            "--websocket.port",
            &self.websocket,
            "--http.port",
            &self.http,
            "--ingest.socket",
            &self.ingest,
        ]
    }

    fn serve(&self) -> Process {
        let mut process = Process::spawn(command(&self.directory, &self.arguments()));
        process.line("Log level");
        process
    }

    fn exist(&self) -> [bool; 3] {
        [&self.websocket, &self.http, &self.ingest].map(|path| Path::new(path).exists())
    }
}

fn greeted(path: &str) -> Value {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut socket, _) = tungstenite::client("ws://localhost/ws", stream).unwrap();
    serde_json::from_str(&socket.read().unwrap().into_text().unwrap()).unwrap()
}

fn status_line(path: &str) -> String {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write(&stream, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn paths_stand_for_ports_and_are_removed_at_the_end() {
    let paths = Paths::new();
    let process = paths.serve();
    let said = process.messages();
    for line in [
        format!("WebSocket server started on port {}", paths.websocket),
        format!("🚀 HTTP server started on http://{}", paths.http),
        format!("Ingest socket open: {}", paths.ingest),
    ] {
        assert!(said.contains(&line.as_str()), "{line} in {said:#?}");
    }
    assert_eq!(greeted(&paths.websocket)["type"], "connected");
    assert_eq!(status_line(&paths.http), "HTTP/1.1 200 OK");
    process.stop();
    assert_eq!(paths.exist(), [false; 3]);
}

#[test]
fn what_a_killed_process_left_is_taken_over() {
    let paths = Paths::new();
    let mut killed = paths.serve();
    killed.kill();
    assert_eq!(paths.exist(), [true; 3]);
    let process = paths.serve();
    assert_eq!(greeted(&paths.websocket)["type"], "connected");
    assert_eq!(status_line(&paths.http), "HTTP/1.1 200 OK");
    process.stop();
    assert_eq!(paths.exist(), [false; 3]);
}

#[test]
fn a_live_socket_is_not_taken() {
    let paths = Paths::new();
    let process = paths.serve();
    let second = outcome(&paths.directory, &paths.arguments());
    assert_eq!(second.code, Some(1));
    let expected = format!("websocket.port: cannot listen on {}: ", paths.websocket);
    assert!(
        second.stderr.starts_with(&expected) && second.stderr.contains("another process listens"),
        "{second:?}"
    );
    assert_eq!(paths.exist(), [true; 3]);
    assert_eq!(greeted(&paths.websocket)["type"], "connected");
    process.stop();
}

#[test]
fn a_socket_that_a_successor_made_is_left_to_it() {
    let paths = Paths::new();
    let first = paths.serve();
    for path in [&paths.websocket, &paths.http, &paths.ingest] {
        std::fs::remove_file(path).unwrap();
    }
    let second = paths.serve();
    first.stop();
    assert_eq!(paths.exist(), [true; 3]);
    assert_eq!(greeted(&paths.websocket)["type"], "connected");
    second.stop();
    assert_eq!(paths.exist(), [false; 3]);
}

#[test]
fn localhost_is_the_loopback_of_both_families() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &[]);
    let port = process.websocket().port();
    Viewer::connect(SocketAddr::from(([127, 0, 0, 1], port)), "/ws").expect("connected");
    process.line("client connected");
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let mut viewer = Viewer::connect((Ipv6Addr::LOCALHOST, port).into(), "/ws");
        viewer.expect("connected");
        viewer.subscribe(&["t"]);
        process.post("/api/tasks/t/started", &json!({}));
        viewer.expect("task_started");
    }
    process.stop();
}
