//! Numbers in events: which are taken, how they are read, and what is said of the others.

use crate::support::{Http, Running};
use serde_json::{Value, json};

fn post(server: &Running, path: &str, body: &str) -> (u16, Value) {
    let answer = Http::connect(server.http).request("POST", path, &[], body.as_bytes());
    (answer.status, answer.json())
}

/// Reports progress of a fresh task; its state.
#[track_caller]
fn taken(server: &Running, body: &str) -> Value {
    let (status, answer) = post(server, "/api/tasks/t/progress", body);
    assert_eq!(
        (status, &answer["accepted"]),
        (200, &json!(1)),
        "{body}: {answer}"
    );
    let shown = server.document("/api/tasks/t");
    server.call("DELETE", "/api/tasks/t", &Value::Null);
    shown
}

/// The field and the reason for which a body is refused.
#[track_caller]
fn refused(server: &Running, path: &str, body: &str) -> (String, String) {
    let (status, problem) = post(server, path, body);
    assert_eq!(status, 400, "{body}: {problem}");
    let text = |name: &str| problem[name].as_str().expect("a text").to_owned();
    (text("field"), text("detail"))
}

#[test]
fn rounding_beyond_a_bound_is_forgiven() {
    let server = Running::start(|_| {});
    for (text, progress) in [
        ("100.00000000000006", 100),
        ("100.000001", 100),
        ("-5e-17", 0),
        ("-0.000001", 0),
        ("-0.0", 0),
        ("-0", 0),
        ("1e2", 100),
    ] {
        let shown = taken(&server, &format!("{{\"progress\":{text}}}"));
        assert_eq!(
            shown["progress"].to_string(),
            progress.to_string(),
            "{text}"
        );
    }
    let shown = taken(
        &server,
        r#"{"current":-5e-17,"total":-0.0000009,"rate":-1e-6}"#,
    );
    for field in ["current", "total", "rate"] {
        assert_eq!(shown[field].to_string(), "0", "{field}");
    }
    for (field, value) in [
        ("progress", "100.00001"),
        ("progress", "-0.00001"),
        ("current", "-0.00001"),
        ("total", "-1"),
        ("rate", "-1e300"),
    ] {
        let body = format!("{{\"{field}\":{value}}}");
        assert_eq!(refused(&server, "/api/tasks/t/progress", &body).0, field);
    }
}

#[test]
fn negative_estimate_is_an_unknown_one() {
    let server = Running::start(|_| {});
    for value in ["-0.4", "-1", "-1e300", "-5e-17", "null"] {
        let body = format!("{{\"progress\":5,\"estimatedTimeRemaining\":{value}}}");
        assert_eq!(
            taken(&server, &body)["estimatedTimeRemaining"],
            Value::Null,
            "{value}"
        );
    }
    let body = r#"{"progress":5,"estimatedTimeRemaining":4e2}"#;
    assert_eq!(taken(&server, body)["estimatedTimeRemaining"], 400);
}

#[test]
fn whole_numbers_may_be_spelt_in_any_way() {
    let server = Running::start(|_| {});
    let body = r#"{"seq":5.0,"attempt":2e0,"startedAt":1.7e12,"total":1E1,"current":0.50e1}"#;
    let shown = taken(&server, body);
    for (field, value) in [
        ("seq", "5"),
        ("attempt", "2"),
        ("startedAt", "1700000000000"),
        ("total", "10"),
        ("current", "5"),
    ] {
        assert_eq!(shown[field].to_string(), value, "{field}");
    }
    let nested = r#"{"type":"task_progress","seq":1e1,"payload":{"taskId":"u"}}"#;
    assert_eq!(post(&server, "/api/events", nested).1["accepted"], 1);
    assert_eq!(server.document("/api/tasks/u")["seq"], 10);
    for (field, value) in [
        ("seq", "5.5"),
        ("attempt", "1e-1"),
        ("seq", "\"5\""),
        ("attempt", "\"2\""),
        ("progress", "\"5\""),
        ("current", "true"),
        ("startedAt", "\"2024-01-01\""),
        ("estimatedTimeRemaining", "\"\""),
        ("rate", "[]"),
    ] {
        let body = format!("{{\"{field}\":{value}}}");
        assert_eq!(
            refused(&server, "/api/tasks/t/progress", &body).0,
            field,
            "{body}"
        );
    }
    for (path, status) in [
        ("/api/rooms/task:u/history?limit=1e1", 404),
        ("/api/tasks?limit=10.0", 200),
        ("/api/tasks?limit=1.5", 400),
        ("/api/tasks?limit=-1", 400),
        ("/api/tasks?limit=ten", 400),
    ] {
        assert_eq!(server.call("GET", path, &Value::Null).0, status, "{path}");
    }
    let viewer = server.viewer();
    let path = |code: &str| format!("/api/clients/{}?code={code}", viewer.id());
    assert_eq!(server.call("DELETE", &path("4000.5"), &Value::Null).0, 400);
    assert_eq!(server.call("DELETE", &path("4e3"), &Value::Null).0, 204);
}

