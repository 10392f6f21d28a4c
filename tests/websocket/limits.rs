//! Limits: full houses, talkers, and readers who do not read.

use crate::raw::upgrade;
use crate::support::{Running, Viewer, limit_connections, limit_messages};
use joblight::internals::client::{Client, ClientEvent};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use tungstenite::Message;
use tungstenite::client::ClientRequestBuilder;

/// A viewer whose kernel takes little, so that a backlog begins early.
fn narrow_viewer(address: SocketAddr) -> Viewer {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream: std::net::TcpStream = socket.into();
    stream
        .set_read_timeout(Some(crate::support::LIMIT))
        .unwrap();
    let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
    let mut viewer = Viewer {
        socket,
        greeting: Value::Null,
    };
    viewer.greeting = viewer.expect("connected");
    viewer
}

/// A connection as a page makes it.
fn page(address: SocketAddr, path: &str) -> Viewer {
    let uri = format!("ws://{address}{path}").parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_header("Origin", "http://localhost:8080");
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(crate::support::LIMIT))
        .unwrap();
    let (socket, _) = tungstenite::client(request, stream).expect("a handshake");
    Viewer {
        socket,
        greeting: Value::Null,
    }
}

/// Reads how a page is sent away, to the end.
fn sent_away(mut page: Viewer, code: u16) {
    let notice = page.expect("disconnected");
    let payload = notice.get("payload").unwrap_or(&notice["data"]);
    assert_eq!(
        (&payload["code"], &payload["reconnect"]),
        (&json!(code), &json!(true))
    );
    assert!(payload["delayMs"].as_u64() >= Some(1000), "{payload}");
    assert_eq!(page.close_code(), Some(code));
}

#[test]
fn a_full_house_sends_newcomers_away_for_now() {
    let server = Running::start(|config| config.websocket.max_clients = 1);
    let inside = server.viewer();
    for path in ["/ws", "/"] {
        sent_away(page(server.websocket, path), 1013);
        let (_, answer) = upgrade(server.websocket, path, &[]);
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (503, &json!("limit_exceeded"))
        );
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=120).contains(&seconds), "{seconds}");
    }
    let statistics = server.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["refused"], 4, "{statistics}");
    assert_eq!(statistics["connections"]["active"], 1, "{statistics}");
    let path = format!("/api/clients/{}", inside.id());
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    page(server.websocket, "/ws").expect("connected");
}

