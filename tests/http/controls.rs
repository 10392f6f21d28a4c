//! Requests to a task's worker, by WebSocket and by HTTP.

use crate::support::{Http, Running, Viewer};
use joblight::config::Control;
use serde_json::{Value, json};

fn controllable(control: Control) -> Running {
    Running::start(|config| {
        config.broadcaster.broadcast_interval = 0;
        config.websocket.control = control;
    })
}

fn watcher(server: &Running, tasks: &[&str]) -> Viewer {
    let mut viewer = server.viewer();
    viewer.subscribe(tasks);
    viewer
}

/// Sends a request; its answer, whatever else comes before it.
fn ask(viewer: &mut Viewer, task: &str, action: &str) -> Value {
    viewer.send(&json!({"type": "task_control", "id": action, "taskId": task, "action": action}));
    loop {
        let message = viewer.next();
        if message["replyTo"] == action {
            return message;
        }
    }
}

fn code(answer: &Value) -> &str {
    answer["payload"]["code"]
        .as_str()
        .unwrap_or_else(|| panic!("no error: {answer}"))
}

#[test]
fn answers_carry_what_viewers_ask_for() {
    let server = controllable(Control::Anybody);
    let (mut one, _two) = (watcher(&server, &["a", "b"]), watcher(&server, &["b"]));
    server.post(
        "/api/events",
        json!([{"type": "task_started", "taskId": "a"}, {"type": "task_started", "taskId": "b"}]),
    );
    one.until("task_started");
    one.expect("task_started");
    one.send(&json!({"type": "task_control", "id": 7, "taskId": "a", "action": "pause"}));
    let ack = one.expect("control_ack");
    assert_eq!(
        (
            &ack["replyTo"],
            &ack["payload"]["action"],
            &ack["payload"]["taskId"]
        ),
        (&json!(7), &json!("pause"), &json!("a"))
    );
    let shown = one.expect("task_progress");
    let requested = &shown["payload"]["requested"];
    assert_eq!(
        (&requested["action"], &requested["by"]),
        (&json!("pause"), &json!(one.id()))
    );
    let answer = server.post("/api/tasks/a/progress", json!({"progress": 1}));
    let control = &answer["control"][0];
    assert_eq!(
        (&control["taskId"], &control["action"], &control["by"]),
        (&json!("a"), &json!("pause"), &json!(one.id()))
    );
    assert!(control["requestedAt"].as_u64().unwrap() > 1_600_000_000_000);
    let answer = server.post("/api/tasks/b/progress", json!({"progress": 1}));
    assert_eq!(
        (&answer["control"], &answer["watchers"]),
        (&json!([]), &json!(2))
    );
    let lines = "{\"type\":\"task_progress\",\"taskId\":\"a\"}\n{\"type\":\"task_progress\",\"taskId\":\"b\"}\n";
    let kind = [("Content-Type", "application/x-ndjson")];
    let answer = Http::connect(server.http)
        .request("POST", "/api/events", &kind, lines.as_bytes())
        .json();
    assert_eq!(
        (
            answer["control"].as_array().unwrap().len(),
            &answer["watchers"]
        ),
        (1, &json!(2))
    );
    let answer = server.post("/api/tasks/a/paused", json!({}));
    assert_eq!(answer["control"], json!([]), "the worker has obeyed");
    server.post("/api/tasks/a/cancelled", json!({}));
    assert_eq!(code(&ask(&mut one, "a", "resume")), "not_allowed");
    assert_eq!(code(&ask(&mut one, "nothing", "resume")), "not_found");
}

