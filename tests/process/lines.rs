//! What the process says: the seeds' lines, by level and language, on standard error or in a file.

use crate::support::process::{Directory, Process, command, message};
use crate::support::{Http, LIMIT, Viewer};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Instant;

/// The lines of a viewer's life in both dialects, and all lines since the start.
fn life_of_viewers(process: &mut Process, connected: &str, disconnected: &str) -> Viewer {
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.greeting = viewer.expect("connected");
    process.line(&format!("{connected}: {} (", viewer.id()));
    viewer.subscribe(&["task-456"]);
    process.post("/api/tasks/task-456/started", &json!({"total": 2}));
    process.post("/api/tasks/task-456/progress", &json!({"current": 1}));
    process.post("/api/tasks/task-456/completed", &json!({}));
    viewer.until("task_completed");
    viewer.send(&json!({"type": "ping"}));
    viewer.expect("pong");
    viewer.send(&json!({"type": "nonsense"}));
    viewer.expect("error");
    viewer.socket.close(None).unwrap();
    process.line(&format!("{disconnected}: {} (", viewer.id()));
    viewer
}

#[test]
fn chinese_lines_are_the_seeds_to_the_letter() {
    let directory = Directory::new();
    let arguments = ["--locale", "zh-CN", "--log.level", "info"];
    let mut process = Process::serve(&directory, &arguments);
    let (websocket, http) = (process.websocket().port(), process.http().port());
    let expected = [
        format!("WebSocket服务器已在端口 {websocket} 启动"),
        format!("WebSocket 服务器启动: ws://localhost:{websocket}"),
        format!("🚀 HTTP server started on http://localhost:{http}"),
        "Environment: development".to_owned(),
        "Log level: info".to_owned(),
    ];
    assert_eq!(process.messages(), expected);
    let viewer = life_of_viewers(&mut process, "客户端连接", "客户端断开");
    let id = viewer.id();
    // At this level no message leaves a line.
    let said = process.messages().split_off(expected.len());
    assert_eq!(
        said,
        [
            format!("客户端连接: {id} (总连接: 1)"),
            format!("客户端断开: {id} (总连接: 0)"),
        ]
    );
    assert!(id.starts_with("client_"), "{id}");
    let mut second = Viewer::connect(process.websocket(), "/");
    assert_eq!(process.line("客户端"), "WebSocket 客户端连接");
    second.socket.close(None).unwrap();
    assert_eq!(process.line("客户端"), "WebSocket 客户端断开");
    process.stop();
}

#[test]
fn chinese_debug_lines_tell_rooms_and_broadcasts() {
    let directory = Directory::new();
    let arguments = ["--locale", "zh-CN", "--log.level", "debug"];
    let mut process = Process::serve(&directory, &arguments);
    assert!(process.messages().contains(&"Log level: debug"));
    let viewer = life_of_viewers(&mut process, "客户端连接", "客户端断开");
    let joined = format!("客户端 {} 加入房间 task:task-456", viewer.id());
    assert!(
        process.messages().contains(&joined.as_str()),
        "{:#?}",
        process.seen
    );
    assert!(
        process.messages().contains(&"广播消息到房间 task:task-456"),
        "{:#?}",
        process.seen
    );
    process.stop();
}

#[test]
fn english_lines_say_the_same() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &["--log.level", "debug"]);
    let (websocket, http) = (process.websocket().port(), process.http().port());
    let expected = [
        format!("WebSocket server started on port {websocket}"),
        format!("WebSocket server listening: ws://localhost:{websocket}/ws"),
        format!("🚀 HTTP server started on http://localhost:{http}"),
        "Environment: development".to_owned(),
        "Log level: debug".to_owned(),
    ];
    assert_eq!(process.messages(), expected);
    let viewer = life_of_viewers(&mut process, "client connected", "client disconnected");
    let id = viewer.id();
    let said = process.messages();
    for line in [
        format!("client connected: {id} (connections: 1)"),
        format!("client {id} joined room task:task-456"),
        "broadcast to room task:task-456".to_owned(),
        format!("client disconnected: {id} (connections: 0)"),
    ] {
        assert!(said.contains(&line.as_str()), "{line} in {said:#?}");
    }
    process.stop();
}

#[test]
fn every_line_bears_its_time_and_level() {
    let directory = Directory::new();
    let process = Process::serve(&directory, &[]);
    for line in &process.seen {
        let (time, rest) = line.split_at(22);
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "[0000-00-00 00:00:00] ", "{line}");
        assert!(rest.starts_with("[INFO] "), "{line}");
    }
    process.stop();
}

#[test]
fn a_configuration_file_and_the_environment_count() {
    let directory = Directory::new();
    directory.write(
        "config.toml",
        "environment = \"test\"\n[http]\nport = 0\n[websocket]\nport = 0\npath = \"/progress\"\n[log]\nlevel = \"info\"\n",
    );
    let mut with_file = command(&directory, &[]);
    with_file.env("JOBLIGHT_LOG_LEVEL", "debug");
    let mut process = Process::spawn(with_file);
    process.line("Log level: debug");
    assert!(
        process.messages().contains(&"Environment: test"),
        "{:#?}",
        process.seen
    );
    Viewer::connect(process.websocket(), "/progress").expect("connected");
    process.stop();
    directory.write(
        "other.toml",
        "locale = \"zh-CN\"\n[http]\nport = 0\n[websocket]\nport = 0\n",
    );
    let mut named = Process::spawn(command(&directory, &["--config", "other.toml"]));
    named.line("WebSocket 服务器启动");
    named.line("Log level");
    named.stop();
}

