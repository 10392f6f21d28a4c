//! The application's own link over real sockets: who may open it, what it hears, and where its words go.

use crate::support::{AUTHORIZATION, Http, LIMIT, Running, Viewer, guarded};
use joblight::Config;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

fn routes(config: &mut Config) {
    guarded(config, &["chat.*", "order.create"]);
}

/// A server, and the application on the HTTP listener.
fn start() -> (Running, Viewer) {
    let server = Running::start(routes);
    let backend = server.application();
    (server, backend)
}

/// The application with an `Authorization` header, or the status with which it was turned away.
fn authorized(address: SocketAddr, authorization: Option<&str>) -> Result<Viewer, u16> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = format!("ws://{address}/backend")
        .into_client_request()
        .unwrap();
    if let Some(authorization) = authorization {
        let headers = request.headers_mut();
        headers.insert("Authorization", authorization.parse().unwrap());
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(Viewer {
            socket,
            greeting: Value::Null,
        }),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            Err(answer.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

/// The payload of the complaint about a message.
fn complaint(backend: &mut Viewer, message: &Value) -> (String, String) {
    backend.send(message);
    let error = backend.expect("error");
    assert_eq!(error["requestId"], message["requestId"], "{error}");
    let text = |name: &str| error["payload"][name].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

#[test]
fn an_answer_comes_back_in_the_payload_dialect() {
    let (server, mut backend) = start();
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "chat.send", "payload": {"text": "hi", "n": 1.50}, "id": "q1"}));
    let request = backend.expect("chat.send");
    assert_eq!(request["payload"], json!({"text": "hi", "n": 1.5}));
    assert_eq!(request["clientId"], viewer.id());
    assert!(request["identity"].is_null() && request.get("data").is_none());
    backend.send(&json!({"requestId": request["requestId"], "payload": {"stored": true}}));
    let answer = viewer.expect("chat.send");
    assert_eq!(answer["payload"], json!({"stored": true}));
    assert_eq!(answer["replyTo"], "q1");
    viewer.send(&json!({"type": "order.create", "item": "book", "id": 2, "timestamp": 3}));
    let request = backend.expect("order.create");
    assert_eq!(request["payload"], json!({"item": "book"}));
    let name = request["requestId"].clone();
    backend.send(&json!({"requestId": name, "type": "order.created", "data": null}));
    let answer = viewer.expect("order.created");
    assert_eq!(
        (&answer["payload"], &answer["replyTo"]),
        (&Value::Null, &json!(2))
    );
}

#[test]
fn an_answer_comes_back_in_the_data_dialect() {
    let (server, mut backend) = start();
    let mut client = Viewer::connect(server.websocket, "/");
    client.send(&json!({"type": "chat.send", "data": ["hi"]}));
    let request = backend.expect("chat.send");
    assert_eq!(request["data"], json!(["hi"]));
    assert!(request.get("payload").is_none());
    backend.send(&json!({"requestId": request["requestId"], "payload": 5}));
    assert_eq!(client.next(), json!({"type": "chat.send", "data": 5}));
    client.send(&json!({"type": "order.create", "id": "o1", "item": "book"}));
    let request = backend.expect("order.create");
    assert_eq!(request["data"], json!({"id": "o1", "item": "book"}));
    let error = json!({"code": "sold_out", "message": "no \"book\" left"});
    backend.send(&json!({"requestId": request["requestId"], "error": error}));
    let answer = client.expect("error");
    assert_eq!(answer["message"], "no \"book\" left");
}

#[test]
fn an_error_goes_to_the_sender_with_the_applications_own_code() {
    let (server, mut backend) = start();
    let mut viewer = server.viewer();
    for (error, code) in [
        (
            json!({"code": "sold_out", "message": "none left"}),
            "sold_out",
        ),
        (json!({"message": "none left"}), "internal"),
    ] {
        viewer.send(&json!({"type": "order.create", "id": "q"}));
        let request = backend.expect("order.create");
        backend.send(&json!({"requestId": request["requestId"], "error": error}));
        let payload = viewer.expect("error")["payload"].clone();
        assert_eq!(
            payload,
            json!({"code": code, "message": "none left", "replyTo": "q"})
        );
    }
}