#[test]
fn cancel_is_not_displaced() {
    let server = controllable(Control::Anybody);
    let (mut one, mut two) = (watcher(&server, &["t"]), watcher(&server, &["t"]));
    server.post("/api/tasks/t/started", json!({}));
    assert_eq!(ask(&mut one, "t", "pause")["type"], "control_ack");
    assert_eq!(
        ask(&mut two, "t", "cancel")["type"],
        "control_ack",
        "cancel replaces a pause"
    );
    for action in ["pause", "resume"] {
        let refused = ask(&mut one, "t", action);
        assert_eq!(code(&refused), "conflict");
        assert!(
            refused["payload"]["message"]
                .as_str()
                .unwrap()
                .contains("cancel"),
            "{refused}"
        );
    }
    let again = ask(&mut one, "t", "cancel");
    assert_eq!(again["payload"]["by"], two.id(), "whoever asked first");
    let answer = server.post("/api/tasks/t/progress", json!({}));
    assert_eq!(answer["control"][0]["action"], "cancel");
    let answer = server.post("/api/tasks/t/cancelled", json!({}));
    assert_eq!(answer["control"], json!([]));
}

#[test]
fn a_pause_of_a_paused_task_ends_with_the_next_paused() {
    let server = controllable(Control::Anybody);
    let mut viewer = watcher(&server, &["t"]);
    server.post("/api/tasks/t/paused", json!({}));
    ask(&mut viewer, "t", "pause");
    let answer = server.post("/api/tasks/t/progress", json!({"current": 1}));
    assert_eq!(answer["control"][0]["action"], "pause");
    let answer = server.post("/api/tasks/t/paused", json!({}));
    assert_eq!(
        (&answer["accepted"], &answer["control"]),
        (&json!(1), &json!([]))
    );
    assert!(server.document("/api/tasks/t").get("requested").is_none());
}

#[test]
fn viewers_may_control_only_where_that_is_configured() {
    for (control, of_member, of_other) in [
        (Control::Nobody, false, false),
        (Control::Members, true, false),
        (Control::Anybody, true, true),
    ] {
        let server = controllable(control);
        server.post("/api/tasks/t/started", json!({}));
        for (mut viewer, allowed) in [
            (watcher(&server, &["t"]), of_member),
            (watcher(&server, &["u"]), of_other),
        ] {
            let answer = ask(&mut viewer, "t", "cancel");
            match allowed {
                true => assert_eq!(answer["type"], "control_ack", "{control:?}"),
                false => assert_eq!(code(&answer), "not_allowed", "{control:?}"),
            }
        }
        let (status, problem) =
            server.call("POST", "/api/tasks/t/control", &json!({"action": "cancel"}));
        assert_eq!(
            status,
            if control == Control::Anybody {
                200
            } else {
                403
            },
            "{problem}"
        );
    }
    assert_eq!(
        joblight::Config::default().websocket.control,
        Control::Nobody
    );
}

