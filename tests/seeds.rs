//! The transcripts of the two documents that joblight began from, word for word.

mod support;

use joblight::config::Locale;
use serde_json::json;
use support::{Running, Viewer};
use tungstenite::Message;

/// Seed 001: connect, send `{"type":"ping"}`, read the error.
#[test]
fn the_second_seeds_transcript() {
    let server = Running::start(|config| config.locale = Locale::SimplifiedChinese);
    let mut viewer = Viewer::connect(server.websocket, "/");
    viewer
        .socket
        .send(Message::text(r#"{"type":"ping"}"#))
        .unwrap();
    let answer = viewer.socket.read().unwrap().into_text().unwrap();
    assert_eq!(
        answer.as_str(),
        r#"{"type":"error","message":"未知消息类型: ping"}"#
    );
}

/// Seed 000: subscribe in the client's own shape, and see a task from its start to its end.
#[test]
fn the_first_seeds_client() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.send(&json!({
        "type": "subscribe",
        "taskIds": ["task-123", "task-456"],
        "rooms": ["task:task-123"]
    }));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["taskIds"], json!(["task-123", "task-456"]));
    server.post("/api/tasks/task-123/started", json!({"total": 2}));
    assert_eq!(
        viewer.expect("task_started")["payload"]["taskId"],
        "task-123"
    );
    server.post("/api/tasks/task-123/progress", json!({"current": 1}));
    let progress = viewer.expect("task_progress");
    assert_eq!(progress["payload"]["progress"], 50);
    assert_eq!(progress["payload"]["snapshot"], true);
    server.post(
        "/api/tasks/task-123/completed",
        json!({"result": {"files": 2}}),
    );
    let completed = viewer.expect("task_completed");
    assert_eq!(completed["payload"]["result"], json!({"files": 2}));
    assert_eq!(completed["payload"]["progress"], 100);
    assert!(completed["timestamp"].is_u64());
}
