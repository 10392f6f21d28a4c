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

/// What an attempt leaves behind and the next does not have.
const OF_AN_ATTEMPT: [&str; 4] = ["stage", "message", "result", "error"];
const LIFECYCLE: [&str; 5] = ["started", "paused", "completed", "failed", "cancelled"];

fn large(field: &str) -> Value {
    json!({field: "x".repeat(6_000)})
}

fn with(mut body: Value, more: &Value) -> Value {
    let more = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(more);
    body
}

/// An event of an array.
fn event(task: &str, verb: &str, body: &Value) -> Value {
    with(
        json!({"type": format!("task_{verb}"), "taskId": task}),
        body,
    )
}

#[test]
fn what_the_attempt_before_left_is_no_part_of_the_next() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let mut number = 0;
    for left in OF_AN_ATTEMPT.iter().chain(&["meta", "parentId", "own"]) {
        for (end, verb, begin) in [
            ("progress", "progress", json!({"attempt": 2})),
            ("failed", "progress", json!({"attempt": 2})),
            ("completed", "started", json!({"attempt": 2})),
            ("paused", "started", json!({"restart": true})),
            ("cancelled", "started", json!({"restart": true})),
            ("failed", "failed", json!({"attempt": 2})),
        ] {
            for new in ["message", "result", "other"]
                .iter()
                .filter(|new| *new != left)
            {
                number += 1;
                let path = |verb: &str| format!("/api/tasks/t{number}/{verb}");
                server.post(&path(end), with(json!({"attempt": 1}), &large(left)));
                let body = with(begin.clone(), &large(new));
                let (status, answer) = server.call("POST", &path(verb), &body);
                let case = format!("{left}, {end}, {verb}, {new}: {answer}");
                let is_whole = status == 200 && answer["truncated"].is_null();
                assert_eq!(is_whole, OF_AN_ATTEMPT.contains(left), "{case}");
                if is_whole {
                    let shown = server.document(&format!("/api/tasks/t{number}"));
                    assert_eq!(shown[new], large(new)[new], "{case}");
                    assert!(!large(left)[left].eq(&shown[left]), "{case}");
                }
            }
        }
    }
}

#[test]
fn an_array_that_begins_an_attempt_is_measured_without_the_one_before() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let mut number = 0;
    for left in OF_AN_ATTEMPT {
        for (end, begin) in [
            ("failed", event("", "started", &json!({"restart": true}))),
            ("failed", event("", "started", &json!({"attempt": 2}))),
            ("progress", event("", "progress", &json!({"attempt": 2}))),
            ("progress", event("", "started", &json!({"restart": true}))),
        ] {
            for new in ["message", "result", "other"]
                .iter()
                .filter(|new| **new != left)
            {
                for is_first in [true, false] {
                    number += 1;
                    let task = format!("t{number}");
                    let before = with(json!({"attempt": 1}), &large(left));
                    server.post(&format!("/api/tasks/{task}/{end}"), before);
                    let begin = with(begin.clone(), &json!({"taskId": task}));
                    let array = if is_first {
                        json!([
                            with(begin, &large(new)),
                            event(&task, "progress", &json!({}))
                        ])
                    } else {
                        json!([begin, event(&task, "progress", &large(new))])
                    };
                    let answer = server.post("/api/events", array);
                    let case = format!("{left}, {end}, {new}, {is_first}: {answer}");
                    assert_eq!(answer["accepted"], 2, "{case}");
                    assert!(answer["truncated"].is_null(), "{case}");
                }
            }
        }
    }
}

