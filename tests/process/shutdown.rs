//! SIGTERM and SIGINT: what viewers, health checks and newcomers see, and what bounds the end.

use crate::support::process::{Directory, Process};
use crate::support::{Http, LIMIT, Viewer};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A viewer that was sent more than it and the system's buffers hold, and reads nothing.
struct Stalled {
    _stream: TcpStream,
}

/// Makes the process hold bytes that a viewer does not take.
fn stall(process: &Process) -> Stalled {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&process.websocket().into()).unwrap();
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    (&stream).write_all(request.as_bytes()).unwrap();
    assert!((&stream).read(&mut [0; 16]).unwrap() > 0);
    let mut http = Http::connect(process.http());
    let noise = json!({"type": "noise", "payload": "x".repeat(500_000)}).to_string();
    loop {
        let answer = http.request("POST", "/api/broadcast", &[], noise.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        let clients = http.request("GET", "/api/clients", &[], b"").json();
        if clients["clients"][0]["unsentBytes"].as_u64() > Some(0) {
            return Stalled { _stream: stream };
        }
    }
}

/// A server that holds any amount of unsent bytes, and waits long for viewers.
fn patient(directory: &Directory, shutdown_timeout: &str) -> Process {
    let arguments = [
        "--websocket.max_outbox_size",
        "0",
        "--server.shutdown_timeout",
        shutdown_timeout,
    ];
    Process::serve(directory, &arguments)
}

fn health(http: &mut Http) -> (u16, Value) {
    let answer = http.request("GET", "/health", &[], b"");
    (answer.status, answer.json())
}

fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn viewers_are_told(signal: &str) {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--server.shutdown_timeout", "600000"]);
    let mut viewers: Vec<Viewer> = (0..3)
        .map(|_| Viewer::connect(process.websocket(), "/ws"))
        .collect();
    viewers
        .iter_mut()
        .for_each(|viewer| drop(viewer.expect("connected")));
    process.signal(signal);
    for mut viewer in viewers {
        let goodbye = viewer.expect("disconnected");
        let payload = &goodbye["payload"];
        assert_eq!(payload["code"], 1001, "{goodbye}");
        assert_eq!(payload["reconnect"], true, "{goodbye}");
        assert!(payload["delayMs"].is_u64(), "{goodbye}");
        assert_eq!(viewer.close_code(), Some(1001));
    }
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    let said = process.messages();
    assert_eq!(said.last(), Some(&"stopped"), "{said:#?}");
    assert!(
        said.contains(&"shutting down: 3 connections to close"),
        "{said:#?}"
    );
}

#[test]
fn sigterm_tells_viewers_to_come_back() {
    viewers_are_told("TERM");
}

#[test]
fn sigint_tells_viewers_to_come_back() {
    viewers_are_told("INT");
}

#[test]
fn a_data_viewer_is_closed_with_1001_too() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--server.shutdown_timeout", "600000"]);
    let mut viewer = Viewer::connect(process.websocket(), "/");
    process.line("client connected");
    process.signal("TERM");
    assert_eq!(viewer.close_code(), Some(1001));
    drop(viewer);
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn while_draining_health_is_503_and_listeners_refuse() {
    let directory = Directory::new();
    let mut process = patient(&directory, "600000");
    let mut http = Http::connect(process.http());
    assert_eq!(health(&mut http).0, 200);
    let stalled = stall(&process);
    process.signal("TERM");
    process.line("shutting down");
    assert!(refuses(process.websocket()) && refuses(process.http()));
    let (status, document) = health(&mut http);
    assert_eq!(
        (status, &document["status"]),
        (503, &json!("draining")),
        "{document}"
    );
    drop((http, stalled));
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
}

#[test]
fn idle_http_connections_do_not_delay_the_end() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--server.shutdown_timeout", "600000"]);
    let mut http = Http::connect(process.http());
    assert_eq!(health(&mut http).0, 200);
    process.signal("TERM");
    // The connection is still open at this end: a client's pool would keep it so.
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    assert!(http.is_at_end());
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--server.shutdown_timeout", "600000"]);
    let mut http = Http::connect(process.http());
    assert_eq!(health(&mut http).0, 200);
    http.send(b"POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(http.answer(true).status, 100);
    process.signal("TERM");
    process.line("shutting down");
    http.send(b"{\"progress\": 5}");
    let answer = http.answer(false);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(http.is_at_end());
    drop(http);
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let directory = Directory::new();
        let mut process = patient(&directory, "600000");
        let stalled = stall(&process);
        process.signal(first);
        process.line("shutting down");
        process.signal(second);
        assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
        drop(stalled);
    }
}

#[test]
fn the_timeout_bounds_a_stalled_viewer() {
    for shutdown_timeout in ["50", "0"] {
        let directory = Directory::new();
        let mut process = patient(&directory, shutdown_timeout);
        let stalled = stall(&process);
        process.signal("TERM");
        assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
        drop(stalled);
    }
}

#[test]
fn a_producer_that_never_ends_does_not_delay_the_end() {
    let directory = Directory::new();
    let socket = directory.text_path("ingest.sock");
    let arguments = [
        "--server.shutdown_timeout",
        "600000",
        "--ingest.socket",
        &socket,
    ];
    let mut process = Process::serve(&directory, &arguments);
    let producer = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    crate::support::process::write(
        &producer,
        "{\"type\":\"task_started\",\"taskId\":\"t\"}\nno event\n",
    );
    let mut http = Http::connect(process.http());
    while http.request("GET", "/api/tasks/t", &[], b"").status != 200 {}
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    let warned = process
        .messages()
        .into_iter()
        .find(|line| line.starts_with("ingest: "));
    assert!(
        warned.is_some_and(|line| line.contains("line 2")),
        "{:#?}",
        process.seen
    );
    drop(producer);
}
