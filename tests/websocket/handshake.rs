//! Opening handshakes: which are taken, what they agree on, and how the others are refused.

use crate::raw::{Raw, upgrade};
use crate::support::{Answer, Http, LIMIT, Running, Viewer};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::{Message, WebSocket};

/// A handshake by tungstenite that asks for a subprotocol.
pub(crate) fn with_subprotocol(
    address: SocketAddr,
    path: &str,
    name: &str,
) -> WebSocket<TcpStream> {
    let uri = format!("ws://{address}{path}").parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(name);
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let (socket, response) = tungstenite::client(request, stream).expect("a handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], name);
    socket
}

fn refusal(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(
        !problem["detail"].as_str().unwrap_or_default().is_empty(),
        "{problem}"
    );
    problem
}

#[test]
fn both_paths_are_taken_and_no_other() {
    let server = Running::start(|config| config.websocket.path = "/progress".to_owned());
    Raw::open(server.websocket, "/progress");
    Raw::open(server.websocket, "/progress?batch=1&token=x");
    Raw::open(server.websocket, "/");
    for path in ["/ws", "/progress/", "/elsewhere", "//", "/%70rogress/x"] {
        let (_, answer) = upgrade(server.websocket, path, &[]);
        assert_eq!(refusal(&answer, 404)["field"], "path", "{path}");
    }
    let (_, answer) = upgrade(server.http, "/progress", &[]);
    refusal(&answer, 404);
}

#[test]
fn plain_requests_are_told_to_upgrade() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.websocket);
    for path in ["/ws", "/", "/ws?batch=1"] {
        let answer = http.request("GET", path, &[], b"");
        refusal(&answer, 426);
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
    for path in ["/health", "/api/tasks", "/wss"] {
        refusal(&http.request("GET", path, &[], b""), 404);
    }
    // The connection has lived through all that, and may still become a WebSocket.
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    http.send(head.as_bytes());
    let answer = http.answer(true);
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
}

#[test]
fn bad_handshakes_are_refused_by_name() {
    let server = Running::start(|_| {});
    for (name, value, status) in [
        ("Sec-WebSocket-Version", "8", 426),
        ("Sec-WebSocket-Version", "", 400),
        ("Sec-WebSocket-Key", "", 400),
        ("Sec-WebSocket-Key", "short", 400),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ!!", 400),
        ("Connection", "keep-alive", 426),
        ("Upgrade", "h2c", 426),
    ] {
        let (_, answer) = upgrade(server.websocket, "/ws", &[(name, value)]);
        let problem = refusal(&answer, status);
        if status == 400 {
            assert_eq!(problem["field"], name);
        }
        if name == "Sec-WebSocket-Version" && status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
    }
    let mut http = Http::connect(server.websocket);
    let headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    let answer = http.request("POST", "/ws", &headers, b"");
    assert_eq!(refusal(&answer, 405)["code"], "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET"));
}

