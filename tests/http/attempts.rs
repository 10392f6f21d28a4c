//! Which events count, why others do not, and what the answers say of it.

use crate::support::{Http, Running};
use serde_json::{Value, json};

fn standing(server: &Running, task: &str) -> Value {
    let task = server.document(&format!("/api/tasks/{task}"));
    json!([task["attempt"], task["status"], task["progress"]])
}

#[test]
fn drops_are_listed_with_their_reasons() {
    let server = Running::start(|_| {});
    let event = |kind: &str, more: Value| {
        let mut event = json!({"type": kind, "taskId": "t"});
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    };
    let started = event("task_started", json!({"id": "e1", "attempt": 2}));
    let late = [
        started.clone(),
        event("task_progress", json!({"attempt": 2, "seq": 5})),
        event("task_progress", json!({"attempt": 2, "seq": 5})),
        event("task_progress", json!({"attempt": 1})),
        started.clone(),
        event("task_completed", json!({})),
        event("task_progress", json!({"progress": 3})),
    ];
    let answer = server.post("/api/events", json!(late));
    assert_eq!(
        (&answer["accepted"], &answer["dropped"]),
        (&json!(3), &json!(4))
    );
    let reasons = json!({"repeat": 1, "oldSeq": 1, "oldAttempt": 1, "ended": 1});
    assert_eq!(answer["reasons"], reasons);
    let drop = |index: u64, reason: &str| json!({"index": index, "taskId": "t", "reason": reason});
    let drops = [
        drop(2, "oldSeq"),
        drop(3, "oldAttempt"),
        drop(4, "repeat"),
        drop(6, "ended"),
    ];
    assert_eq!(answer["drops"], json!(drops));
    let statistics = server.document("/api/broadcaster/stats");
    assert_eq!(statistics["reasons"], reasons);
    assert_eq!(statistics["droppedEvents"], 4);
    let one = server.post("/api/tasks/t/progress", json!({}));
    assert_eq!(one["drops"], json!([drop(0, "ended")]));
}

#[test]
fn dropped_lines_are_named_by_their_numbers_ten_at_most() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/completed", json!({}));
    let room = r#"{"type":"note","room":"r","id":"n1","payload":1}"#;
    server.post("/api/events", serde_json::from_str(room).unwrap());
    let lines = [
        &[room][..],
        &[r#"{"type":"task_progress","taskId":"t"}"#; 15],
    ]
    .concat();
    let kind = [("Content-Type", "application/x-ndjson")];
    let body = lines.join("\n");
    let answer = Http::connect(server.http).request("POST", "/api/events", &kind, body.as_bytes());
    let answer = answer.json();
    assert_eq!(
        answer["reasons"],
        json!({"repeat": 1, "oldSeq": 0, "oldAttempt": 0, "ended": 15})
    );
    let drops = answer["drops"].as_array().unwrap();
    assert_eq!(drops.len(), 10);
    assert_eq!(
        drops[0],
        json!({"line": 1, "room": "r", "reason": "repeat"})
    );
    assert_eq!(
        drops[1],
        json!({"line": 2, "taskId": "t", "reason": "ended"})
    );
}

#[test]
fn a_restart_is_answered_with_its_attempt() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    server.post(
        "/api/tasks/t/failed",
        json!({"progress": 70, "error": "boom"}),
    );
    viewer.until("task_failed");
    let answer = server.post("/api/tasks/t/started", json!({"restart": true}));
    assert_eq!(
        (&answer["accepted"], &answer["attempt"]),
        (&json!(1), &json!(2))
    );
    let started = viewer.until("task_started").pop().unwrap();
    assert_eq!(started["payload"]["attempt"], 2);
    assert!(started["payload"].get("restart").is_none(), "{started}");
    let again = server.post("/api/tasks/t/started", json!({"restart": true}));
    assert_eq!(again["drops"][0]["reason"], "repeat");
    assert_eq!(again["attempt"], 2);
    server.post("/api/tasks/t/progress", json!({"progress": 10}));
    let answer = server.post("/api/tasks/t/started?restart=1", Value::Null);
    assert_eq!(answer["attempt"], 3);
    let event =
        json!({"type": "task_started", "payload": {"taskId": "t", "restart": true}, "id": "r1"});
    assert_eq!(
        server.post("/api/events", event.clone())["attempt"],
        4,
        "its id is new"
    );
    assert_eq!(server.post("/api/events", event)["reasons"]["repeat"], 1);
    assert_eq!(standing(&server, "t"), json!([4, "running", 0]));
}

