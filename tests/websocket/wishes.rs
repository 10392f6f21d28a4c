//! What viewers ask for in the wrong words: they are told what was expected and what was found.

use crate::support::{Running, Viewer, guarded};
use serde_json::{Value, json};
use tungstenite::Message;

/// The complaint about a message.
#[track_caller]
fn complaint(viewer: &mut Viewer, message: &Value) -> String {
    viewer.send(message);
    let error = viewer.next();
    assert_eq!(
        (&error["type"], &error["payload"]["code"]),
        (&json!("error"), &json!("invalid_message")),
        "{message}: {error}"
    );
    error["payload"]["message"]
        .as_str()
        .expect("a reason")
        .to_owned()
}

#[test]
fn subscriptions_in_other_words_are_refused_with_the_right_ones() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for kind in ["subscribe", "unsubscribe"] {
        for (fields, found) in [
            (json!({"taskId": "a"}), "`taskId`"),
            (json!({"tasks": ["a"]}), "`tasks`"),
            (json!({"task_ids": ["a"]}), "`task_ids`"),
            (json!({"taskids": ["a"]}), "`taskids`"),
            (json!({"room": "a"}), "`room`"),
            (json!({"ids": ["a"]}), "`ids`"),
            (json!({"Rooms": ["a"]}), "`Rooms`"),
            (json!({"channel": "a"}), "`channel`"),
            (json!({"rooms": ["b"], "taskId": "a"}), "`taskId`"),
            (json!({"since": {}}), "`since`"),
            (json!({"taskIds": null}), "nothing"),
            (json!({}), "nothing"),
        ] {
            let mut flat = fields.clone();
            flat["type"] = json!(kind);
            flat["id"] = json!("q");
            let nested = json!({"type": kind, "payload": fields});
            for message in [flat, nested, json!({"type": kind, "data": fields})] {
                let reason = complaint(&mut viewer, &message);
                assert!(
                    reason.contains("`taskIds`") && reason.contains("`rooms`"),
                    "{reason}"
                );
                assert!(
                    reason.contains("array") && reason.contains(found),
                    "{message}: {reason}"
                );
            }
        }
    }
}

#[test]
fn names_that_are_no_array_of_strings_are_refused() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for kind in ["subscribe", "unsubscribe"] {
        for (fields, field) in [
            (json!({"type": kind, "taskIds": "a"}), "taskIds"),
            (json!({"type": kind, "rooms": "a"}), "rooms"),
            (json!({"type": kind, "rooms": {"a": 1}}), "rooms"),
            (json!({"type": kind, "taskIds": ["a", 5]}), "taskIds[1]"),
            (
                json!({"type": kind, "payload": {"taskIds": "a"}}),
                "payload.taskIds",
            ),
        ] {
            let reason = complaint(&mut viewer, &fields);
            assert!(reason.contains(&format!("{field}: ")), "{reason}");
            assert!(
                reason.contains("an array") || field.ends_with(']'),
                "{reason}"
            );
        }
    }
}

#[test]
fn wishes_that_name_nothing_new_are_fine() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for fields in [
        json!({"batch": true}),
        json!({"taskIds": []}),
        json!({"rooms": [], "taskIds": null}),
        json!({"batch": false}),
    ] {
        let mut message = fields;
        message["type"] = json!("subscribe");
        viewer.send(&message);
        viewer.next();
    }
    let reason = complaint(&mut viewer, &json!({"type": "unsubscribe", "batch": true}));
    assert!(reason.contains("`taskIds`"), "{reason}");
    viewer.send(
        &json!({"type": "subscribe", "rooms": ["a"], "since": null, "batch": null, "own": 1}),
    );
    let ack = viewer.next();
    assert_eq!(ack["payload"]["rooms"], json!(["a"]), "{ack}");
}

#[test]
fn other_messages_say_which_field_they_lack() {
    let server =
        Running::start(|config| config.websocket.publish = joblight::config::Publish::Anybody);
    let mut viewer = server.viewer();
    for (message, lacks, found) in [
        (
            json!({"type": "join_room", "rooms": ["a"]}),
            "room",
            "`rooms`",
        ),
        (json!({"type": "join_room"}), "room", "nothing"),
        (
            json!({"type": "join_room", "room": null}),
            "room",
            "nothing",
        ),
        (
            json!({"type": "leave_room", "payload": {"roomId": "a"}}),
            "payload.room",
            "`roomId`",
        ),
        (json!({"type": "history", "name": "a"}), "room", "`name`"),
        (
            json!({"type": "task_control", "id": 1, "task": "t", "action": "pause"}),
            "taskId",
            "`task`",
        ),
        (
            json!({"type": "task_control", "data": {"taskId": "t", "command": "pause"}}),
            "data.action",
            "`command`",
        ),
        (
            json!({"type": "room_broadcast", "room": "a", "text": "hi"}),
            "message",
            "`text`",
        ),
        (
            json!({"type": "room_broadcast", "message": "hi"}),
            "room",
            "nothing",
        ),
    ] {
        let reason = complaint(&mut viewer, &message);
        assert!(
            reason.contains(&format!("{lacks}: missing; expected ")),
            "{message}: {reason}"
        );
        assert!(
            reason.contains(&format!("found {found}")),
            "{message}: {reason}"
        );
    }
    viewer.send(&json!({"type": "join_room", "room": "a"}));
    viewer.expect("subscription_ack");
    viewer.send(&json!({"type": "history", "room": "a", "limit": 1e1, "since": null}));
    viewer.expect("history");
    let reason = complaint(
        &mut viewer,
        &json!({"type": "history", "room": "a", "limit": 1.5}),
    );
    assert!(reason.contains("limit: "), "{reason}");
    // A null is a message, too.
    let mut other = server.viewer();
    other.send(&json!({"type": "room_broadcast", "data": {"room": "a", "message": null}}));
    assert_eq!(
        viewer.expect("room_broadcast")["payload"]["message"],
        Value::Null
    );
}