#[test]
fn an_array_counts_not_at_all_where_an_attempt_that_it_begins_becomes_too_large() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    for (number, (end, begin)) in [
        ("failed", json!({"restart": true})),
        ("failed", json!({"attempt": 2})),
        ("completed", json!({"attempt": 2, "seq": 1})),
        ("cancelled", json!({"restart": true, "attempt": 1})),
        ("progress", json!({"attempt": 2})),
        ("progress", json!({"restart": true})),
    ]
    .into_iter()
    .enumerate()
    {
        let task = format!("t{number}");
        let before = json!({"attempt": 1, "seq": 9, "message": "before"});
        server.post(&format!("/api/tasks/{task}/{end}"), before);
        let shown = server.document(&format!("/api/tasks/{task}"));
        let array = json!([
            event(&task, "started", &begin),
            event(&task, "progress", &with(json!({"seq": 2}), &large("one"))),
            event(&task, "progress", &with(json!({"seq": 3}), &large("two"))),
        ]);
        let (status, problem) = server.call("POST", "/api/events", &array);
        let expected = (413, &json!("[2].two"));
        assert_eq!(
            (status, &problem["field"]),
            expected,
            "{end} {begin}: {problem}"
        );
        let after = server.document(&format!("/api/tasks/{task}"));
        assert_eq!(after, shown, "{end} {begin}: nothing of it counts");
    }
}

#[test]
fn large_events_that_would_be_dropped_make_no_array_too_large() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let huge = json!({"message": "x".repeat(20_000)});
    let known = json!({"attempt": 3, "seq": 7, "eventId": "e1", "progress": 1});
    for (number, (end, drop, reason)) in [
        (None, json!({"eventId": "e1"}), "repeat"),
        (None, json!({"seq": 7}), "oldSeq"),
        (None, json!({"seq": 1, "attempt": 3}), "oldSeq"),
        (None, json!({"attempt": 2}), "oldAttempt"),
        (Some("failed"), json!({}), "ended"),
        (Some("completed"), json!({"attempt": 3, "seq": 90}), "ended"),
        (Some("cancelled"), json!({"attempt": 1}), "oldAttempt"),
    ]
    .into_iter()
    .enumerate()
    {
        let task = format!("t{number}");
        server.post(&format!("/api/tasks/{task}/progress"), known.clone());
        if let Some(end) = end {
            server.post(&format!("/api/tasks/{task}/{end}"), json!({}));
        }
        let dropped = event(&task, "progress", &with(drop, &huge));
        let other = event(&format!("other{number}"), "started", &json!({}));
        for (place, array) in [
            json!([dropped, other]),
            json!([event("o", "progress", &json!({"own": number})), dropped]),
            json!([dropped, dropped, dropped]),
        ]
        .iter()
        .enumerate()
        {
            let answer = server.post("/api/events", array.clone());
            let count = if place == 2 { 3 } else { 1 };
            assert_eq!(
                answer["reasons"][reason], count,
                "{reason} {place}: {answer}"
            );
        }
        let shown = server.document(&format!("/api/tasks/{task}"));
        assert!(shown.get("message").is_none(), "{reason}");
    }
}

#[test]
fn large_events_that_an_array_itself_makes_old_do_not_make_it_too_large() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10_000);
    let huge = json!({"message": "x".repeat(20_000)});
    for (number, (first, verb, second, reason)) in [
        ("progress", "progress", json!({"eventId": "same"}), "repeat"),
        ("progress", "progress", json!({"seq": 5}), "oldSeq"),
        ("progress", "progress", json!({"attempt": 1}), "oldAttempt"),
        ("started", "progress", json!({"seq": 4}), "oldSeq"),
        ("failed", "progress", json!({}), "ended"),
        ("completed", "progress", json!({"seq": 6}), "ended"),
    ]
    .into_iter()
    .enumerate()
    {
        for is_known in [true, false] {
            let task = format!("{is_known}{number}");
            if is_known {
                let before = json!({"attempt": 1, "seq": 3});
                server.post(&format!("/api/tasks/{task}/started"), before);
            }
            let head = json!({"attempt": 2, "seq": 5, "eventId": "same"});
            let array = json!([
                event(&task, first, &head),
                event(&task, verb, &with(second.clone(), &huge)),
            ]);
            let answer = server.post("/api/events", array);
            let counts = (&answer["accepted"], &answer["reasons"][reason]);
            assert_eq!(counts, (&json!(1), &json!(1)), "{reason}: {answer}");
        }
    }
}

