//! Every way to report: one event, arrays, lines, CloudEvents, and what the answers say.

use crate::support::{Http, Running, Viewer};
use serde_json::{Value, json};

fn post(server: &Running, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let answer =
        Http::connect(server.http).request("POST", "/api/events", headers, body.as_bytes());
    (answer.status, answer.json())
}

fn watcher(server: &Running, tasks: &[&str]) -> Viewer {
    let mut viewer = server.viewer();
    viewer.subscribe(tasks);
    viewer
}

#[test]
fn one_event_nested_or_flat() {
    let server = Running::start(|_| {});
    let mut viewer = watcher(&server, &["a", "b"]);
    let answer = server.post(
        "/api/events",
        json!({"type": "task_started", "payload": {"taskId": "a", "total": 7}}),
    );
    assert_eq!(
        answer,
        json!({"accepted": 1, "dropped": 0, "reasons": {"repeat": 0, "oldSeq": 0, "oldAttempt": 0, "ended": 0},
            "drops": [], "control": [], "watchers": 1})
    );
    assert_eq!(viewer.expect("task_started")["payload"]["total"], 7);
    server.post(
        "/api/events",
        json!({"type": "task_failed", "taskId": "b", "error": {"code": 5}}),
    );
    let failed = viewer.expect("task_failed");
    assert_eq!(
        (&failed["payload"]["error"], &failed["room"]),
        (&json!({"code": 5}), &json!("task:b"))
    );
    let payload = json!({"taskId": "a", "documentId": "d1", "more": [1, 2.5]});
    server.post(
        "/api/events",
        json!({"type": "document_generated", "payload": payload}),
    );
    assert_eq!(
        viewer.expect("document_generated")["payload"],
        payload,
        "relayed as it is"
    );
    viewer.send(&json!({"type": "join_room", "room": "r"}));
    viewer.expect("subscription_ack");
    let answer = server.post(
        "/api/events",
        json!({"type": "my.own", "room": "r", "payload": "x"}),
    );
    assert_eq!(answer["accepted"], 1);
    assert_eq!(viewer.expect("my.own")["payload"], "x");
}

#[test]
fn every_verb_of_a_task() {
    let server = Running::start(|_| {});
    let mut viewer = watcher(&server, &["t/1"]);
    for (verb, kind, status) in [
        ("started", "task_started", "running"),
        ("paused", "task_paused", "paused"),
        ("started", "task_started", "running"),
        ("cancelled", "task_cancelled", "cancelled"),
    ] {
        let answer = server.post(&format!("/api/tasks/t%2F1/{verb}"), Value::Null);
        assert_eq!(
            (&answer["accepted"], &answer["watchers"]),
            (&json!(1), &json!(1))
        );
        let message = viewer.expect(kind);
        assert_eq!(
            (&message["payload"]["taskId"], &message["payload"]["status"]),
            (&json!("t/1"), &json!(status))
        );
    }
    let answer = server.post("/api/tasks/t%2F1/completed", json!({}));
    assert_eq!(
        (&answer["accepted"], &answer["dropped"]),
        (&json!(0), &json!(1)),
        "terminal is final"
    );
    server.post(
        "/api/tasks/t%2F1/started",
        json!({"attempt": 2, "progress": 5}),
    );
    assert_eq!(viewer.expect("task_started")["payload"]["attempt"], 2);
    server.post("/api/tasks/t%2F1/failed", json!({"error": "boom"}));
    assert_eq!(viewer.expect("task_failed")["payload"]["error"], "boom");
    let shown = server.document("/api/tasks/t%2F1");
    assert_eq!(
        (&shown["status"], &shown["attempt"]),
        (&json!("failed"), &json!(2))
    );
}