#[test]
fn fields_of_the_envelope_that_nobody_needs_are_not_judged() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for message in [
        json!({"type": "ping", "seq": "x"}),
        json!({"type": "ping", "room": 5}),
        json!({"type": "ping", "timestamp": "now"}),
    ] {
        viewer.send(&message);
        viewer.expect("pong");
    }
}

#[test]
fn payload_and_data_at_once_are_refused() {
    let server = Running::start(|config| guarded(config, &["chat.*"]));
    let mut viewer = server.viewer();
    for kind in ["subscribe", "ping", "chat.x"] {
        let reason = complaint(
            &mut viewer,
            &json!({"type": kind, "payload": {"taskIds": []}, "data": {"taskIds": []}}),
        );
        assert!(
            reason.contains("payload") && reason.contains("data"),
            "{reason}"
        );
    }
    viewer.send(&json!({"type": "subscribe", "payload": null, "data": {"rooms": ["a"]}}));
    viewer.expect("subscription_ack");
    let mut backend = server.application();
    let reason = complaint(
        &mut backend,
        &json!({"all": true, "type": "chat.y", "payload": 1, "data": 2}),
    );
    assert!(
        reason.contains("payload") && reason.contains("data"),
        "{reason}"
    );
    backend.send(&json!({"all": true, "type": "chat.y", "payload": null, "data": 2}));
    assert_eq!(viewer.expect("chat.y")["payload"], 2);
}

