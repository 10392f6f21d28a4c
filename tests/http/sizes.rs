//! How large a task may become, and what happens to events that would make it larger.

use crate::support::{Http, Running};
use serde_json::{Map, Value, json};

fn fields(names: std::ops::Range<u32>, value: &Value) -> Value {
    let fields = names.map(|number| (format!("f{number}"), value.clone()));
    Value::Object(fields.collect::<Map<_, _>>())
}

fn stored_bytes(server: &Running) -> usize {
    server.document("/api/tasks/t").to_string().len()
}

#[test]
fn progress_beyond_the_size_is_refused_with_the_field() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    server.post(
        "/api/tasks/t/progress",
        json!({"meta": "m".repeat(6_000), "progress": 10}),
    );
    for (body, field) in [
        (
            json!({"progress": 20, "result": "x".repeat(5_000), "message": "m"}),
            "result",
        ),
        (
            json!({"progress": 20, "message": "x".repeat(5_000)}),
            "message",
        ),
        (json!({"progress": 20, "stage": "x".repeat(5_000)}), "stage"),
        (json!({"progress": 20, "own": "x".repeat(5_000)}), "own"),
        (
            json!({"progress": 20, "error": ["x".repeat(5_000)]}),
            "error",
        ),
        (
            json!({"progress": 20, "parentId": "x".repeat(5_000)}),
            "parentId",
        ),
    ] {
        let (status, problem) = server.call("POST", "/api/tasks/t/progress", &body);
        assert_eq!(
            (status, &problem["field"]),
            (413, &json!(field)),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("broadcaster.max_task_size"),
            "{problem}"
        );
    }
    assert_eq!(
        server.document("/api/tasks/t")["progress"],
        10,
        "nothing of it counts"
    );
    server.post(
        "/api/tasks/t/progress",
        json!({"meta": "n".repeat(9_000), "progress": 20}),
    );
    server.post(
        "/api/tasks/t/progress",
        json!({"meta": null, "message": "x".repeat(9_000)}),
    );
}

#[test]
fn a_task_that_is_refused_is_not_made() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 100);
    let (status, _) = server.call(
        "POST",
        "/api/tasks/t/progress",
        &json!({"message": "x".repeat(200)}),
    );
    assert_eq!(status, 413);
    assert_eq!(server.call("GET", "/api/tasks/t", &Value::Null).0, 404);
}

#[test]
fn a_lifecycle_event_counts_and_names_what_was_cut() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let result = json!("r".repeat(20_000));
    let body = json!({"result": result, "message": "m".repeat(9_000), "own": "o".repeat(50)});
    let answer = server.post("/api/tasks/t/completed", body);
    assert_eq!(answer["accepted"], 1);
    let cut = json!([{"index": 0, "field": "result", "bytes": 20_002}]);
    assert_eq!(answer["truncated"], cut);
    let task = server.document("/api/tasks/t");
    assert_eq!(task["status"], "completed");
    assert_eq!(task["result"], json!({"truncated": true, "bytes": 20_002}));
    assert_eq!(task["message"].as_str().unwrap().len(), 9_000);
    let body = json!({"message": "é".repeat(9_000), "error": {"code": 1}});
    let answer = server.post("/api/tasks/u/failed", body);
    assert_eq!(answer["truncated"][0]["field"], "message");
    let task = server.document("/api/tasks/u");
    assert!(task["message"].as_str().unwrap().ends_with("é…"));
    assert_eq!(task["error"], json!({"code": 1}));
}

#[test]
fn an_end_reported_as_progress_is_an_end() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 1_000);
    let body = json!({"status": "failed", "error": "e".repeat(5_000)});
    let answer = server.post("/api/tasks/t/progress", body);
    assert_eq!(answer["truncated"][0]["field"], "error");
    assert_eq!(server.document("/api/tasks/t")["status"], "failed");
}

#[test]
fn own_fields_are_256_at_most_and_cleared_ones_make_room() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/progress", fields(0..256, &json!(1)));
    let (status, problem) = server.call(
        "POST",
        "/api/tasks/t/progress",
        &json!({"more": 1, "f1": 2}),
    );
    assert_eq!((status, &problem["field"]), (413, &json!("more")));
    assert!(
        problem["detail"].as_str().unwrap().contains("256"),
        "{problem}"
    );
    server.post(
        "/api/tasks/t/progress",
        json!({"f1": null, "more": 1, "f2": 7}),
    );
    let task = server.document("/api/tasks/t");
    assert_eq!(
        (&task["more"], &task["f2"], task.get("f1")),
        (&json!(1), &json!(7), None)
    );
    let answer = server.post("/api/tasks/t/failed", json!({"f2": 8, "late": "x"}));
    assert_eq!(
        answer["truncated"],
        json!([{"index": 0, "field": "late", "bytes": 3}])
    );
    let task = server.document("/api/tasks/t");
    assert_eq!((&task["f2"], task.get("late")), (&json!(8), None));
}

