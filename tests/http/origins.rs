//! What pages, and those who run a server, are told of origins and hosts that are not served.

use crate::support::{Answer, Http, Running};
use serde_json::Value;

fn ask(server: &Running, request: &str) -> Answer {
    let mut http = Http::connect(server.http);
    http.send(request.as_bytes());
    http.answer(request.starts_with("HEAD"))
}

/// The detail of a refusal, which no page can read.
#[track_caller]
fn refused(server: &Running, lines: &str, status: u16) -> String {
    let answer = ask(
        server,
        &format!("GET /api/tasks HTTP/1.1\r\n{lines}\r\n\r\n"),
    );
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let problem = answer.json();
    let (code, field) = match status {
        421 => ("unknown_host", "host"),
        _ => ("not_allowed", "origin"),
    };
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&code.into(), &field.into())
    );
    problem["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_refusal_says_which_line_to_add() {
    let server = Running::start(|_| {});
    let detail = refused(
        &server,
        "Host: localhost\r\nOrigin: https://app.example:8443",
        403,
    );
    let line = r#"add "https://app.example:8443" to server.allowed_origins: allowed_origins = ["auto", "https://app.example:8443"]"#;
    assert!(detail.contains(line), "{detail}");
    let detail = refused(&server, "Host: jobs.example:3000", 421);
    let line = r#"add "jobs.example" to server.allowed_hosts: allowed_hosts = ["jobs.example"]"#;
    assert!(detail.contains(line), "{detail}");
    for page in ["null", "NULL"] {
        let detail = refused(&server, &format!("Host: localhost\r\nOrigin: {page}"), 403);
        assert!(detail.contains("serve the page over http"), "{detail}");
    }
    let long = "x".repeat(5_000);
    let detail = refused(
        &server,
        &format!("Host: localhost\r\nOrigin: http://{long}"),
        403,
    );
    assert!(
        detail.len() < 1_000 && detail.contains("server.allowed_origins"),
        "{detail}"
    );
    let detail = refused(&server, "Host: localhost\r\nOrigin: \"], x = [\"", 403);
    assert!(!detail.contains("x = [\"\"]"), "{detail}");
}

#[test]
fn the_page_of_a_host_that_nobody_has_named_is_told_to_name_it() {
    let server = Running::start(|config| {
        config.websocket.port = joblight::ListenPort::Number(0);
        config.server.allowed_hosts = vec!["other.example".to_owned()];
        config.server.allowed_origins = vec!["auto".to_owned(), "https://a.example".to_owned()];
    });
    let detail = refused(
        &server,
        "Host: new.example\r\nOrigin: https://new.example",
        421,
    );
    let line = r#"allowed_hosts = ["other.example", "new.example"]"#;
    assert!(detail.contains(line), "{detail}");
}

#[test]
fn browsers_are_told_what_they_may_read() {
    let server = Running::start(|_| {});
    let origin = "http://localhost:5173";
    let preflight = format!(
        "OPTIONS /api/events HTTP/1.1\r\nHost: localhost:3000\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type, x-mine\r\n\r\n"
    );
    let answer = ask(&server, &preflight);
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", "content-type, x-mine"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    let foreign = preflight.replace(origin, "https://evil.example");
    let answer = ask(&server, &foreign);
    assert_eq!(answer.status, 403);
    for name in [
        "access-control-allow-origin",
        "access-control-allow-methods",
    ] {
        assert_eq!(answer.header(name), None);
    }
    assert_eq!(answer.header("vary"), Some("Origin"));
    let event = r#"{"type":"task_started","taskId":"t"}"#;
    for (path, media) in [
        ("/api/events", "application/json"),
        ("/api/events", "application/x-ndjson"),
        ("/nothing", "application/json"),
        ("/nothing", "application/x-ndjson"),
    ] {
        for page in [origin, "https://evil.example"] {
            let allowed = (page == origin).then_some(page);
            let answer = Http::connect(server.http).request(
                "POST",
                path,
                &[("Origin", page), ("Content-Type", media)],
                event.as_bytes(),
            );
            assert_eq!(
                answer.header("access-control-allow-origin"),
                allowed,
                "{path} {media}"
            );
            assert_eq!(answer.status == 403, page != origin, "{path} {media}");
        }
    }
    let server = Running::start(|config| config.server.allowed_origins = vec!["*".to_owned()]);
    let answer = ask(&server, &foreign);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_foreign_page_changes_nothing_whatever_it_calls_its_body() {
    let server = Running::start(|config| {
        config.server.allowed_origins = vec!["https://other.example".to_owned()];
    });
    let event = br#"{"type":"task_started","taskId":"t"}"#;
    for media in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
    ] {
        let headers = [("Origin", "https://evil.example"), ("Content-Type", media)];
        let answer = Http::connect(server.http).request("POST", "/api/events", &headers, event);
        assert_eq!(answer.status, 403, "{media}");
    }
    let (_, tasks) = server.call("GET", "/api/tasks", &Value::Null);
    assert_eq!(tasks["tasks"], serde_json::json!([]));
}
