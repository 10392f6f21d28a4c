//! A process that stands still for a while (SIGSTOP): what came in time counts, though it is read late.
//!
//! Time passes while the process is stopped, and nothing is waited for by it.

use crate::socket::{Producer, ask, greeted, narrow, wait_for};
use crate::support::process::{Directory, Process};
use crate::support::{Http, Viewer};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use tungstenite::Message;

/// What every deadline is here, in milliseconds: long enough for a crowded machine to stop the process in time.
const DEADLINE: &str = "2000";
/// A pause in seconds: every deadline passes in it, with more to spare than a turn may take.
const PAUSE: &str = "4";

/// Stops the process, lets `meanwhile` happen and all deadlines pass, and has it go on.
fn pause<T>(process: &Process, meanwhile: impl FnOnce() -> T) -> T {
    process.signal("STOP");
    let done = meanwhile();
    let passed = Command::new("sleep").arg(PAUSE).status();
    assert!(passed.expect("time passes").success());
    process.signal("CONT");
    done
}

fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

#[test]
fn a_viewer_whose_pong_waits_is_alive() {
    let directory = Directory::new();
    let flags = ["--websocket.heartbeat_interval", DEADLINE];
    let timeout = ["--websocket.connection_timeout", DEADLINE];
    let process = Process::serve(&directory, &[&flags[..], &timeout].concat());
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    while !matches!(viewer.socket.read().expect("a ping"), Message::Ping(_)) {}
    pause(&process, || viewer.socket.flush().expect("a pong"));
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
    process.stop();
}

#[test]
fn requests_and_handshakes_that_were_completed_are_answered() {
    let directory = Directory::new();
    let flags = ["--websocket.connection_timeout", DEADLINE];
    let process = Process::serve(&directory, &flags);
    let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post =
        "POST /api/tasks/t/started HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let websocket = upgrade("/ws");
    let texts = [health, post, &websocket];
    let mut connections = Vec::new();
    for text in texts {
        // What has been read of a request when time stands still: nothing, a part of its head, nearly all of it.
        for read in [0, 10, text.len() - 1] {
            let address = match text == websocket {
                true => process.websocket(),
                false => process.http(),
            };
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.write_all(&text.as_bytes()[..read]).expect("a part");
            connections.push((stream, text, read));
        }
    }
    // It answers, so it has read what came before.
    let mut http = Http::connect(process.http());
    assert_eq!(http.request("GET", "/health", &[], b"").status, 200);
    pause(&process, || {
        for (stream, text, read) in &mut connections {
            stream
                .write_all(&text.as_bytes()[*read..])
                .expect("the rest");
        }
    });
    for (stream, text, read) in connections {
        let mut answered = Http {
            stream: std::io::BufReader::new(stream),
        };
        let expected = if text == websocket { 101 } else { 200 };
        assert_eq!(answered.answer(true).status, expected, "{read} of {text:?}");
    }
    process.stop();
}

#[test]
fn an_answer_of_the_application_that_waits_is_in_time() {
    let directory = Directory::new();
    let flags = ["--routes.types", "ask.*", "--routes.timeout", DEADLINE];
    let process = Process::serve(&directory, &[&flags[..], &["--http.api_key", "k"]].concat());
    let mut application = Viewer::application(process.http(), "k");
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    viewer.send(&json!({"type": "ask.it", "payload": {}, "id": "1"}));
    let asked = application.next();
    pause(&process, || {
        application.send(&json!({"requestId": asked["requestId"], "payload": {"answer": 42}}));
    });
    let answer = viewer.next();
    assert_eq!(answer["payload"]["answer"], 42, "{answer}");
    drop((viewer, application));
    process.stop();
}

#[test]
fn a_client_that_came_back_in_time_has_its_session() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--websocket.session_ttl", DEADLINE]);
    let mut neighbour = Viewer::connect(process.websocket(), "/ws");
    neighbour.expect("connected");
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    let greeting = viewer.expect("connected");
    let session = greeting["payload"]["session"].as_str().expect("a secret");
    viewer.socket.close(None).expect("a goodbye");
    viewer.close_code();
    process.line("client disconnected");
    let (stream, crowd) = pause(&process, || {
        // A goodbye that is read before the return ends nobody else's session.
        neighbour.socket.close(None).expect("a goodbye");
        // More of them than are accepted in one turn are before it.
        let address = process.websocket();
        let crowd: Vec<TcpStream> = (0..600)
            .map(|_| TcpStream::connect(address).expect("a connection"))
            .collect();
        let mut stream = TcpStream::connect(address).expect("a connection");
        ask(&mut stream, &format!("/ws?session={session}"));
        (stream, crowd)
    });
    let back = greeted(stream);
    assert_eq!(
        back.greeting["payload"]["resumed"], true,
        "{}",
        back.greeting
    );
    drop((back, crowd));
    process.stop();
}

#[test]
fn a_reader_that_has_read_meanwhile_is_not_too_slow() {
    let directory = Directory::new();
    let flags = ["--websocket.max_backlog_age", DEADLINE];
    let process = Process::serve(&directory, &flags);
    let mut stream = narrow(process.websocket());
    ask(&mut stream, "/ws");
    let mut viewer = greeted(stream);
    viewer.send(&json!({"type": "subscribe", "rooms": ["wall"]}));
    viewer.expect("subscription_ack");
    let mut producer = Producer::connect(process.http()).expect("a connection");
    let mut say = |text: &str| {
        let body = json!({"payload": text}).to_string();
        let path = "/api/rooms/wall/broadcast";
        let (status, answer) = producer
            .post(path, "application/json", &body)
            .expect("an answer");
        assert_eq!(status, 200, "{answer}");
    };
    wait_for(process.http(), "/api/websocket/stats", |stats| {
        let is_full = stats["connections"]["backlogged"] == 1;
        if !is_full {
            say(&"x".repeat(100_000));
        }
        is_full
    });
    let reader = pause(&process, || {
        std::thread::spawn(move || {
            let read = |viewer: &mut Viewer| viewer.next()["payload"] == "the end";
            while !read(&mut viewer) {}
        })
    });
    say("the end");
    reader.join().expect("it is not closed");
    process.stop();
}

#[test]
fn a_task_that_was_heard_of_in_time_is_neither_stalled_nor_lost() {
    for flag in ["--broadcaster.stall_timeout", "--broadcaster.lost_after"] {
        let directory = Directory::new();
        let process = Process::serve(&directory, &[flag, DEADLINE]);
        let mut viewer = Viewer::connect(process.websocket(), "/ws");
        viewer.expect("connected");
        viewer.subscribe(&["t"]);
        let mut http = Http::connect(process.http());
        let started = http.request("POST", "/api/tasks/t/started", &[], b"{}");
        assert_eq!(started.status, 200);
        viewer.expect("task_started");
        let progress = "POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\n\
                        Content-Length: 16\r\n\r\n{\"progress\": 50}";
        pause(&process, || http.send(progress.as_bytes()));
        let next = viewer.next();
        assert_eq!(next["type"], "task_progress", "{next}");
        assert_eq!(next["payload"]["progress"], 50, "{next}");
        assert_ne!(next["payload"]["stalled"], true, "{next}");
        process.stop();
    }
}
