//! A WebSocket client that sends exactly the bytes it is told to, right or wrong.

use crate::support::{Answer, Http};
use std::io::Read;
use std::net::SocketAddr;

/// FIN and the opcodes of RFC 6455 section 5.2.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame as a client must send it: its first byte, then the payload, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    announced(first, payload.len(), payload)
}

/// The same, but the header announces `length` bytes, whatever follows.
pub(crate) fn announced(first: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(masked(payload));
    bytes
}

/// The payload under the mask of every frame here.
pub(crate) fn masked(payload: &[u8]) -> Vec<u8> {
    let keys = MASK.iter().cycle();
    payload
        .iter()
        .zip(keys)
        .map(|(byte, key)| byte ^ key)
        .collect()
}

/// The mask itself, for headers written by hand.
pub(crate) fn mask() -> [u8; 4] {
    MASK
}

/// The headers of a handshake, without those named, and with those added.
pub(crate) fn upgrade(address: SocketAddr, path: &str, changes: &[(&str, &str)]) -> (Http, Answer) {
    let usual = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = usual.iter().filter(|(name, _)| !is_changed(name));
    let added = changes.iter().filter(|(_, value)| !value.is_empty());
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in kept.chain(added) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut http = Http::connect(address);
    http.send(format!("{head}\r\n").as_bytes());
    let answer = http.answer(false);
    (http, answer)
}

/// An open WebSocket.
pub(crate) struct Raw {
    http: Http,
}

impl Raw {
    /// Shakes hands, and reads the greeting where there is one.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Self {
        let (http, answer) = upgrade(address, path, &[]);
        assert_eq!(answer.status, 101, "{answer:?}");
        let mut raw = Self { http };
        if path != "/" {
            let (first, greeting) = raw.read_frame().expect("a greeting");
            assert_eq!(first, FIN | TEXT);
            assert!(greeting.starts_with(br#"{"type":"connected""#));
        }
        raw
    }

    /// An open WebSocket that takes compressed messages; its greeting, which may be one, is read.
    pub(crate) fn open_deflated(address: SocketAddr, path: &str) -> Self {
        let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
        let (http, answer) = upgrade(address, path, &[offer]);
        assert!(answer.header("sec-websocket-extensions").is_some());
        let mut raw = Self { http };
        raw.read_frame().expect("a greeting");
        raw
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.http.send(bytes);
    }

    /// The next frame: its first byte and its payload. `None` at the end.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.http.is_at_end() {
            return None;
        }
        let [first, second] = self.take();
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let length = match second {
            126 => u64::from(u16::from_be_bytes(self.take())),
            127 => u64::from_be_bytes(self.take()),
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.http
            .stream
            .read_exact(&mut payload)
            .expect("a payload");
        Some((first, payload))
    }

    /// The next frame, a message, as JSON.
    pub(crate) fn message(&mut self) -> serde_json::Value {
        let (first, payload) = self.read_frame().expect("a message");
        assert_eq!(first, FIN | TEXT, "{payload:?}");
        serde_json::from_slice(&payload).expect("JSON")
    }

    /// Reads to the end: the code of the close frame, which must be the last frame.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        let (first, payload) = self.read_frame()?;
        assert_eq!(first, FIN | CLOSE, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(self.read_frame(), None, "nothing follows a close frame");
        Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]))
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.http.stream.read_exact(&mut bytes).expect("a header");
        bytes
    }
}