/// What lines are answered.
fn lines(server: &Running, lines: &[Value]) -> (u16, Value) {
    let lines: Vec<String> = lines
        .iter()
        .map(|line| {
            line.as_str()
                .map_or_else(|| line.to_string(), str::to_owned)
        })
        .collect();
    let kind = [("Content-Type", "application/x-ndjson")];
    let body = lines.join("\n");
    let answer = Http::connect(server.http).request("POST", "/api/events", &kind, body.as_bytes());
    if answer.status == 503 {
        assert!(answer.header("retry-after").is_some(), "when to come again");
    }
    (answer.status, answer.json())
}

#[test]
fn lines_that_are_all_too_large_are_413_with_the_field() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 1_000);
    for field in [
        "stage", "message", "result", "error", "meta", "parentId", "own",
    ] {
        let line = event("t", "progress", &large(field));
        for count in [1, 2, 30] {
            let (status, problem) = lines(&server, &vec![line.clone(); count]);
            assert_eq!(
                (status, &problem["code"], &problem["field"]),
                (413, &json!("task_too_large"), &json!(field)),
                "{problem}"
            );
        }
        let (status, problem) = lines(&server, &[json!("nonsense"), line]);
        assert_eq!(
            (status, &problem["field"]),
            (413, &json!(field)),
            "{problem}"
        );
    }
    let many = event("t", "progress", &fields(0..257, &json!(1)));
    let (status, problem) = lines(&server, &[many]);
    assert_eq!((status, &problem["code"]), (413, &json!("task_too_large")));
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn lines_for_which_there_is_no_room_are_503_and_malformed_ones_400() {
    let server = Running::start(|config| {
        config.broadcaster.max_tasks = 1;
        config.broadcaster.max_task_size = 1_000;
        config.websocket.max_rooms = 1;
    });
    server.post("/api/tasks/t/progress", json!({}));
    let note = json!({"type": "note", "room": "r", "payload": 1});
    server.post("/api/events", note);
    let task = event("u", "progress", &json!({}));
    let room = json!({"type": "note", "room": "s", "payload": 1});
    let item = json!({"type": "document_generated", "payload": {"taskId": "t"}});
    let malformed = json!("nonsense");
    let too_large = event("t", "progress", &large("own"));
    for body in [
        vec![task.clone()],
        vec![room.clone(), item, task.clone()],
        vec![malformed.clone(), room.clone()],
        [vec![malformed.clone(); 20], vec![task.clone()]].concat(),
        vec![too_large.clone(), task.clone()],
        vec![task, malformed.clone(), too_large.clone()],
    ] {
        let (status, problem) = lines(&server, &body);
        let expected = (503, &json!("limit_exceeded"));
        assert_eq!((status, &problem["code"]), expected, "{problem}");
    }
    let wrong = event("t", "progress", &json!({"progress": "x"}));
    for body in [
        vec![malformed.clone()],
        vec![wrong; 12],
        vec![malformed; 30],
    ] {
        let (status, problem) = lines(&server, &body);
        let expected = (400, &json!("invalid_message"), &json!("body"));
        let told = (status, &problem["code"], &problem["field"]);
        assert_eq!(told, expected, "{problem}");
    }
    let fits = event("t", "progress", &json!({"progress": 5}));
    let (status, answer) = lines(&server, &[too_large, fits]);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

#[test]
fn every_field_that_can_be_cut_is_cut_and_named_once_by_every_verb() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 3_000);
    let verbs = LIFECYCLE.iter().map(|verb| (*verb, Value::Null));
    let reports = ["completed", "failed", "cancelled", "paused"];
    let reports = reports.iter().map(|status| ("progress", json!(status)));
    for (number, (verb, status)) in verbs.chain(reports).enumerate() {
        // What cannot be cut is the largest once the others are markers, and they have been cut before.
        let mut body = json!({"stage": "s".repeat(1_024), "message": "m".repeat(1_000)});
        let cuttable = ["result", "error", "meta", "own1", "own2"];
        for field in cuttable {
            body[field] = json!("x".repeat(898));
        }
        body["status"] = status;
        let answer = server.post(&format!("/api/tasks/t{number}/{verb}"), body);
        assert_eq!(answer["accepted"], 1, "{verb}");
        let mut cut: Vec<Value> = answer["truncated"].as_array().expect("cuts").clone();
        cut.sort_by_key(|cut| cut["field"].to_string());
        let expected = ["error", "meta", "own1", "own2", "result"];
        let expected = expected.map(|field| json!({"index": 0, "field": field, "bytes": 900}));
        assert_eq!(json!(cut), json!(expected), "{verb}");
        let shown = server.document(&format!("/api/tasks/t{number}"));
        for field in cuttable {
            assert_eq!(
                shown[field],
                json!({"truncated": true, "bytes": 900}),
                "{verb}"
            );
        }
        assert_eq!(shown["stage"].as_str().map(str::len), Some(1_024), "{verb}");
    }
}

