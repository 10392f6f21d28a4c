//! Every refusal is a problem document (RFC 9457) that names what is at fault.

use crate::support::{Answer, Http, Running};
use serde_json::{Value, json};

/// The problem of an answer, which must be a whole one.
fn problem(answer: &Answer, status: u16) -> Value {
    assert_eq!(
        answer.status,
        status,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "code"] {
        let text = problem[member].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{member} in {problem}");
    }
    problem
}

/// Sends bytes on a connection of their own, which ends with the answer.
fn refused(server: &Running, bytes: &str, status: u16) -> Value {
    let mut http = Http::connect(server.http);
    http.send(bytes.as_bytes());
    let answer = http.answer(false);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(http.is_at_end(), "{bytes}");
    problem(&answer, status)
}

#[test]
fn requests_that_are_none() {
    let server = Running::start(|_| {});
    let many = "X: y\r\n".repeat(100);
    let long = "x".repeat(20_000);
    for (bytes, status, field) in [
        ("\x16\x03\x01\x02\r\n\r\n".to_owned(), 400, None),
        ("GET\r\n\r\n".to_owned(), 400, None),
        ("GET /health HTTP/1.1\r\n\r\n".to_owned(), 400, Some("host")),
        (
            "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n".to_owned(),
            400,
            Some("host"),
        ),
        (
            "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
            400,
            Some("host"),
        ),
        (
            "GET health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
            Some("target"),
        ),
        ("GET /health HTTP/1.1\nHost: a\n\n".to_owned(), 400, None),
        (
            "GET /health HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(),
            400,
            None,
        ),
        (
            "GET /health HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n".to_owned(),
            400,
            None,
        ),
        (
            "GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(),
            505,
            Some("version"),
        ),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            505,
            Some("version"),
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            414,
            Some("target"),
        ),
        (
            format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"),
            431,
            None,
        ),
        (
            format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
            None,
        ),
    ] {
        let problem = refused(&server, &bytes, status);
        assert_eq!(problem["field"].as_str(), field, "{problem}");
    }
}

#[test]
fn bodies_whose_end_is_in_doubt() {
    let server = Running::start(|_| {});
    for (fields, status, field) in [
        (
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            400,
            "content-length",
        ),
        ("Content-Length: -1\r\n\r\n", 400, "content-length"),
        ("Content-Length: +1\r\n\r\nx", 400, "content-length"),
        (
            "Content-Length: 99999999999999999999\r\n\r\nx",
            400,
            "content-length",
        ),
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "transfer-encoding",
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "transfer-encoding",
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            400,
            "transfer-encoding",
        ),
        ("Transfer-Encoding:\r\n\r\n", 400, "transfer-encoding"),
        ("Transfer-Encoding: chunked\r\n\r\nx\r\n", 400, "body"),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
            400,
            "body",
        ),
    ] {
        let request = format!("POST /api/tasks/t/started HTTP/1.1\r\nHost: localhost\r\n{fields}");
        let problem = refused(&server, &request, status);
        assert_eq!(problem["field"], field, "{fields}: {problem}");
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn a_body_of_no_known_length_is_asked_for_one() {
    let server = Running::start(|_| {});
    for path in ["/api/events", "/api/broadcast", "/api/rooms/r/broadcast"] {
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(refused(&server, &request, 411)["field"], "content-length");
    }
}

#[test]
fn bodies_that_are_too_long() {
    let server = Running::start(|config| config.http.max_body_size = 100);
    let head = "POST /api/events HTTP/1.1\r\nHost: localhost\r\n";
    let announced = format!("{head}Content-Length: 101\r\n\r\n");
    assert_eq!(refused(&server, &announced, 413)["field"], "content-length");
    let part = format!("3c\r\n{}\r\n", " ".repeat(60));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{part}{part}");
    assert_eq!(refused(&server, &chunked, 413)["field"], "body");
    let (status, _) = server.call(
        "POST",
        "/api/events",
        &json!({"type": "task_started", "taskId": "t"}),
    );
    assert_eq!(status, 200);
    let unlimited = Running::start(|config| {
        (config.http.max_body_size, config.http.max_head_size) = (0, 0);
        config.broadcaster.max_task_size = 0;
    });
    let mut http = Http::connect(unlimited.http);
    let long = "x".repeat(40_000);
    let body = json!({"message": long.repeat(60)}).to_string();
    let answer = http.request(
        "POST",
        "/api/tasks/t/progress",
        &[("X-Long", &long)],
        body.as_bytes(),
    );
    assert_eq!(answer.status, 200);
}

#[test]
fn paths_and_methods_that_do_not_exist() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    for path in [
        "/nothing",
        "/api",
        "/api/",
        "/api/tasks/t/exploded",
        "/health/",
        "//health",
        "/api/rooms/r",
        "/api/clients/c/rooms",
        "/../health",
        "/ws",
    ] {
        assert_eq!(
            problem(&http.request("GET", path, &[], b""), 404)["field"],
            "path",
            "{path}"
        );
        assert_eq!(
            http.request("OPTIONS", path, &[], b"").status,
            404,
            "{path}"
        );
    }
    for (method, path, allow) in [
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("GET", "/api/events", "POST, OPTIONS"),
        ("PUT", "/api/tasks/t", "GET, HEAD, DELETE, OPTIONS"),
        ("DELETE", "/api/tasks/t/started", "POST, OPTIONS"),
        ("GET", "/api/broadcast", "POST, OPTIONS"),
        ("POST", "/api/rooms", "GET, HEAD, OPTIONS"),
        ("GET", "/api/rooms/r/broadcast", "POST, OPTIONS"),
        ("PATCH", "/api/clients/c", "GET, HEAD, DELETE, OPTIONS"),
        ("POST", "/api/clients/c/rooms/r", "PUT, DELETE, OPTIONS"),
        ("BREW", "/api/websocket/stats", "GET, HEAD, OPTIONS"),
        ("get", "/api/broadcaster/stats", "GET, HEAD, OPTIONS"),
    ] {
        let answer = http.request(method, path, &[], b"");
        assert_eq!(problem(&answer, 405)["code"], "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        let answer = http.request("OPTIONS", path, &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (204, Some(allow)));
    }
    assert_eq!(
        problem(&http.request("GET", "/api/tasks/%zz", &[], b""), 400)["field"],
        "path"
    );
    assert_eq!(http.request("OPTIONS", "*", &[], b"").status, 204);
}

#[test]
fn bodies_that_are_no_json() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    for kind in [
        "application/xml",
        "image/png",
        "multipart/form-data; boundary=x",
    ] {
        for path in [
            "/api/events",
            "/api/tasks/t/started",
            "/api/broadcast",
            "/api/rooms/r/broadcast",
        ] {
            let answer = http.request("POST", path, &[("Content-Type", kind)], b"{}");
            assert_eq!(problem(&answer, 415)["field"], "content-type");
        }
    }
    for kind in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "text/json",
        "Text/JSON; charset=utf-8",
        "application/x-www-form-urlencoded",
    ] {
        let answer = http.request(
            "POST",
            "/api/tasks/t/progress",
            &[("Content-Type", kind)],
            b"{}",
        );
        assert_eq!(answer.status, 200, "{kind}");
    }
    for body in [
        &b"{"[..],
        b"",
        b"\xFF",
        b"{\"type\":\"task_started\"} x",
        b"nonsense",
    ] {
        let answer = http.request("POST", "/api/events", &[], body);
        assert_eq!(problem(&answer, 400)["code"], "invalid_json", "{body:?}");
    }
}

