//! What the black-box tests share: servers on ports that the system chose, and clients that are not ours.
//!
//! Nothing here sleeps: every wait is a blocking read with a limit that only a failing test reaches.
#![allow(dead_code, unreachable_pub)]

pub mod optional;
pub mod process;

use joblight::config::Auto;
use joblight::{Config, ListenPort, Server};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tungstenite::client::ClientRequestBuilder;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// What only a failing test waits for.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a server with [`guarded`] routes wants to be shown.
pub const AUTHORIZATION: (&str, &str) = ("Authorization", "Bearer s3cret");

/// Messages of these types go to the application, which must prove itself.
pub fn guarded(config: &mut Config, types: &[&str]) {
    config.routes.types = types.iter().map(|text| (*text).to_owned()).collect();
    config.http.api_key = "s3cret".to_owned();
}

/// The embedded defaults on ports of the system's choice, without rate limits, in memory only.
pub fn config() -> Config {
    let mut config = Config::default();
    config.http.port = ListenPort::Number(0);
    config.websocket.port = ListenPort::Number(0);
    config.storage.path = String::new();
    config.websocket.rate_limit.max_connections_per_minute = 0;
    config.websocket.rate_limit.max_messages_per_minute = 0;
    // Everybody here comes from the loopback, and is to be limited where a test limits anybody.
    config.server.trusted_proxies = Vec::new();
    config.server.max_connections_per_address = 0;
    config.websocket.max_clients_per_address = 0;
    config
}

/// So many connections of an address at once and in each minute.
pub fn limit_connections(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_connections_per_minute = count;
    limits.connection_burst = Auto::Number(count);
}

/// So many messages of a client at once and in each minute.
pub fn limit_messages(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_messages_per_minute = count;
    limits.message_burst = Auto::Number(count);
}

/// A server that runs as long as this lives.
pub struct Running {
    server: Option<Server>,
    /// The WebSocket listener.
    pub websocket: SocketAddr,
    /// The HTTP listener.
    pub http: SocketAddr,
}

impl Running {
    /// Starts a server with the defaults, changed by `change`.
    pub fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let server = Server::start(&config).expect("the server starts");
        let addresses = server.addresses();
        let websocket = addresses.websocket.expect("a WebSocket port");
        let http = addresses.http.expect("an HTTP port");
        Self {
            server: Some(server),
            websocket,
            http,
        }
    }

    /// A way to the server in Rust.
    pub fn handle(&self) -> joblight::Handle {
        self.server.as_ref().expect("it runs").handle()
    }

    /// A viewer of the payload dialect that has been greeted.
    pub fn viewer(&self) -> Viewer {
        let mut viewer = Viewer::connect(self.websocket, "/ws");
        viewer.greeting = viewer.expect("connected");
        viewer
    }

    /// The application on its own link.
    pub fn application(&self) -> Viewer {
        Viewer::application(self.http, "s3cret")
    }

    /// A request to the API; the answer's status and JSON body (`null` when it has none).
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut http = Http::connect(self.http);
        let response = http.request(
            method,
            path,
            &[("Content-Type", "application/json"), AUTHORIZATION],
            body.as_bytes(),
        );
        (response.status, response.json())
    }

    /// A request that must be answered 2xx.
    pub fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, &body);
        assert!(
            (200..300).contains(&status),
            "POST {path} {body}: {status} {answer}"
        );
        answer
    }

    /// A document that must be there.
    pub fn document(&self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, &Value::Null);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// Shuts down as SIGTERM would, and waits for the end.
    pub fn stop(mut self) {
        self.server
            .take()
            .expect("it runs")
            .stop()
            .expect("a clean end");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            // The first call drains, the second ends at once.
            let handle = server.handle();
            let _ = handle.stop();
            let _ = handle.stop();
            let _ = server.join();
        }
    }
}

/// A WebSocket client: tungstenite's.
pub struct Viewer {
    pub socket: WebSocket<TcpStream>,
    /// The `connected` message, for viewers made by [`Running::viewer`].
    pub greeting: Value,
}

impl Viewer {
    /// Connects to a path of the WebSocket listener.
    pub fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        let (socket, _) =
            tungstenite::client(format!("ws://{address}{path}"), stream).expect("a handshake");
        Self {
            socket,
            greeting: Value::Null,
        }
    }

    /// Connects as the application, with its key.
    pub fn application(address: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let uri = format!("ws://{address}/backend");
        let request = ClientRequestBuilder::new(uri.parse().expect("an address"))
            .with_header("Authorization", format!("Bearer {key}"));
        let (socket, _) = tungstenite::client(request, stream).expect("a handshake");
        Self {
            socket,
            greeting: Value::Null,
        }
    }

    /// The client id of the greeting.
    pub fn id(&self) -> String {
        self.greeting["payload"]["clientId"]
            .as_str()
            .expect("a client id")
            .to_owned()
    }

    /// Sends a message.
    pub fn send(&mut self, message: &Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .expect("the message leaves");
    }

    /// The next message that is no control frame.
    pub fn next(&mut self) -> Value {
        loop {
            match self.socket.read().expect("a message") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Binary(bytes) => {
                    return rmp_serde::from_slice(&bytes).expect("MessagePack");
                }
                _ => {}
            }
        }
    }

    /// The next message, which must be of that type.
    pub fn expect(&mut self, kind: &str) -> Value {
        let message = self.next();
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Messages up to and with the first of that type.
    pub fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.next();
            let found = message["type"] == kind;
            messages.push(message);
            if found {
                return messages;
            }
        }
    }

    /// Subscribes to tasks and returns the acknowledgement.
    pub fn subscribe(&mut self, tasks: &[&str]) -> Value {
        self.send(&serde_json::json!({"type": "subscribe", "taskIds": tasks}));
        self.expect("subscription_ack")
    }

    /// Reads to the end; the code with which the server closed.
    pub fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => {
                    code = frame.map(|frame| CloseCode::into(frame.code)).or(code)
                }
                Ok(_) => {}
                Err(_) => return code,
            }
        }
    }
}

/// An HTTP client that shows what was sent, byte for byte.
pub struct Http {
    pub stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&self.body).expect("JSON")
        }
    }
}

impl Http {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream
            .get_mut()
            .write_all(bytes)
            .expect("the bytes leave");
    }

    /// Sends a request and reads its answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        headers
            .iter()
            .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.send(&[head.as_bytes(), body].concat());
        self.answer(method == "HEAD")
    }

    /// Reads an answer.
    pub fn answer(&mut self, head_only: bool) -> Answer {
        let status_line = self.line();
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status line");
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        if !head_only {
            answer.body = vec![0; length];
            self.stream.read_exact(&mut answer.body).expect("the body");
        }
        answer
    }

    /// Whether the server has closed.
    pub fn is_at_end(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}
