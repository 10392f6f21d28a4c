//! Every call about tasks, rooms and clients.

use crate::support::Running;
use serde_json::{Value, json};

#[test]
fn tasks_in_pages_by_status() {
    let server = Running::start(|_| {});
    for n in 0..7 {
        let verb = if n % 2 == 0 { "started" } else { "failed" };
        server.post(
            &format!("/api/tasks/t{n}/{verb}"),
            json!({"meta": {"n": n}}),
        );
    }
    let (mut path, mut seen) = ("/api/tasks?limit=2".to_owned(), Vec::new());
    loop {
        let page = server.document(&path);
        let tasks = page["tasks"].as_array().unwrap();
        assert!(tasks.len() <= 2);
        seen.extend(tasks.iter().map(|task| task["meta"]["n"].as_u64().unwrap()));
        match page["cursor"].as_str() {
            Some(cursor) => path = format!("/api/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    let failed = server.document("/api/tasks?status=failed");
    assert_eq!(failed["tasks"].as_array().unwrap().len(), 3);
    assert!(
        failed["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|task| task["status"] == "failed")
    );
    assert_eq!(
        server.document("/api/tasks?status=paused")["tasks"],
        json!([])
    );
}

#[test]
fn a_task_shown_and_forgotten() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    let task = json!({"current": 1, "total": 4, "stage": "s", "message": "m", "parentId": "p",
                      "meta": {"a": 1}, "attempt": 1, "custom": [true]});
    server.post("/api/tasks/t/progress", task.clone());
    let shown = server.document("/api/tasks/t");
    for (name, value) in task.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(
        (&shown["taskId"], &shown["status"], &shown["progress"]),
        (&json!("t"), &json!("running"), &json!(25))
    );
    assert!(shown["updatedAt"].is_u64() && shown["startedAt"].is_u64());
    assert_eq!(
        server.call("DELETE", "/api/tasks/t", &Value::Null),
        (204, Value::Null)
    );
    assert_eq!(server.call("DELETE", "/api/tasks/t", &Value::Null).0, 404);
    assert_eq!(
        server.call("GET", "/api/tasks/t", &Value::Null).1["field"],
        "id"
    );
    viewer.expect("task_progress");
    assert_eq!(
        viewer.expect("task_removed")["payload"],
        json!({"taskId": "t", "reason": "deleted"})
    );
    server.post("/api/tasks/t/progress", json!({"progress": 1}));
    let anew = viewer.expect("task_progress");
    assert_eq!(
        (&anew["payload"]["snapshot"], &anew["payload"]["progress"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_page_of_a_log_that_would_be_too_large_says_that_there_is_more() {
    let server = Running::start(|_| {});
    let text = "x".repeat(600_000);
    for number in 0..2 {
        let message = json!({"payload": {"number": number, "text": text}});
        server.post("/api/rooms/r/broadcast", message);
    }
    let first = server.document("/api/rooms/r/history");
    assert_eq!(first["messages"].as_array().unwrap().len(), 1);
    assert_eq!(first["more"], true, "the last entry is the one cut off");
    let since = first["position"].as_str().unwrap();
    let rest = server.document(&format!("/api/rooms/r/history?since={since}"));
    assert_eq!(rest["messages"][0]["payload"]["number"], 1);
    assert_eq!(rest.get("more"), None);
}

#[test]
fn rooms_their_clients_and_their_history() {
    let server = Running::start(|_| {});
    let (mut one, other) = (server.viewer(), server.viewer());
    for viewer in [&one, &other] {
        let path = format!("/api/clients/{}/rooms/a%2Fb", viewer.id());
        assert_eq!(server.call("PUT", &path, &Value::Null), (204, Value::Null));
        assert_eq!(server.call("PUT", &path, &Value::Null), (204, Value::Null));
    }
    let answer = server.post("/api/rooms/a%2Fb/broadcast", json!({"payload": {"n": 1}}));
    assert_eq!(answer["delivered"], 2);
    let message = one.expect("room_broadcast");
    assert_eq!(
        (&message["payload"], &message["room"], &message["offset"]),
        (&json!({"n": 1}), &json!("a/b"), &json!(1))
    );
    server.post(
        "/api/rooms/a%2Fb/broadcast",
        json!({"type": "news", "payload": null}),
    );
    assert_eq!(one.expect("news")["payload"], Value::Null);
    let rooms = server.document("/api/rooms")["rooms"].clone();
    assert_eq!(
        (&rooms[0]["room"], &rooms[0]["clients"]),
        (&json!("a/b"), &json!(2))
    );
    let clients = server.document("/api/rooms/a%2Fb/clients");
    assert_eq!(
        clients,
        json!({"room": "a/b", "clients": [one.id(), other.id()]})
    );
    let since = answer["position"].as_str().unwrap();
    let history = server.document("/api/rooms/a%2Fb/history");
    assert_eq!(
        (
            history["messages"].as_array().unwrap().len(),
            &history["complete"]
        ),
        (2, &json!(true))
    );
    assert_eq!(history["position"], rooms[0]["position"]);
    let later = server.document(&format!("/api/rooms/a%2Fb/history?since={since}"));
    assert_eq!(later["messages"][0]["type"], "news");
    let first = server.document("/api/rooms/a%2Fb/history?limit=1");
    assert_eq!(
        (&first["messages"][0]["offset"], &first["position"]),
        (&json!(1), &json!(since))
    );
    for (path, status, field) in [
        ("/api/rooms/a%2Fb/history?since=x", 400, "since"),
        ("/api/rooms/a%2Fb/history?limit=-1", 400, "limit"),
        ("/api/rooms/nowhere/history", 404, "room"),
    ] {
        let (found, problem) = server.call("GET", path, &Value::Null);
        assert_eq!(
            (found, &problem["field"]),
            (status, &json!(field)),
            "{path}"
        );
    }
    let path = format!("/api/clients/{}/rooms/a%2Fb", one.id());
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    assert_eq!(
        server.call("DELETE", &path, &Value::Null).1["field"],
        "room"
    );
    assert_eq!(
        server.document("/api/rooms/a%2Fb/clients")["clients"],
        json!([other.id()])
    );
}

#[test]
fn putting_a_client_into_a_tasks_room_shows_it_the_task() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/progress", json!({"progress": 30}));
    let mut viewer = server.viewer();
    let path = format!("/api/clients/{}/rooms/task%3At", viewer.id());
    assert_eq!(server.call("PUT", &path, &Value::Null).0, 204);
    let snapshot = viewer.expect("task_progress");
    assert_eq!(
        (
            &snapshot["payload"]["progress"],
            &snapshot["payload"]["snapshot"]
        ),
        (&json!(30), &json!(true))
    );
}

#[test]
fn clients_shown() {
    let server = Running::start(|_| {});
    let (mut one, _other) = (server.viewer(), server.viewer());
    one.send(&json!({"type": "join_room", "room": "r"}));
    one.expect("subscription_ack");
    let shown = server.document(&format!("/api/clients/{}", one.id()));
    assert_eq!(
        (&shown["clientId"], &shown["rooms"]),
        (&json!(one.id()), &json!(["r"]))
    );
    assert_eq!(
        (&shown["dialect"], &shown["unsentBytes"]),
        (&json!("payload"), &json!(0))
    );
    assert_eq!(
        (&shown["messagesReceived"], &shown["messagesSent"]),
        (&json!(1), &json!(2))
    );
    assert!(["127.0.0.1", "::1"].contains(&shown["address"].as_str().unwrap()));
    assert!(shown["connectedAt"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(
        server.document("/api/clients")["clients"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn messages_for_one_client_and_for_all() {
    let server = Running::start(|_| {});
    let (mut one, mut other) = (server.viewer(), server.viewer());
    let send = format!("/api/clients/{}/send", one.id());
    assert_eq!(
        server.post(&send, json!({"type": "hint", "payload": [1]}))["delivered"],
        1
    );
    assert_eq!(one.expect("hint")["payload"], json!([1]));
    assert_eq!(
        server.post("/api/broadcast", json!({"type": "alarm", "payload": 1}))["delivered"],
        2
    );
    for viewer in [&mut one, &mut other] {
        assert_eq!(
            viewer.expect("alarm")["payload"],
            1,
            "the hint was for one only"
        );
    }
}

#[test]
fn clients_sent_away() {
    let server = Running::start(|_| {});
    let (mut one, mut other) = (server.viewer(), server.viewer());
    let path = format!("/api/clients/{}", one.id());
    for wrong in ["999", "1005", "5000", "x", "-1", "70000"] {
        let (status, problem) =
            server.call("DELETE", &format!("{path}?code={wrong}"), &Value::Null);
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!("code")),
            "{wrong}"
        );
    }
    let long = "y".repeat(400);
    assert_eq!(
        server
            .call(
                "DELETE",
                &format!("{path}?code=4403&reason={long}"),
                &Value::Null
            )
            .0,
        204
    );
    let notice = one.expect("disconnected");
    assert_eq!(
        (&notice["payload"]["code"], &notice["payload"]["reason"]),
        (&json!(4403), &json!(long))
    );
    assert_eq!(one.close_code(), Some(4403));
    assert_eq!(
        server
            .call(
                "DELETE",
                &format!("/api/clients/{}", other.id()),
                &Value::Null
            )
            .0,
        204
    );
    assert_eq!(other.expect("disconnected")["payload"]["code"], 1000);
    assert_eq!(other.close_code(), Some(1000));
}

#[test]
fn clients_that_are_not_there() {
    let server = Running::start(|_| {});
    for (method, path, body) in [
        ("GET", "/api/clients/nobody", Value::Null),
        ("DELETE", "/api/clients/nobody", Value::Null),
        (
            "POST",
            "/api/clients/nobody/send",
            json!({"type": "x", "payload": 1}),
        ),
        ("PUT", "/api/clients/nobody/rooms/r", Value::Null),
        ("DELETE", "/api/clients/nobody/rooms/r", Value::Null),
        ("GET", "/api/tasks/nothing", Value::Null),
    ] {
        let (status, problem) = server.call(method, path, &body);
        assert_eq!(
            (status, &problem["field"]),
            (404, &json!("id")),
            "{method} {path}"
        );
    }
    let viewer = server.viewer();
    let (status, problem) = server.call(
        "PUT",
        &format!("/api/clients/{}/rooms/%07", viewer.id()),
        &Value::Null,
    );
    assert_eq!((status, &problem["field"]), (400, &json!("room")));
    let (status, problem) = server.call("GET", "/api/rooms/nowhere/clients", &Value::Null);
    assert_eq!((status, &problem["field"]), (404, &json!("room")));
}
