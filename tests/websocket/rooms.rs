//! Rooms: who is in, who may speak, what was missed.

use crate::support::{Running, Viewer};
use joblight::{config::Auto, config::Publish};
use serde_json::{Value, json};

fn join(viewer: &mut Viewer, room: &str) -> Value {
    viewer.send(&json!({"type": "join_room", "room": room}));
    viewer.expect("subscription_ack")["payload"].clone()
}

/// Publishes numbered messages to a room; the position after the last.
fn publish(server: &Running, room: &str, numbers: std::ops::Range<u64>) -> String {
    let path = format!("/api/rooms/{room}/broadcast");
    let mut position = String::new();
    for number in numbers {
        let answer = server.post(&path, json!({"payload": number}));
        position = answer["position"].as_str().unwrap().to_owned();
    }
    position
}

fn numbers(messages: &Value) -> Vec<u64> {
    let messages = messages.as_array().unwrap().iter();
    messages
        .map(|message| message["payload"].as_u64().unwrap())
        .collect()
}

#[test]
fn acknowledgements_say_where_a_client_is() {
    let server = Running::start(|_| {});
    let position = publish(&server, "news", 0..3);
    let mut viewer = server.viewer();
    viewer
        .send(&json!({"type": "subscribe", "payload": {"taskIds": ["a", "b"], "rooms": ["news"]}}));
    let ack = viewer.expect("subscription_ack")["payload"].clone();
    assert_eq!(ack["taskIds"], json!(["a", "b"]));
    assert_eq!(ack["rooms"], json!(["task:a", "task:b", "news"]));
    assert_eq!(ack["denied"], json!([]));
    assert_eq!(ack["positions"]["news"], position);
    assert!(ack["positions"]["task:a"].as_str().unwrap().ends_with(":0"));
    assert_eq!(ack["recovered"], json!({}));
    let ack = join(&mut viewer, "news");
    assert_eq!(
        ack["rooms"].as_array().unwrap().len(),
        3,
        "joining twice is joining once"
    );
    viewer.send(&json!({"type": "unsubscribe", "taskIds": ["a"], "rooms": ["never"]}));
    let ack = viewer.expect("subscription_ack")["payload"].clone();
    assert_eq!(
        (&ack["taskIds"], &ack["denied"]),
        (&json!(["b"]), &json!([]))
    );
    viewer.send(&json!({"type": "leave_room", "room": "news"}));
    let ack = viewer.expect("subscription_ack")["payload"].clone();
    assert_eq!(ack["rooms"], json!(["task:b"]));
    viewer.send(&json!({"type": "subscribe", "taskIds": []}));
    assert_eq!(
        viewer.expect("subscription_ack")["payload"]["rooms"],
        json!(["task:b"])
    );
}

#[test]
fn rooms_that_cannot_be_are_denied_and_the_others_joined() {
    let server = Running::start(|config| config.websocket.max_rooms_per_client = 2);
    let mut viewer = server.viewer();
    let long = "x".repeat(257);
    viewer
        .send(&json!({"type": "subscribe", "rooms": ["", "one", long, "a\u{7}b", "two", "three"]}));
    let ack = viewer.expect("subscription_ack")["payload"].clone();
    assert_eq!(ack["rooms"], json!(["one", "two"]));
    let expected = json!([
        {"room": "", "code": "invalid_message"},
        {"room": long, "code": "invalid_message"},
        {"room": "a\u{7}b", "code": "invalid_message"},
        {"room": "three", "code": "limit_exceeded"},
    ]);
    assert_eq!(ack["denied"], expected);
    assert_eq!(
        join(&mut viewer, "four")["denied"][0]["code"],
        "limit_exceeded"
    );
    viewer.send(&json!({"type": "leave_room", "room": "one"}));
    viewer.expect("subscription_ack");
    assert_eq!(join(&mut viewer, "four")["rooms"], json!(["two", "four"]));
}