#[test]
fn half_an_emoji_of_a_viewer_is_named_with_its_field() {
    let server =
        Running::start(|config| config.websocket.publish = joblight::config::Publish::Anybody);
    let mut viewer = server.viewer();
    for half in [r"\ud83d", r"\ude00", r"\ud83d\u0041"] {
        for (text, field) in [
            (
                format!(r#"{{"type":"room_broadcast","room":"r","message":["x","{half}"]}}"#),
                "message[1]",
            ),
            (
                format!(r#"{{"type":"room_broadcast","payload":{{"room":"{half}","message":1}}}}"#),
                "payload.room",
            ),
            (
                format!(r#"{{"type":"subscribe","data":{{"taskIds":["{half}"]}}}}"#),
                "data.taskIds[0]",
            ),
            (format!(r#"{{"type":"{half}"}}"#), "type"),
        ] {
            viewer
                .socket
                .send(Message::text(text.clone()))
                .expect("it leaves");
            let error = viewer.expect("error");
            let reason = error["payload"]["message"].as_str().expect("a reason");
            assert_eq!(error["payload"]["code"], "invalid_json", "{reason}");
            assert!(
                reason.contains("half of a surrogate pair") && reason.contains(field),
                "{text}: {reason}"
            );
        }
    }
    for (text, word) in [
        (
            r#"{"type":"history","room":"r","limit":NaN}"#,
            "limit: `NaN`",
        ),
        (r#"{"type":"ping","payload":{"a":1e999}}"#, "payload.a: "),
    ] {
        viewer.socket.send(Message::text(text)).expect("it leaves");
        let error = viewer.expect("error");
        let reason = error["payload"]["message"].as_str().expect("a reason");
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn fields_beside_the_payload_are_refused_by_name() {
    let server =
        Running::start(|config| config.websocket.publish = joblight::config::Publish::Anybody);
    let mut viewer = server.viewer();
    for (kind, fields, beside) in [
        (
            "subscribe",
            json!({"taskIds": ["a"]}),
            json!({"since": {"task:a": "start"}}),
        ),
        (
            "subscribe",
            json!({"taskIds": ["a"]}),
            json!({"rooms": ["w"]}),
        ),
        (
            "subscribe",
            json!({"rooms": ["w"]}),
            json!({"taskIds": ["a"]}),
        ),
        ("subscribe", json!({"rooms": ["w"]}), json!({"batch": true})),
        ("subscribe", json!({"rooms": ["w"]}), json!({"room": "v"})),
        (
            "unsubscribe",
            json!({"taskIds": ["a"]}),
            json!({"rooms": ["w"]}),
        ),
        ("join_room", json!({"room": "r"}), json!({"room": "s"})),
        ("join_room", json!({"room": "r"}), json!({"since": "start"})),
        ("leave_room", json!({}), json!({"room": "s"})),
        (
            "room_broadcast",
            json!({"room": "r", "message": 1}),
            json!({"message": 2}),
        ),
        ("history", json!({"room": "r"}), json!({"limit": 1})),
        ("history", json!({"room": "r"}), json!({"since": "start"})),
        (
            "task_control",
            json!({"taskId": "t"}),
            json!({"action": "cancel"}),
        ),
        ("auth", json!({}), json!({"token": "x"})),
    ] {
        for body in ["payload", "data"] {
            let mut message = beside.clone();
            message["type"] = json!(kind);
            message["id"] = json!("q");
            message[body] = fields.clone();
            let reason = complaint(&mut viewer, &message);
            let name = beside.as_object().and_then(|beside| beside.keys().next());
            let told = format!("{}: stands beside `{body}`", name.expect("a field"));
            assert!(reason.contains(&told), "{message}: {reason}");
        }
    }
    // Nothing was done by halves.
    viewer.send(&json!({"type": "subscribe", "payload": {"rooms": []}}));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["rooms"], json!([]), "{ack}");
}

#[test]
fn what_is_no_field_of_a_message_may_stand_beside_its_payload() {
    let server = Running::start(|config| guarded(config, &["chat.*"]));
    let mut viewer = server.viewer();
    for beside in [
        json!({"id": 1, "timestamp": 5}),
        json!({"offset": 3, "own": ["x"], "data": null}),
        json!({"since": null, "rooms": null}),
    ] {
        let mut message = beside;
        message["type"] = json!("subscribe");
        message["payload"] = json!({"rooms": ["w"]});
        viewer.send(&message);
        viewer.expect("subscription_ack");
    }
    viewer.send(&json!({"type": "ping", "payload": {"n": 1}, "room": "r", "message": "m"}));
    assert_eq!(viewer.expect("pong")["payload"], json!({"n": 1}));
    let mut backend = server.application();
    backend.send(&json!({"all": true, "type": "chat.ready", "payload": 1}));
    viewer.expect("chat.ready");
    viewer.send(&json!({"type": "chat.say", "payload": {"n": 2}, "message": "m"}));
    assert_eq!(backend.expect("chat.say")["payload"], json!({"n": 2}));
}

#[test]
fn empty_task_ids_are_denied_like_the_room_without_a_name() {
    let server = Running::start(|config| {
        config.websocket.publish = joblight::config::Publish::Anybody;
    });
    let mut viewer = server.viewer();
    for (message, room) in [
        (json!({"type": "subscribe", "taskIds": [""]}), "task:"),
        (json!({"type": "subscribe", "rooms": ["task:"]}), "task:"),
        (json!({"type": "join_room", "room": "task:"}), "task:"),
        (json!({"type": "join_room", "room": ""}), ""),
    ] {
        viewer.send(&message);
        let ack = viewer.expect("subscription_ack")["payload"].clone();
        let denied = &ack["denied"][0];
        assert_eq!(
            (&ack["rooms"], &denied["room"], &denied["code"]),
            (&json!([]), &json!(room), &json!("invalid_message")),
            "{message}: {ack}"
        );
        assert_eq!(denied["message"].is_string(), room == "task:", "{ack}");
    }
    let reason = complaint(
        &mut viewer,
        &json!({"type": "room_broadcast", "room": "task:", "message": 1}),
    );
    assert!(reason.contains("room: `task:`"), "{reason}");
    let put = format!("/api/clients/{}/rooms/task:", viewer.id());
    for (method, path) in [("PUT", &*put), ("POST", "/api/rooms/task:/broadcast")] {
        let (status, problem) = server.call(method, path, &json!({"payload": 1}));
        assert_eq!(
            (status, &problem["code"], &problem["field"]),
            (400, &json!("invalid_message"), &json!("room")),
            "{path}: {problem}"
        );
    }
    assert_eq!(server.document("/api/rooms")["rooms"], json!([]));
}

#[test]
fn a_bare_task_id_in_since_is_passed_over_beside_its_room() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/a/started", json!({}));
    let mut viewer = server.viewer();
    let reason = complaint(
        &mut viewer,
        &json!({"type": "subscribe", "taskIds": ["a"], "since": {"a": "start", "task:b": "start"}}),
    );
    assert!(reason.contains("`task:a`"), "{reason}");
    viewer.send(&json!({"type": "subscribe", "taskIds": ["a"],
        "since": {"a": "start", "task:a": "start", "elsewhere": "start"}}));
    let ack = viewer.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"task:a": true}));
    viewer.expect("task_started");
}
