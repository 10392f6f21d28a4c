//! Only so many tasks: the ended make room, the others are told to wait.

use crate::support::{Http, Running};
use serde_json::{Value, json};

#[test]
fn tasks_that_have_ended_make_room_for_new_ones() {
    let server = Running::start(|config| config.broadcaster.max_tasks = 2);
    server.post("/api/tasks/a/started", json!({}));
    server.post("/api/tasks/b/started", json!({}));
    let mut http = Http::connect(server.http);
    let answer = http.request("POST", "/api/tasks/c/started", &[], b"");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("limit_exceeded"))
    );
    assert!(answer.header("retry-after").is_some());
    let lines = "{\"type\":\"task_progress\",\"taskId\":\"a\",\"progress\":5}\n{\"type\":\"task_started\",\"taskId\":\"c\"}";
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = http
        .request("POST", "/api/events", &kind, lines.as_bytes())
        .json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(1), &json!(1))
    );
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("max_tasks")
    );
    server.post("/api/tasks/a/progress", json!({"progress": 6}));
    server.post("/api/tasks/b/completed", json!({}));
    server.post("/api/tasks/c/started", json!({}));
    assert_eq!(
        server.call("GET", "/api/tasks/b", &Value::Null).0,
        404,
        "the oldest that has ended"
    );
    assert_eq!(server.document("/api/tasks/a")["progress"], 6);
    assert_eq!(server.document("/api/broadcaster/stats")["cacheSize"], 2);
}
