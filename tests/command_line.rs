//! `joblight watch` and `joblight emit` as a person and a script meet them: lines, answers, exit codes.

mod support;

use serde_json::{Value, json};
use std::net::TcpListener;
use support::process::{Directory, Outcome, Process, command, outcome};
use support::{Running, config};

fn watch_url(server: &Running) -> String {
    format!("ws://{}/ws", server.websocket)
}

fn emit(server: &Running, arguments: &[&str]) -> Outcome {
    let url = format!("http://{}", server.http);
    let line = [&["emit", "--url", &url], arguments].concat();
    outcome(&Directory::new(), &line)
}

/// A watcher of tasks that exist, so that its first lines say that it watches.
fn watcher(server: &Running, directory: &Directory, arguments: &[&str]) -> Process {
    let url = watch_url(server);
    let line = [&["watch", "--url", &url], arguments].concat();
    Process::spawn(command(directory, &line))
}

/// The line without its time.
fn untimed(line: &str) -> &str {
    let (time, rest) = line.split_at(9);
    assert!(time.ends_with(' ') && time[2..].starts_with(':'), "{line}");
    rest
}

#[test]
fn a_watcher_sees_what_is_emitted_until_the_end() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let directory = Directory::new();
    assert_eq!(
        emit(&server, &["started", "t", "total=4", "stage=load"]).code,
        Some(0)
    );
    let mut process = watcher(&server, &directory, &["t"]);
    assert_eq!(
        untimed(&process.output_line()),
        "t running   [--------------------]   0%  0/4  load"
    );
    let answer = emit(&server, &["progress", "t", "current=2", "message=half way"]);
    let document: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(
        document,
        json!({"accepted": 1, "dropped": 0, "reasons": {"repeat": 0, "oldSeq": 0, "oldAttempt": 0, "ended": 0},
            "drops": [], "control": [], "watchers": 1})
    );
    let line = process.output_line();
    assert!(
        untimed(&line).starts_with("t running   [##########----------]  50%  2/4  load")
            && line.ends_with("  half way"),
        "{line}"
    );
    // What is cleared is gone from the whole state.
    emit(&server, &["progress", "t", "stage=render", "message=null"]);
    let line = process.output_line();
    assert!(
        line.contains("2/4  render") && !line.contains("half way"),
        "{line}"
    );
    emit(&server, &["completed", "t", "result={\"files\":4}"]);
    let line = process.output_line();
    assert!(
        untimed(&line).starts_with("t completed [####################] 100%"),
        "{line}"
    );
    assert_eq!(process.end().code(), Some(0), "{:?}", process.seen);
    assert_eq!(process.seen, [""; 0]);
}

#[test]
fn a_task_that_is_removed_before_its_end_is_said_to_be() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    emit(&server, &["started", "t", "stage=sort"]);
    emit(&server, &["completed", "done"]);
    for arguments in [&["done", "t"][..], &["--json", "t"]] {
        let mut process = watcher(&server, &directory, arguments);
        for _ in arguments.iter().filter(|argument| **argument != "--json") {
            process.output_line();
        }
        if arguments.contains(&"done") {
            server.call("DELETE", "/api/tasks/done", &Value::Null);
            assert_eq!(process.line("done"), "done was removed (deleted)");
        }
        server.call("DELETE", "/api/tasks/t", &Value::Null);
        let ended = process.outcome();
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(
            ended.stderr.contains("t was removed (deleted)"),
            "{ended:?}"
        );
        let is_json = arguments.contains(&"--json");
        assert_eq!(
            ended.stdout.contains("\"task_removed\""),
            is_json,
            "{ended:?}"
        );
        emit(&server, &["started", "t", "stage=sort"]);
    }
}

#[test]
fn a_task_without_anything_to_count_by_has_no_percentage() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    emit(&server, &["started", "t", "stage=sort"]);
    let mut process = watcher(&server, &directory, &["t"]);
    assert_eq!(
        untimed(&process.output_line()),
        "t running   [~~~~~~~~~~~~~~~~~~~~]  --%  sort"
    );
    emit(&server, &["progress", "t", "current=1", "total=4"]);
    let line = process.output_line();
    assert!(line.contains("[#####---------------]  25%"), "{line}");
}