#[test]
fn wrong_fields_of_events_are_named() {
    let server = Running::start(|_| {});
    for (body, field) in [
        (
            json!({"type": "task_progress", "payload": {}}),
            "payload.taskId",
        ),
        (json!({"type": "task_progress", "payload": []}), "payload"),
        (
            json!({"type": "document_failed", "payload": ["t"]}),
            "payload",
        ),
        (
            json!({"type": "task_progress", "payload": {"taskId": ""}}),
            "payload.taskId",
        ),
        (
            json!({"type": "task_progress", "taskId": "t", "progress": 101}),
            "progress",
        ),
        (
            json!([{"type": "task_started", "taskId": "t"}, {"type": 5}]),
            "[1].type",
        ),
        (json!({"type": "unheard_of"}), "type"),
        (json!({"type": "connected", "room": "r"}), "type"),
        (json!({"type": "room_broadcast", "payload": 1}), "room"),
        (json!({"payload": {}}), "type"),
    ] {
        let (status, problem) = server.call("POST", "/api/events", &body);
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{body}: {problem}"
        );
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn wrong_fields_are_named_by_every_call() {
    let server = Running::start(|_| {});
    for (path, body, field) in [
        ("/api/tasks/t/progress", json!({"current": -1}), "current"),
        ("/api/tasks/t/progress", json!({"status": "done"}), "status"),
        ("/api/tasks/t/progress", json!({"seq": "x"}), "seq"),
        ("/api/tasks/t/progress", json!({"taskId": "u"}), "taskId"),
        (
            "/api/broadcast",
            json!({"type": "pong", "payload": 1}),
            "type",
        ),
        ("/api/broadcast", json!([1]), "body"),
        (
            "/api/rooms/r/broadcast",
            json!({"type": 7, "payload": 1}),
            "type",
        ),
    ] {
        let (status, problem) = server.call("POST", path, &body);
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{body}: {problem}"
        );
    }
    for (path, field) in [
        ("/api/tasks?limit=x", "limit"),
        ("/api/tasks?status=done", "status"),
        ("/api/tasks?cursor=x", "cursor"),
    ] {
        let (status, problem) = server.call("GET", path, &Value::Null);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{path}");
    }
    assert_eq!(
        server.document("/api/tasks")["tasks"],
        json!([]),
        "nothing of that counted"
    );
}