#[test]
fn words_go_to_a_client_to_rooms_and_to_all() {
    let (server, mut backend) = start();
    let (mut one, mut other) = (server.viewer(), server.viewer());
    other.send(&json!({"type": "subscribe", "rooms": ["r", "s"]}));
    other.expect("subscription_ack");
    backend.send(&json!({"clientId": one.id(), "type": "hint", "payload": {"n": 1}}));
    assert_eq!(one.expect("hint")["payload"], json!({"n": 1}));
    backend.send(&json!({"room": "r", "type": "said", "payload": "a"}));
    let said = other.expect("said");
    assert_eq!((&said["room"], &said["offset"]), (&json!("r"), &json!(1)));
    backend.send(&json!({"room": "s", "rooms": ["r", "s"], "type": "said", "payload": "b"}));
    let mut rooms = [other.expect("said"), other.expect("said")].map(|said| said["room"].clone());
    rooms.sort_by_key(Value::to_string);
    assert_eq!(rooms, ["r", "s"], "each once");
    backend.send(&json!({"all": true, "type": "news", "payload": "c"}));
    assert_eq!(other.expect("news")["payload"], "c");
    assert_eq!(one.expect("news")["payload"], "c");
    one.send(&json!({"type": "chat.send", "payload": "hello", "id": 1}));
    let request = backend.expect("chat.send");
    let name = &request["requestId"];
    backend.send(&json!({"requestId": name, "room": "r", "payload": "hello"}));
    assert_eq!(other.expect("chat.send")["room"], "r");
    let (code, text) = complaint(&mut backend, &json!({"requestId": name, "payload": 1}));
    assert_eq!(code, "not_found", "the room's answer settled it: {text}");
    one.send(&json!({"type": "ping"}));
    one.expect("pong");
    let history = server.document("/api/rooms/r/history");
    assert_eq!(history["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn the_link_needs_the_key_and_is_served_where_the_api_is() {
    let server = Running::start(routes);
    for wrong in [
        None,
        Some("Bearer s3cres"),
        Some("Bearer"),
        Some("Basic s3cret"),
    ] {
        assert_eq!(authorized(server.http, wrong).err(), Some(401), "{wrong:?}");
    }
    for authorization in [None, Some(AUTHORIZATION.1)] {
        let found = authorized(server.websocket, authorization);
        assert_eq!(found.err(), Some(404), "the public listener");
    }
    let mut backend = authorized(server.http, Some(AUTHORIZATION.1)).unwrap();
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "chat.send"}));
    assert_eq!(backend.expect("chat.send")["payload"], json!({}));
}

#[test]
fn routes_without_a_key_start_no_server() {
    let mut config = crate::support::config();
    routes(&mut config);
    config.http.api_key = String::new();
    let error = joblight::Server::start(&config).err().expect("a refusal");
    let text = error.to_string();
    assert!(
        text.contains("routes.types") && text.contains("http.api_key"),
        "{text}"
    );
}

#[test]
fn without_routes_and_key_the_link_is_open_to_programs_and_own_pages() {
    let server = Running::start(|_| {});
    Viewer::connect(server.http, "/backend");
    let upgrade = |address, origin| {
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", origin),
        ];
        let answer = Http::connect(address).request("GET", "/backend", &headers, b"");
        answer.status
    };
    assert_eq!(upgrade(server.http, "http://localhost:5173"), 101);
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
    ] {
        assert_eq!(upgrade(server.http, origin), 403, "{origin}");
        assert_eq!(upgrade(server.websocket, origin), 403, "{origin}");
    }
}

#[test]
fn foreign_pages_stay_outside_and_plain_requests_are_told_what_it_is() {
    let server = Running::start(|config| {
        routes(config);
        config.server.allowed_origins = vec!["https://example.com".to_owned()];
    });
    for (address, plain) in [
        (server.http, (426, "upgrade_required")),
        (server.websocket, (404, "not_found")),
    ] {
        let answer = Http::connect(address).request("GET", "/backend", &[], b"");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (plain.0, &json!(plain.1))
        );
        let upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", "https://evil.example"),
        ];
        let answer = Http::connect(address).request("GET", "/backend", &upgrade, b"");
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (403, &json!("origin"))
        );
    }
}

