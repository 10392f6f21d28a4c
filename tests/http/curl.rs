//! The real curl, as an operator would type it. Without curl it is left out, unless JOBLIGHT_TEST_ALL=1.

use crate::support::Running;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Whether there is a curl; `JOBLIGHT_TEST_ALL=1` insists on it.
fn is_there() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    let insists = std::env::var("JOBLIGHT_TEST_ALL").is_ok_and(|value| value == "1");
    assert!(
        found || !insists,
        "JOBLIGHT_TEST_ALL=1, but there is no curl"
    );
    if !found {
        println!("left out: there is no curl");
    }
    found
}

/// What curl prints: the body, and in the last line the status.
fn curl(arguments: &[&str], input: &str) -> (u16, String) {
    let mut child = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code}",
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("curl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("curl ends");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    let printed = String::from_utf8(output.stdout).expect("text");
    let (body, status) = printed.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

#[test]
fn as_an_operator_would() {
    if !is_there() {
        return;
    }
    let server = Running::start(|config| config.http.api_key = "s3cret".to_owned());
    let url = |path: &str| format!("http://{}{path}", server.http);
    let key = ["--header", "Authorization: Bearer s3cret"];
    let call = |arguments: &[&str], input: &str| curl(&[&key, arguments].concat(), input);
    let parsed = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };

    let (status, health) = curl(&[&url("/health")], "");
    assert_eq!(
        (status, &parsed(&health)["status"]),
        (200, &json!("healthy"))
    );
    assert_eq!(curl(&[&url("/api/tasks")], "").0, 401);
    let (status, head) = call(&["--head", &url("/api/tasks")], "");
    assert!(status == 200 && head.contains("Content-Length:"), "{head}");
    // curl calls a body that it was given no type for a form.
    let (status, answer) = call(
        &["--data", r#"{"total": 3}"#, &url("/api/tasks/t/started")],
        "",
    );
    assert_eq!((status, &parsed(&answer)["accepted"]), (200, &json!(1)));
    let line = |n: u32| {
        format!(
            "{}\n",
            json!({"type": "task_progress", "taskId": "t", "current": n, "total": 3})
        )
    };
    let ndjson = [
        "--header",
        "Content-Type: application/x-ndjson",
        "--request",
        "POST",
    ];
    let events = url("/api/events");
    let chunked = [&ndjson[..], &["--upload-file", "-", &events]].concat();
    let (status, answer) = call(&chunked, &[line(1), line(2)].concat());
    assert_eq!((status, &parsed(&answer)["accepted"]), (200, &json!(2)));
    // So large a body makes curl ask for leave first.
    let large = json!({"text": "x".repeat(1_000_000)});
    let large =
        json!({"type": "document_generated", "payload": {"taskId": "t", "document": large}})
            .to_string();
    let arguments = [
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        "@-",
        &url("/api/events"),
    ];
    assert_eq!(call(&arguments, &large).0, 200);
    assert_eq!(call(&arguments, &large.repeat(2)).0, 413);
    let (status, shown) = call(&["--http1.0", &url("/api/tasks/t")], "");
    assert_eq!((status, &parsed(&shown)["current"]), (200, &json!(2)));
    let two = [
        url("/api/tasks?status=running&limit=1"),
        url("/api/tasks?status=failed"),
    ];
    let (_, printed) = call(&[&two[0], &two[1]], "");
    assert!(printed.contains(r#""cursor":null}"#), "{printed}");
    assert_eq!(
        call(&["--request", "DELETE", &url("/api/tasks/t")], "").0,
        204
    );
}