#[test]
fn the_key_opens_everything_but_the_health_check_needs_none() {
    let server = Running::start(|config| config.http.api_key = "s3cret".to_owned());
    let mut http = Http::connect(server.http);
    for (method, path) in [
        ("GET", "/api/websocket/stats"),
        ("GET", "/api/broadcaster/stats"),
        ("POST", "/api/events"),
        ("POST", "/api/tasks/t/started"),
        ("GET", "/api/tasks"),
        ("GET", "/api/tasks/t"),
        ("DELETE", "/api/tasks/t"),
        ("POST", "/api/rooms/r/broadcast"),
        ("GET", "/api/rooms"),
        ("GET", "/api/rooms/r/clients"),
        ("GET", "/api/rooms/r/history"),
        ("POST", "/api/broadcast"),
        ("GET", "/api/clients"),
        ("GET", "/api/clients/c"),
        ("POST", "/api/clients/c/send"),
        ("DELETE", "/api/clients/c"),
        ("PUT", "/api/clients/c/rooms/r"),
        ("DELETE", "/api/clients/c/rooms/r"),
    ] {
        for wrong in [
            "",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Basic s3cret",
            "s3cret",
        ] {
            let answer = http.request(method, path, &[("Authorization", wrong)], b"");
            assert_eq!(
                problem(&answer, 401)["field"],
                "authorization",
                "{method} {path}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let answer = http.request(method, path, &[("Authorization", "bearer s3cret")], b"");
        assert_ne!(answer.status, 401, "{method} {path}");
        assert_eq!(
            http.request("OPTIONS", path, &[], b"").status,
            204,
            "browsers ask without it"
        );
    }
    assert_eq!(http.request("GET", "/health", &[], b"").status, 200);
    let origin = "http://localhost:8080";
    let lines = [("Content-Type", "application/x-ndjson"), ("Origin", origin)];
    let answer = http.request("POST", "/api/events", &lines, b"{}");
    problem(&answer, 401);
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
}

#[test]
fn bodies_in_a_coding_that_nobody_undoes() {
    let server = Running::start(|_| {});
    let event = r#"{"type":"task_started","taskId":"t"}"#;
    for path in [
        "/api/events",
        "/api/tasks/t/started",
        "/api/tasks/t/control",
        "/api/rooms/r/broadcast",
        "/api/broadcast",
        "/api/clients/c/send",
    ] {
        for (coding, kind) in [
            ("gzip", "application/json"),
            ("Identity, br", "application/json"),
            ("identity\r\nContent-Encoding: zstd", "application/json"),
            ("deflate", "application/x-ndjson"),
        ] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Encoding: {coding}\r\n"
            );
            let length = event.len();
            for rest in [
                format!("Content-Length: {length}\r\n\r\n{event}"),
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{event}\r\n0\r\n\r\n"),
            ] {
                let problem = refused(&server, &format!("{head}{rest}"), 415);
                assert_eq!(
                    (&problem["code"], &problem["field"]),
                    (&json!("unsupported_media_type"), &json!("content-encoding"))
                );
            }
        }
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    let mut http = Http::connect(server.http);
    let plain = [("Content-Encoding", "Identity")];
    let answer = http.request("POST", "/api/events", &plain, event.as_bytes());
    assert_eq!(answer.status, 200);
    let none = [("Content-Encoding", "gzip")];
    assert_eq!(http.request("GET", "/health", &none, b"").status, 200);
    let answer = http.request("POST", "/api/events", &none, b"{}");
    assert_eq!(answer.header("accept-encoding"), Some("identity"));
}

#[test]
fn problems_speak_the_configured_language() {
    let server = Running::start(|config| {
        config.locale = serde_json::from_value(json!("zh-CN")).unwrap();
    });
    for (method, path, body, told) in [
        (
            "GET",
            "/api/tasks/t",
            json!(null),
            "未找到: there is no task `t`",
        ),
        (
            "POST",
            "/api/tasks/t/progress",
            json!({"progress": 101}),
            "无效的消息: progress: 101 is out of range; expected 0 to 100",
        ),
        (
            "DELETE",
            "/api/tasks",
            json!(null),
            "不允许的方法: DELETE is not possible at `/api/tasks`; expected GET, HEAD, OPTIONS",
        ),
    ] {
        let (_, problem) = server.call(method, path, &body);
        assert_eq!(problem["detail"], told, "{path}");
    }
    let problem = refused(&server, "GET /health HTTP/1.1\r\n\r\n", 400);
    let told = "无效的请求: header `host`: missing, and HTTP/1.1 needs it";
    assert_eq!(problem["detail"], told);
}