/// The client of the command line is told off by a goodbye, then by a status, and comes back when there is room.
#[test]
fn our_own_client_comes_back_when_it_is_told_to() {
    let server = Running::start(|config| config.websocket.max_clients = 1);
    let mut client = Client::connect(&format!("ws://{}/ws", server.websocket)).unwrap();
    let clients = server.document("/api/clients")["clients"].clone();
    let id = clients[0]["clientId"].as_str().unwrap().to_owned();
    let mut next = || client.next(crate::support::LIMIT).unwrap().expect("news");
    let path = format!("/api/clients/{id}?code=1013");
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    let ClientEvent::Message(notice) = next() else {
        panic!("no goodbye");
    };
    let inside = server.viewer();
    let told = notice.value["payload"]["delayMs"].as_u64().unwrap();
    match next() {
        ClientEvent::Lost { delay, .. } => assert_eq!(delay.as_millis(), u128::from(told)),
        other => panic!("{other:?}"),
    }
    match next() {
        ClientEvent::Lost { delay, reason, .. } => {
            assert!(delay.as_secs() >= 1 && delay.subsec_millis() == 0);
            assert!(reason.contains("503"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let path = format!("/api/clients/{}", inside.id());
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    match next() {
        ClientEvent::Message(message) => assert_eq!(message.value["payload"]["resumed"], true),
        other => panic!("{other:?}"),
    }
}

#[test]
fn talkers_are_warned_and_then_closed() {
    let server = Running::start(|config| limit_messages(config, 2));
    let (mut talker, mut quiet) = (server.viewer(), server.viewer());
    (0..12).for_each(|id| talker.send(&json!({"type": "ping", "id": id})));
    talker.expect("pong");
    talker.expect("pong");
    let warnings = talker.until("disconnected");
    let (notice, warnings) = warnings.split_last().unwrap();
    assert!(!warnings.is_empty());
    for warning in warnings {
        assert_eq!(warning["payload"]["code"], "rate_limited", "{warning}");
    }
    assert_eq!(notice["payload"]["code"], 4429);
    assert_eq!(notice["payload"]["reconnect"], true);
    let delay_ms = notice["payload"]["delayMs"].as_u64();
    assert!(delay_ms > Some(25_000), "until it may talk again: {notice}");
    assert_eq!(talker.close_code(), Some(4429));
    quiet.send(&json!({"type": "ping"}));
    quiet.expect("pong");
}

#[test]
fn one_address_connects_only_so_often() {
    let server = Running::start(|config| limit_connections(config, 2));
    let _viewers = (server.viewer(), server.viewer());
    let (_, answer) = upgrade(server.websocket, "/ws", &[]);
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (429, &json!("rate_limited"))
    );
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=121).contains(&seconds), "{seconds}");
    for path in ["/ws", "/"] {
        sent_away(page(server.websocket, path), 4429);
    }
    server.document("/health");
}

/// A viewer that reads nothing and one that does, in a room to which `count` messages of 64 KB are said.
fn slow_and_quick(server: &Running, count: u64) -> (Viewer, Viewer) {
    let mut viewers = (narrow_viewer(server.websocket), server.viewer());
    for viewer in [&mut viewers.0, &mut viewers.1] {
        viewer.send(&json!({"type": "join_room", "room": "r"}));
        viewer.expect("subscription_ack");
    }
    let text = "x".repeat(64 * 1024);
    for n in 0..count {
        let payload = json!({"payload": {"n": n, "text": text}});
        server.post("/api/rooms/r/broadcast", payload);
        assert_eq!(viewers.1.expect("room_broadcast")["payload"]["n"], n);
    }
    viewers
}

#[test]
fn a_reader_far_behind_gets_everything_from_the_log() {
    let server = Running::start(|config| config.websocket.max_outbox_size = 256 * 1024);
    let (mut slow, _quick) = slow_and_quick(&server, 60);
    for n in 0..60 {
        assert_eq!(slow.expect("room_broadcast")["payload"]["n"], n);
    }
    server.post("/api/rooms/r/broadcast", json!({"payload": "last"}));
    assert_eq!(slow.expect("room_broadcast")["payload"], "last");
}

#[test]
fn a_reader_behind_the_log_is_told_and_goes_on() {
    let server = Running::start(|config| {
        config.websocket.max_outbox_size = 256 * 1024;
        config.websocket.message_queue_size = 5;
    });
    let (mut slow, _quick) = slow_and_quick(&server, 100);
    let received = slow.until("subscription_ack");
    let (told, received) = received.split_last().unwrap();
    for (n, message) in received.iter().enumerate() {
        assert_eq!(message["payload"]["n"], n, "what came came in order");
    }
    assert!(received.len() < 95, "{}", received.len());
    assert_eq!(told["payload"]["recovered"], json!({"r": false}));
    let position = told["payload"]["positions"]["r"].as_str().unwrap();
    assert!(position.ends_with(":100"), "{position}");
    for n in 95..100 {
        assert_eq!(slow.expect("room_broadcast")["payload"]["n"], n);
    }
    server.post("/api/rooms/r/broadcast", json!({"payload": "last"}));
    assert_eq!(slow.expect("room_broadcast")["payload"], "last");
}

#[test]
fn a_reader_that_takes_nothing_for_too_long_is_closed_and_the_others_go_on() {
    let server = Running::start(|config| config.websocket.max_backlog_age = 200);
    let (mut slow, mut quick) = slow_and_quick(&server, 60);
    let clients = || {
        server.document("/api/clients")["clients"]
            .as_array()
            .unwrap()
            .len()
    };
    while clients() == 2 {}
    let messages = slow.until("disconnected");
    let notice = messages.last().unwrap();
    assert_eq!(notice["payload"]["code"], 4430);
    assert_eq!(notice["payload"]["reconnect"], true);
    assert!(notice["payload"]["delayMs"].as_u64() >= Some(1000));
    assert_eq!(slow.close_code(), Some(4430));
    server.post("/api/rooms/r/broadcast", json!({"payload": "last"}));
    assert_eq!(quick.expect("room_broadcast")["payload"], "last");
}

#[test]
fn a_viewer_that_stops_reading_is_never_closed_for_progress() {
    let server = Running::start(|config| {
        config.broadcaster.broadcast_interval = 0;
        config.broadcaster.min_change_threshold = 0.0;
        config.websocket.max_outbox_size = 256 * 1024;
    });
    let mut viewer = narrow_viewer(server.websocket);
    viewer.subscribe(&["t"]);
    let handle = server.handle();
    let text = |n: u64| format!("{n} {}", "x".repeat(8 * 1024));
    let updates = 3000;
    for n in 1..=updates {
        let task = json!({"current": n, "total": 10 * updates, "message": text(n)});
        assert_eq!(handle.on_task_progress("t", &task), Ok(true));
    }
    assert_eq!(handle.stats().unwrap().connections.backlogged, 1);
    let (mut last, mut count) = (0, 0);
    while last < updates {
        let message = viewer.expect("task_progress");
        let payload = &message["payload"];
        assert_eq!(payload["snapshot"] == true, count == 0, "{payload}");
        let current = payload["current"].as_u64().expect("it moved");
        assert!(current > last, "never back");
        assert_eq!(payload["message"], text(current), "a state is whole");
        (last, count) = (current, count + 1);
    }
    assert!(count < updates, "what it did not read was not queued");
    handle.on_task_completed("t", &json!({})).unwrap();
    assert_eq!(viewer.expect("task_completed")["payload"]["progress"], 100);
}

#[test]
fn lifecycle_messages_reach_even_a_reader_who_stopped() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let mut viewer = narrow_viewer(server.websocket);
    viewer.subscribe(&["t"]);
    let handle = server.handle();
    handle
        .on_task_started("t", &json!({"total": 1000}))
        .unwrap();
    for n in 1..=500 {
        let task = json!({"current": n, "message": "x".repeat(16 * 1024)});
        handle.on_task_progress("t", &task).unwrap();
    }
    let item = json!({"type": "document_generated", "payload": {"taskId": "t", "n": 1}});
    handle.report(&item).unwrap();
    handle
        .on_task_failed("t", &json!({"error": "boom", "message": null}))
        .unwrap();
    let messages = viewer.until("task_failed");
    let kinds = messages
        .iter()
        .filter(|message| message["type"] != "task_progress");
    let kinds: Vec<&str> = kinds
        .filter_map(|message| message["type"].as_str())
        .collect();
    assert_eq!(kinds, ["task_started", "document_generated", "task_failed"]);
    assert_eq!(messages.last().unwrap()["payload"]["error"], "boom");
}

