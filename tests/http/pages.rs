//! Pages of lists: their limits, and lists of what is not there.

use crate::support::Running;
use serde_json::{Value, json};

#[test]
fn the_limit_0_is_none() {
    let server = Running::start(|_| {});
    for number in 0..120 {
        server.post(&format!("/api/tasks/t{number}/started"), json!({}));
    }
    for number in 0..3 {
        server.post("/api/rooms/r/broadcast", json!({"payload": number}));
    }
    let count = |path: &str, name: &str| server.document(path)[name].as_array().map(Vec::len);
    assert_eq!(count("/api/tasks", "tasks"), Some(100));
    assert_eq!(count("/api/tasks?limit=0", "tasks"), Some(120));
    assert_eq!(count("/api/rooms/r/history?limit=0", "messages"), Some(3));
}

#[test]
fn a_room_that_is_not_there_has_no_clients_and_is_not_named_at_length() {
    let server = Running::start(|_| {});
    let long = "x".repeat(10_000);
    for path in [
        "/api/rooms/nosuch/clients".to_owned(),
        "/api/rooms/nosuch/history".to_owned(),
        format!("/api/rooms/{long}/clients"),
        format!("/api/rooms/{long}/history"),
    ] {
        let (status, problem) = server.call("GET", &path, &Value::Null);
        assert_eq!(
            (status, &problem["field"]),
            (404, &json!("room")),
            "{problem}"
        );
        assert!(problem.to_string().len() < 400, "{problem}");
    }
}
