//! Pretty-printed JSON goes to viewers without its white space, and to the letter otherwise, whichever way it came in.

use crate::support::{AUTHORIZATION, Http, Running, Viewer, guarded};
use serde_json::json;
use tungstenite::Message;

const PRETTY: &str = "{\n  \"a\" : [ 1.50 ,\t\"b  c\\\" { \" ],\r\n \"d\": { }\n}";
const COMPACT: &str = r#"{"a":[1.50,"b  c\" { "],"d":{}}"#;

fn start() -> Running {
    Running::start(|config| {
        config.broadcaster.broadcast_interval = 0;
        config.websocket.publish = joblight::config::Publish::Anybody;
        guarded(config, &["app.*"]);
    })
}

fn post(server: &Running, path: &str, body: &str) {
    let answer =
        Http::connect(server.http).request("POST", path, &[AUTHORIZATION], body.as_bytes());
    assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
}

fn watcher(server: &Running) -> Viewer {
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": ["t"], "rooms": ["r"]}));
    viewer.expect("subscription_ack");
    viewer
}

fn send(viewer: &mut Viewer, text: String) {
    viewer.socket.send(Message::text(text)).expect("it leaves");
}

/// The next message, as it was written, must have that part.
#[track_caller]
fn assert_next(viewer: &mut Viewer, part: &str) {
    loop {
        if let Message::Text(text) = viewer.socket.read().expect("a message") {
            assert!(text.contains(part) && !text.contains('\n'), "{text}");
            return;
        }
    }
}

#[test]
fn fields_of_tasks_and_items_are_compacted() {
    let server = start();
    let mut viewer = watcher(&server);
    for (name, verb) in [
        ("meta", "started"),
        ("own", "progress"),
        ("error", "failed"),
    ] {
        let body = format!("{{ \"{name}\" : {PRETTY},\n \"message\" : \" m  m \" }}");
        post(&server, &format!("/api/tasks/t/{verb}"), &body);
        assert_next(&mut viewer, &format!("\"{name}\":{COMPACT}"));
    }
    post(
        &server,
        "/api/tasks/u/completed",
        &format!("{{\"result\": {PRETTY} }}"),
    );
    let shown = Http::connect(server.http).request("GET", "/api/tasks/u", &[AUTHORIZATION], b"");
    let shown = String::from_utf8(shown.body).expect("text");
    assert!(shown.contains(&format!("\"result\":{COMPACT}")), "{shown}");
    let item = format!("{{ \"taskId\" : \"t\",\n\"x\" : {PRETTY} }}");
    post(
        &server,
        "/api/events",
        &format!("{{\"type\":\"document_failed\",\"payload\": {item} }}"),
    );
    assert_next(
        &mut viewer,
        &format!("\"payload\":{{\"taskId\":\"t\",\"x\":{COMPACT}}}"),
    );
}

#[test]
fn payloads_of_messages_are_compacted() {
    let server = start();
    let mut viewer = watcher(&server);
    let payload = format!("{{\"payload\": {PRETTY} }}");
    post(
        &server,
        "/api/events",
        &format!("{{\"type\":\"chat\",\"room\":\"r\",\"data\": {PRETTY} }}"),
    );
    post(&server, "/api/rooms/r/broadcast", &payload);
    post(&server, "/api/broadcast", &payload);
    post(
        &server,
        &format!("/api/clients/{}/send", viewer.id()),
        &payload,
    );
    let mut backend = server.application();
    send(
        &mut backend,
        format!("{{\"room\":\"r\",\"type\":\"x\",\"payload\": {PRETTY} }}"),
    );
    for _ in 0..5 {
        assert_next(&mut viewer, &format!("\"payload\":{COMPACT},"));
    }
    let raw = serde_json::value::RawValue::from_string(PRETTY.to_owned()).expect("JSON");
    assert_eq!(server.handle().send_to_room("r", "y", &raw), Ok(1));
    assert_next(&mut viewer, &format!("\"payload\":{COMPACT},"));
}

#[test]
fn what_clients_say_is_compacted() {
    let server = start();
    let (mut viewer, mut other) = (watcher(&server), watcher(&server));
    let mut backend = server.application();
    send(
        &mut other,
        format!("{{\"type\":\"room_broadcast\",\"room\":\"r\",\"message\": {PRETTY} }}"),
    );
    assert_next(&mut viewer, &format!("\"message\":{COMPACT},"));
    send(
        &mut other,
        format!("{{\"type\":\"app.x\",\"payload\": {PRETTY} }}"),
    );
    assert_next(&mut backend, &format!("\"payload\":{COMPACT},"));
    send(
        &mut other,
        format!("{{\"type\":\"ping\",\"payload\": {PRETTY} }}"),
    );
    assert_next(&mut other, &format!("\"payload\":{COMPACT},"));
    let mut editor = Viewer::connect(server.websocket, "/");
    let create = format!("{{ \"name\" : \"n\", \"view\" : {PRETTY} }}");
    send(
        &mut editor,
        format!("{{\"type\":\"workspace.create\",\"data\": {create} }}"),
    );
    assert_next(&mut editor, &format!("\"view\":{COMPACT}"));
}
