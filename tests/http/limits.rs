//! Only so many tasks: the ended make room, the others are told to wait.

use crate::support::{Http, Running};
use serde_json::{Value, json};

#[test]
fn tasks_that_have_ended_make_room_for_new_ones() {
    let server = Running::start(|config| config.broadcaster.max_tasks = 2);
    server.post("/api/tasks/a/started", json!({}));
    server.post("/api/tasks/b/started", json!({}));
    let mut http = Http::connect(server.http);
    let answer = http.request("POST", "/api/tasks/c/started", &[], b"");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("limit_exceeded"))
    );
    assert!(answer.header("retry-after").is_some());
    let lines = "{\"type\":\"task_progress\",\"taskId\":\"a\",\"progress\":5}\n{\"type\":\"task_started\",\"taskId\":\"c\"}";
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = http
        .request("POST", "/api/events", &kind, lines.as_bytes())
        .json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(1), &json!(1))
    );
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("max_tasks")
    );
    server.post("/api/tasks/a/progress", json!({"progress": 6}));
    server.post("/api/tasks/b/completed", json!({}));
    server.post("/api/tasks/c/started", json!({}));
    assert_eq!(
        server.call("GET", "/api/tasks/b", &Value::Null).0,
        404,
        "the oldest that has ended"
    );
    assert_eq!(server.document("/api/tasks/a")["progress"], 6);
    assert_eq!(server.document("/api/broadcaster/stats")["cacheSize"], 2);
}

/// Of two tasks that may be, one works and the other has ended so, in its second attempt.
fn full_house(end: &str, more: &[&str]) -> Running {
    let server = Running::start(|config| config.broadcaster.max_tasks = 2 + more.len());
    server.post("/api/tasks/b/started", json!({}));
    for task in ["a"].iter().chain(more) {
        server.post(&format!("/api/tasks/{task}/{end}"), json!({"attempt": 2}));
    }
    server
}

fn event(task: &str, verb: &str, body: Value) -> Value {
    let kind = format!("task_{verb}");
    let mut event = json!({"type": kind, "taskId": task});
    let more = body.as_object().expect("an object").clone();
    event.as_object_mut().expect("an object").extend(more);
    event
}

/// The ids and statuses of all tasks, in the order of their names.
fn standing(server: &Running) -> Vec<(String, String)> {
    let tasks = server.document("/api/tasks");
    let tasks = tasks["tasks"].as_array().expect("tasks").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut tasks: Vec<_> = tasks
        .map(|task| (text(&task["taskId"]), text(&task["status"])))
        .collect();
    tasks.sort();
    tasks
}

#[test]
fn a_task_that_an_array_begins_anew_makes_no_room_in_it() {
    for end in ["completed", "failed", "cancelled"] {
        let again = [
            event("a", "started", json!({"restart": true})),
            event("a", "started", json!({"restart": true, "attempt": 2})),
            event("a", "started", json!({"attempt": 3})),
            event("a", "progress", json!({"attempt": 3})),
        ];
        let server = full_house(end, &[]);
        let before = standing(&server);
        for again in &again {
            let new = event("c", "started", json!({}));
            for array in [json!([again, new]), json!([new, again])] {
                let (status, problem) = server.call("POST", "/api/events", &array);
                let expected = (503, &json!("limit_exceeded"));
                assert_eq!((status, &problem["code"]), expected, "{array}: {problem}");
                assert_eq!(standing(&server), before, "{array}: nothing is taken");
            }
        }
        for again in &again {
            let server = full_house(end, &["d"]);
            let new = event("c", "started", json!({}));
            let answer = server.post("/api/events", json!([again, new]));
            assert_eq!(answer["accepted"], 2, "another makes room: {answer}");
            let names: Vec<String> = standing(&server).into_iter().map(|task| task.0).collect();
            assert_eq!(names, ["a", "b", "c"], "{end} {again}");
        }
    }
}