#[test]
fn node_env_and_unknown_variables_are_told() {
    let directory = Directory::new();
    let mut given = command(&directory, &["--http.port", "0", "--websocket.port", "0"]);
    given.envs([("NODE_ENV", "production"), ("JOBLIGHT_HTTP_PROT", "1")]);
    let mut process = Process::spawn(given);
    process.line("Log level");
    assert!(process.messages().contains(&"Environment: production"));
    let warned = process.seen.iter().any(|line| {
        line.contains("[WARN]") && line.contains("JOBLIGHT_HTTP_PROT: unknown variable")
    });
    assert!(warned, "{:#?}", process.seen);
    process.stop();
}

#[test]
fn one_port_for_both_is_told_twice_and_serves_both() {
    let directory = Directory::new();
    // The system chooses a port, and it is free again: no other test listens on a port of its own choice.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let arguments = ["--http.port", &port, "--websocket.port", &port];
    let mut process = Process::spawn(command(&directory, &arguments));
    process.line("Log level");
    assert_eq!(process.websocket(), process.http());
    Viewer::connect(process.websocket(), "/ws").expect("connected");
    let health = Http::connect(process.http()).request("GET", "/health", &[], b"");
    assert_eq!(health.json()["status"], "healthy");
    process.stop();
}

/// Looks again until `find` finds something in the file.
fn in_file<T>(path: &std::path::Path, find: impl Fn(&str) -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(found) = find(&text) {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "the file holds only {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn lines_go_to_the_end_of_a_file() {
    let directory = Directory::new();
    directory.write("joblight.log", "from an earlier run\n");
    let arguments = ["--http.port", "0", "--websocket.port", "0", "--log.file"];
    let file = [&arguments[..], &["joblight.log"]].concat();
    let mut process = Process::spawn(command(&directory, &file));
    let path = directory.path("joblight.log");
    let port: u16 = in_file(&path, |text| {
        text.contains("Log level: ").then_some(())?;
        let line = text.lines().find(|line| line.contains("ws://"))?;
        let port = line.rsplit_once(':')?.1;
        port.trim_end_matches("/ws").parse().ok()
    });
    let mut viewer = Viewer::connect(SocketAddr::from(([127, 0, 0, 1], port)), "/ws");
    viewer.expect("connected");
    in_file(&path, |text| {
        text.contains("client connected").then_some(())
    });
    process.signal("TERM");
    drop(viewer);
    assert_eq!(process.end().code(), Some(0));
    assert_eq!(process.seen, [""; 0], "nothing goes to standard error");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("from an earlier run\n["), "{text}");
    assert_eq!(text.lines().last().map(message), Some("stopped"));
}

#[test]
fn a_broken_pipe_for_the_log_does_not_end_the_server() {
    let directory = Directory::new();
    let mut quiet = command(&directory, &["--http.port", "0", "--websocket.port", "0"]);
    let mut child = quiet.stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut port = |before: &str| -> u16 {
        let is_it = |line: &String| line.contains(before);
        let line = lines.by_ref().map(Result::unwrap).find(is_it).unwrap();
        let port = line.rsplit_once(':').unwrap().1;
        port.trim_end_matches("/ws").parse().unwrap()
    };
    let (websocket, http) = (port("ws://"), port("http://"));
    drop(lines);
    for _ in 0..3 {
        let mut viewer = Viewer::connect(SocketAddr::from(([127, 0, 0, 1], websocket)), "/ws");
        viewer.expect("connected");
        viewer.socket.close(None).unwrap();
        viewer.close_code();
    }
    let mut client = Http::connect(SocketAddr::from(([127, 0, 0, 1], http)));
    let health = client.request("GET", "/health", &[], b"");
    assert_eq!(health.json()["status"], "healthy");
    drop(client);
    let kill = format!("kill -TERM {}", child.id());
    let status = std::process::Command::new("sh")
        .args(["-c", &kill])
        .status();
    assert!(status.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn strangers_leave_one_line_of_a_kind() {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &[]);
    for (header, count) in [
        ("Origin: https://evil.example\r\n", 5),
        ("Origin: null\r\n", 5),
    ] {
        for _ in 0..count {
            let mut http = Http::connect(process.http());
            let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
            http.send(head.as_bytes());
            assert_eq!(http.answer(false).status, 403);
        }
    }
    let mut http = Http::connect(process.http());
    http.send(b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(http.answer(false).status, 421);
    let page = process.line("refused: ");
    let expected =
        "refused: 127.0.0.1: a page of the origin \"https://evil.example\" is foreign here: ";
    assert!(page.starts_with(expected), "{page}");
    let host = process.line("refused: ");
    assert!(
        host.contains("server.allowed_hosts"),
        "the next line is of another kind: {host}"
    );
    process.stop();
}