#[test]
fn there_are_only_so_many_rooms() {
    let server = Running::start(|config| {
        config.websocket.max_rooms = 2;
        config.websocket.max_viewer_rooms = Auto::Number(2);
    });
    let (mut one, mut other) = (server.viewer(), server.viewer());
    one.send(&json!({"type": "subscribe", "rooms": ["a", "b", "c"]}));
    let ack = one.expect("subscription_ack")["payload"].clone();
    assert_eq!(
        ack["denied"],
        json!([{"room": "c", "code": "limit_exceeded"}])
    );
    one.send(&json!({"type": "leave_room", "room": "a"}));
    one.expect("subscription_ack");
    assert_eq!(
        join(&mut other, "c")["denied"],
        json!([]),
        "an empty room makes place"
    );
    for (room, expected) in [("d", 200), ("e", 200), ("f", 503)] {
        let path = format!("/api/rooms/{room}/broadcast");
        let (status, answer) = server.call("POST", &path, &json!({"payload": 1}));
        assert_eq!(status, expected, "{room}: {answer}");
    }
    let told = one.expect("error")["payload"].clone();
    assert_eq!(
        (&told["code"], &told["rooms"]),
        (&json!("limit_exceeded"), &json!(["b"])),
        "viewers' rooms give way to producers'"
    );
}

fn broadcast(viewer: &mut Viewer, room: &str, message: Value) {
    viewer.send(&json!({"type": "room_broadcast", "room": room, "message": message}));
}

#[test]
fn nobody_may_publish_unless_allowed() {
    let server = Running::start(|_| {});
    let (mut speaker, mut listener) = (server.viewer(), server.viewer());
    join(&mut speaker, "r");
    join(&mut listener, "r");
    broadcast(&mut speaker, "r", json!("heard?"));
    assert_eq!(speaker.expect("error")["payload"]["code"], "not_allowed");
    publish(&server, "r", 7..8);
    assert_eq!(
        listener.expect("room_broadcast")["payload"],
        7,
        "nothing came before"
    );
}

#[test]
fn members_may_publish_where_they_are() {
    let server = Running::start(|config| config.websocket.publish = Publish::Members);
    let (mut speaker, mut listener) = (server.viewer(), server.viewer());
    join(&mut listener, "r");
    broadcast(&mut speaker, "r", json!("from outside"));
    assert_eq!(speaker.expect("error")["payload"]["code"], "not_allowed");
    join(&mut speaker, "r");
    broadcast(&mut speaker, "r", json!({"text": "hello"}));
    let heard = listener.expect("room_broadcast");
    assert_eq!(
        heard["payload"],
        json!({"message": {"text": "hello"}, "from": speaker.id()})
    );
    assert_eq!((&heard["room"], &heard["offset"]), (&json!("r"), &json!(1)));
    assert!(heard["id"].is_string() && heard["timestamp"].is_u64());
    broadcast(&mut listener, "r", json!(2));
    let answer = speaker.expect("room_broadcast");
    assert_eq!(answer["offset"], 2, "its own message did not come back");
    assert_eq!(answer["payload"]["from"], listener.id());
}

#[test]
fn anybody_may_publish_anywhere() {
    let server = Running::start(|config| config.websocket.publish = Publish::Anybody);
    let (mut speaker, mut listener) = (server.viewer(), server.viewer());
    join(&mut listener, "r");
    broadcast(&mut speaker, "r", json!(null));
    assert_eq!(
        listener.expect("room_broadcast")["payload"]["message"],
        json!(null)
    );
    broadcast(&mut speaker, "", json!(1));
    assert_eq!(
        speaker.expect("error")["payload"]["code"],
        "invalid_message"
    );
    broadcast(&mut speaker, "new", json!(1));
    speaker.send(&json!({"type": "history", "room": "new"}));
    let history = speaker.expect("history");
    assert_eq!(
        history["payload"]["messages"][0]["payload"]["from"],
        speaker.id()
    );
}

#[test]
fn history_in_pages() {
    let server = Running::start(|config| config.websocket.message_queue_size = 5);
    let end = publish(&server, "r", 0..4);
    let mut viewer = server.viewer();
    let mut page = |since: Option<&str>, limit: Option<u64>| {
        viewer.send(
            &json!({"type": "history", "payload": {"room": "r", "since": since, "limit": limit}}),
        );
        viewer.expect("history")["payload"].clone()
    };
    let all = page(None, None);
    assert_eq!(numbers(&all["messages"]), [0, 1, 2, 3]);
    assert_eq!(
        (&all["complete"], &all["position"]),
        (&json!(true), &json!(end))
    );
    assert_eq!(all["messages"][0]["room"], "r");
    assert_eq!(all["messages"][0]["offset"], 1);
    let first = page(None, Some(3));
    assert_eq!(numbers(&first["messages"]), [0, 1, 2]);
    let rest = page(first["position"].as_str(), Some(3));
    assert_eq!(numbers(&rest["messages"]), [3]);
    assert_eq!(rest["position"], end);
    assert_eq!(numbers(&page(Some(&end), None)["messages"]), [0; 0]);
    publish(&server, "r", 4..9);
    let cut = page(first["position"].as_str(), None);
    assert_eq!(
        (numbers(&cut["messages"]), &cut["complete"]),
        (vec![4, 5, 6, 7, 8], &json!(false))
    );
    let late = page(Some(&end), None);
    assert_eq!(
        (numbers(&late["messages"]).len(), &late["complete"]),
        (5, &json!(true))
    );
}