#[test]
fn foreign_origins_and_hosts_are_refused() {
    let server = Running::start(|config| {
        config.server.allowed_origins = vec!["https://good.example".to_owned()];
        config.server.allowed_hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    });
    for (origin, status) in [
        ("https://good.example", 101),
        ("HTTPS://Good.Example", 101),
        ("http://good.example", 403),
        ("https://good.example.evil.example", 403),
        ("https://good.example:444", 403),
        ("null", 403),
    ] {
        let (_, answer) = upgrade(server.websocket, "/ws", &[("Origin", origin)]);
        assert_eq!(answer.status, status, "{origin}");
        if status == 403 {
            assert_eq!(refusal(&answer, 403)["field"], "origin");
        }
    }
    // Programs that are no browsers send none.
    Raw::open(server.websocket, "/ws");
    let mut http = Http::connect(server.websocket);
    http.send(b"GET /ws HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    assert_eq!(refusal(&http.answer(false), 421)["field"], "host");
}

#[test]
fn frames_may_follow_the_handshake_in_the_same_packet() {
    let server = Running::start(|_| {});
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let ping = crate::raw::frame(0x89, b"early");
    let mut http = Http::connect(server.websocket);
    http.send(&[head.as_bytes(), &ping].concat());
    let answer = http.answer(true);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[test]
fn the_greeting_says_all_of_section_4() {
    let server = Running::start(|config| {
        config.websocket.heartbeat_interval = 12_345;
        config.websocket.connection_timeout = 54_321;
        config.websocket.reconnect.max_attempts = 3;
        config.websocket.reconnect.delay = 250;
        config.websocket.reconnect.exponential_backoff = false;
    });
    let (one, other) = (server.viewer(), server.viewer());
    let payload = &one.greeting["payload"];
    assert!(one.greeting["timestamp"].is_u64());
    assert!(payload["clientId"].as_str().unwrap().starts_with("client_"));
    assert!(payload["session"].as_str().unwrap().len() >= 16);
    assert_eq!(payload["resumed"], false);
    assert_eq!(payload["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(payload["heartbeatInterval"], 12_345);
    assert_eq!(payload["connectionTimeout"], 54_321);
    let advice = json!({"maxAttempts": 3, "delay": 250, "exponentialBackoff": false});
    assert_eq!(payload["reconnect"], advice);
    assert_ne!(one.id(), other.id());
    assert_ne!(payload["session"], other.greeting["payload"]["session"]);
}

#[test]
fn the_json_subprotocol_may_be_asked_for() {
    let server = Running::start(|_| {});
    let mut socket = with_subprotocol(server.websocket, "/ws", "joblight.json");
    assert!(socket.read().unwrap().is_text());
    let offer = (
        "Sec-WebSocket-Protocol",
        "chat, joblight.msgpack, joblight.json",
    );
    let (_, answer) = upgrade(server.websocket, "/ws", &[offer]);
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        Some("joblight.json")
    );
    let offer = ("Sec-WebSocket-Protocol", "chat");
    let (_, answer) = upgrade(server.websocket, "/ws", &[offer]);
    assert_eq!(
        (answer.status, answer.header("sec-websocket-protocol")),
        (101, None)
    );
}

#[test]
fn a_whole_conversation_in_message_pack() {
    let server = Running::start(|_| {});
    let socket = with_subprotocol(server.websocket, "/ws", "joblight.msgpack");
    let mut viewer = Viewer {
        socket,
        greeting: Value::Null,
    };
    let send = |viewer: &mut Viewer, message: Value| {
        let bytes = rmp_serde::to_vec_named(&message).unwrap();
        viewer.socket.send(Message::binary(bytes)).unwrap();
    };
    let greeting = viewer.socket.read().unwrap();
    assert!(greeting.is_binary());
    let greeting: Value = rmp_serde::from_slice(&greeting.into_data()).unwrap();
    assert_eq!(greeting["type"], "connected");
    send(
        &mut viewer,
        json!({"type": "subscribe", "id": "s1", "payload": {"taskIds": ["t"], "batch": true}}),
    );
    let ack = viewer.expect("subscription_ack");
    assert_eq!(
        (&ack["replyTo"], &ack["payload"]["rooms"]),
        (&json!("s1"), &json!(["task:t"]))
    );
    server.post(
        "/api/tasks/t/progress",
        json!({"progress": 12.5, "meta": {"deep": [1, null, "é"]}}),
    );
    let progress = viewer.expect("task_progress");
    assert_eq!(progress["payload"]["progress"], 12.5);
    assert_eq!(progress["payload"]["meta"], json!({"deep": [1, null, "é"]}));
    let items: Vec<Value> = (0..3)
        .map(|item| json!({"type": "document_generated", "payload": {"taskId": "t", "item": item}}))
        .collect();
    server.post("/api/events", items.into());
    let batch = viewer.expect("batch");
    assert_eq!(batch["payload"]["messages"][2]["payload"]["item"], 2);
    send(&mut viewer, json!({"type": "nonsense", "id": 5}));
    let error = viewer.expect("error");
    assert_eq!(
        (&error["payload"]["code"], &error["replyTo"]),
        (&json!("unknown_type"), &json!(5))
    );
    viewer
        .socket
        .send(Message::binary(vec![0xC1, 0xFF]))
        .unwrap();
    assert_eq!(viewer.expect("error")["payload"]["code"], "invalid_json");
    send(
        &mut viewer,
        json!({"type": "ping", "payload": {"still": "here"}}),
    );
    assert_eq!(viewer.expect("pong")["payload"]["still"], "here");
}

#[test]
fn the_data_dialect_speaks_message_pack_too() {
    let server = Running::start(|_| {});
    let socket = with_subprotocol(server.websocket, "/", "joblight.msgpack");
    let mut viewer = Viewer {
        socket,
        greeting: Value::Null,
    };
    server.post(
        "/api/rooms/all/broadcast",
        json!({"type": "news", "payload": [1]}),
    );
    assert_eq!(viewer.next(), json!({"type": "news", "data": [1]}));
}
