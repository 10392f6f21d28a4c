//! What an event is called, so that a repeat of it does not count: by a header, by a field, or beside the type.

use crate::support::{Http, Running};
use serde_json::{Value, json};

const KEY: &str = "Idempotency-Key";

fn post(server: &Running, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let answer = Http::connect(server.http).request("POST", path, headers, body.as_bytes());
    (answer.status, answer.json())
}

/// Posts and tells how many counted and how many did not.
#[track_caller]
fn counts(server: &Running, path: &str, headers: &[(&str, &str)], body: &str) -> (u64, u64) {
    let (status, answer) = post(server, path, headers, body);
    assert_eq!(status, 200, "{path} {headers:?} {body}: {answer}");
    let number = |name: &str| answer[name].as_u64().expect("a number");
    (number("accepted"), number("dropped"))
}

/// The reason for which a request is refused.
#[track_caller]
fn refusal(server: &Running, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let (status, problem) = post(server, path, headers, body);
    assert_eq!(status, 400, "{path} {headers:?} {body}: {problem}");
    problem["detail"].as_str().expect("a reason").to_owned()
}

#[test]
fn field_names_the_event_and_is_not_shown() {
    let server = Running::start(|_| {});
    for (id, repeat) in [
        (json!("e1"), json!("e1")),
        (json!(7), json!("7")),
        (json!(8.0), json!(8)),
        (json!(-9), json!(-9)),
        (json!("é".repeat(128)), json!("é".repeat(128))),
    ] {
        let body = |id: &Value| json!({"eventId": id, "id": 1, "message": "m"}).to_string();
        let path = "/api/tasks/t/progress";
        assert_eq!(counts(&server, path, &[], &body(&id)), (1, 0), "{id}");
        assert_eq!(counts(&server, path, &[], &body(&repeat)), (0, 1), "{id}");
    }
    let other = json!({"eventId": "e1", "message": "other content, known id"}).to_string();
    assert_eq!(
        counts(&server, "/api/tasks/t/progress", &[], &other),
        (0, 1)
    );
    let shown = server.document("/api/tasks/t");
    assert_eq!(
        (&shown["eventId"], &shown["id"], &shown["message"]),
        (&Value::Null, &json!(1), &json!("m"))
    );
    assert_eq!(
        counts(&server, "/api/tasks/t/progress", &[], r#"{"eventId":null}"#),
        (1, 0)
    );
}

#[test]
fn ids_that_are_none_are_refused() {
    let server = Running::start(|_| {});
    for id in [
        json!(""),
        json!("x".repeat(257)),
        json!(1.5),
        json!(true),
        json!([]),
        json!({}),
        json!(1e300),
    ] {
        let body = json!({"eventId": id}).to_string();
        let reason = refusal(&server, "/api/tasks/t/progress", &[], &body);
        assert!(reason.starts_with("eventId: "), "{reason}");
        let body = json!({"type": "task_progress", "id": id, "payload": {"taskId": "t"}});
        let reason = refusal(&server, "/api/events", &[], &body.to_string());
        assert!(reason.starts_with("id: "), "{reason}");
        let body = json!({"type": "chat", "room": "r", "eventId": id, "payload": 1});
        let reason = refusal(&server, "/api/events", &[], &body.to_string());
        assert!(reason.starts_with("eventId: "), "{reason}");
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn header_names_the_event_in_quotes_or_bare() {
    let server = Running::start(|_| {});
    let path = "/api/tasks/t/progress";
    for (first, again) in [
        ("\"k 1\"", "\"k 1\""),
        ("\"a-b:c/d\"", "a-b:c/d"),
        (r#""q\"q\\""#, r#""q\"q\\""#),
        (
            "6650f1e2-0000-4000-8000-000000000000",
            "\"6650f1e2-0000-4000-8000-000000000000\"",
        ),
        ("\"p\";v=1", "p"),
    ] {
        assert_eq!(
            counts(&server, path, &[(KEY, first)], "{}"),
            (1, 0),
            "{first}"
        );
        assert_eq!(
            counts(&server, path, &[(KEY, again)], "{}"),
            (0, 1),
            "{again}"
        );
    }
    assert_eq!(
        counts(&server, path, &[], r#"{"eventId":"q\"q\\"}"#),
        (0, 1),
        "a header and a field name the same event"
    );
    let twice = [(KEY, "\"p\""), ("idempotency-key", "p")];
    assert_eq!(counts(&server, path, &twice, "{}"), (0, 1));
    let both = [(KEY, "\"z\"")];
    assert_eq!(counts(&server, path, &both, r#"{"eventId":"z"}"#), (1, 0));
    let envelope = r#"{"type":"task_progress","id":"y","payload":{"taskId":"t"}}"#;
    assert_eq!(
        counts(&server, "/api/events", &[(KEY, "\"y\"")], envelope),
        (1, 0)
    );
    assert_eq!(counts(&server, "/api/events", &[], envelope), (0, 1));
}

#[test]
fn header_that_is_none_is_refused_by_name() {
    let server = Running::start(|_| {});
    let long = "x".repeat(257);
    for value in [
        "", "\"\"", "\"a", "a\"b", "\"a\\n\"", "\"a\" b", "a b", "a, b", &long, "\"é\"",
    ] {
        for (path, body) in [
            ("/api/tasks/t/progress", "{}"),
            ("/api/events", r#"{"type":"task_started","taskId":"t"}"#),
        ] {
            let reason = refusal(&server, path, &[(KEY, value)], body);
            assert!(reason.starts_with("Idempotency-Key: "), "{value}: {reason}");
        }
        let lines = [(KEY, value), ("Content-Type", "application/x-ndjson")];
        let (status, problem) = post(&server, "/api/events", &lines, "{}");
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!("Idempotency-Key")),
            "{value}"
        );
    }
    let two = [(KEY, "\"a\""), (KEY, "\"b\"")];
    let reason = refusal(&server, "/api/tasks/t/progress", &two, "{}");
    assert!(reason.starts_with("Idempotency-Key: "), "{reason}");
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn ids_that_differ_are_refused() {
    let server = Running::start(|_| {});
    let key = [(KEY, "\"k\"")];
    for (path, headers, body) in [
        ("/api/tasks/t/progress", &key[..], r#"{"eventId":"e"}"#),
        (
            "/api/events",
            &key[..],
            r#"{"type":"task_started","taskId":"t","id":"e"}"#,
        ),
        (
            "/api/events",
            &[],
            r#"{"type":"task_started","taskId":"t","id":"e","eventId":"f"}"#,
        ),
        (
            "/api/events",
            &[],
            r#"{"type":"task_started","id":"e","payload":{"taskId":"t","eventId":"f"}}"#,
        ),
        (
            "/api/events",
            &[],
            r#"{"type":"task_started","eventId":"e","payload":{"taskId":"t","eventId":"f"}}"#,
        ),
        (
            "/api/events",
            &[],
            r#"{"type":"document_failed","eventId":"e","payload":{"taskId":"t","eventId":"f"}}"#,
        ),
        (
            "/api/events",
            &[],
            r#"{"type":"chat","room":"r","id":"e","eventId":"f","payload":1}"#,
        ),
        (
            "/api/events",
            &key[..],
            r#"[{"type":"task_started","taskId":"t","id":"e"}]"#,
        ),
    ] {
        let reason = refusal(&server, path, headers, body);
        assert!(reason.contains("differs"), "{body}: {reason}");
    }
    let same =
        r#"{"type":"task_started","id":7,"eventId":"7","payload":{"taskId":"t","eventId":7.0}}"#;
    assert_eq!(counts(&server, "/api/events", &[], same), (1, 0));
}

#[test]
fn request_that_was_cut_may_be_sent_again_whole() {
    let server = Running::start(|_| {});
    let event =
        |task: &str| json!({"type": "document_generated", "payload": {"taskId": task, "pages": 1}});
    let array = json!([event("a"), event("a"), event("b")]).to_string();
    let key = [(KEY, "\"batch-1\"")];
    assert_eq!(counts(&server, "/api/events", &key, &array), (3, 0));
    assert_eq!(counts(&server, "/api/events", &key, &array), (0, 3));
    let one = json!({"type": "document_generated", "id": "batch-1/1", "payload": {"taskId": "a"}});
    assert_eq!(
        counts(&server, "/api/events", &[], &one.to_string()),
        (0, 1)
    );
    let lines = [
        (KEY, "\"lines-1\""),
        ("Content-Type", "application/x-ndjson"),
    ];
    let all = format!("{}\n\n{}\n", event("a"), event("a"));
    let cut = format!("{}\n", event("a"));
    assert_eq!(counts(&server, "/api/events", &lines, &cut), (1, 0));
    assert_eq!(
        counts(&server, "/api/events", &lines, &all),
        (1, 1),
        "the second line only"
    );
    let third =
        json!({"type": "document_generated", "id": "lines-1/3", "payload": {"taskId": "a"}});
    assert_eq!(
        counts(&server, "/api/events", &[], &third.to_string()),
        (0, 1),
        "lines count from 1"
    );
    let room = |text: &str| json!({"type": "chat", "room": "r", "payload": text});
    let rooms = json!([room("x"), room("x")]).to_string();
    assert_eq!(counts(&server, "/api/events", &key, &rooms), (2, 0));
    assert_eq!(counts(&server, "/api/events", &key, &rooms), (0, 2));
}

#[test]
fn line_with_an_id_of_its_own_under_a_header_is_rejected_with_advice() {
    let server = Running::start(|_| {});
    let lines = [(KEY, "k"), ("Content-Type", "application/x-ndjson")];
    let body = "{\"type\":\"task_started\",\"taskId\":\"a\"}\n{\"type\":\"task_started\",\"taskId\":\"b\",\"id\":\"e\"}\n\
                {\"type\":\"task_started\",\"taskId\":\"c\",\"id\":\"k/3\"}\n";
    let (status, answer) = post(&server, "/api/events", &lines, body);
    assert_eq!(
        (status, &answer["accepted"], &answer["rejected"]),
        (200, &json!(2), &json!(1))
    );
    let reason = answer["errors"][0]["message"].as_str().expect("a reason");
    assert_eq!(answer["errors"][0]["line"], 2);
    assert!(
        reason.contains("Idempotency-Key") && reason.contains("leave"),
        "{reason}"
    );
}

#[test]
fn refused_events_leave_their_id_free() {
    let server = Running::start(|config| config.broadcaster.max_tasks = 1);
    let key = [(KEY, "\"k\"")];
    let wrong = r#"{"progress":"x"}"#;
    assert_eq!(post(&server, "/api/tasks/a/progress", &key, wrong).0, 400);
    assert_eq!(counts(&server, "/api/tasks/a/started", &key, "{}"), (1, 0));
    assert_eq!(post(&server, "/api/tasks/b/started", &key, "{}").0, 503);
    let old = r#"{"seq":1,"eventId":"late"}"#;
    assert_eq!(
        counts(&server, "/api/tasks/a/progress", &[], r#"{"seq":2}"#),
        (1, 0)
    );
    assert_eq!(counts(&server, "/api/tasks/a/progress", &[], old), (0, 1));
    let newer = r#"{"seq":3,"eventId":"late"}"#;
    assert_eq!(
        counts(&server, "/api/tasks/a/progress", &[], newer),
        (1, 0),
        "it never counted"
    );
    assert_eq!(counts(&server, "/api/tasks/a/completed", &[], "{}"), (1, 0));
    assert_eq!(counts(&server, "/api/tasks/b/started", &key, "{}"), (1, 0));
}

#[test]
fn task_and_room_of_one_name_do_not_share_ids() {
    let server = Running::start(|_| {});
    let task = r#"{"type":"task_started","taskId":"same","id":"1"}"#;
    let room = r#"{"type":"chat","room":"same","id":"1","payload":1}"#;
    for (event, accepted) in [(task, 1), (room, 1), (task, 0), (room, 0)] {
        assert_eq!(
            counts(&server, "/api/events", &[], event),
            (accepted, 1 - accepted),
            "{event}"
        );
    }
}

#[test]
fn embedding_program_names_events_by_field() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let own = json!({"id": "6650f1", "type": "job", "progress": 5});
    assert_eq!(handle.on_task_started("t", &own), Ok(true));
    assert_eq!(handle.on_task_progress("t", &own), Ok(true));
    let named = json!({"id": "6650f1", "eventId": "e"});
    assert_eq!(handle.on_task_progress("t", &named), Ok(true));
    assert_eq!(handle.on_task_progress("t", &named), Ok(false));
    assert_eq!(handle.on_task_completed("t", &own), Ok(true));
}
