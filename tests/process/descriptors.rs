//! When there are too many connections: who makes room, who is refused, and for whom there always is a place.

use crate::support::process::{Directory, Process, command};
use crate::support::{Http, LIMIT, Viewer};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

/// A server that may have so few files open.
fn serve(directory: &Directory, descriptors: u32, flags: &[&str]) -> Process {
    let server = command(directory, &[]);
    let rates = ["--websocket.rate_limit.max_connections_per_minute", "0"];
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""))
        .arg(server.get_program())
        .args(["--http.port", "0", "--websocket.port", "0"])
        .args(rates)
        .args(flags)
        .current_dir(directory.root())
        .env("JOBLIGHT_STORAGE_PATH", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::spawn(shell);
    process.line("Log level: ");
    process
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
}

/// Waits until the server has closed.
fn is_closed(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// A handshake; what it was answered.
fn shake_hands(address: SocketAddr) -> (String, TcpStream) {
    let mut stream = connect(address);
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // Whoever is refused need not have been heard.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        answer.push(byte[0]);
    }
    (String::from_utf8_lossy(&answer).into_owned(), stream)
}

fn health(http: SocketAddr) -> u16 {
    Http::connect(http)
        .request("GET", "/health", &[], b"")
        .status
}

/// Connects viewers until one is refused; the others, and the refusal.
fn fill(address: SocketAddr) -> (Vec<TcpStream>, String) {
    let mut viewers = Vec::new();
    loop {
        match shake_hands(address) {
            (answer, viewer) if answer.starts_with("HTTP/1.1 101 ") => viewers.push(viewer),
            (refusal, _) => return (viewers, refusal),
        }
        assert!(viewers.len() < 1000, "nobody is refused");
    }
}

fn assert_refused(refusal: &str) {
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal:?}");
    assert!(
        refusal.to_ascii_lowercase().contains("retry-after: "),
        "{refusal:?}"
    );
}

#[test]
fn idle_connections_make_room_when_descriptors_run_out() {
    let directory = Directory::new();
    let mut process = serve(&directory, 128, &[]);
    let idle: Vec<TcpStream> = (0..400).map(|_| connect(process.websocket())).collect();
    Viewer::connect(process.websocket(), "/ws").expect("connected");
    assert_eq!(health(process.http()), 200);
    assert!(is_closed(&idle[0]), "the oldest makes room");
    process.line("had sent no request were closed to make room");
    let idle_too: Vec<TcpStream> = (0..400).map(|_| connect(process.http())).collect();
    assert_eq!(health(process.http()), 200);
    Viewer::connect(process.websocket(), "/ws").expect("connected");
    drop((idle, idle_too));
    process.stop();
}

#[test]
fn viewers_never_take_the_places_of_the_api_and_of_the_store() {
    let directory = Directory::new();
    let socket = directory.text_path("ingest.sock");
    let flags = ["--websocket.max_clients", "0", "--storage.path", "kept.db"];
    let more = ["--ingest.socket", &socket, "--log.file", ""];
    let mut process = serve(&directory, 128, &[&flags[..], &more].concat());
    let (mut viewers, refusal) = fill(process.websocket());
    assert!(viewers.len() > 20, "{}", viewers.len());
    assert_refused(&refusal);
    for _ in 0..40 {
        assert_eq!(health(process.http()), 200);
    }
    let kept_alive: Vec<Http> = (0..10)
        .map(|_| {
            let mut http = Http::connect(process.http());
            assert_eq!(http.request("GET", "/health", &[], b"").status, 200);
            http
        })
        .collect();
    process.post("/api/tasks/t/started", &serde_json::json!({}));
    std::os::unix::net::UnixStream::connect(&socket).expect("a producer");
    assert_refused(&shake_hands(process.websocket()).0);
    process.line("were refused since the start");
    // A store that is removed is reopened.
    std::fs::remove_file(directory.path("kept.db")).expect("a file");
    let mut http = Http::connect(process.http());
    while http
        .request("POST", "/api/tasks/t/progress", &[], b"{\"progress\": 5}")
        .status
        == 503
    {}
    drop(kept_alive);
    viewers.clear();
    let began = std::time::Instant::now();
    while !shake_hands(process.websocket())
        .0
        .starts_with("HTTP/1.1 101 ")
    {
        assert!(began.elapsed() < LIMIT, "there is room again");
    }
    process.stop();
}

#[test]
fn one_listener_for_both_keeps_places_for_the_api() {
    let directory = Directory::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let flags = [
        "--http.port",
        &port,
        "--websocket.port",
        &port,
        "--websocket.max_clients",
        "0",
    ];
    let server = command(&directory, &[]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -n 128; exec \"$0\" \"$@\""])
        .arg(server.get_program())
        .args(flags)
        .args(["--websocket.rate_limit.max_connections_per_minute", "0"])
        .current_dir(directory.root())
        .env("JOBLIGHT_STORAGE_PATH", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::spawn(shell);
    process.line("Log level: ");
    let (viewers, refusal) = fill(process.http());
    assert_refused(&refusal);
    assert_eq!(health(process.http()), 200);
    drop(viewers);
    process.stop();
}

#[test]
fn the_configured_number_counts_on_both_listeners() {
    for on_http in [false, true] {
        let directory = Directory::new();
        let process = serve(&directory, 1024, &["--server.max_connections", "4"]);
        let address = match on_http {
            true => process.http(),
            false => process.websocket(),
        };
        let idle: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
        // A connection that has asked once is not closed for one that has not.
        let mut asked = Http::connect(process.http());
        assert_eq!(asked.request("GET", "/health", &[], b"").status, 200);
        assert!(is_closed(&idle[0]) && health(process.http()) == 200);
        assert_eq!(asked.request("GET", "/health", &[], b"").status, 200);
        drop((idle, asked));
        process.stop();
    }
    let directory = Directory::new();
    let process = serve(&directory, 1024, &["--server.max_connections", "4"]);
    let (viewers, refusal) = fill(process.websocket());
    assert_eq!(viewers.len(), 4);
    assert_refused(&refusal);
    assert_eq!(health(process.http()), 200);
    process.stop();
}
