//! Requests and answers on one connection: kept alive, pipelined, chunked, asked for leave, cut short.

use crate::support::{Http, Running};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

const CHUNKED_PROGRESS: &str = "POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\n\
    Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
    5;name=value\r\n{\"cur\r\n14\r\nrent\": 3, \"total\": 6\r\n1\r\n}\r\n0\r\nX-Sum: 1\r\n\r\n";

#[test]
fn one_connection_serves_many_requests() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    for n in 1..=20 {
        let body = json!({"current": n, "total": 40}).to_string();
        let answer = http.request("POST", "/api/tasks/t/progress", &[], body.as_bytes());
        assert_eq!((answer.status, answer.header("connection")), (200, None));
        assert!(answer.header("date").is_some());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let answer = http.request("GET", "/api/tasks/t", &[], b"");
        assert_eq!(answer.json()["current"], n);
        assert_eq!(http.request("GET", "/nothing", &[], b"").status, 404);
    }
    let answer = http.request("GET", "/health", &[("Connection", "close")], b"");
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(http.is_at_end());
}

#[test]
fn the_old_version_closes_unless_asked_not_to() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    http.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(http.answer(false).header("connection"), Some("keep-alive"));
    http.send(b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(http.answer(false).status, 200);
    assert!(http.is_at_end());
    let line = "{\"type\":\"task_started\",\"taskId\":\"t\"}";
    let head = format!(
        "Content-Type: application/x-ndjson\r\nContent-Length: {}",
        line.len()
    );
    let mut http = Http::connect(server.http);
    http.send(format!("POST /api/events HTTP/1.0\r\n{head}\r\n\r\n{line}").as_bytes());
    let answer = http.answer(false);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
}

#[test]
fn hundreds_of_requests_in_one_write_are_answered_in_order() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    let mut requests = String::new();
    for n in 0..300 {
        let body = json!({"current": n}).to_string();
        requests += &format!("GET /api/tasks/none-{n} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        requests += &format!(
            "POST /api/tasks/t{n}/progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        requests += &format!("HEAD /api/tasks/t{n} HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n");
    }
    http.send(requests.as_bytes());
    for n in 0..300 {
        let missing = http.answer(false);
        assert_eq!(missing.status, 404);
        assert!(
            missing.json()["detail"]
                .as_str()
                .unwrap()
                .contains(&format!("`none-{n}`"))
        );
        assert_eq!(http.answer(false).json()["accepted"], 1);
        assert_eq!(http.answer(true).status, 200);
    }
}

/// Five hundred answers of a megabyte each for a client that does not read: were they all made at once, they would
/// take half a gigabyte.
#[test]
fn a_client_that_pipelines_and_does_not_read_waits_and_costs_little() {
    let server = Running::start(|_| {});
    let text = "x".repeat(64 * 1024);
    for n in 0..16 {
        server.post(
            &format!("/api/tasks/t{n}/progress"),
            json!({"message": text}),
        );
    }
    let before = server.document("/api/websocket/stats")["memory"]["used"]
        .as_u64()
        .unwrap();
    let mut idle = Http::connect(server.http);
    idle.send(
        "GET /api/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"
            .repeat(500)
            .as_bytes(),
    );
    assert!(
        !idle.is_at_end(),
        "the first answer has begun, so the requests have been read"
    );
    let after = server.document("/api/websocket/stats")["memory"]["used"]
        .as_u64()
        .unwrap();
    assert!(
        after < before + 250_000_000,
        "{before} bytes became {after}"
    );
    for _ in 0..500 {
        let answer = idle.answer(false);
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() > 1_000_000);
    }
}

#[test]
fn bodies_may_come_in_chunks_and_in_any_pieces() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    http.send(CHUNKED_PROGRESS.as_bytes());
    assert_eq!(http.answer(false).json()["accepted"], 1);
    assert_eq!(server.document("/api/tasks/t")["progress"], 50);
    for byte in CHUNKED_PROGRESS.replace("3,", "4,").bytes() {
        http.send(&[byte]);
    }
    assert_eq!(http.answer(false).json()["accepted"], 1);
    assert_eq!(server.document("/api/tasks/t")["current"], 4);
}

#[test]
fn leave_is_given_to_those_who_wait_for_it() {
    let server = Running::start(|config| config.http.max_body_size = 100);
    let head = |path: &str, length: usize, kind: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut http = Http::connect(server.http);
    for (path, kind, body) in [
        ("/api/tasks/t/started", "application/json", "{\"total\":3}"),
        (
            "/api/events",
            "application/x-ndjson",
            "{\"type\":\"task_paused\",\"taskId\":\"t\"}\n",
        ),
    ] {
        http.send(head(path, body.len(), kind).as_bytes());
        assert_eq!(http.answer(true).status, 100);
        http.send(body.as_bytes());
        assert_eq!(http.answer(false).json()["accepted"], 1);
    }
    http.send(head("/api/tasks/t/started", 101, "application/json").as_bytes());
    let answer = http.answer(false);
    assert_eq!(
        answer.status, 413,
        "not after a hundred bytes, but before the first"
    );
    let mut http = Http::connect(server.http);
    http.send(head("/api/tasks", 10, "application/x-ndjson").as_bytes());
    assert_eq!(http.answer(false).status, 405);
    assert!(http.is_at_end());
}

#[test]
fn head_is_get_without_the_body() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    for path in ["/health", "/api/tasks", "/api/clients", "/nothing"] {
        let get = http.request("GET", path, &[], b"");
        let head = http.request("HEAD", path, &[], b"");
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"));
        let length: usize = head.header("content-length").unwrap().parse().unwrap();
        assert!(length.abs_diff(get.body.len()) < 8, "{path}");
    }
}

#[test]
fn half_a_connection_is_answered_too() {
    let server = Running::start(|_| {});
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(50);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.http).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 50);
    }
}

#[test]
fn a_request_that_never_ends_is_told_so() {
    let server = Running::start(|config| config.websocket.connection_timeout = 30);
    for bytes in [
        "GET /health HTT",
        "GET /health HTTP/1.1\r\nHost: localhost\r\n",
        "POST /api/tasks/t/started HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
        "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
         Content-Length: 10\r\n\r\n{",
    ] {
        let mut http = Http::connect(server.http);
        http.send(bytes.as_bytes());
        let answer = http.answer(false);
        assert_eq!(answer.status, 408, "{bytes}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(answer.json()["code"], "request_timeout");
        assert!(http.is_at_end());
    }
    // Between requests there is nobody to tell.
    let mut http = Http::connect(server.http);
    assert_eq!(http.request("GET", "/health", &[], b"").status, 200);
    assert!(http.is_at_end());
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn a_request_under_way_is_answered_while_the_server_drains() {
    let server = Running::start(|_| {});
    let mut http = Http::connect(server.http);
    http.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHos");
    assert_eq!(http.answer(false).json()["status"], "healthy");
    server.handle().stop().unwrap();
    http.send(b"t: localhost\r\n\r\n");
    let answer = http.answer(false);
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (503, &json!("draining"))
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(http.is_at_end());
}