#[test]
fn restart_is_told_what_it_is() {
    let server = Running::start(|_| {});
    for (path, body, field) in [
        ("/api/tasks/t/started", json!({"restart": "yes"}), "restart"),
        ("/api/tasks/t/started", json!({"restart": 1}), "restart"),
        ("/api/tasks/t/started?restart=maybe", json!({}), "restart"),
        ("/api/tasks/t/progress?restart=1", json!({}), "restart"),
        (
            "/api/events",
            json!({"type": "task_started", "payload": {"taskId": "t", "restart": []}}),
            "payload.restart",
        ),
    ] {
        let (status, problem) = server.call("POST", path, &body);
        assert_eq!(
            (status, &problem["field"]),
            (400, &json!(field)),
            "{path} {body}"
        );
    }
    server.post("/api/tasks/t/progress", json!({"restart": "own"}));
    assert_eq!(
        server.document("/api/tasks/t")["restart"],
        "own",
        "an own field elsewhere"
    );
}

#[test]
fn workers_that_count_from_nought_are_heard() {
    let server = Running::start(|_| {});
    server.post("/api/tasks/t/progress", json!({"status": "pending"}));
    for (verb, body) in [
        ("started", json!({"attempt": 0, "total": 2})),
        ("progress", json!({"attempt": 0, "current": 1})),
    ] {
        let answer = server.post(&format!("/api/tasks/t/{verb}"), body);
        assert_eq!(
            (&answer["accepted"], &answer["attempt"]),
            (&json!(1), &json!(0))
        );
    }
    assert_eq!(standing(&server, "t"), json!([0, "running", 50]));
    server.post("/api/tasks/u/failed", json!({}));
    let answer = server.post(
        "/api/tasks/u/progress",
        json!({"attempt": 1, "progress": 9}),
    );
    assert_eq!(answer["reasons"]["ended"], 1, "a straggler");
    let answer = server.post("/api/tasks/u/started", json!({"attempt": 1}));
    assert_eq!(
        (&answer["accepted"], &answer["attempt"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn what_is_not_announced_twice_still_counts() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    server.post("/api/tasks/t/started", json!({}));
    let answer = server.post(
        "/api/tasks/t/started",
        json!({"total": 8, "stage": "copy", "message": "m"}),
    );
    assert_eq!(answer["accepted"], 1);
    server.post("/api/tasks/t/paused", json!({}));
    let answer = server.post("/api/tasks/t/paused", json!({"message": "held"}));
    assert_eq!(answer["accepted"], 1);
    server.post("/api/tasks/t/cancelled", json!({}));
    let kinds: Vec<Value> = viewer
        .until("task_cancelled")
        .iter()
        .map(|m| m["type"].clone())
        .collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!(
        (count("task_started"), count("task_paused")),
        (1, 1),
        "{kinds:?}"
    );
    let task = server.document("/api/tasks/t");
    assert_eq!(
        (&task["total"], &task["stage"], &task["message"]),
        (&json!(8), &json!("copy"), &json!("held"))
    );
}

#[test]
fn every_progress_message_says_status_and_progress() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    server.post("/api/tasks/t/started", json!({"total": 4}));
    for body in [
        json!({"message": "a"}),
        json!({"own": 1}),
        json!({"current": 1}),
        json!({"stage": "s"}),
    ] {
        server.post("/api/tasks/t/progress", body);
    }
    server.post("/api/tasks/t/completed", json!({}));
    let messages = viewer.until("task_completed");
    let progress = messages
        .iter()
        .filter(|message| message["type"] == "task_progress");
    assert_eq!(progress.clone().count(), 4);
    for message in progress {
        let payload = &message["payload"];
        assert!(
            payload["progress"].is_number() && payload["seq"].is_u64(),
            "{message}"
        );
        assert_eq!(
            (&payload["status"], &payload["taskId"]),
            (&json!("running"), &json!("t"))
        );
    }
}

#[test]
fn numbers_keep_their_digits() {
    let server = Running::start(|_| {});
    for text in [
        "0.1",
        "0.3",
        "5e-324",
        "2.2250738585072014e-308",
        "123456789.12345679",
        "0.000035689",
        "1.7976931348623157e308",
        "41.800000000000004",
        "9007199254740993",
        "4.35",
        "1.005",
        "0.6822871999174",
    ] {
        let body = format!("{{\"current\":{text},\"total\":{text}}}");
        let mut http = Http::connect(server.http);
        http.request(
            "POST",
            "/api/tasks/t/progress",
            &[],
            format!("{{\"seq\":null,\"stage\":\"{text}\",{}", &body[1..]).as_bytes(),
        );
        let shown = http.request("GET", "/api/tasks/t", &[], b"");
        let shown: Value = serde_json::from_slice(&shown.body).unwrap();
        let expected: f64 = text.parse().unwrap();
        assert_eq!(shown["current"].to_string().parse(), Ok(expected), "{text}");
        assert_eq!(shown["total"].to_string().parse(), Ok(expected), "{text}");
    }
}

#[test]
fn a_fraction_shows_the_percent_that_a_person_computes() {
    let server = Running::start(|_| {});
    for hundredth in 1..100 {
        let task = format!("t{hundredth}");
        let body = json!({"current": f64::from(hundredth) / 100.0, "total": 1});
        server.post(&format!("/api/tasks/{task}/progress"), body);
        assert_eq!(
            server.document(&format!("/api/tasks/{task}"))["progress"],
            hundredth
        );
    }
}

#[test]
fn a_restart_that_names_a_known_attempt_begins_the_next_after_its_end_only() {
    for (named, while_running) in [(1, "oldAttempt"), (2, "repeat")] {
        let server = Running::start(|_| {});
        let restart = |attempt: u64| {
            let body = json!({"restart": true, "attempt": attempt});
            server.post("/api/tasks/t/started", body)
        };
        assert_eq!(restart(2)["attempt"], 2);
        assert_eq!(restart(named)["reasons"][while_running], 1, "{named}");
        for end in ["completed", "failed", "cancelled"] {
            let before = server.document("/api/tasks/t")["attempt"].as_u64().unwrap();
            server.post(&format!("/api/tasks/t/{end}"), json!({}));
            assert_eq!(restart(named)["attempt"], before + 1, "{named} after {end}");
        }
    }
}

#[test]
fn a_worker_that_names_its_attempt_as_it_starts_counts_its_events_anew() {
    let server = Running::start(|_| {});
    for (number, (before, started, next)) in [
        (json!({"seq": 50}), json!({"attempt": 1}), 1),
        (json!({"seq": 50}), json!({"attempt": 0, "total": 9}), 1),
        (json!({"seq": 50}), json!({"attempt": 1, "seq": 3}), 4),
        (json!({"seq": 50}), json!({"attempt": 2}), 1),
        (json!({"seq": 50}), json!({"restart": true}), 1),
        (json!({"seq": 50, "attempt": 1}), json!({"attempt": 2}), 1),
        (
            json!({"seq": 50, "attempt": 1}),
            json!({"attempt": 2, "seq": 0}),
            1,
        ),
        (
            json!({"seq": 50, "status": "failed"}),
            json!({"attempt": 1}),
            1,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = |verb: &str| format!("/api/tasks/t{number}/{verb}");
        server.post(&path("progress"), before.clone());
        let case = format!("{before} {started}");
        let seen = server.document(&path("")[..path("").len() - 1])["seq"].as_u64();
        assert_eq!(server.post(&path("started"), started)["accepted"], 1);
        for (seq, accepted) in [(next, 1), (next, 0), (next + 1, 1), (next, 0)] {
            let answer = server.post(&path("progress"), json!({"seq": seq, "own": seq}));
            assert_eq!(answer["accepted"], accepted, "{case}: {seq}");
            assert_eq!(answer["reasons"]["oldSeq"], 1 - accepted, "{case}: {seq}");
        }
        let now = server.document(&path("")[..path("").len() - 1])["seq"].as_u64();
        assert!(now > seen, "viewers count on: {case}");
    }
    for verb in ["progress", "paused"] {
        let path = |verb: &str| format!("/api/tasks/{verb}/{verb}");
        server.post(&path(verb), json!({"seq": 50}));
        assert_eq!(
            server.post(&path(verb), json!({"attempt": 1, "message": "m"}))["accepted"],
            1
        );
        let answer = server.post(&path(verb), json!({"seq": 2, "message": "n"}));
        assert_eq!(answer["reasons"]["oldSeq"], 1, "{verb} starts nothing");
    }
}

#[test]
fn the_count_goes_back_when_something_else_is_counted_and_when_it_is_cleared() {
    let server = Running::start(|_| {});
    let before = json!({"current": 50, "total": 100, "stage": "copy"});
    for (number, (body, current)) in [
        (json!({"current": 3}), json!(50)),
        (json!({"current": 3, "stage": "copy"}), json!(50)),
        (
            json!({"current": 3, "total": 100, "stage": "copy"}),
            json!(50),
        ),
        (json!({"current": 3, "stage": "pack"}), json!(3)),
        (json!({"current": 3, "stage": null}), json!(3)),
        (json!({"current": 3, "total": 60}), json!(3)),
        (json!({"current": 3, "total": null}), json!(3)),
        (json!({"current": null}), json!(0)),
        (json!({"current": null, "stage": "copy"}), json!(0)),
    ]
    .into_iter()
    .enumerate()
    {
        for verb in ["progress", "paused", "failed"] {
            let task = format!("/api/tasks/{verb}{number}");
            server.post(&format!("{task}/started"), before.clone());
            server.post(&format!("{task}/{verb}"), body.clone());
            assert_eq!(server.document(&task)["current"], current, "{verb} {body}");
            assert_eq!(server.document(&task)["progress"], 50, "{verb} {body}");
        }
    }
}

#[test]
fn a_restart_that_names_the_attempt_that_ended_begins_the_next_and_repeats_while_it_runs() {
    let server = Running::start(|_| {});
    for end in ["completed", "failed", "cancelled"] {
        for known in [0, 1, 4] {
            let path = |verb: &str| format!("/api/tasks/{end}{known}/{verb}");
            let named = json!({"attempt": known, "progress": 7, "seq": 8});
            let restart = json!({"attempt": known, "restart": true, "seq": 1});
            server.post(&path("started"), named);
            for _ in 0..2 {
                let answer = server.post(&path("started"), restart.clone());
                assert_eq!(answer["reasons"]["repeat"], 1, "{end}: {answer}");
                assert_eq!(answer["attempt"], known);
            }
            server.post(&path(end), json!({"attempt": known}));
            let answer = server.post(&path("started"), restart.clone());
            assert_eq!(
                (&answer["accepted"], &answer["attempt"]),
                (&json!(1), &json!(known + 1)),
                "{end}: {answer}"
            );
            let expected = json!([known + 1, "running", 0]);
            assert_eq!(standing(&server, &format!("{end}{known}")), expected);
            let answer = server.post(&path("started"), restart);
            assert_eq!(answer["reasons"]["oldAttempt"], 1, "{answer}");
            assert_eq!(
                server.post(&path("progress"), json!({"seq": 2}))["accepted"],
                1
            );
        }
    }
}

#[test]
fn the_number_that_viewers_see_stays_one_that_json_can_say() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let greatest: u64 = (1 << 53) - 1;
    for first in [greatest - 1, greatest] {
        let mut viewer = server.viewer();
        let task = format!("t{first}");
        viewer.subscribe(&[&task]);
        let path = |verb: &str| format!("/api/tasks/{task}/{verb}");
        server.post(&path("progress"), json!({"seq": first}));
        for verb in ["started", "progress", "paused", "started", "failed"] {
            server.post(&path(verb), json!({"message": verb}));
        }
        server.post(&path("started"), json!({"restart": true}));
        server.post(&path("completed"), json!({"seq": 1}));
        let messages = viewer.until("task_completed");
        let numbers = messages
            .iter()
            .filter_map(|message| message["payload"]["seq"].as_u64());
        let numbers: Vec<u64> = numbers.collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&greatest), "{numbers:?}");
    }
}