#[test]
fn whoever_comes_back_gets_what_was_missed() {
    let server = Running::start(|config| config.websocket.message_queue_size = 5);
    let middle = publish(&server, "r", 0..2);
    publish(&server, "r", 2..4);
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "rooms": ["r"], "since": {"r": middle}}));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"r": true}));
    publish(&server, "r", 4..5);
    for (number, offset) in [(2, 3), (3, 4), (4, 5)] {
        let message = viewer.expect("room_broadcast");
        assert_eq!(
            (&message["payload"], &message["offset"]),
            (&json!(number), &json!(offset))
        );
    }
    publish(&server, "r", 5..10);
    let mut late = server.viewer();
    for since in [middle.as_str(), "start"] {
        late.send(&json!({"type": "subscribe", "rooms": ["r"], "since": {"r": since}}));
        let ack = late.expect("subscription_ack");
        assert_eq!(ack["payload"]["recovered"], json!({"r": false}));
        for (number, offset) in (5..10).zip(6..) {
            let message = late.expect("room_broadcast");
            assert_eq!(
                (&message["payload"], &message["offset"]),
                (&json!(number), &json!(offset))
            );
        }
    }
}

#[test]
fn a_page_that_is_loaded_late_gets_the_whole_list_of_documents() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/started", json!({"total": 3}));
    let document = |n| json!({"type": "document_generated", "payload": {"taskId": "t", "n": n}});
    server.post("/api/events", json!([document(1), document(2)]));
    let subscribe =
        json!({"type": "subscribe", "taskIds": ["t"], "since": {"task:t": "start"}}).to_string();
    let read = |viewer: &mut Viewer| {
        viewer.send(&serde_json::from_str(&subscribe).unwrap());
        let ack = viewer.expect("subscription_ack");
        assert_eq!(ack["payload"]["recovered"], json!({"task:t": true}));
        viewer.expect("task_started");
        assert_eq!(viewer.expect("document_generated")["payload"]["n"], 1);
        assert_eq!(viewer.expect("document_generated")["payload"]["n"], 2);
        assert_eq!(viewer.expect("task_progress")["payload"]["snapshot"], true);
    };
    let mut viewer = server.viewer();
    read(&mut viewer);
    // And once more, for another part of the same page.
    read(&mut viewer);
    server.post("/api/events", document(3));
    assert_eq!(viewer.expect("document_generated")["payload"]["n"], 3);
}

#[test]
fn a_tasks_subscriber_gets_the_missed_messages_and_then_the_state() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/started", json!({"total": 4}));
    let mut viewer = server.viewer();
    let since = viewer.subscribe(&["t"])["payload"]["positions"]["task:t"].clone();
    assert_eq!(viewer.expect("task_progress")["payload"]["snapshot"], true);
    drop(viewer);
    server.post(
        "/api/events",
        json!({"type": "document_generated", "payload": {"taskId": "t", "n": 1}}),
    );
    server.post("/api/tasks/t/paused", json!({"current": 2}));
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": ["t"], "since": {"task:t": since}}));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"task:t": true}));
    assert_eq!(viewer.expect("document_generated")["payload"]["n"], 1);
    assert_eq!(viewer.expect("task_paused")["payload"]["status"], "paused");
    let snapshot = viewer.expect("task_progress");
    assert_eq!(snapshot["payload"]["snapshot"], true);
    assert_eq!(snapshot["payload"]["current"], 2);
}

#[test]
fn a_position_of_another_life_is_never_taken_for_ones_own() {
    let before = Running::start(|_| {});
    let position = publish(&before, "r", 0..2);
    before.stop();
    let after = Running::start(|_| {});
    publish(&after, "r", 10..15);
    let mut viewer = after.viewer();
    viewer.send(&json!({"type": "subscribe", "rooms": ["r"], "since": {"r": position}}));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"r": false}));
}
