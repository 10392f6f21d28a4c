//! JSON as it is really sent: with a byte order mark, cut in the middle of an emoji, in another envelope.

use crate::support::{Http, Running, Viewer, guarded};
use serde_json::{Value, json};
use tungstenite::Message;

const JSON: &str = "application/json";
const MARK: &str = "\u{feff}";
/// What is left of an emoji whose text was cut, in either order.
const HALVES: [&str; 3] = [r"\ud83d", r"\uDE00", r"\ude00\ud83d"];

fn post(server: &Running, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let mut http = Http::connect(server.http);
    let answer = http.request("POST", path, &[("Content-Type", kind)], body.as_bytes());
    (answer.status, answer.json())
}

fn watcher(server: &Running) -> Viewer {
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": ["t"], "rooms": ["r"]}));
    viewer.expect("subscription_ack");
    viewer
}

#[test]
fn byte_order_mark_is_skipped_wherever_text_comes_in() {
    let server = Running::start(|_| {});
    let event = |task: &str| json!({"type": "task_started", "taskId": task}).to_string();
    let cloud = json!({"specversion": "1.0", "type": "task_started", "source": "s", "id": "1", "subject": "e"});
    for (path, kind, body) in [
        ("/api/tasks/a/started", "application/json", "{}".to_owned()),
        ("/api/tasks/a2/started", "application/json", String::new()),
        ("/api/events", "application/json", event("b")),
        (
            "/api/events",
            "application/json",
            format!("[{}]", event("c")),
        ),
        (
            "/api/events",
            "application/x-ndjson",
            format!("{}\n{}\n", event("d"), event("d2")),
        ),
        (
            "/api/events",
            "application/x-ndjson",
            format!("\r\n{}", event("d3")),
        ),
        (
            "/api/events",
            "application/cloudevents+json",
            cloud.to_string(),
        ),
        (
            "/api/rooms/r/broadcast",
            "application/json",
            r#"{"payload":1}"#.to_owned(),
        ),
        (
            "/api/broadcast",
            "application/json",
            r#"{"payload":1}"#.to_owned(),
        ),
    ] {
        let (status, answer) = post(&server, path, kind, &format!("{MARK}{body}"));
        assert_eq!(status, 200, "{path} {body}: {answer}");
        assert_eq!(answer["rejected"], Value::Null, "{answer}");
    }
    let tasks = server.document("/api/tasks");
    let mut ids: Vec<&str> = tasks["tasks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|task| task["taskId"].as_str())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "a2", "b", "c", "d", "d2", "d3", "e"]);
}

#[test]
fn byte_order_mark_in_a_web_socket_message_is_skipped() {
    let server = Running::start(|config| guarded(config, &["chat.*"]));
    let mut viewer = server.viewer();
    let marked = |text: Value| Message::text(format!("{MARK}{text}"));
    viewer
        .socket
        .send(marked(json!({"type": "ping"})))
        .expect("it leaves");
    viewer.expect("pong");
    let mut backend = server.application();
    let all = json!({"all": true, "type": "chat.all", "payload": 1});
    backend.socket.send(marked(all)).expect("it leaves");
    viewer.expect("chat.all");
    let mut editor = Viewer::connect(server.websocket, "/");
    editor
        .socket
        .send(marked(
            json!({"type": "workspace.create", "data": {"name": "n"}}),
        ))
        .expect("it leaves");
    editor.expect("workspace.created");
}

#[test]
fn byte_order_mark_in_pieces_is_skipped_too() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    http.send(
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    );
    let text = format!("{MARK}{}\n", json!({"type": "task_started", "taskId": "t"}));
    for byte in text.as_bytes() {
        http.send(&[b"1\r\n", &[*byte][..], b"\r\n"].concat());
    }
    http.send(b"0\r\n\r\n");
    let answer = http.answer(false).json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(1), &Value::Null)
    );
}

