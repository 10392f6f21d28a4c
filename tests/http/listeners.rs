//! Where the server listens: one port for both, and Unix-domain sockets.

use crate::support::{Http, LIMIT, Viewer, config, limit_connections};
use joblight::{Config, ListenPort, Server};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Starts on a port that was free a moment ago; another process may have been quicker.
fn on_one_port() -> Server {
    loop {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let mut config = config();
        config.http.port = ListenPort::Number(port);
        config.websocket.port = ListenPort::Number(port);
        if let Ok(server) = Server::start(&config) {
            return server;
        }
    }
}

/// A path for a socket of this test process, which nothing has.
fn socket_path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("joblight-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn over_unix(path: &PathBuf, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = config();
    change(&mut config);
    Server::start(&config).expect("the server starts")
}

#[test]
fn one_port_serves_everything() {
    let server = on_one_port();
    let addresses = server.addresses();
    assert_eq!(addresses.http, addresses.websocket);
    let address = addresses.http.unwrap();
    let mut viewer = Viewer::connect(address, "/ws");
    viewer.expect("connected");
    viewer.subscribe(&["t"]);
    Viewer::connect(address, "/");
    let mut http = Http::connect(address);
    let answer = http.request("POST", "/api/tasks/t/started", &[], b"{}");
    assert_eq!(answer.json()["watchers"], 1);
    viewer.expect("task_started");
    let answer = http.request("GET", "/ws", &[], b"");
    assert_eq!(
        (answer.status, answer.header("upgrade")),
        (426, Some("websocket"))
    );
    assert_eq!(http.request("GET", "/nothing", &[], b"").status, 404);
    drop((viewer, http));
    server.stop().unwrap();
}

#[test]
fn unix_sockets_serve_both() {
    let (http, websocket) = (socket_path("http"), socket_path("websocket"));
    let unix = |path: &PathBuf| ListenPort::UnixPath(path.display().to_string());
    let server = start(|config| {
        (config.http.port, config.websocket.port) = (unix(&http), unix(&websocket));
        // There are no addresses to count here.
        limit_connections(config, 1);
    });
    let open = || {
        let stream = UnixStream::connect(&websocket).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (mut socket, _) = tungstenite::client("ws://localhost/ws", stream).unwrap();
        let greeting = socket.read().unwrap().into_text().unwrap();
        assert!(greeting.contains("connected"));
        socket
    };
    let (mut socket, _other) = (open(), open());
    let body = r#"{"type":"greeting","payload":"over a file"}"#;
    let head = "POST /api/broadcast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let answer = over_unix(&http, &request);
    assert!(answer.ends_with(r#"{"delivered":2}"#), "{answer}");
    let message: Value =
        serde_json::from_str(&socket.read().unwrap().into_text().unwrap()).unwrap();
    assert_eq!(message["payload"], "over a file");
    let clients = over_unix(&http, "GET /api/clients HTTP/1.0\r\n\r\n");
    assert!(clients.contains(r#""address":null"#), "{clients}");
    drop((socket, _other));
    server.stop().unwrap();
    assert!(
        !http.exists() && !websocket.exists(),
        "the sockets' files go with the server"
    );
}

#[test]
fn one_unix_socket_serves_both() {
    let path = socket_path("both");
    let port = ListenPort::UnixPath(path.display().to_string());
    let server = start(|config| (config.http.port, config.websocket.port) = (port.clone(), port));
    let health = over_unix(
        &path,
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(health.starts_with("HTTP/1.1 200 OK"), "{health}");
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut socket, _) = tungstenite::client("ws://localhost/ws", stream).unwrap();
    assert!(socket.read().unwrap().is_text());
    drop(socket);
    server.stop().unwrap();
}