#[test]
fn many_large_states_at_once_close_nobody() {
    let server = Running::start(|config| {
        config.websocket.max_outbox_size = 64 * 1024;
        config.broadcaster.broadcast_interval = 0;
    });
    let tasks: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let report = |n: u64| -> Value {
        let event = |task: &String| {
            let payload = json!({"taskId": task, "current": n, "meta": {"text": "x".repeat(8 * 1024)}, "message": n.to_string()});
            json!({"type": "task_progress", "payload": payload})
        };
        tasks.iter().map(event).collect()
    };
    server.post("/api/events", report(1));
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": tasks}));
    viewer.expect("subscription_ack");
    for n in 1..=2 {
        let mut seen: Vec<Value> = Vec::new();
        while seen.len() < tasks.len() {
            let message = viewer.expect("task_progress");
            assert_eq!(message["payload"]["message"], n.to_string());
            seen.push(message["payload"]["taskId"].clone());
        }
        seen.sort_by_key(Value::to_string);
        seen.dedup();
        assert_eq!(seen.len(), tasks.len());
        if n == 1 {
            server.post("/api/events", report(2));
        }
    }
}

#[test]
fn much_at_once_is_no_slowness() {
    let server = Running::start(|config| config.websocket.max_outbox_size = 64 * 1024);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    let text = "x".repeat(10 * 1024);
    let item = |n: u64| json!({"type": "document_generated", "payload": {"taskId": "t", "n": n, "text": text}});
    server.post("/api/events", (0..90).map(item).collect());
    for n in 0..90 {
        assert_eq!(viewer.expect("document_generated")["payload"]["n"], n);
    }
    let mut late = server.viewer();
    let history = server.document("/api/rooms/task%3At/history?limit=1");
    let since = json!({"task:t": history["position"]});
    late.send(&json!({"type": "subscribe", "taskIds": ["t"], "since": since}));
    let ack = late.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"task:t": true}));
    for n in 1..90 {
        assert_eq!(late.expect("document_generated")["payload"]["n"], n);
    }
    late.send(&json!({"type": "history", "room": "task:t"}));
    let messages = late.until("history").pop().unwrap()["payload"]["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 90);
}

/// Four hundred answers of a megabyte each: made at once, they would take 400 MB.
#[test]
fn a_client_that_asks_and_does_not_read_waits_and_costs_little() {
    let server = Running::start(|_| {});
    let text = "x".repeat(64 * 1024);
    for _ in 0..16 {
        server.post("/api/rooms/r/broadcast", json!({"payload": text}));
    }
    let used = || {
        server.document("/api/websocket/stats")["memory"]["used"]
            .as_u64()
            .unwrap()
    };
    let before = used();
    let mut viewer = server.viewer();
    for id in 0..400 {
        let request = json!({"type": "history", "id": id, "room": "r"}).to_string();
        viewer.socket.write(Message::text(request)).unwrap();
    }
    viewer.socket.flush().unwrap();
    assert_eq!(viewer.expect("history")["replyTo"], 0);
    let after = used();
    assert!(
        after < before + 200_000_000,
        "{before} bytes became {after}"
    );
    for id in 1..400 {
        assert_eq!(viewer.expect("history")["replyTo"], id);
    }
}
