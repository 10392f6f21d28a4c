//! What is relayed as it came must be readable to those who get it.

use crate::support::{Http, Running, Viewer};
use serde_json::{Value, json};

/// Half of an emoji, which is forgiven to producers and to nobody else.
const HALF: &str = r#""cut \ud83d""#;

/// JSON that a parser passes over and gives no value.
fn unreadable() -> [String; 2] {
    [
        "1e400".to_owned(),
        format!("{}{}", "[".repeat(126), "]".repeat(126)),
    ]
}

fn post(server: &Running, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut http = Http::connect(server.http);
    let answer = http.request("POST", path, &[("Content-Type", kind)], body.as_bytes());
    (answer.status, answer.json())
}

#[test]
fn what_nobody_could_read_is_refused_everywhere() {
    let server = Running::start(|_| {});
    for value in unreadable() {
        let message = |kind: &str, field: &str| {
            format!(
                r#"{{"type":"{kind}","room":"r","payload":{{"taskId":"t","{field}":{value}}}}}"#
            )
        };
        for (path, body) in [
            ("/api/tasks/t/progress", format!(r#"{{"own":{value}}}"#)),
            (
                "/api/tasks/t/progress",
                format!(r#"{{"meta":{{"a":{value}}}}}"#),
            ),
            ("/api/tasks/t/completed", format!(r#"{{"result":{value}}}"#)),
            ("/api/events", message("task_progress", "own")),
            (
                "/api/events",
                format!("[{}]", message("task_failed", "error")),
            ),
            ("/api/events", message("document_generated", "pages")),
            ("/api/events", message("chat", "text")),
            (
                "/api/rooms/r/broadcast",
                format!(r#"{{"payload":{value}}}"#),
            ),
            ("/api/broadcast", format!(r#"{{"payload":[{value}]}}"#)),
        ] {
            let (status, answer) = post(&server, path, "application/json", &body);
            let reason = answer["detail"].as_str().unwrap_or_default();
            assert_eq!(status, 400, "{path} {body}: {answer}");
            assert!(
                ["out of range", "64 levels"]
                    .iter()
                    .any(|part| reason.contains(part)),
                "{answer}"
            );
        }
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    assert_eq!(server.document("/api/rooms")["rooms"], json!([]));
}

#[test]
fn an_unreadable_line_is_an_error_and_the_others_count() {
    let server = Running::start(|_| {});
    let mut viewer = Viewer::connect(server.websocket, "/ws");
    viewer.expect("connected");
    viewer.subscribe(&["t"]);
    let [beyond, ..] = unreadable();
    let line = |value: &str| {
        format!(r#"{{"type":"task_started","payload":{{"taskId":"t","own":{value}}}}}"#)
    };
    let body = [line(&beyond), line(r#""\ud83d\ude00""#)].join("\n");
    let (status, answer) = post(&server, "/api/events", "application/x-ndjson", &body);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (
            &answer["accepted"],
            &answer["rejected"],
            &answer["errors"][0]["line"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    let started = viewer.until("task_started").pop().expect("a message");
    assert_eq!(started["payload"]["own"], "\u{1f600}");
}

#[test]
fn a_client_that_says_what_nobody_could_read_is_told() {
    let server = Running::start(|config| {
        config.websocket.publish = joblight::config::Publish::Anybody;
    });
    let mut viewer = server.viewer();
    for value in unreadable().into_iter().chain([HALF.to_owned()]) {
        let text = format!(r#"{{"type":"room_broadcast","room":"r","message":{value}}}"#);
        let message = tungstenite::Message::text(text);
        viewer.socket.send(message).expect("the message leaves");
        let error = viewer.expect("error");
        assert_eq!(error["payload"]["code"], "invalid_json", "{error}");
    }
}
