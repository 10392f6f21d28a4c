//! `joblight watch` over a crash: what it has heard and the store has not kept does not hide what comes afterwards.

use crate::socket::Producer;
use crate::store::{bound_files, take};
use crate::support::process::{Directory, Process, command};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn serve(directory: &Directory, ports: [u16; 2]) -> Process {
    let [http, websocket] = ports.map(|port| port.to_string());
    let flags = [
        "serve",
        "--http.port",
        &http,
        "--websocket.port",
        &websocket,
        "--storage.path",
        "kept.db",
        "--websocket.reconnect.delay",
        "50",
        "--websocket.reconnect.max_attempts",
        "0",
    ];
    let mut process = Process::spawn(command(directory, &flags));
    process.line("Log level: ");
    process
}

fn watch(directory: &Directory, address: SocketAddr) -> Process {
    let url = format!("ws://{address}/ws");
    Process::spawn(command(directory, &["watch", "--url", &url, "--json", "t"]))
}

/// The number of the next message that has one; the type of one that has none.
fn shown(watch: &mut Process) -> Value {
    let line: Value = serde_json::from_str(&watch.output_line()).expect("JSON");
    match &line["payload"] {
        Value::Number(number) => number.clone().into(),
        _ => line["type"].clone(),
    }
}

#[test]
fn what_was_heard_and_not_kept_hides_nothing_after_a_crash() {
    let directory = Directory::new();
    let mut process = serve(&directory, [0, 0]);
    process.post("/api/tasks/t/started", &json!({"total": 2}));
    let mut watch = watch(&directory, process.websocket());
    assert_eq!(shown(&mut watch), "task_progress");
    process.post("/api/rooms/task:t/broadcast", &json!({"payload": 0}));
    bound_files(&process, 1);
    let mut http = Producer::connect(process.http()).unwrap();
    for number in 1..=5 {
        let message = json!({"payload": number});
        let (status, answer) = take(&mut http, "/api/rooms/task:t/broadcast", message);
        assert_eq!(status, 503, "{answer}");
    }
    let heard: Vec<Value> = (0..=5).map(|_| shown(&mut watch)).collect();
    assert_eq!(json!(heard), json!([0, 1, 2, 3, 4, 5]));
    let ports = [process.http().port(), process.websocket().port()];
    process.kill();
    let process = serve(&directory, ports);
    // The offset that this takes was heard before, with another message.
    process.post("/api/rooms/task:t/broadcast", &json!({"payload": 6}));
    process.post("/api/tasks/t/completed", &json!({}));
    let mut heard = vec![shown(&mut watch)];
    while heard.last() != Some(&json!("task_completed")) {
        heard.push(shown(&mut watch));
    }
    heard.retain(|shown| shown != "task_progress");
    assert_eq!(json!(heard), json!([6, "task_completed"]));
    assert_eq!(watch.end().code(), Some(0), "{:#?}", watch.seen);
    process.stop();
}