#[test]
fn counters_end_where_doubles_lose_count() {
    let server = Running::start(|_| {});
    const MOST: u64 = (1 << 53) - 1;
    let shown = taken(&server, &format!("{{\"seq\":{MOST},\"attempt\":{MOST}}}"));
    assert_eq!(
        (&shown["seq"], &shown["attempt"]),
        (&json!(MOST), &json!(MOST))
    );
    let shown = taken(&server, r#"{"attempt":0,"seq":0}"#);
    assert_eq!(shown["attempt"], 0);
    for field in ["seq", "attempt"] {
        for value in [
            "9007199254740992",
            "18446744073709551615",
            "1e30",
            "-1",
            "-1.0",
        ] {
            let body = format!("{{\"{field}\":{value}}}");
            let (at, reason) = refused(&server, "/api/tasks/t/progress", &body);
            assert_eq!(at, field);
            assert!(reason.contains("0 to 9007199254740991"), "{reason}");
        }
    }
    let beside = r#"{"type":"task_progress","seq":18446744073709551615,"payload":{"taskId":"t"}}"#;
    assert_eq!(refused(&server, "/api/events", beside).0, "seq");
}

#[test]
fn timestamps_in_another_unit_are_recognised() {
    let server = Running::start(|_| {});
    for (value, unit) in [
        ("1700000000", "seconds"),
        ("1700000000.25", "seconds"),
        ("1700000000000000", "microseconds"),
        ("1.7e15", "microseconds"),
        ("1700000000000000000", "nanoseconds"),
        ("0", "milliseconds"),
        ("-1", "milliseconds"),
        ("946684799999", "milliseconds"),
        ("7258118400001", "milliseconds"),
        ("1e300", "milliseconds"),
    ] {
        let body = format!("{{\"startedAt\":{value}}}");
        let (field, reason) = refused(&server, "/api/tasks/t/started", &body);
        assert_eq!(field, "startedAt");
        assert!(
            reason.contains(&format!(" {unit}")) && reason.contains("milliseconds since 1970"),
            "{value}: {reason}"
        );
    }
    for value in ["946684800000", "7258118400000", "null"] {
        taken(&server, &format!("{{\"startedAt\":{value}}}"));
    }
    // Nobody asked for the envelope's.
    let event = r#"{"type":"task_progress","timestamp":1700000000,"payload":{"taskId":"t"}}"#;
    assert_eq!(post(&server, "/api/events", event).0, 200);
}

#[test]
fn words_that_are_no_numbers_are_named_with_their_field() {
    let server = Running::start(|_| {});
    for word in [
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "inf",
        "-inf",
        "undefined",
        "None",
        "True",
    ] {
        for (path, body, field) in [
            (
                "/api/tasks/t/progress",
                format!("{{\"progress\":{word}}}"),
                "progress",
            ),
            (
                "/api/tasks/t/progress",
                format!("{{\"a\":[1, {{\"b c\":\n {word}}}]}}"),
                "a[1].b c",
            ),
            (
                "/api/events",
                format!(
                    "{{\"type\":\"task_progress\",\"payload\":{{\"taskId\":\"t\",\"rate\":{word}}}}}"
                ),
                "payload.rate",
            ),
            (
                "/api/events",
                format!(
                    "[{{}},{{\"type\":\"task_progress\",\"taskId\":\"t\",\"own\":{{\"x\":[{word}]}}}}]"
                ),
                "[1].own.x[0]",
            ),
            (
                "/api/rooms/r/broadcast",
                format!("{{\"payload\":{{\"x\":{word}}}}}"),
                "payload.x",
            ),
            ("/api/broadcast", format!("{{\"data\":{word}}}"), "data"),
        ] {
            let (at, reason) = refused(&server, path, &body);
            assert_eq!(at, field, "{body}");
            assert!(
                reason.contains(&format!("`{word}`")) && reason.contains("expected"),
                "{reason}"
            );
        }
    }
    let lines = [("Content-Type", "application/x-ndjson")];
    let body = b"{\"type\":\"task_started\",\"taskId\":\"t\"}\n{\"type\":\"task_progress\",\"taskId\":\"t\",\"progress\":NaN}";
    let answer = Http::connect(server.http)
        .request("POST", "/api/events", &lines, body)
        .json();
    let reason = answer["errors"][0]["message"].as_str().expect("a reason");
    assert!(reason.starts_with("progress: `NaN`"), "{reason}");
}

#[test]
fn numbers_beyond_a_double_are_named_with_their_field() {
    let server = Running::start(|_| {});
    for number in ["1e400", "-1e400", &"9".repeat(400)] {
        for (path, body, field) in [
            (
                "/api/tasks/t/progress",
                format!("{{\"current\":{number}}}"),
                "current",
            ),
            (
                "/api/tasks/t/progress",
                format!("{{\"x\":{{\"y\":[0,{number}]}}}}"),
                "x.y[1]",
            ),
            (
                "/api/events",
                format!(
                    "{{\"type\":\"task_progress\",\"payload\":{{\"taskId\":\"t\",\"x\":{number}}}}}"
                ),
                "payload.x",
            ),
            (
                "/api/events",
                format!("{{\"type\":\"chat\",\"room\":\"r\",\"data\":[{number}]}}"),
                "data[0]",
            ),
            (
                "/api/rooms/r/broadcast",
                format!("{{\"payload\":[{number}]}}"),
                "payload[0]",
            ),
        ] {
            let (at, reason) = refused(&server, path, &body);
            assert_eq!(at, field, "{body}");
            assert!(reason.contains("out of range"), "{reason}");
        }
    }
}

#[test]
fn fraction_of_a_millisecond_is_rounded() {
    let server = Running::start(|_| {});
    for (value, shown) in [
        ("1700000000000.5", "1700000000001"),
        ("1700000000000.4", "1700000000000"),
        ("1.7000000000006e12", "1700000000001"),
        ("7258118400000.2", "7258118400000"),
    ] {
        let task = taken(&server, &format!("{{\"startedAt\":{value}}}"));
        assert_eq!(task["startedAt"].to_string(), shown, "{value}");
    }
    let beyond = r#"{"startedAt":7258118400000.9}"#;
    assert_eq!(
        refused(&server, "/api/tasks/t/progress", beyond).0,
        "startedAt"
    );
}