#[test]
fn a_task_that_has_ended_already_is_told_at_once() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    for (event, code) in [("completed", 0), ("failed", 1), ("cancelled", 1)] {
        assert_eq!(
            emit(&server, &[event, event, "error=paper jam"]).code,
            Some(0)
        );
        let ended = watcher(&server, &directory, &[event]).outcome();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stdout.contains("error: paper jam"), "{ended:?}");
    }
}

#[test]
fn all_tasks_must_complete_and_one_failure_is_enough() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    let handle = server.handle();
    for task in ["a", "b", "c"] {
        handle.on_task_started(task, &json!({})).unwrap();
    }
    let mut both = watcher(&server, &directory, &["a", "b"]);
    let mut failing = watcher(&server, &directory, &["a", "c"]);
    for process in [&mut both, &mut failing] {
        process.output_line();
        process.output_line();
    }
    handle.on_task_completed("a", &json!({})).unwrap();
    handle
        .on_task_failed("c", &json!({"error": {"code": 7}}))
        .unwrap();
    assert_eq!(failing.end().code(), Some(1));
    handle.on_task_completed("b", &json!({})).unwrap();
    assert_eq!(both.end().code(), Some(0));
}

#[test]
fn json_is_what_the_server_sends() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    let handle = server.handle();
    handle.on_task_started("t", &json!({"total": 3})).unwrap();
    let mut process = watcher(&server, &directory, &["--json", "t"]);
    let snapshot: Value = serde_json::from_str(&process.output_line()).unwrap();
    assert_eq!(
        (&snapshot["type"], &snapshot["payload"]["snapshot"]),
        (&json!("task_progress"), &json!(true))
    );
    handle
        .report(&json!({"type": "document_generated", "payload": {"taskId": "t", "n": 1}}))
        .unwrap();
    handle.on_task_completed("t", &json!({})).unwrap();
    let rest = process.outcome();
    let kinds: Vec<Value> = rest
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
        .collect();
    assert_eq!(kinds, ["document_generated", "task_completed"]);
    assert_eq!((rest.code, rest.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_watcher_survives_a_restart_of_the_server() {
    let directory = Directory::new();
    let socket = directory.text_path("joblight.sock");
    let mut config = config();
    config.websocket.port = joblight::ListenPort::UnixPath(socket.clone());
    config.websocket.reconnect.delay = 20;
    config.websocket.reconnect.max_attempts = 0;
    let first = joblight::Server::start(&config).unwrap();
    first.handle().on_task_started("t", &json!({})).unwrap();
    let url = format!("ws+unix:{socket}:/ws");
    let mut process = Process::spawn(command(&directory, &["watch", "--url", &url, "t"]));
    process.output_line();
    first.stop().unwrap();
    let line = process.line("attempt 1 in ");
    assert!(
        line.starts_with("the server closed with 1001: shutting down; "),
        "{line}"
    );
    let second = joblight::Server::start(&config).unwrap();
    second
        .handle()
        .on_task_progress("t", &json!({"progress": 70}))
        .unwrap();
    let line = process.output_line();
    assert!(line.contains(" 70%"), "{line}");
    second.handle().on_task_completed("t", &json!({})).unwrap();
    assert_eq!(process.end().code(), Some(0), "{:?}", process.seen);
    second.stop().unwrap();
}

#[test]
fn what_a_watcher_missed_while_it_was_away_is_shown_once() {
    let server = Running::start(|config| config.websocket.reconnect.delay = 20);
    let directory = Directory::new();
    let handle = server.handle();
    let item =
        |number| json!({"type": "document_generated", "payload": {"taskId": "t", "n": number}});
    handle.report(&item(0)).unwrap();
    let mut process = watcher(&server, &directory, &["t"]);
    process.output_line();
    handle.report(&item(1)).unwrap();
    assert!(process.output_line().contains("\"n\":1"));
    let id = handle.clients().unwrap()[0].client_id.clone();
    handle.disconnect_client(&id, 1012, "moving").unwrap();
    handle.report(&item(2)).unwrap();
    handle.on_task_completed("t", &json!({})).unwrap();
    let rest = process.outcome();
    let items: Vec<&str> = rest
        .stdout
        .lines()
        .filter(|line| line.contains("document_generated"))
        .collect();
    assert_eq!(items.len(), 1, "{rest:?}");
    assert!(items[0].contains("\"n\":2"), "{rest:?}");
    assert_eq!(rest.code, Some(0));
}

#[test]
fn trouble_has_an_exit_code_of_its_own() {
    let directory = Directory::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("ws://{address}/ws");
    let unreachable = outcome(&directory, &["watch", "--url", &url, "t"]);
    assert_eq!(unreachable.code, Some(2));
    assert!(
        unreachable
            .stderr
            .starts_with(&format!("cannot connect to {url}: ")),
        "{unreachable:?}"
    );
    let server = Running::start(|_| {});
    let nowhere = format!("ws://{}/nowhere", server.websocket);
    let refused = outcome(&directory, &["watch", "--url", &nowhere, "t"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("HTTP 404: "), "{refused:?}");
    let denied = watcher(&server, &directory, &[&"x".repeat(300)]).outcome();
    assert_eq!(denied.code, Some(2));
    assert!(
        denied.stderr.starts_with("cannot watch task:xxx"),
        "{denied:?}"
    );
    let wrong = outcome(&directory, &["watch", "--url", "wss://localhost", "t"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("TLS"), "{wrong:?}");
    assert_eq!(outcome(&directory, &["watch"]).code, Some(2));
}

#[test]
fn a_watcher_that_is_sent_away_stays_away() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    let handle = server.handle();
    handle.on_task_started("t", &json!({})).unwrap();
    let mut process = watcher(&server, &directory, &["t"]);
    process.output_line();
    let id = handle.clients().unwrap()[0].client_id.clone();
    handle.disconnect_client(&id, 4403, "not you").unwrap();
    assert_eq!(process.end().code(), Some(2));
    assert_eq!(process.seen, ["the server closed with 4403: not you"]);
}

#[test]
fn a_watcher_gives_up_when_it_was_advised_to() {
    let server = Running::start(|config| {
        config.websocket.reconnect.delay = 1;
        config.websocket.reconnect.max_attempts = 2;
    });
    let directory = Directory::new();
    let handle = server.handle();
    handle.on_task_started("t", &json!({})).unwrap();
    let mut process = watcher(&server, &directory, &["t"]);
    process.output_line();
    server.stop();
    assert_eq!(process.end().code(), Some(2));
    assert_eq!(process.seen.len(), 3, "{:#?}", process.seen);
    assert!(
        process.seen[2].ends_with("; gave up"),
        "{:#?}",
        process.seen
    );
}

#[test]
fn a_refused_event_says_why() {
    let server = Running::start(|_| {});
    let refused = emit(&server, &["progress", "t", "progress=101"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused.stderr.starts_with("HTTP 400: progress: "),
        "{refused:?}"
    );
    let usage = emit(&server, &["finished", "t"]);
    assert_eq!(usage.code, Some(2));
    assert_eq!(emit(&server, &["progress", "t", "50"]).code, Some(2));
    let directory = Directory::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let unreachable = outcome(&directory, &["emit", "--url", &url, "started", "t"]);
    assert_eq!(unreachable.code, Some(2));
    assert!(
        unreachable
            .stderr
            .starts_with(&format!("cannot report to {url}: ")),
        "{unreachable:?}"
    );
}

#[test]
fn a_key_is_brought_by_flag_or_variable() {
    let server = Running::start(|config| config.http.api_key = "secret".into());
    let without = emit(&server, &["started", "t"]);
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.starts_with("HTTP 401: "), "{without:?}");
    assert_eq!(
        emit(&server, &["--key", "wrong", "started", "t"]).code,
        Some(1)
    );
    assert_eq!(
        emit(&server, &["--key", "secret", "started", "t"]).code,
        Some(0)
    );
    let directory = Directory::new();
    let url = format!("http://{}", server.http);
    let mut with_variable = command(&directory, &["emit", "--url", &url, "paused", "t"]);
    with_variable.env("JOBLIGHT_HTTP_API_KEY", "secret");
    let taken = Process::spawn(with_variable).outcome();
    assert_eq!((taken.code, taken.stderr.as_str()), (Some(0), ""));
}

#[test]
fn strange_task_names_arrive_as_they_are() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    for task in ["a/b", "...", "a b?c#d%41", "任务 1", "-"] {
        let taken = emit(&server, &["completed", "--", task]);
        assert_eq!(taken.code, Some(0), "{task}: {taken:?}");
        let again = handle.on_task_progress(task, &json!({"progress": 1}));
        assert_eq!(again, Ok(false), "{task} has ended");
    }
}

#[test]
fn an_event_goes_over_a_unix_socket_too() {
    let directory = Directory::new();
    let socket = directory.text_path("http.sock");
    let mut config = config();
    config.http.port = joblight::ListenPort::UnixPath(socket.clone());
    let server = joblight::Server::start(&config).unwrap();
    let url = format!("http+unix:{socket}");
    let taken = outcome(&directory, &["emit", "--url", &url, "started", "t"]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    assert_eq!(server.handle().broadcaster_stats().unwrap().cache_size, 1);
    server.stop().unwrap();
}

#[test]
fn who_watches_what_is_not_there_yet_is_told_that_it_waits() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    assert_eq!(emit(&server, &["started", "known"]).code, Some(0));
    let mut process = watcher(&server, &directory, &["known", "nosuch"]);
    process.output_line();
    let line = process.line("waiting");
    assert_eq!(line, "waiting for the first event of nosuch");
    emit(&server, &["completed", "known"]);
    emit(&server, &["completed", "nosuch"]);
    assert_eq!(process.end().code(), Some(0));
    assert_eq!(process.seen.len(), 1, "{:?}", process.seen);
}

#[test]
fn an_emitted_event_that_does_not_count_is_a_failure_unless_it_is_a_repeat() {
    let server = Running::start(|_| {});
    assert_eq!(emit(&server, &["completed", "t"]).code, Some(0));
    let dropped = emit(&server, &["progress", "t", "progress=5"]);
    assert_eq!(dropped.code, Some(1));
    assert!(dropped.stderr.contains("ended"), "{}", dropped.stderr);
    assert!(dropped.stdout.contains("\"reason\":\"ended\""));
    let restarted = emit(&server, &["started", "t", "restart=true"]);
    assert_eq!(restarted.code, Some(0), "{}", restarted.stderr);
    let again = emit(&server, &["started", "t", "restart=true"]);
    assert_eq!(again.code, Some(0), "a repeat has counted before");
    assert!(again.stderr.contains("repeat"), "{}", again.stderr);
}

#[test]
fn a_task_that_began_anew_has_not_ended() {
    let server = Running::start(|config| config.websocket.reconnect.delay = 20);
    let directory = Directory::new();
    let handle = server.handle();
    handle.on_task_started("b", &json!({})).unwrap();
    handle.on_task_completed("a", &json!({})).unwrap();
    for is_away in [false, true] {
        let mut process = watcher(&server, &directory, &["--json", "b", "a"]);
        process.output_line();
        process.output_line();
        if is_away {
            let id = handle.clients().unwrap()[0].client_id.clone();
            handle.disconnect_client(&id, 1012, "moving").unwrap();
        }
        let again = json!({"restart": true, "eventId": format!("a {is_away}")});
        handle.on_task_started("a", &again).unwrap();
        handle.on_task_completed("b", &json!({})).unwrap();
        handle
            .on_task_progress("a", &json!({"progress": 50}))
            .unwrap();
        if is_away {
            // It must be back, and have heard all that it missed, before the last task ends.
            while !process.output_line().contains("\"progress\":50") {}
        }
        handle.on_task_completed("a", &json!({})).unwrap();
        let rest = process.outcome();
        let last: Value = serde_json::from_str(rest.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(rest.code, Some(0), "{rest:?}");
        assert_eq!(
            (&last["type"], &last["payload"]["taskId"]),
            (&json!("task_completed"), &json!("a")),
            "{rest:?}"
        );
        let again = json!({"restart": true, "eventId": format!("b {is_away}")});
        handle.on_task_started("b", &again).unwrap();
    }
}

#[test]
fn a_url_of_the_other_dialect_is_told_the_right_one() {
    let server = Running::start(|_| {});
    let directory = Directory::new();
    for path in ["", "/"] {
        let url = format!("ws://{}{path}", server.websocket);
        let refused = outcome(&directory, &["watch", "--url", &url, "t"]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let right = format!("`ws://{}/ws`", server.websocket);
        assert!(refused.stderr.contains(&right), "{refused:?}");
    }
}

#[test]
fn a_subscription_that_is_refused_ends_the_watch() {
    let server = Running::start(|config| config.websocket.max_rooms_per_client = 1);
    let directory = Directory::new();
    let tasks: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
    let refused = watcher(&server, &directory, &tasks).outcome();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("websocket.max_rooms_per_client"),
        "{refused:?}"
    );
    let nameless = watcher(&server, &directory, &[""]).outcome();
    assert_eq!(nameless.code, Some(2), "{nameless:?}");
    assert!(
        nameless.stderr.starts_with("cannot watch task:"),
        "{nameless:?}"
    );
}
