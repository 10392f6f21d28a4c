//! Ids of tasks and names of rooms: every one that is taken can be watched, listed, shown and deleted.

use crate::support::{Http, Running};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

fn path_part(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

#[test]
fn every_id_that_is_taken_can_be_watched_shown_and_deleted() {
    let server = Running::start(|config| {
        config.websocket.publish = joblight::config::Publish::Anybody;
        config.websocket.max_rooms_per_client = 0;
    });
    for id in [
        "x".repeat(251),
        "x".repeat(252),
        "x".repeat(256),
        "é".repeat(128),
        format!("task:{}", "x".repeat(251)),
        "a/b c?#%".to_owned(),
        "...".to_owned(),
    ] {
        let path = format!("/api/tasks/{}", path_part(&id));
        let room = format!("task:{id}");
        let room_path = format!("/api/rooms/{}", path_part(&room));
        server.post(&format!("{path}/started"), json!({"total": 4}));
        let mut viewer = server.viewer();
        let ack = viewer.subscribe(&[&id])["payload"].clone();
        assert_eq!(
            (&ack["taskIds"], &ack["denied"]),
            (&json!([id]), &json!([]))
        );
        viewer.expect("task_progress");
        let mut other = server.viewer();
        other.send(&json!({"type": "subscribe", "rooms": [room], "since": {&room: ack["positions"][&room]}}));
        assert_eq!(
            other.expect("subscription_ack")["payload"]["denied"],
            json!([])
        );
        other.until("task_progress");
        viewer.send(&json!({"type": "history", "room": room}));
        assert_eq!(
            viewer.expect("history")["payload"]["messages"][0]["type"],
            "task_started"
        );
        assert_eq!(
            server.document(&format!("{room_path}/history"))["room"],
            room
        );
        server.post(&format!("{room_path}/broadcast"), json!({"payload": 1}));
        assert_eq!(viewer.expect("room_broadcast")["payload"], 1);
        other.until("room_broadcast");
        other.send(&json!({"type": "room_broadcast", "room": room, "message": 2}));
        assert_eq!(viewer.expect("room_broadcast")["payload"]["message"], 2);
        let third = server.viewer();
        let put = format!("/api/clients/{}/rooms/{}", third.id(), path_part(&room));
        assert_eq!(server.call("PUT", &put, &Value::Null).0, 204);
        assert_eq!(server.call("DELETE", &put, &Value::Null).0, 204);
        viewer.send(&json!({"type": "task_control", "taskId": id, "action": "pause"}));
        server.post(&format!("{path}/completed"), json!({}));
        viewer.until("task_completed");
        assert_eq!(server.document(&path)["taskId"], id);
        assert_eq!(server.document("/api/tasks")["tasks"][0]["taskId"], id);
        assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
        assert_eq!(server.call("GET", &path, &Value::Null).0, 404);
    }
}

#[test]
fn names_that_no_client_could_use_are_refused_with_the_reason() {
    let server = Running::start(|_| {});
    let long = "x".repeat(257);
    let event = |id: &str| json!({"type": "task_started", "taskId": id});
    let room_event = |room: &str| json!({"type": "chat", "room": room, "payload": 1});
    for (id, reason) in [
        ("a*", "pattern"),
        ("every-*-job", "pattern"),
        ("*", "pattern"),
        (".", "URL"),
        ("..", "URL"),
        (&long, "256 bytes"),
        ("", "256 bytes"),
        ("a\u{7}", "control"),
    ] {
        let item = json!({"type": "document_generated", "payload": {"taskId": id}});
        let flat = json!([event("fine"), event(id)]);
        for (body, field) in [
            (event(id), "taskId"),
            (item, "payload.taskId"),
            (flat, "[1].taskId"),
            (room_event(id), "room"),
        ] {
            let (status, problem) = server.call("POST", "/api/events", &body);
            assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body}");
            let detail = problem["detail"].as_str().expect("a reason");
            assert!(detail.contains(reason), "{id}: {detail}");
        }
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn names_that_no_client_could_use_are_refused_in_paths_and_subscriptions() {
    let server = Running::start(|_| {});
    let long = "x".repeat(257);
    for (method, path) in [
        ("POST", "/api/tasks/a%2A/started".to_owned()),
        ("POST", "/api/rooms/a%2A/broadcast".to_owned()),
        ("POST", format!("/api/rooms/task:{long}/broadcast")),
        (
            "PUT",
            format!("/api/clients/{}/rooms/a*", server.viewer().id()),
        ),
    ] {
        let (status, problem) = server.call(method, &path, &json!({"payload": 1}));
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid_message")),
            "{path}: {problem}"
        );
    }
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": ["a*"], "rooms": ["b*c", "."]}));
    let ack = viewer.expect("subscription_ack")["payload"].clone();
    assert_eq!(ack["rooms"], json!([]));
    for (denied, room) in ack["denied"]
        .as_array()
        .expect("a list")
        .iter()
        .zip(["task:a*", "b*c", "."])
    {
        assert_eq!(
            (&denied["room"], &denied["code"]),
            (&json!(room), &json!("invalid_message"))
        );
        assert!(denied["message"].is_string(), "{denied}");
    }
    // Types of messages are no names.
    server.post(
        "/api/rooms/r/broadcast",
        json!({"type": "a*", "payload": 1}),
    );
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    let (_, longest) = (server.document("/api/rooms"), "y".repeat(256));
    let mut http = Http::connect(server.http);
    let answer = http.request(
        "POST",
        &format!("/api/rooms/{longest}/broadcast"),
        &[],
        b"{\"payload\":1}",
    );
    assert_eq!(answer.status, 200);
}