#[test]
fn a_task_of_hardly_any_room_hears_its_end_and_keeps_no_own_field() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 10);
    for verb in LIFECYCLE {
        let own = fields(0..8, &json!("x".repeat(1_000)));
        let texts =
            json!({"message": "é".repeat(3_000), "parentId": "p".repeat(50), "result": [1]});
        let answer = server.post(&format!("/api/tasks/{verb}/{verb}"), with(own, &texts));
        assert_eq!(answer["accepted"], 1, "{verb}");
        let cut = answer["truncated"].as_array().expect("cuts");
        let mut names: Vec<String> = cut.iter().map(|cut| cut["field"].to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), cut.len()), (10, 10), "{verb}: {answer}");
        let shown = server.document(&format!("/api/tasks/{verb}"));
        let own = shown
            .as_object()
            .expect("a task")
            .keys()
            .filter(|name| name.starts_with('f'));
        assert_eq!(own.count(), 0, "{verb}: {shown}");
        assert!(
            shown.get("parentId").is_none(),
            "half an id is none: {shown}"
        );
        assert_eq!(shown["result"], json!([1]), "what is small stays");
        let message = shown["message"].as_str().expect("a text");
        assert!(message.ends_with("é…") && message.len() <= 1_024, "{verb}");
    }
}

#[test]
fn texts_of_1024_bytes_are_whole_and_longer_ones_are_cut() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 100);
    for verb in LIFECYCLE {
        for field in ["stage", "message"] {
            for bytes in [1_023, 1_024, 1_025] {
                let text = "x".repeat(bytes);
                let task = format!("/api/tasks/{verb}{field}{bytes}");
                let answer = server.post(&format!("{task}/{verb}"), json!({field: text}));
                let shown = server.document(&task);
                if bytes <= 1_024 {
                    assert!(answer["truncated"].is_null(), "{verb} {field}: {answer}");
                    assert_eq!(shown[field], text);
                } else {
                    let cut = json!([{"index": 0, "field": field, "bytes": bytes}]);
                    assert_eq!(answer["truncated"], cut, "{verb}");
                    assert_eq!(shown[field], format!("{}…", "x".repeat(1_021)));
                }
            }
        }
    }
}

#[test]
fn what_an_end_clears_is_cleared_though_it_is_cut() {
    let server = Running::start(|config| config.broadcaster.max_task_size = 400);
    for verb in LIFECYCLE {
        let task = format!("/api/tasks/{verb}");
        let before = json!({"own": "o".repeat(99), "parentId": "p".repeat(99), "meta": {"a": 1}});
        server.post(&format!("{task}/progress"), before);
        let body = json!({"own": null, "parentId": null, "meta": null, "message": "m".repeat(999), "stage": "s".repeat(999)});
        assert_eq!(server.post(&format!("{task}/{verb}"), body)["accepted"], 1);
        let shown = server.document(&task);
        for field in ["own", "parentId", "meta"] {
            assert!(shown.get(field).is_none(), "{verb} {field}: {shown}");
        }
    }
}