#[test]
fn an_array_with_a_straggler_counts_whole_or_not_at_all_where_tasks_are_short() {
    let item = json!({"type": "document_generated", "payload": {"taskId": "a"}});
    let new = event("c", "started", json!({}));
    for straggler in [
        event("a", "progress", json!({})),
        event("a", "progress", json!({"attempt": 2})),
        event("a", "progress", json!({"attempt": 1})),
        event("a", "completed", json!({})),
        item,
    ] {
        for end in ["completed", "failed"] {
            let server = full_house(end, &[]);
            let answer = server.post("/api/events", json!([straggler, new]));
            assert_eq!(
                standing(&server).len(),
                2,
                "{end} {straggler}: {answer}: it makes room"
            );
            assert_eq!(standing(&server)[1].0, "c", "{end} {straggler}");
            let server = full_house(end, &[]);
            let before = standing(&server);
            let array = json!([new, straggler]);
            let (status, problem) = server.call("POST", "/api/events", &array);
            assert_eq!(status, 503, "{end} {straggler}: {problem}");
            assert_eq!(standing(&server), before, "{end} {straggler}");
        }
    }
}

#[test]
fn an_array_that_needs_more_rooms_than_there_may_be_is_not_taken_in_part() {
    let note = |room: &str| json!({"type": "note", "room": room, "payload": 1});
    let item = |task: &str| json!({"type": "document_failed", "payload": {"taskId": task}});
    let started = |task: &str| event(task, "started", json!({}));
    for array in [
        json!([note("r"), note("s"), note("t")]),
        json!([item("x"), note("s"), item("y")]),
        json!([started("x"), started("y"), item("z")]),
        json!([item("z"), started("x"), started("y")]),
        json!([
            started("x"),
            note("r"),
            event("y", "progress", json!({"status": "failed"}))
        ]),
        json!([note("r"), started("x"), event("y", "completed", json!({}))]),
    ] {
        let server = Running::start(|config| config.websocket.max_rooms = 2);
        let (status, problem) = server.call("POST", "/api/events", &array);
        let expected = (503, &json!("limit_exceeded"));
        assert_eq!((status, &problem["code"]), expected, "{array}: {problem}");
        let detail = problem["detail"].as_str().expect("a reason");
        assert!(detail.contains("websocket.max_rooms"), "{detail}");
        let rooms = server.document("/api/rooms")["rooms"].clone();
        assert_eq!(
            (standing(&server), rooms),
            (Vec::new(), json!([])),
            "{array}"
        );
    }
    for array in [
        json!([item("x"), started("x"), item("x"), started("x")]),
        json!([item("x"), note("r"), note("r"), item("x")]),
        json!([
            event("x", "progress", json!({})),
            event("y", "progress", json!({})),
            item("z")
        ]),
        json!([started("x"), note("r"), event("y", "progress", json!({}))]),
    ] {
        let server = Running::start(|config| config.websocket.max_rooms = 2);
        let answer = server.post("/api/events", array.clone());
        let count = answer["accepted"].as_u64().zip(answer["dropped"].as_u64());
        let count = count.map(|(accepted, dropped)| accepted + dropped);
        assert_eq!(
            count,
            array.as_array().map(|array| array.len() as u64),
            "{answer}"
        );
    }
}

#[test]
fn lifecycle_events_alone_count_where_rooms_are_short() {
    let verbs = ["started", "paused", "completed", "failed", "cancelled"];
    let server = Running::start(|config| config.websocket.max_rooms = 2);
    let array: Vec<Value> = (0..20)
        .map(|n| event(&format!("t{n}"), verbs[n % verbs.len()], json!({})))
        .collect();
    let answer = server.post("/api/events", json!(array));
    assert_eq!(answer["accepted"], 20, "{answer}");
    assert_eq!(standing(&server).len(), 20);
    let reports = verbs[2..].iter().map(|status| {
        event(
            &format!("p-{status}"),
            "progress",
            json!({"status": status}),
        )
    });
    let answer = server.post("/api/events", reports.collect());
    assert_eq!(answer["accepted"], 3, "{answer}");
    let rooms = server.document("/api/rooms");
    let rooms = rooms["rooms"].as_array().expect("rooms").len();
    assert!(rooms <= 2, "{rooms} rooms");
    for verb in verbs {
        let answer = server.post(&format!("/api/tasks/single-{verb}/{verb}"), json!({}));
        assert_eq!(answer["accepted"], 1, "{verb}");
    }
}
