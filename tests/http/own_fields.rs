//! The body of a per-task call belongs to the application: what it calls its fields, and what it says in them.

use crate::support::process::{Directory, Process};
use crate::support::{Http, Running};
use serde_json::{Value, json};

/// What an application keeps of its own job, under names that mean something to joblight elsewhere.
fn own() -> Value {
    json!({
        "id": "6650f1", "type": "contract", "timestamp": "2024-05-01", "room": 12, "data": [1, {"a": 2.5}],
        "payload": {"x": null}, "name": "Contracts", "seqId": true,
    })
}

fn with(fields: Value) -> Value {
    let mut body = own();
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

#[track_caller]
fn assert_holds(shown: &Value, fields: &Value) {
    for (name, value) in fields.as_object().expect("an object") {
        assert_eq!(&shown[name], value, "{name} in {shown}");
    }
}

#[test]
fn same_object_in_every_call_of_a_task_counts_every_time() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t9"]);
    for (verb, progress, kind) in [
        ("started", 0, "task_started"),
        ("progress", 50, "task_progress"),
        ("completed", 100, "task_completed"),
    ] {
        let answer = server.post(
            &format!("/api/tasks/t9/{verb}"),
            with(json!({"progress": progress})),
        );
        assert_eq!(
            (&answer["accepted"], &answer["dropped"]),
            (&json!(1), &json!(0)),
            "{verb}"
        );
        let message = viewer.until(kind).pop().expect("a message");
        assert_eq!(message["payload"]["progress"], progress, "{message}");
        if verb == "started" {
            assert_holds(&message["payload"], &own());
        }
    }
    assert_holds(&server.document("/api/tasks/t9"), &own());
}

#[test]
fn own_id_keeps_its_type_and_may_change_or_go() {
    let server = Running::start(|_| {});
    for id in [
        json!(7),
        json!(7.25),
        json!({"$oid": "6650f1"}),
        json!([1]),
        json!(false),
        json!("t"),
    ] {
        let answer = server.post("/api/tasks/t/progress", json!({"id": id, "progress": 5}));
        assert_eq!(answer["accepted"], 1, "{id}");
        assert_eq!(server.document("/api/tasks/t")["id"], id);
    }
    server.post("/api/tasks/t/progress", json!({"id": null}));
    assert_eq!(server.document("/api/tasks/t")["id"], Value::Null);
}

#[test]
fn own_fields_outlive_the_process() {
    let directory = Directory::new();
    let store = directory.text_path("joblight.db");
    let arguments = ["--storage.path", store.as_str()];
    let mut process = Process::serve(&directory, &arguments);
    process.post("/api/tasks/t/completed", &with(json!({"eventId": "e1"})));
    process.kill();
    let process = Process::serve(&directory, &arguments);
    let shown = Http::connect(process.http()).request("GET", "/api/tasks/t", &[], b"");
    assert_holds(&shown.json(), &own());
    assert_eq!(shown.json()["eventId"], Value::Null);
    process.stop();
}

#[test]
fn fields_inside_a_payload_are_the_applications_own_too() {
    let server = Running::start(|_| {});
    let event = json!({"type": "task_completed", "id": "e1", "timestamp": "soon", "payload": with(json!({"taskId": "t"}))});
    assert_eq!(server.post("/api/events", event)["accepted"], 1);
    assert_holds(&server.document("/api/tasks/t"), &own());
}

#[test]
fn flat_envelope_leaves_nothing_of_itself_with_the_task() {
    let server = Running::start(|_| {});
    let event = json!({"type": "task_progress", "id": "e1", "timestamp": 5, "room": "r", "taskId": "t", "name": "N"});
    assert_eq!(server.post("/api/events", event)["accepted"], 1);
    let shown = server.document("/api/tasks/t");
    assert_eq!(shown["name"], "N");
    for name in ["type", "id", "timestamp", "room", "eventId"] {
        assert_eq!(shown[name], Value::Null, "{name} in {shown}");
    }
}

#[test]
fn flat_messages_for_items_and_rooms_keep_their_fields() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": ["t"], "rooms": ["r"]}));
    viewer.expect("subscription_ack");
    let post = |body: Value| assert_eq!(server.post("/api/events", body)["accepted"], 1);
    post(
        json!({"type": "document_generated", "taskId": "t", "eventId": 1, "id": 1, "timestamp": 2, "pages": 3}),
    );
    let item = viewer.expect("document_generated");
    assert_eq!(item["payload"], json!({"taskId": "t", "pages": 3}));
    post(json!({"type": "chat", "room": "r", "id": 1, "eventId": "1", "text": "hi"}));
    assert_eq!(viewer.expect("chat")["payload"], json!({"text": "hi"}));
    post(
        json!({"type": "document_failed", "payload": {"taskId": "t", "eventId": 2, "id": "d1", "type": "pdf"}}),
    );
    let item = viewer.expect("document_failed");
    assert_eq!(
        item["payload"],
        json!({"taskId": "t", "id": "d1", "type": "pdf"})
    );
    // What a room is told is the application's, whatever it is called.
    for _ in 0..2 {
        post(json!({"type": "chat", "room": "r", "payload": {"eventId": 9}}));
        assert_eq!(viewer.expect("chat")["payload"], json!({"eventId": 9}));
    }
}
