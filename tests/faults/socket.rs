//! Sockets of this folder: requests that may fail because the server dies, and crowds of viewers.

use crate::support::{LIMIT, Viewer};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

/// A producer's connection; every failure is an answer too.
pub(crate) struct Producer(BufReader<TcpStream>);

impl Producer {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status and the JSON of the answer to a POST.
    pub(crate) fn post(&mut self, path: &str, kind: &str, body: &str) -> io::Result<(u16, Value)> {
        self.request("POST", path, kind, body)
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<(u16, Value)> {
        self.request("GET", path, "application/json", "")
    }

    fn request(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &str,
    ) -> io::Result<(u16, Value)> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok((status.expect("a status line"), body))
    }

    /// Posts JSON, and waits for no answer.
    pub(crate) fn send_only(&mut self, path: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let written = self.0.get_mut().write_all(request.as_bytes());
        written.expect("the bytes leave");
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// A connection whose system buffers at this end are small.
pub(crate) fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    socket.connect(&address.into()).expect("a connection");
    socket.into()
}

/// Asks for an upgrade and does not wait for the answer.
pub(crate) fn ask(stream: &mut TcpStream, path: &str) {
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
}

/// Reads the answer to an upgrade, and the greeting.
pub(crate) fn greeted(mut stream: TcpStream) -> Viewer {
    let mut bytes = Vec::new();
    let end = loop {
        let mut buffer = [0; 2048];
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "closed in the handshake");
        bytes.extend_from_slice(&buffer[..count]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    assert!(bytes.starts_with(b"HTTP/1.1 101 "), "{bytes:?}");
    let rest = bytes.split_off(end);
    let socket = WebSocket::from_partially_read(stream, rest, Role::Client, None);
    let mut viewer = Viewer {
        socket,
        greeting: Value::Null,
    };
    viewer.greeting = viewer.expect("connected");
    viewer
}

/// Kilobytes of memory that a process has.
pub(crate) fn resident_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.expect("a size").trim().parse().expect("a number")
}

/// Asks again until a document satisfies `wanted`.
pub(crate) fn wait_for(
    address: SocketAddr,
    path: &str,
    mut wanted: impl FnMut(&Value) -> bool,
) -> Value {
    let began = std::time::Instant::now();
    let mut asker = Producer::connect(address).expect("a connection");
    loop {
        let (_, document) = asker.get(path).expect("an answer");
        if wanted(&document) {
            return document;
        }
        assert!(began.elapsed() < LIMIT, "GET {path} still says {document}");
        std::thread::yield_now();
    }
}
