//! What peers of every kind ask for, in the words of their protocols.

use super::{Heard, PeerId, World};
use joblight::internals::engine::Services;
use serde_json::{Value, json};
use std::net::IpAddr;

/// A request to become a WebSocket, with further header lines.
pub(crate) fn upgrade_request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// An HTTP request with a JSON body.
pub(crate) fn request(method: &str, path: &str, body: &Value) -> String {
    let body = match body.is_null() {
        true => String::new(),
        false => body.to_string(),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl World {
    /// A peer connects.
    pub(crate) fn connect(&mut self, services: Services, address: [u8; 4]) -> PeerId {
        self.connect_from(services, Some(address.into()))
    }

    /// The same, from any address, or (`None`) over a Unix-domain socket.
    pub(crate) fn connect_from(&mut self, services: Services, address: Option<IpAddr>) -> PeerId {
        self.accept(services, address, true)
    }

    /// A client of the payload dialect, greeted.
    pub(crate) fn viewer(&mut self) -> PeerId {
        let viewer = self.upgrade("/ws", "");
        let greeting = self.messages(viewer);
        assert_eq!(greeting.len(), 1);
        assert_eq!(greeting[0]["type"], "connected");
        viewer
    }

    /// A viewer in the room of a task, with nothing heard yet.
    pub(crate) fn watcher(&mut self, task: &str) -> PeerId {
        let viewer = self.viewer();
        self.send(viewer, &json!({"type": "subscribe", "taskIds": [task]}));
        assert_eq!(self.messages(viewer)[0]["type"], "subscription_ack");
        viewer
    }

    /// A WebSocket connection on `path`, with further header lines.
    pub(crate) fn upgrade(&mut self, path: &str, headers: &str) -> PeerId {
        let peer = self.connect(Services::BOTH, [127, 0, 0, 1]);
        self.ask_upgrade(peer, path, headers);
        peer
    }

    /// A connection asks to become a WebSocket.
    pub(crate) fn ask_upgrade(&mut self, peer: PeerId, path: &str, headers: &str) {
        self.say(peer, upgrade_request(path, headers).as_bytes());
    }

    /// A request to the API from a connection of its own.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let peer = self.connect(Services::HTTP, [127, 0, 0, 1]);
        self.say(peer, request(method, path, body).as_bytes());
        let heard = self.heard(peer);
        self.leave(peer);
        match &heard[..] {
            [(_, Heard::Answer(status, body))] => (*status, body.clone()),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    /// A request that must be answered 2xx.
    pub(crate) fn post(&mut self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, &body);
        assert!(
            (200..300).contains(&status),
            "POST {path} {body}: {status} {answer}"
        );
        answer
    }

    /// A task event.
    pub(crate) fn report(&mut self, task: &str, verb: &str, body: Value) -> Value {
        self.post(&format!("/api/tasks/{task}/{verb}"), body)
    }

    /// A document that must be there.
    pub(crate) fn document(&mut self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, &Value::Null);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }
}
