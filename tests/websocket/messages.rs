//! What clients say and are answered: errors that name the field, pings, batches, and the data dialect.

use crate::raw::{FIN, Raw, TEXT, frame};
use crate::support::{Running, Viewer};
use serde_json::{Value, json};
use tungstenite::Message;

/// Sends a text and expects an error of that code whose message has that part.
fn expect_error(viewer: &mut Viewer, text: &str, code: &str, part: &str) -> Value {
    viewer.socket.send(Message::text(text)).unwrap();
    let error = viewer.expect("error");
    let shown: String = text.chars().take(200).collect();
    assert_eq!(error["payload"]["code"], code, "{shown}: {error}");
    let message = error["payload"]["message"].as_str().unwrap();
    assert!(message.contains(part), "{shown}: {message}");
    error
}

#[test]
fn what_is_not_understood_is_answered_and_the_connection_goes_on() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    let cases = [
        ("", "invalid_json", ""),
        ("{", "invalid_json", ""),
        ("{\"type\":\"ping\"", "invalid_json", ""),
        ("nonsense", "invalid_json", ""),
        ("{\"type\":\"ping\"} {}", "invalid_json", ""),
        ("[]", "invalid_message", "object"),
        ("5", "invalid_message", "object"),
        ("{}", "invalid_message", "type"),
        (r#"{"type":5}"#, "invalid_message", "type"),
        (r#"{"type":null}"#, "invalid_message", "type"),
        (r#"{"type":""}"#, "unknown_type", ""),
        (r#"{"type":"nonsense"}"#, "unknown_type", "nonsense"),
        (
            r#"{"type":"subscription_ack"}"#,
            "unknown_type",
            "subscription_ack",
        ),
    ];
    for (text, code, part) in cases {
        expect_error(&mut viewer, text, code, part);
    }
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
}

#[test]
fn wrong_fields_are_named() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    let cases = [
        (r#"{"type":"ping","id":{}}"#, "invalid_message", "id"),
        (
            r#"{"type":"subscribe","taskIds":"t"}"#,
            "invalid_message",
            "taskIds",
        ),
        (
            r#"{"type":"subscribe","taskIds":["t",5]}"#,
            "invalid_message",
            "taskIds[1]",
        ),
        (
            r#"{"type":"subscribe","payload":{"rooms":{}}}"#,
            "invalid_message",
            "payload.rooms",
        ),
        (
            r#"{"type":"subscribe","since":{"r":"x"}}"#,
            "invalid_message",
            "since.r",
        ),
        (
            r#"{"type":"subscribe","payload":{"batch":1}}"#,
            "invalid_message",
            "payload.batch",
        ),
        (
            r#"{"type":"subscribe","payload":[[],[]]}"#,
            "invalid_message",
            "payload: expected a JSON object",
        ),
        (
            r#"{"type":"unsubscribe","rooms":7}"#,
            "invalid_message",
            "rooms",
        ),
        (r#"{"type":"join_room"}"#, "invalid_message", "room"),
        (
            r#"{"type":"leave_room","payload":{"room":1}}"#,
            "invalid_message",
            "room",
        ),
    ];
    for (text, code, part) in cases {
        expect_error(&mut viewer, text, code, part);
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let server = Running::start(|config| {
        config.websocket.control = joblight::config::Control::Anybody;
    });
    let mut viewer = server.viewer();
    let cases = [
        (
            r#"{"type":"room_broadcast","room":"r"}"#,
            "invalid_message",
            "message",
        ),
        (
            r#"{"type":"history","payload":{"room":"r","limit":-1}}"#,
            "invalid_message",
            "payload.limit",
        ),
        (
            r#"{"type":"history","payload":{"room":"nowhere"}}"#,
            "not_found",
            "nowhere",
        ),
        (
            r#"{"type":"task_control","taskId":"t","action":"explode"}"#,
            "invalid_message",
            "action",
        ),
        (
            r#"{"type":"task_control","taskId":"nothing","action":"cancel"}"#,
            "not_found",
            "nothing",
        ),
        (r#"{"type":"auth"}"#, "invalid_message", "token"),
        (r#"{"type":"auth","token":"x"}"#, "unauthorized", ""),
    ];
    for (text, code, part) in cases {
        expect_error(&mut viewer, text, code, part);
    }
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
}

#[test]
fn deep_and_hostile_json_is_refused_calmly() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    let deep = format!(r#"{{"type":"ping","payload":{}"#, "[".repeat(100_000));
    expect_error(&mut viewer, &deep, "invalid_json", "");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    expect_error(&mut viewer, &deep, "invalid_message", "object");
    let twice = r#"{"type":"ping","type":"pong"}"#;
    expect_error(&mut viewer, twice, "invalid_message", "type");
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(100_000));
    expect_error(&mut viewer, &long, "unknown_type", "");
}

#[test]
fn binary_to_a_json_client_is_an_error_message() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer
        .socket
        .send(Message::binary(&b"{\"type\":\"ping\"}"[..]))
        .unwrap();
    assert_eq!(viewer.expect("error")["payload"]["code"], "invalid_message");
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
}

#[test]
fn ids_come_back_as_reply_to() {
    let server =
        Running::start(|config| config.websocket.publish = joblight::config::Publish::Nobody);
    server.post("/api/rooms/r/broadcast", json!({"payload": 1}));
    let mut viewer = server.viewer();
    for (message, answer) in [
        (json!({"type": "ping"}), "pong"),
        (
            json!({"type": "subscribe", "rooms": ["r"]}),
            "subscription_ack",
        ),
        (
            json!({"type": "unsubscribe", "rooms": ["r"]}),
            "subscription_ack",
        ),
        (
            json!({"type": "join_room", "room": "r"}),
            "subscription_ack",
        ),
        (
            json!({"type": "leave_room", "room": "r"}),
            "subscription_ack",
        ),
        (json!({"type": "history", "room": "r"}), "history"),
        (
            json!({"type": "room_broadcast", "room": "r", "message": 1}),
            "error",
        ),
        (json!({"type": "nonsense"}), "error"),
        (json!({"type": "auth", "token": "x"}), "error"),
    ] {
        for id in [json!("a \"quoted\" id"), json!(42), json!(-1.5)] {
            let mut message = message.clone();
            message["id"] = id.clone();
            viewer.send(&message);
            let reply = viewer.expect(answer);
            assert_eq!(reply["replyTo"], id, "{message}");
            assert!(reply["timestamp"].is_u64());
            if answer == "error" {
                assert_eq!(reply["payload"]["replyTo"], id);
            }
        }
    }
}

#[test]
fn a_pong_brings_the_pings_payload_back() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for payload in [
        json!({"a": [1, 2.50, null]}),
        json!("text"),
        json!(0),
        json!([]),
    ] {
        viewer.send(&json!({"type": "ping", "payload": payload}));
        assert_eq!(viewer.expect("pong")["payload"], payload);
    }
    viewer.send(&json!({"type": "ping"}));
    assert_eq!(viewer.expect("pong")["payload"], json!({}));
}

/// Reports 25 items in one request; the sizes of the frames in which they come, which must be in order.
fn frames_of_25(server: &Running, viewer: &mut Viewer) -> Vec<usize> {
    let item =
        |item| json!({"type": "document_generated", "payload": {"taskId": "t", "item": item}});
    server.post("/api/events", (0..25).map(item).collect());
    let (mut sizes, mut seen) = (Vec::new(), 0);
    while seen < 25 {
        let message = viewer.next();
        let messages = match &message["payload"]["messages"] {
            Value::Array(messages) => messages.clone(),
            _ => vec![message],
        };
        for message in &messages {
            assert_eq!(message["payload"]["item"], seen, "{message}");
            seen += 1;
        }
        sizes.push(messages.len());
    }
    sizes
}

#[test]
fn batches_are_for_those_who_ask_and_no_larger_than_configured() {
    let server = Running::start(|config| config.broadcaster.batch_size = 10);
    let mut plain = server.viewer();
    plain.subscribe(&["t"]);
    let mut by_query = Viewer::connect(server.websocket, "/ws?batch=1");
    by_query.expect("connected");
    by_query.subscribe(&["t"]);
    let mut by_message = server.viewer();
    by_message.send(&json!({"type": "subscribe", "taskIds": ["t"], "batch": true}));
    by_message.expect("subscription_ack");
    assert_eq!(frames_of_25(&server, &mut plain), [1; 25]);
    assert_eq!(frames_of_25(&server, &mut by_query).last(), Some(&5));
    let mut fresh = Viewer::connect(server.websocket, "/ws?batch=1");
    fresh.expect("connected");
    fresh.subscribe(&["u"]);
    let item =
        |item| json!({"type": "document_generated", "payload": {"taskId": "u", "item": item}});
    server.post("/api/events", (0..25).map(item).collect());
    let sizes: Vec<usize> = (0..3)
        .map(|_| {
            fresh.expect("batch")["payload"]["messages"]
                .as_array()
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(frames_of_25(&server, &mut by_message)[0], 10);
}

/// What is put together for one reader is not compressed for it, and what goes into it was never compressed.
#[test]
fn a_batch_for_a_reader_that_takes_compressed_messages_is_readable() {
    let server = Running::start(|config| {
        config.websocket.enable_compression = true;
        config.websocket.compression_threshold = 1;
    });
    let mut reader = Raw::open_deflated(server.websocket, "/ws?batch=1");
    let subscribe = json!({"type": "subscribe", "taskIds": ["t"]}).to_string();
    reader.send(&frame(FIN | TEXT, subscribe.as_bytes()));
    assert_eq!(reader.message()["type"], "subscription_ack");
    let item =
        |item| json!({"type": "document_generated", "payload": {"taskId": "t", "item": item}});
    server.post("/api/events", (0..3).map(item).collect());
    let batch = reader.message();
    let messages = batch["payload"]["messages"].as_array().expect("a batch");
    assert_eq!(messages.len(), 3, "{batch}");
    assert_eq!(messages[2]["payload"]["item"], 2);
}

#[test]
fn the_data_dialect() {
    let server = Running::start(|_| {});
    let mut viewer = Viewer::connect(server.websocket, "/");
    let mut other = server.viewer();
    other.send(&json!({"type": "join_room", "room": "all"}));
    other.expect("subscription_ack");
    assert_eq!(
        server.document("/api/rooms/all/clients")["clients"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // No greeting came: the first message is the first broadcast, and it has two members only.
    server.post(
        "/api/rooms/all/broadcast",
        json!({"type": "news", "payload": {"n": 1}}),
    );
    assert_eq!(viewer.next(), json!({"type": "news", "data": {"n": 1}}));
    let same = other.expect("news");
    assert_eq!(
        (&same["payload"], &same["room"]),
        (&json!({"n": 1}), &json!("all"))
    );
    server.post(
        "/api/broadcast",
        json!({"type": "alarm", "payload": "fire"}),
    );
    assert_eq!(viewer.next(), json!({"type": "alarm", "data": "fire"}));
    server.post("/api/rooms/elsewhere/broadcast", json!({"payload": 0}));
    for (text, part) in [
        ("{", ""),
        (r#"{"type":"subscribe","rooms":["r"]}"#, "subscribe"),
        (r#"{"type":"ping"}"#, "ping"),
    ] {
        viewer.socket.send(Message::text(text)).unwrap();
        let error = viewer.next();
        assert_eq!(error["type"], "error");
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
}
