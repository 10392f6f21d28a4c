//! Clients that come back over real sockets (contract section 5.5), as a user's WebSocket library sees it.

use crate::raw::{FIN, PING, PONG, Raw, frame};
use crate::support::{Running, Viewer};
use serde_json::{Value, json};
use tungstenite::Message;

fn path_of(viewer: &Viewer) -> String {
    let secret = viewer.greeting["payload"]["session"].as_str();
    format!("/ws?session={}", secret.expect("a secret"))
}

fn again(server: &Running, path: &str) -> Viewer {
    let mut viewer = Viewer::connect(server.websocket, path);
    viewer.greeting = viewer.expect("connected");
    viewer
}

fn enter(viewer: &mut Viewer, rooms: &[&str]) {
    viewer.send(&json!({"type": "subscribe", "rooms": rooms}));
    viewer.expect("subscription_ack");
}

fn publish(server: &Running, room: &str, payload: Value) {
    let path = format!("/api/rooms/{room}/broadcast");
    server.post(&path, json!({"payload": payload}));
}

/// Reads up to the ping that asks what has arrived, whose answer leaves with what is sent next.
fn confirm(viewer: &mut Viewer) {
    loop {
        match viewer.socket.read().expect("a frame") {
            Message::Ping(payload) if payload.starts_with(b"joblight") => break,
            _ => {}
        }
    }
    viewer.send(&json!({"type": "ping"}));
    viewer.until("pong");
}

#[test]
fn what_was_missed_comes_in_order_then_the_state_then_the_present() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    enter(&mut viewer, &["a", "b", "task:t"]);
    publish(&server, "a", json!(0));
    assert_eq!(viewer.expect("room_broadcast")["payload"], 0);
    confirm(&mut viewer);
    let (path, id) = (path_of(&viewer), viewer.id());
    drop(viewer);
    publish(&server, "b", json!(1));
    server.post("/api/tasks/t/started", json!({"total": 5}));
    let letter = json!({"type": "letter", "payload": 2});
    server.post(&format!("/api/clients/{id}/send"), letter);
    publish(&server, "a", json!(3));
    let mut viewer = again(&server, &path);
    assert_eq!(viewer.greeting["payload"]["resumed"], true);
    assert_eq!(viewer.id(), id);
    let ack = viewer.expect("subscription_ack");
    let recovered = json!({"a": true, "b": true, "task:t": true});
    assert_eq!(ack["payload"]["recovered"], recovered);
    assert_eq!(viewer.expect("room_broadcast")["payload"], 1);
    viewer.expect("task_started");
    assert_eq!(viewer.expect("letter")["payload"], 2);
    assert_eq!(viewer.expect("room_broadcast")["payload"], 3);
    let state = viewer.expect("task_progress");
    assert_eq!(state["payload"]["snapshot"], true);
    publish(&server, "a", json!(4));
    assert_eq!(viewer.expect("room_broadcast")["payload"], 4);
}

#[test]
fn a_newer_connection_ends_the_older_one() {
    let server = Running::start(|_| {});
    let mut old = server.viewer();
    enter(&mut old, &["a"]);
    let mut new = again(&server, &path_of(&old));
    assert_eq!(new.greeting["payload"]["resumed"], true);
    new.expect("subscription_ack");
    let notice = old.expect("disconnected")["payload"].clone();
    assert_eq!(
        (&notice["code"], &notice["reconnect"]),
        (&json!(1008), &json!(false))
    );
    assert_eq!(old.close_code(), Some(1008));
    publish(&server, "a", json!(1));
    assert_eq!(new.expect("room_broadcast")["payload"], 1);
    let clients = server.document("/api/clients");
    assert_eq!(clients["clients"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_wrong_secret_makes_a_new_client() {
    let server = Running::start(|_| {});
    for secret in ["", "nonsense", &"0".repeat(48)] {
        let viewer = again(&server, &format!("/ws?session={secret}"));
        assert_eq!(viewer.greeting["payload"]["resumed"], false);
    }
    let server = Running::start(|config| config.websocket.session_ttl = 0);
    let greeting = server.viewer().greeting;
    assert_eq!(greeting["payload"]["resumed"], false);
    assert_eq!(greeting["payload"].get("session"), None);
}

#[test]
fn a_goodbye_for_good_is_for_good() {
    let server = Running::start(|_| {});
    for (code, resumed) in [(1000, false), (4403, false), (1012, true)] {
        let mut viewer = server.viewer();
        enter(&mut viewer, &["a"]);
        let path = format!("/api/clients/{}?code={code}", viewer.id());
        assert_eq!(server.call("DELETE", &path, &json!(null)).0, 204);
        assert_eq!(viewer.close_code(), Some(code));
        let viewer = again(&server, &path_of(&viewer));
        assert_eq!(viewer.greeting["payload"]["resumed"], resumed, "{code}");
    }
}

#[test]
fn a_reader_that_stops_for_a_while_misses_nothing() {
    let server = Running::start(|config| {
        config.websocket.max_outbox_size = 100_000;
        config.websocket.message_queue_size = 2_000;
    });
    let mut viewer = server.viewer();
    enter(&mut viewer, &["a", "b"]);
    // More than the sockets between hold, so that the rest waits in the logs; half of a log's bytes.
    let text = "x".repeat(10_000);
    for number in 0..800 {
        let room = if number % 4 == 0 { "b" } else { "a" };
        publish(&server, room, json!({"number": number, "text": text}));
        if number >= 400 && number % 2 == 0 {
            let heard = viewer.expect("room_broadcast");
            assert_eq!(heard["payload"]["number"], (number - 400) / 2);
        }
    }
    for number in 200..800 {
        let heard = viewer.next();
        match heard["type"] == "subscription_ack" {
            // It was too far behind for one of the logs, and is told.
            true => return assert!(heard["payload"]["recovered"].to_string().contains("false")),
            false => assert_eq!(heard["payload"]["number"], number),
        }
    }
}

#[test]
fn the_question_is_a_ping_that_names_what_it_asks() {
    let server = Running::start(|_| {});
    let mut raw = Raw::open(server.websocket, "/ws");
    raw.send(&frame(FIN | 1, br#"{"type":"join_room","room":"a"}"#));
    assert_eq!(raw.message()["type"], "subscription_ack");
    publish(&server, "a", json!(1));
    assert_eq!(raw.message()["type"], "room_broadcast");
    let (first, payload) = raw.read_frame().expect("a ping");
    assert_eq!((first, payload.len()), (FIN | PING, 17));
    assert!(payload.starts_with(b"joblight"));
    // Wrong answers, and answers to nothing, are nobody's business.
    for wrong in [
        &b"joblight"[..],
        b"",
        b"joblight\xff\xff\xff\xff\xff\xff\xff\xff",
        &payload,
        &payload,
    ] {
        raw.send(&frame(FIN | PONG, wrong));
    }
    raw.send(&frame(FIN | 1, br#"{"type":"ping"}"#));
    loop {
        let (first, payload) = raw.read_frame().expect("a pong");
        if first == FIN | 1 {
            assert!(payload.starts_with(br#"{"type":"pong""#));
            return;
        }
    }
}