#[test]
fn what_stands_beside_a_payload_counts_as_if_it_stood_in_it() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    server.post("/api/tasks/t/failed", json!({"progress": 70}));
    viewer.until("task_failed");
    let event = json!({"type": "task_started", "taskId": "t", "restart": true, "id": "r1", "payload": {"total": 8}});
    assert_eq!(server.post("/api/events", event.clone())["attempt"], 2);
    let started = viewer.until("task_started").pop().unwrap();
    assert_eq!(
        (
            &started["payload"]["total"],
            started["payload"].get("restart")
        ),
        (&json!(8), None)
    );
    assert_eq!(server.post("/api/events", event)["reasons"]["repeat"], 1);
    let event = json!({"type": "task_progress", "taskId": "t", "attempt": 5, "seq": 3, "data": {"current": 2}});
    assert_eq!(server.post("/api/events", event)["attempt"], 5);
    let late = json!({"type": "task_progress", "seq": 3, "payload": {"taskId": "t", "current": 9}});
    assert_eq!(server.post("/api/events", late)["reasons"]["oldSeq"], 1);
    let both = json!({"type": "task_progress", "taskId": "t", "attempt": 1, "seq": 1, "payload": {"taskId": "t", "attempt": 5, "seq": 4}});
    assert_eq!(
        server.post("/api/events", both)["accepted"],
        1,
        "what stands in the payload goes before"
    );
    viewer.until("task_progress");
    let item = json!({"type": "document_generated", "taskId": "t", "payload": {"documentId": "d", "taskId": null}});
    server.post("/api/events", item);
    let shown = viewer.until("document_generated").pop().unwrap();
    assert_eq!(shown["payload"], json!({"taskId": "t", "documentId": "d"}));
    let bare = json!({"type": "document_generated", "taskId": "t", "eventId": "e", "payload": {}});
    server.post("/api/events", bare);
    assert_eq!(
        viewer.expect("document_generated")["payload"],
        json!({"taskId": "t"})
    );
    let neither = json!({"type": "task_started", "taskId": "t", "restart": true, "payload": {"restart": false}});
    assert_eq!(server.post("/api/events", neither)["attempt"], 5);
    for (more, field) in [
        (json!({"restart": "yes"}), "restart"),
        (json!({"attempt": 1.5}), "attempt"),
        (json!({"seq": "1"}), "seq"),
        (json!({"taskId": 5}), "taskId"),
        (json!({"taskId": "u*"}), "taskId"),
        (json!({"taskId": "u", "payload": {"taskId": "t"}}), "taskId"),
    ] {
        let mut event = json!({"type": "task_started", "taskId": "t", "payload": {}});
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        let (status, problem) = server.call("POST", "/api/events", &event);
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{event}");
    }
    // In other events `restart` means nothing to the server.
    let event = json!({"type": "task_progress", "taskId": "t", "restart": "own", "payload": {"current": 6}});
    assert_eq!(server.post("/api/events", event)["attempt"], 5);
}