#[test]
fn what_is_wrong_with_a_message_is_said_on_the_link() {
    let (server, mut backend) = start();
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "chat.send"}));
    let name = backend.expect("chat.send")["requestId"].clone();
    for (message, code, text) in [
        (
            json!([1]),
            "invalid_message",
            "message: expected a JSON object",
        ),
        (json!({}), "invalid_message", "requestId: missing"),
        (
            json!({"requestId": "req_x", "payload": 1}),
            "not_found",
            "`req_x`",
        ),
        (
            json!({"requestId": name}),
            "invalid_message",
            "payload: missing",
        ),
        (
            json!({"requestId": name, "type": 5}),
            "invalid_message",
            "type: invalid type",
        ),
        (
            json!({"requestId": name, "type": "task_progress", "payload": 1}),
            "invalid_message",
            "`task_progress` is reserved",
        ),
        (
            json!({"requestId": name, "error": {}}),
            "invalid_message",
            "error: missing field `message`",
        ),
        (
            json!({"requestId": name, "room": "r", "error": {"message": ""}}),
            "invalid_message",
            "error: goes",
        ),
        (
            json!({"requestId": name, "clientId": "client_1", "payload": 1}),
            "not_found",
            "`client_1`",
        ),
        (
            json!({"error": {"message": "x"}}),
            "invalid_message",
            "requestId: missing",
        ),
        (
            json!({"all": true, "payload": 1}),
            "invalid_message",
            "type: missing",
        ),
        (
            json!({"rooms": ["r", ""], "type": "x", "payload": 1}),
            "invalid_message",
            "rooms[1]: expected",
        ),
    ] {
        let (found, told) = complaint(&mut backend, &message);
        assert_eq!(found, code, "{message}: {told}");
        assert!(told.contains(text), "{message}: {told}");
    }
}

#[test]
fn what_is_no_message_is_said_too_and_the_link_goes_on() {
    let (server, mut backend) = start();
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "chat.send"}));
    let name = backend.expect("chat.send")["requestId"].clone();
    for (message, code) in [
        (Message::text("{\"requestId\":"), "invalid_json"),
        (Message::binary(vec![0x80]), "invalid_message"),
    ] {
        backend.socket.send(message).unwrap();
        assert_eq!(backend.expect("error")["payload"]["code"], code);
    }
    backend.send(&json!({"requestId": name, "payload": "at last"}));
    assert_eq!(viewer.expect("chat.send")["payload"], "at last");
}

#[test]
fn own_types_are_never_given_away_and_unnamed_ones_stay_unknown() {
    let server = Running::start(|config| {
        routes(config);
        config.routes.types = vec!["*".to_owned()];
    });
    let mut backend = server.application();
    let (mut viewer, mut client) = (server.viewer(), Viewer::connect(server.websocket, "/"));
    viewer.subscribe(&["t"]);
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
    viewer.send(&json!({"type": "task_progress", "payload": {}}));
    assert_eq!(viewer.expect("error")["payload"]["code"], "unknown_type");
    client.send(&json!({"type": "ping"}));
    assert_eq!(
        client.expect("error")["message"],
        "unknown message type: ping"
    );
    viewer.send(&json!({"type": "anything"}));
    backend.expect("anything");
    let (server, _backend) = start();
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "order.delete"}));
    assert_eq!(viewer.expect("error")["payload"]["code"], "unknown_type");
}

#[test]
fn a_sender_is_told_in_its_language_that_nobody_is_there() {
    for (locale, text) in [
        ("en", "no application is connected that takes chat.send"),
        ("zh-CN", "没有已连接的应用程序处理该消息: chat.send"),
    ] {
        let server = Running::start(|config| {
            routes(config);
            config.locale = serde_json::from_value(json!(locale)).unwrap();
        });
        let mut viewer = server.viewer();
        viewer.send(&json!({"type": "chat.send", "id": 1}));
        let error = viewer.expect("error");
        let told = json!({"code": "not_found", "message": text, "replyTo": 1});
        assert_eq!(error["payload"], told);
        let mut backend = server.application();
        viewer.send(&json!({"type": "chat.send", "id": 2}));
        backend.expect("chat.send");
        backend.socket.close(None).unwrap();
        let error = viewer.expect("error")["payload"].clone();
        assert_eq!(
            (&error["code"], &error["replyTo"]),
            (&json!("internal"), &json!(2))
        );
    }
}