#[test]
fn half_an_emoji_of_a_worker_is_repaired_and_counted() {
    let server = Running::start(|_| {});
    for half in HALVES {
        let count = half.matches(r"\u").count();
        let shown = "\u{fffd}".repeat(count);
        let body =
            format!(r#"{{"result":{{"a":["x{half}"]}},"message":"m{half}","own":"{half}"}}"#);
        let (status, answer) = post(&server, "/api/tasks/t/completed", JSON, &body);
        assert_eq!(
            (status, &answer["accepted"], &answer["repaired"]),
            (200, &json!(1), &json!(3 * count)),
            "{answer}"
        );
        let task = server.document("/api/tasks/t");
        assert_eq!(task["result"]["a"][0], format!("x{shown}"));
        assert_eq!(
            (&task["message"], &task["own"]),
            (&json!(format!("m{shown}")), &json!(shown))
        );
        server.call("DELETE", "/api/tasks/t", &Value::Null);
    }
    let whole = r#"{"message":"\ud83d\ude00 \\ud83d \u00e9"}"#;
    let (_, answer) = post(&server, "/api/tasks/t/progress", JSON, whole);
    assert_eq!(
        (&answer["accepted"], &answer["repaired"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        server.document("/api/tasks/t")["message"],
        "\u{1f600} \\ud83d é"
    );
}

/// Calls that show a room or a client half an emoji as the payload, and how many lone surrogates each has.
fn calls_with(
    half: &str,
    number: usize,
    client: &str,
) -> Vec<(String, &'static str, String, usize)> {
    let count = half.matches(r"\u").count();
    let events = || "/api/events".to_owned();
    let room = format!(r#"{{"type":"chat","room":"r","payload":"{half}"}}"#);
    let whole = r#"{"type":"chat","room":"r","payload":1}"#;
    let cloud = format!(
        r#"{{"specversion":"1.0","type":"chat","room":"r","source":"s{count}","id":"{number}","data":"{half}"}}"#
    );
    let payload = format!(r#"{{"payload":"{half}"}}"#);
    let lines = format!("{room}\n{whole}\n{room}");
    vec![
        (events(), JSON, room.clone(), count),
        (events(), JSON, format!("[{room},{room}]"), 2 * count),
        (events(), "application/x-ndjson", lines, 2 * count),
        (events(), "application/cloudevents+json", cloud, count),
        (
            "/api/rooms/r/broadcast".to_owned(),
            JSON,
            payload.clone(),
            count,
        ),
        ("/api/broadcast".to_owned(), JSON, payload.clone(), count),
        (format!("/api/clients/{client}/send"), JSON, payload, count),
    ]
}

#[test]
fn half_an_emoji_in_a_message_is_repaired_and_counted() {
    let server = Running::start(|_| {});
    let mut viewer = watcher(&server);
    let mut backend = server.application();
    for (number, half) in HALVES.into_iter().enumerate() {
        let shown = "\u{fffd}".repeat(half.matches(r"\u").count());
        for (path, kind, body, repaired) in calls_with(half, number, &viewer.id()) {
            let (status, answer) = post(&server, &path, kind, &body);
            assert_eq!(
                (status, &answer["repaired"]),
                (200, &json!(repaired)),
                "{path} {body}: {answer}"
            );
            assert_eq!(viewer.next()["payload"], shown, "{path} {body}");
            for _ in 1..answer["accepted"].as_u64().unwrap_or(1) {
                viewer.next();
            }
        }
        let text = format!(r#"{{"room":"r","type":"chat","payload":"{half}"}}"#);
        backend.socket.send(Message::text(text)).expect("it leaves");
        assert_eq!(viewer.expect("chat")["payload"], shown);
    }
}

#[test]
fn data_stands_for_payload_in_every_envelope_and_not_beside_it() {
    let server = Running::start(|_| {});
    let mut viewer = watcher(&server);
    for path in [
        "/api/broadcast".to_owned(),
        "/api/rooms/r/broadcast".to_owned(),
        format!("/api/clients/{}/send", viewer.id()),
    ] {
        for (body, payload) in [
            (json!({"type": "note", "data": {"a": 1}}), json!({"a": 1})),
            (json!({"type": "note", "data": null}), Value::Null),
            (json!({"type": "note", "payload": null}), Value::Null),
            (
                json!({"type": "note", "payload": null, "data": 5}),
                json!(5),
            ),
        ] {
            server.post(&path, body);
            assert_eq!(viewer.expect("note")["payload"], payload);
        }
        for body in [json!({"payload": 1, "data": 1}), json!({"type": "note"})] {
            let (status, problem) = server.call("POST", &path, &body);
            assert_eq!(status, 400, "{path} {body}: {problem}");
            let detail = problem["detail"].as_str().expect("a reason");
            assert!(
                detail.contains("payload") && detail.contains("data"),
                "{detail}"
            );
        }
    }
    for kind in ["task_progress", "document_failed", "chat"] {
        let (status, problem) = server.call(
            "POST",
            "/api/events",
            &json!({"type": kind, "room": "r", "payload": {"taskId": "t"}, "data": {}}),
        );
        let detail = problem["detail"].as_str().expect("a reason");
        assert!(
            status == 400 && detail.contains("payload") && detail.contains("data"),
            "{detail}"
        );
    }
    let event = json!({"type": "task_started", "data": {"taskId": "t", "total": 3}});
    assert_eq!(server.post("/api/events", event)["accepted"], 1);
    assert_eq!(viewer.expect("task_started")["payload"]["total"], 3);
    let body = json!({"data": {"progress": 50}, "payload": {"progress": 60}, "progress": 7});
    server.post("/api/tasks/t/progress", body);
    let shown = server.document("/api/tasks/t");
    assert_eq!(
        (&shown["progress"], &shown["data"]["progress"]),
        (&json!(7), &json!(50))
    );
}

/// Events whose name of a task, a room or themselves has half an emoji, and that name.
fn events_named_with(half: &str) -> Vec<(&'static str, String, &'static str)> {
    let cloud = |source: &str, id: &str, more: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"task_progress","source":"{source}","id":"{id}",{more}}}"#
        )
    };
    let event = |more: &str| format!(r#"{{"type":"task_progress",{more}}}"#);
    let structured = "application/cloudevents+json";
    vec![
        (JSON, event(&format!(r#""taskId":"a{half}""#)), "taskId"),
        (
            JSON,
            event(&format!(
                r#""payload":{{"taskId":"a{half}","message":"{half}"}}"#
            )),
            "taskId",
        ),
        (
            JSON,
            format!(r#"{{"type":"document_failed","payload":{{"taskId":"{half}"}}}}"#),
            "taskId",
        ),
        (
            JSON,
            format!(r#"{{"type":"chat","room":"{half}","payload":1}}"#),
            "room",
        ),
        (JSON, event(&format!(r#""taskId":"t","id":"{half}""#)), "id"),
        (
            JSON,
            event(&format!(r#""data":{{"taskId":"t","eventId":"e{half}"}}"#)),
            "id",
        ),
        (structured, cloud(half, "1", r#""subject":"t""#), "id"),
        (structured, cloud("s", half, r#""subject":"t""#), "id"),
        (
            structured,
            cloud("s", "1", &format!(r#""subject":"t{half}""#)),
            "taskId",
        ),
        (
            structured,
            cloud("s", "1", &format!(r#""data":{{"taskId":"t{half}"}}"#)),
            "taskId",
        ),
    ]
}

#[test]
fn half_an_emoji_in_a_name_is_refused_because_different_names_would_become_one() {
    let server = Running::start(|_| {});
    for half in HALVES {
        for (kind, body, field) in events_named_with(half) {
            let (status, problem) = post(&server, "/api/events", kind, &body);
            assert_eq!(
                (status, &problem["code"], &problem["field"]),
                (400, &json!("invalid_message"), &json!(field)),
                "{body}: {problem}"
            );
            if kind == JSON {
                let array = format!("[{body}]");
                let (_, problem) = post(&server, "/api/events", kind, &array);
                assert_eq!(problem["field"], format!("[0].{field}"), "{problem}");
                let lines = format!("{body}\n{}", r#"{"type":"task_started","taskId":"line"}"#);
                let (_, answer) = post(&server, "/api/events", "application/x-ndjson", &lines);
                let reason = answer["errors"][0]["message"].as_str().expect("a reason");
                assert!(reason.starts_with(&format!("{field}: ")), "{reason}");
            }
        }
        let body = format!(r#"{{"eventId":"{half}"}}"#);
        let (status, problem) = post(&server, "/api/tasks/t/progress", JSON, &body);
        assert_eq!((status, &problem["field"]), (400, &json!("eventId")));
    }
    for path in [
        "/api/tasks/a%ED%A0%80/started",
        "/api/rooms/a%ED%A0%80/broadcast",
    ] {
        assert_eq!(post(&server, path, JSON, r#"{"payload":1}"#).0, 400);
    }
    let tasks = server.document("/api/tasks");
    assert_eq!(
        tasks["tasks"].as_array().expect("a list").len(),
        1,
        "{tasks}"
    );
}

#[test]
fn replacement_character_that_a_name_came_with_stays() {
    let server = Running::start(|_| {});
    let body = r#"{"type":"task_progress","id":"\ufffd","payload":{"taskId":"a\ufffd","message":"\ud83d"}}"#;
    let (status, answer) = post(&server, "/api/events", JSON, body);
    assert_eq!((status, &answer["repaired"]), (200, &json!(1)), "{answer}");
    let path = "/api/tasks/a%EF%BF%BD/progress";
    let (status, answer) = post(&server, path, JSON, r#"{"message":"x\ud83d"}"#);
    assert_eq!((status, &answer["repaired"]), (200, &json!(1)), "{answer}");
    let (status, problem) = post(&server, path, JSON, r#"{"taskId":"a\ud83d"}"#);
    assert_eq!((status, &problem["field"]), (400, &json!("taskId")));
}