#[test]
fn over_http_the_key_decides() {
    let server = Running::start(|config| config.http.api_key = "key".into());
    let call = |key: &str, path: &str, body: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("Authorization", &*bearer),
            ("Content-Type", "application/json"),
        ];
        let answer = Http::connect(server.http).request("POST", path, &headers, body.as_bytes());
        (answer.status, answer.json())
    };
    call(
        "key",
        "/api/tasks/t/started",
        r#"{"controls":["cancel","pause"]}"#,
    );
    assert_eq!(
        call("other", "/api/tasks/t/control", r#"{"action":"cancel"}"#).0,
        401
    );
    let (status, problem) = call("key", "/api/tasks/t/control", r#"{"action":"resume"}"#);
    assert_eq!((status, &problem["field"]), (400, &json!("action")));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("cancel, pause"),
        "{problem}"
    );
    let (status, answer) = call("key", "/api/tasks/t/control", r#"{"action":"cancel"}"#);
    assert_eq!(
        (status, &answer["action"], &answer["by"]),
        (200, &json!("cancel"), &json!("api"))
    );
    let (status, problem) = call("key", "/api/tasks/t/control", r#"{"action":"pause"}"#);
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
    for body in ["{}", r#"{"action":"explode"}"#, r#"{"action":7}"#, "[]", ""] {
        let (status, problem) = call("key", "/api/tasks/t/control", body);
        assert_eq!(status, 400, "{body}: {problem}");
    }
    assert_eq!(
        call(
            "key",
            "/api/tasks/nothing/control",
            r#"{"action":"cancel"}"#
        )
        .0,
        404
    );
    let (_, answer) = call("key", "/api/tasks/t/cancelled", "{}");
    assert_eq!(answer["control"], json!([]));
    let (status, problem) = call("key", "/api/tasks/t/control", r#"{"action":"cancel"}"#);
    assert_eq!(status, 409, "{problem}");
}

#[test]
fn a_request_that_the_worker_does_not_honour_is_invalid() {
    let server = controllable(Control::Anybody);
    let mut viewer = watcher(&server, &["t"]);
    server.post("/api/tasks/t/started", json!({"controls": ["cancel"]}));
    let refused = ask(&mut viewer, "t", "pause");
    assert_eq!(code(&refused), "invalid_message");
    assert!(
        refused["payload"]["message"]
            .as_str()
            .unwrap()
            .contains("cancel"),
        "{refused}"
    );
    assert_eq!(ask(&mut viewer, "t", "cancel")["type"], "control_ack");
    let (status, problem) = server.call(
        "POST",
        "/api/tasks/u/started",
        &json!({"controls": ["stop"]}),
    );
    assert_eq!((status, &problem["field"]), (400, &json!("controls[0]")));
    let (status, problem) = server.call(
        "POST",
        "/api/tasks/u/started",
        &json!({"controls": "cancel"}),
    );
    assert_eq!(
        (status, &problem["field"]),
        (400, &json!("controls")),
        "{problem}"
    );
}

#[test]
fn a_straggler_does_not_resume() {
    let server = controllable(Control::Nobody);
    server.post("/api/tasks/t/started", json!({"total": 10}));
    server.post("/api/tasks/t/paused", json!({}));
    server.post("/api/tasks/t/progress", json!({"current": 4}));
    let task = server.document("/api/tasks/t");
    assert_eq!(
        (&task["status"], &task["current"]),
        (&json!("paused"), &json!(4))
    );
    server.post("/api/tasks/t/progress", json!({"status": "running"}));
    assert_eq!(server.document("/api/tasks/t")["status"], "running");
}

#[test]
fn a_request_that_the_worker_does_not_honour_is_withdrawn_when_it_says_so() {
    for (action, controls, stays) in [
        ("pause", json!(["cancel"]), false),
        ("cancel", json!([]), false),
        ("pause", json!(["pause", "resume"]), true),
        ("cancel", json!(null), true),
    ] {
        let server = controllable(Control::Anybody);
        server.post("/api/tasks/t/started", json!({}));
        server.post("/api/tasks/t/control", json!({"action": action}));
        let answer = server.post("/api/tasks/t/progress", json!({"controls": controls}));
        let pending = answer["control"].as_array().unwrap();
        assert_eq!(!pending.is_empty(), stays, "{action} {controls}: {answer}");
        let shown = &server.document("/api/tasks/t")["requested"];
        assert_eq!(shown.is_object(), stays, "{action} {controls}: {shown}");
    }
}

#[test]
fn call_without_an_action_is_told_which_there_are() {
    let server = controllable(Control::Anybody);
    server.post("/api/tasks/t/started", json!({}));
    for body in [
        "{}",
        r#"{"action":null}"#,
        "[]",
        "null",
        "",
        r#"{"type":"pause"}"#,
    ] {
        let kind = [("Content-Type", "application/json")];
        let answer = Http::connect(server.http).request(
            "POST",
            "/api/tasks/t/control",
            &kind,
            body.as_bytes(),
        );
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["code"], &problem["field"]),
            (400, &json!("invalid_message"), &json!("action")),
            "{body}: {problem}"
        );
        assert_eq!(
            problem["detail"],
            "action: missing; expected `cancel`, `pause` or `resume`"
        );
    }
    for body in [json!({"action": 5}), json!({"action": "stop"})] {
        let (status, problem) = server.call("POST", "/api/tasks/t/control", &body);
        assert_eq!((status, &problem["field"]), (400, &json!("action")));
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.ends_with("expected one of `cancel`, `pause`, `resume`"),
            "{detail}"
        );
    }
}