#[test]
fn an_array_counts_whole_or_not_at_all() {
    let server = Running::start(|config| config.broadcaster.max_tasks = 3);
    let started = |task: &str| json!({"type": "task_started", "taskId": task});
    let wrong = json!({"type": "task_progress", "taskId": "c", "progress": "x"});
    let (status, problem) = server.call(
        "POST",
        "/api/events",
        &json!([started("a"), started("b"), wrong]),
    );
    assert_eq!((status, &problem["field"]), (400, &json!("[2].progress")));
    let four: Value = ["a", "b", "c", "d"].map(started).into_iter().collect();
    let (status, problem) = server.call("POST", "/api/events", &four);
    assert_eq!((status, &problem["code"]), (503, &json!("limit_exceeded")));
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    let answer = server.post(
        "/api/events",
        json!([started("a"), started("b"), started("a")]),
    );
    assert_eq!(
        (&answer["accepted"], &answer["dropped"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(server.post("/api/events", json!([]))["accepted"], 0);
}

#[test]
fn an_array_of_items_does_not_count_in_part_where_rooms_are_short() {
    let server = Running::start(|config| config.websocket.max_rooms = 2);
    let item =
        |task: u32| json!({"type": "document_generated", "payload": {"taskId": task.to_string()}});
    let (status, problem) = server.call("POST", "/api/events", &(0..3).map(item).collect());
    assert_eq!((status, &problem["code"]), (503, &json!("limit_exceeded")));
    assert_eq!(server.document("/api/rooms")["rooms"], json!([]));
    assert_eq!(
        server.post("/api/events", (0..2).map(item).collect())["accepted"],
        2
    );
}

#[test]
fn lines_count_one_by_one() {
    let server = Running::start(|_| {});
    let lines = "{\"type\":\"task_started\",\"taskId\":\"t\",\"total\":9}\r\n\nnonsense\n\
                 {\"type\":\"task_progress\",\"taskId\":\"t\",\"current\":\"x\"}\n\
                 {\"type\":\"task_progress\",\"taskId\":\"t\",\"current\":3}";
    for kind in ["application/x-ndjson", "application/jsonl; charset=utf-8"] {
        let (status, answer) = post(&server, &[("Content-Type", kind)], lines);
        assert_eq!(status, 200);
        assert_eq!(answer["rejected"], 2);
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!(
            (errors.len(), &errors[0]["line"], &errors[1]["line"]),
            (2, &json!(3), &json!(4))
        );
        assert!(errors[1]["message"].as_str().unwrap().contains("current"));
    }
    assert_eq!(server.document("/api/tasks/t")["current"], 3);
    let kind = [("Content-Type", "application/x-ndjson")];
    let (status, problem) = post(&server, &kind, "x\ny\n");
    assert_eq!((status, &problem["field"]), (400, &json!("body")));
    assert_eq!(post(&server, &kind, "").0, 200);
}

#[test]
fn a_body_that_is_no_object_is_the_field_at_fault() {
    let server = Running::start(|_| {});
    for path in [
        "/api/tasks/t/started",
        "/api/tasks/t/progress",
        "/api/rooms/r/broadcast",
        "/api/broadcast",
    ] {
        for body in [json!(5), json!("text"), json!(true), json!([1])] {
            let (status, problem) = server.call("POST", path, &body);
            assert_eq!(
                (status, &problem["field"]),
                (400, &json!("body")),
                "{path} {body}"
            );
        }
    }
}

#[test]
fn lines_count_while_the_request_is_still_being_sent() {
    let server = Running::start(|config| {
        config.broadcaster.broadcast_interval = 0;
        config.http.max_body_size = 1000;
    });
    let mut viewer = watcher(&server, &["t"]);
    let mut http = Http::connect(server.http);
    http.send(
        b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n\
          Transfer-Encoding: chunked\r\n\r\n",
    );
    let mut send = |text: &str| http.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
    // Far more than http.max_body_size: it bounds a line here, for a stream may last for days.
    for n in 1..=50 {
        let line =
            json!({"type": "task_progress", "taskId": "t", "current": n, "total": 50}).to_string();
        let (head, tail) = line.split_at(20);
        send(head);
        send(&format!("{tail}\n"));
        assert_eq!(viewer.expect("task_progress")["payload"]["current"], n);
    }
    send(&"x".repeat(2000));
    send("\n{\"type\":\"task_completed\",\"taskId\":\"t\"}");
    http.send(b"0\r\n\r\n");
    let answer = http.answer(false).json();
    assert_eq!(
        (
            &answer["accepted"],
            &answer["rejected"],
            &answer["watchers"]
        ),
        (&json!(51), &json!(1), &json!(1))
    );
    assert_eq!(answer["errors"][0]["line"], 51);
    viewer.until("task_completed");
    assert_eq!(
        http.request("GET", "/health", &[], b"").status,
        200,
        "the connection goes on"
    );
}

#[test]
fn cloud_events_structured_batched_and_binary() {
    let server = Running::start(|_| {});
    let event = |id: &str, task: &str| {
        json!({"specversion": "1.0", "type": "com.example.task_progress", "source": "/worker/1",
               "id": id, "subject": task, "data": {"progress": 40}})
    };
    let structured = [(
        "Content-Type",
        "application/cloudevents+json; charset=utf-8",
    )];
    let (status, answer) = post(&server, &structured, &event("1", "a").to_string());
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)));
    assert_eq!(server.document("/api/tasks/a")["progress"], 40);
    let (_, answer) = post(&server, &structured, &event("1", "a").to_string());
    assert_eq!(answer["dropped"], 1, "the same source and id");
    let batched = [("Content-Type", "application/cloudevents-batch+json")];
    let (_, answer) = post(
        &server,
        &batched,
        &json!([event("2", "b"), event("3", "c")]).to_string(),
    );
    assert_eq!(answer["accepted"], 2);
    let mut second = event("4", "d");
    second["specversion"] = json!("0.3");
    let (status, problem) = post(
        &server,
        &batched,
        &json!([event("5", "e"), second]).to_string(),
    );
    assert_eq!(
        (status, &problem["field"]),
        (400, &json!("[1].specversion"))
    );
    let (status, _) = post(
        &server,
        &structured,
        "[\"1.0\",\"task_started\",\"s\",\"i\",\"t\",null,{}]",
    );
    assert_eq!(status, 400);
    let binary = [
        ("Content-Type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.task_completed"),
        ("ce-source", "/worker/1"),
        ("ce-id", "9"),
        ("ce-subject", "caf%C3%A9%20%251"),
    ];
    let (_, answer) = post(&server, &binary, "{\"result\":[1]}");
    assert_eq!(answer["accepted"], 1);
    assert_eq!(
        server.document("/api/tasks/caf%C3%A9%20%251")["result"],
        json!([1])
    );
    let (status, problem) = post(&server, &binary[..4], "");
    assert_eq!((status, &problem["field"]), (400, &json!("ce-id")));
}

