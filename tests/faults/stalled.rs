//! Thousands of viewers that stop to read: the server stays small, keeps them, and loses nothing that matters.

use crate::socket::{Producer, ask, greeted, narrow, resident_kb, wait_for};
use crate::support::Viewer;
use crate::support::process::{Directory, Process};
use serde_json::json;
use std::fmt::Write;
use std::net::SocketAddr;

const VIEWERS: usize = 2000;
/// Ten seconds at 5,000 a second.
const EVENTS: usize = 50_000;
/// What the server may hold for all of them together.
const MAX_GROWTH_KB: u64 = 20 * 1024;

/// Serves thousands of clients from one address.
fn serve(directory: &Directory) -> Process {
    let flags = [
        "--websocket.max_clients",
        "0",
        "--websocket.rate_limit.max_connections_per_minute",
        "0",
    ];
    let quiet = ["--websocket.rate_limit.max_messages_per_minute", "0"];
    Process::serve(directory, &[&flags[..], &quiet].concat())
}

/// A viewer of a task of its own, of one that all watch, and of a room.
fn viewer(address: SocketAddr, number: usize) -> Viewer {
    let mut stream = narrow(address);
    ask(&mut stream, "/ws");
    let mut viewer = greeted(stream);
    let tasks = [format!("own-{number}"), "hot".to_owned()];
    viewer.send(&json!({"type": "subscribe", "taskIds": tasks, "rooms": ["wall"]}));
    viewer.expect("subscription_ack");
    viewer
}

/// Makes every viewer's socket full.
fn fill(process: &Process) {
    let body = json!({"payload": "x".repeat(16 * 1024)}).to_string();
    let mut producer = Producer::connect(process.http()).expect("a connection");
    wait_for(process.http(), "/api/websocket/stats", |stats| {
        let is_full = stats["connections"]["backlogged"] == VIEWERS;
        if !is_full {
            let path = "/api/rooms/wall/broadcast";
            let (status, answer) = producer.post(path, "application/json", &body).unwrap();
            assert_eq!(status, 200, "{answer}");
        }
        is_full
    });
}

fn send_lines(producer: &mut Producer, lines: &str, count: usize) {
    let kind = "application/x-ndjson";
    let (status, answer) = producer.post("/api/events", kind, lines).unwrap();
    let taken = answer["accepted"].as_u64().zip(answer["dropped"].as_u64());
    let taken = taken.map(|(accepted, dropped)| accepted + dropped);
    assert_eq!((status, taken), (200, Some(count as u64)), "{answer}");
}

/// Half of the events are about the task that all watch.
fn report(producer: &mut Producer) {
    let mut lines = String::new();
    for event in 0..EVENTS {
        let progress = event as f64 * 100.0 / EVENTS as f64;
        let task = match event % 2 {
            0 => "hot".to_owned(),
            _ => format!("own-{}", event / 2 % VIEWERS),
        };
        let payload = json!({"taskId": task, "progress": progress, "stage": event.to_string()});
        let _ = writeln!(
            lines,
            "{}",
            json!({"type": "task_progress", "payload": payload})
        );
        if event % 500 == 499 {
            send_lines(producer, &std::mem::take(&mut lines), 500);
        }
    }
}

fn complete(producer: &mut Producer) {
    let line = |number| format!("{{\"type\":\"task_completed\",\"taskId\":\"own-{number}\"}}\n");
    for first in (0..VIEWERS).step_by(500) {
        let lines: String = (first..first + 500).map(line).collect();
        send_lines(producer, &lines, 500);
    }
}

#[test]
fn two_thousand_stalled_viewers_cost_little_and_lose_no_end() {
    let directory = Directory::new();
    let process = serve(&directory);
    let mut viewers: Vec<Viewer> = (0..VIEWERS)
        .map(|number| viewer(process.websocket(), number))
        .collect();
    let before = resident_kb(process.id());
    fill(&process);
    let full = resident_kb(process.id());
    let mut producer = Producer::connect(process.http()).expect("a connection");
    report(&mut producer);
    complete(&mut producer);
    let after = resident_kb(process.id());
    println!("{before} kB connected, {full} kB stalled, {after} kB after the events");
    assert!(
        after < before + MAX_GROWTH_KB,
        "{before} kB have become {after} kB"
    );
    let (_, health) = producer.get("/health").unwrap();
    assert_eq!(
        health["websocket"]["connections"], VIEWERS,
        "nobody is closed"
    );
    for (number, viewer) in viewers.iter_mut().enumerate() {
        let own = format!("own-{number}");
        let messages = viewer.until("task_completed");
        let last = &messages[messages.len() - 1];
        assert_eq!(last["payload"]["taskId"], own, "{last}");
        let mut offset = 0;
        for wall in messages.iter().filter(|message| message["room"] == "wall") {
            offset += 1;
            assert_eq!(wall["offset"], offset, "what was said to a room is whole");
        }
        assert!(offset > 0, "it was full");
    }
    wait_for(process.http(), "/api/websocket/stats", |stats| {
        stats["connections"]["backlogged"] == 0
    });
    drop(viewers);
    process.stop();
}