#[test]
fn fields_that_come_and_go_leave_nothing() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    for round in 0..40 {
        let names = round * 100..(round + 1) * 100;
        server.post("/api/tasks/t/progress", fields(names.clone(), &json!("x")));
        server.post("/api/tasks/t/progress", fields(names, &Value::Null));
    }
    server.post("/api/tasks/t/completed", json!({}));
    assert!(stored_bytes(&server) < 1_000);
    let mut seen = Map::new();
    for message in viewer.until("task_completed") {
        let payload = message["payload"].as_object().unwrap();
        if payload.contains_key("snapshot") || message["type"] != "task_progress" {
            seen.clear();
        }
        seen.extend(payload.clone());
        seen.retain(|_, value| !value.is_null());
    }
    let left = seen.keys().filter(|name| name.starts_with('f')).count();
    assert_eq!(left, 0, "a viewer learns that they are gone");
}

#[test]
fn events_of_a_hundred_thousand_fields_hold_nobody_up() {
    let server = Running::start(|_| {});
    let many = fields(0..60_000, &json!(1));
    let (status, problem) = server.call("POST", "/api/tasks/t/progress", &many);
    assert_eq!(
        (status, &problem["code"]),
        (413, &json!("task_too_large")),
        "{problem}"
    );
    let repeated = format!("{{{}\"z\":1}}", "\"same\":1,".repeat(100_000));
    let nothing = format!(
        "{{{}\"z\":1}}",
        (0..60_000)
            .map(|n| format!("\"n{n}\":null,"))
            .collect::<String>()
    );
    for body in [repeated, nothing] {
        let mut http = Http::connect(server.http);
        let answer = http.request("POST", "/api/tasks/t/progress", &[], body.as_bytes());
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    let answer = server.post("/api/tasks/t/completed", many);
    assert_eq!(
        answer["truncated"].as_array().unwrap().len(),
        10,
        "ten are listed"
    );
    assert_eq!(
        server
            .document("/api/tasks/t")
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.starts_with('f'))
            .count(),
        254
    );
}

#[test]
fn an_array_with_one_event_that_is_too_large_counts_not_at_all() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let event = |task: &str, field: &str| json!({"type": "task_progress", "payload": {"taskId": task, field: "x".repeat(6_000)}});
    let body = json!([event("a", "one"), event("b", "one"), event("a", "two")]);
    let (status, problem) = server.call("POST", "/api/events", &body);
    assert_eq!((status, &problem["field"]), (413, &json!("[2].two")));
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    let body = json!([event("a", "one"), event("b", "one"), event("a", "one")]);
    assert_eq!(
        server.post("/api/events", body)["accepted"],
        3,
        "the later replaces the former"
    );
}

#[test]
fn a_line_that_is_too_large_is_rejected_alone() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 1_000);
    let line = |n: u32, text: &str| {
        json!({"type": "task_progress", "taskId": "t", "current": n, "message": text}).to_string()
    };
    let body = [line(1, "a"), line(2, &"x".repeat(2_000)), line(3, "c")].join("\n");
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = Http::connect(server.http)
        .request("POST", "/api/events", &kind, body.as_bytes())
        .json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(answer["errors"][0]["line"], 2);
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("message: "),
        "{answer}"
    );
}

/// In an array, an event that will not count must not make the array too large.
#[test]
fn several_events_are_measured_one_after_another() {
    let large = |extra: Value| {
        let mut event =
            json!({"type": "task_progress", "taskId": "t", "result": "x".repeat(7_000)});
        let fields = extra.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(fields);
        event
    };
    let own = |extra: Value| {
        let mut event = large(extra);
        event["result"] = Value::Null;
        event["own"] = json!("y".repeat(7_000));
        event
    };
    let with_seq = |seq: u64| json!({"seq": seq});
    for (events, accepted, why) in [
        (
            vec![large(json!({"id": "a"})), own(json!({"id": "a"}))],
            1,
            "repeat",
        ),
        (vec![large(with_seq(2)), own(with_seq(1))], 1, "oldSeq"),
        (
            vec![large(json!({"attempt": 2})), own(json!({"attempt": 1}))],
            1,
            "oldAttempt",
        ),
        (
            vec![large(json!({"status": "completed"})), own(json!({}))],
            1,
            "ended",
        ),
        (
            vec![large(json!({"attempt": 1})), own(json!({"attempt": 2}))],
            2,
            "",
        ),
    ] {
        let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
        let (mut first, mut second) = (events[0].clone(), events[1].clone());
        // `result` stays beside the own field unless a further attempt takes it away.
        second.as_object_mut().unwrap().remove("result");
        first["meta"] = json!({});
        let (status, answer) = server.call("POST", "/api/events", &json!([first, second]));
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &json!(accepted)),
            "{why}: {answer}"
        );
        if !why.is_empty() {
            assert_eq!(answer["reasons"][why], 1, "{answer}");
        }
    }
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let mut second = own(json!({}));
    second.as_object_mut().unwrap().remove("result");
    let events = json!([large(json!({})), second]);
    let (status, problem) = server.call("POST", "/api/events", &events);
    assert_eq!(
        (status, &problem["field"]),
        (413, &json!("[1].own")),
        "{problem}"
    );
}