#[test]
fn repeats_and_old_numbers_are_dropped() {
    let server = Running::start(|_| {});
    let event =
        json!({"type": "task_progress", "id": "e1", "payload": {"taskId": "t", "progress": 10}});
    assert_eq!(server.post("/api/events", event.clone())["accepted"], 1);
    let answer = server.post("/api/events", event.clone());
    assert_eq!(
        (&answer["accepted"], &answer["dropped"]),
        (&json!(0), &json!(1))
    );
    let mut elsewhere = event.clone();
    elsewhere["payload"]["taskId"] = json!("u");
    assert_eq!(
        server.post("/api/events", elsewhere)["accepted"],
        1,
        "ids are per task"
    );
    for (seq, accepted) in [(5, 1), (5, 0), (4, 0), (6, 1)] {
        let answer = server.post(
            "/api/tasks/t/progress",
            json!({"seq": seq, "message": seq.to_string()}),
        );
        assert_eq!(answer["accepted"], accepted, "{seq}");
    }
    assert_eq!(server.document("/api/tasks/t")["message"], "6");
    assert_eq!(
        server.document("/api/broadcaster/stats")["droppedEvents"],
        3
    );
}

#[test]
fn status_of_its_own_does_not_refuse_an_event_that_says_what_happened() {
    let server = Running::start(|_| {});
    for (verb, shown) in [
        ("started", "running"),
        ("paused", "paused"),
        ("completed", "completed"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
    ] {
        let body = json!({"status": "in-arbeit", "message": verb});
        let path = format!("/api/tasks/{verb}/{verb}");
        assert_eq!(server.post(&path, body)["accepted"], 1);
        let event = json!({"type": format!("task_{verb}"), "taskId": format!("flat-{verb}"), "status": "done"});
        assert_eq!(server.post("/api/events", event)["accepted"], 1);
        for task in [verb.to_owned(), format!("flat-{verb}")] {
            let task = server.document(&format!("/api/tasks/{task}"));
            assert_eq!(task["status"], shown);
        }
    }
    let expected =
        "expected one of `pending`, `running`, `paused`, `completed`, `failed`, `cancelled`";
    for (path, body, field) in [
        ("/api/tasks/t/progress", json!({"status": "done"}), "status"),
        (
            "/api/events",
            json!({"type": "task_progress", "payload": {"taskId": "t", "status": "done"}}),
            "payload.status",
        ),
        ("/api/tasks/t/progress", json!({"status": 5}), "status"),
        (
            "/api/tasks/t/completed",
            json!({"status": {"a": 1}}),
            "status",
        ),
        ("/api/tasks/t/started", json!({"status": [true]}), "status"),
    ] {
        let (status, problem) = server.call("POST", path, &body);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body}");
        let detail = problem["detail"].as_str().expect("a reason");
        assert!(detail.ends_with(expected), "{detail}");
    }
    let body = json!({"controls": [5]});
    let (_, problem) = server.call("POST", "/api/tasks/t/started", &body);
    assert_eq!(
        problem["detail"],
        "controls[0]: invalid type: integer `5`, expected one of `cancel`, `pause`, `resume`"
    );
}

#[test]
fn no_fields_may_be_written_as_an_empty_array_or_null() {
    let server = Running::start(|_| {});
    for (number, body) in ["[]", " [ \n] ", "null", " null\n", ""]
        .into_iter()
        .enumerate()
    {
        for verb in ["started", "progress", "completed"] {
            let path = format!("/api/tasks/t{number}/{verb}");
            let kind = [("Content-Type", "application/json")];
            let answer = Http::connect(server.http).request("POST", &path, &kind, body.as_bytes());
            assert_eq!(answer.status, 200, "{body:?}");
        }
    }
    for body in ["[1]", "[{}]", "nul", "[", "false", "\"\""] {
        let answer = Http::connect(server.http).request(
            "POST",
            "/api/tasks/t/progress",
            &[],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 400, "{body:?}");
    }
}
