//! joblight inside another program: `Server` and `Handle` from many threads, with a viewer that is not ours.

mod support;

use joblight::{CommandError, Handle, Server};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::thread;
use support::{Running, Viewer, config};

fn invalid_field(refused: CommandError) -> String {
    match refused {
        CommandError::Invalid { field, reason } => {
            assert!(!reason.is_empty(), "{field} without a reason");
            field
        }
        other => panic!("expected an invalid argument, not {other:?}"),
    }
}

#[test]
fn clients_are_known_by_their_ids() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    assert_eq!(handle.clients().unwrap(), []);
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    let info = handle.client(&viewer.id()).unwrap();
    assert_eq!(info.client_id, viewer.id());
    assert_eq!(info.rooms, ["task:t"]);
    assert_eq!(info.address.as_deref(), Some("127.0.0.1"));
    assert_eq!((info.dialect, info.messages_received), ("payload", 1));
    assert!(info.connected_at > 0 && info.messages_sent >= 2);
    assert_eq!(handle.clients().unwrap(), [info]);
    let data = Viewer::connect(server.websocket, "/");
    let dialects: Vec<_> = handle
        .clients()
        .unwrap()
        .into_iter()
        .map(|info| (info.dialect, info.rooms))
        .collect();
    assert!(
        dialects.contains(&("data", vec!["all".to_owned()])),
        "{dialects:?}"
    );
    drop(data);
}

#[test]
fn rooms_are_entered_and_left_for_a_client() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let mut viewer = server.viewer();
    let id = viewer.id();
    handle
        .on_task_progress("t", &json!({"progress": 40}))
        .unwrap();
    handle.subscribe(&id, "task:t").unwrap();
    let snapshot = viewer.expect("task_progress");
    assert_eq!(snapshot["payload"]["snapshot"], true);
    assert_eq!(snapshot["payload"]["progress"], 40);
    // Once is enough.
    handle.subscribe(&id, "task:t").unwrap();
    assert_eq!(
        handle.room_clients("task:t").unwrap(),
        std::slice::from_ref(&id)
    );
    assert_eq!(
        handle
            .send_to_room("task:t", "note", &json!({"a": 1}))
            .unwrap(),
        1
    );
    let note = viewer.expect("note");
    assert_eq!(
        (&note["payload"], &note["room"]),
        (&json!({"a": 1}), &json!("task:t"))
    );
    assert!(note["offset"].is_u64(), "{note}");
    assert!(handle.unsubscribe(&id, "task:t").unwrap());
    assert!(!handle.unsubscribe(&id, "task:t").unwrap());
    assert!(!handle.unsubscribe(&id, "never").unwrap());
    assert_eq!(handle.room_clients("task:t").unwrap(), [""; 0]);
    assert_eq!(handle.room_clients("never").unwrap(), [""; 0]);
    assert_eq!(
        handle.send_to_room("task:t", "note", &json!({})).unwrap(),
        0
    );
}

#[test]
fn messages_reach_one_a_room_or_all() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let (mut first, mut second) = (server.viewer(), server.viewer());
    assert!(
        handle
            .send(&first.id(), "hello", &json!({"to": "first"}))
            .unwrap()
    );
    assert_eq!(first.expect("hello")["payload"]["to"], "first");
    assert_eq!(handle.broadcast_to_all("news", &["a", "b"]).unwrap(), 2);
    for viewer in [&mut first, &mut second] {
        assert_eq!(viewer.expect("news")["payload"], json!(["a", "b"]));
    }
    // Any JSON is a payload.
    for payload in [json!(null), json!(7), json!("text"), json!([])] {
        handle.send(&second.id(), "any", &payload).unwrap();
        assert_eq!(second.expect("any")["payload"], payload);
    }
    assert_eq!(
        handle.send_to_room("empty", "note", &Value::Null).unwrap(),
        0
    );
}

#[test]
fn a_task_is_reported_from_its_start_to_each_end() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let mut viewer = server.viewer();
    viewer.subscribe(&["a", "b", "c"]);
    assert!(handle.on_task_started("a", &json!({"total": 2})).unwrap());
    viewer.expect("task_started");
    assert!(handle.on_task_paused("a", &json!({})).unwrap());
    assert_eq!(
        viewer.until("task_paused").last().unwrap()["payload"]["status"],
        "paused"
    );
    assert!(
        handle
            .on_task_progress("a", &json!({"current": 1}))
            .unwrap()
    );
    assert!(
        handle
            .on_task_completed("a", &json!({"result": {"files": 2}}))
            .unwrap()
    );
    let end = viewer.until("task_completed").pop().unwrap();
    assert_eq!(end["payload"]["result"], json!({"files": 2}));
    assert!(
        handle
            .on_task_failed("b", &json!({"error": "no paper"}))
            .unwrap()
    );
    assert_eq!(
        viewer.until("task_failed").pop().unwrap()["payload"]["error"],
        "no paper"
    );
    assert!(handle.on_task_cancelled("c", &json!({})).unwrap());
    viewer.until("task_cancelled");
    // What is late, or was seen before, is told apart from what is wrong.
    assert!(
        !handle
            .on_task_progress("a", &json!({"progress": 10}))
            .unwrap()
    );
    let event =
        json!({"type": "task_progress", "payload": {"taskId": "d", "progress": 5}, "id": "e1"});
    assert!(handle.report(&event).unwrap());
    assert!(!handle.report(&event).unwrap());
    let item = json!({"type": "document_generated", "payload": {"taskId": "d", "name": "x"}});
    assert!(handle.report(&item).unwrap());
}

#[test]
fn a_batch_counts_each_event_and_is_checked_before_the_first() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let both = [
        ("a", json!({"progress": 10})),
        ("b", json!({"progress": 20})),
    ];
    assert_eq!(handle.broadcast_batch_progress(&both).unwrap(), 2);
    let seq = [
        ("a", json!({"progress": 30, "seq": 1})),
        ("a", json!({"progress": 40, "seq": 1})),
    ];
    assert_eq!(handle.broadcast_batch_progress(&seq).unwrap(), 1);
    let wrong = [
        ("c", json!({"progress": 1})),
        ("d", json!({"progress": "much"})),
    ];
    assert_eq!(
        invalid_field(handle.broadcast_batch_progress(&wrong).unwrap_err()),
        "progress"
    );
    assert_eq!(handle.broadcaster_stats().unwrap().cache_size, 2);
    let none: [(&str, Value); 0] = [];
    assert_eq!(handle.broadcast_batch_progress(&none).unwrap(), 0);
}

#[test]
fn wrong_arguments_are_named() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let viewer = server.viewer();
    let id = viewer.id();
    let nobody = CommandError::UnknownClient("nobody".into());
    assert_eq!(handle.client("nobody"), Err(nobody.clone()));
    assert_eq!(
        handle.disconnect_client("nobody", 1000, ""),
        Err(nobody.clone())
    );
    assert_eq!(handle.subscribe("nobody", "r"), Err(nobody.clone()));
    assert_eq!(handle.unsubscribe("nobody", "r"), Err(nobody.clone()));
    assert_eq!(handle.send("nobody", "t", &1), Err(nobody));
    for kind in ["connected", "task_completed", "error", "batch", ""] {
        let field = |refused: CommandError| assert_eq!(invalid_field(refused), "type", "{kind}");
        field(handle.send(&id, kind, &1).unwrap_err());
        field(handle.send_to_room("r", kind, &1).unwrap_err());
        field(handle.broadcast_to_all(kind, &1).unwrap_err());
    }
    for room in ["", "a\nb", &"x".repeat(257)] {
        let field = |refused: CommandError| assert_eq!(invalid_field(refused), "room", "{room:?}");
        field(handle.subscribe(&id, room).unwrap_err());
        field(handle.send_to_room(room, "note", &1).unwrap_err());
        let task = handle.on_task_started(room, &json!({})).unwrap_err();
        assert_eq!(invalid_field(task), "taskId", "{room:?}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, u16::MAX] {
        let refused = handle.disconnect_client(&id, code, "").unwrap_err();
        assert_eq!(invalid_field(refused), "code", "{code}");
    }
    let no_json = HashMap::from([((1, 2), 3)]);
    let refused = handle.broadcast_to_all("note", &no_json).unwrap_err();
    assert_eq!(invalid_field(refused), "payload");
    for (task, field) in [
        (json!({"progress": 101}), "progress"),
        (json!({"current": -1}), "current"),
        (json!({"taskId": "other"}), "taskId"),
    ] {
        assert_eq!(
            invalid_field(handle.on_task_progress("t", &task).unwrap_err()),
            field
        );
    }
    assert!(handle.on_task_progress("t", &json!("text")).is_err());
    assert!(handle.report(&json!({"type": "task_started"})).is_err());
    assert_eq!(handle.client(&id).unwrap().client_id, id);
}

#[test]
fn limits_are_told_by_their_keys() {
    let server = Running::start(|config| {
        config.websocket.max_rooms = 2;
        config.websocket.max_rooms_per_client = 1;
        config.broadcaster.max_tasks = 1;
    });
    let handle = server.handle();
    let viewer = server.viewer();
    handle.subscribe(&viewer.id(), "one").unwrap();
    assert_eq!(
        handle.subscribe(&viewer.id(), "two"),
        Err(CommandError::LimitExceeded(
            "websocket.max_rooms_per_client"
        ))
    );
    handle.send_to_room("two", "note", &1).unwrap();
    assert_eq!(
        handle.send_to_room("three", "note", &1),
        Err(CommandError::LimitExceeded("websocket.max_rooms"))
    );
    let limited = Running::start(|config| config.broadcaster.max_tasks = 1);
    let handle = limited.handle();
    handle.on_task_started("a", &json!({})).unwrap();
    assert_eq!(
        handle.on_task_started("b", &json!({})),
        Err(CommandError::LimitExceeded("broadcaster.max_tasks"))
    );
}

#[test]
fn a_client_is_sent_away_with_a_code_and_a_reason() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    for (code, reconnect) in [(1000, false), (4000, false), (1012, true), (4403, false)] {
        let mut viewer = server.viewer();
        handle
            .disconnect_client(&viewer.id(), code, "moved")
            .unwrap();
        let goodbye = viewer.expect("disconnected");
        assert_eq!(goodbye["payload"]["code"], code);
        assert_eq!(goodbye["payload"]["reason"], "moved");
        assert_eq!(goodbye["payload"]["reconnect"], reconnect);
        assert_eq!(viewer.close_code(), Some(code));
        assert!(matches!(
            handle.client(&viewer.id()),
            Err(CommandError::UnknownClient(_))
        ));
    }
    // A close frame holds 123 bytes of reason, and no half letter (RFC 6455 section 5.5).
    let mut viewer = server.viewer();
    let long = "é".repeat(100);
    handle.disconnect_client(&viewer.id(), 4000, &long).unwrap();
    assert_eq!(
        viewer.expect("disconnected")["payload"]["reason"],
        long.as_str()
    );
    assert_eq!(viewer.close_code(), Some(4000));
}

#[test]
fn statistics_are_live() {
    let server = Running::start(|_| {});
    let handle = server.handle();
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    handle.on_task_started("t", &json!({})).unwrap();
    viewer.expect("task_started");
    let health = handle.health().unwrap();
    assert_eq!(
        (health.status, health.websocket.connections),
        ("healthy", 1)
    );
    assert!(health.websocket.messages >= 4 && health.timestamp > 0);
    let stats = handle.stats().unwrap();
    assert_eq!((stats.connections.total, stats.connections.active), (1, 1));
    assert_eq!((stats.rooms.total, stats.rooms.clients), (1, 1));
    assert_eq!(stats.messages.total_received, 1);
    assert!(stats.memory.used > 0 && stats.memory.total > stats.memory.used);
    let broadcasts = handle.broadcaster_stats().unwrap();
    assert_eq!((broadcasts.total_broadcasts, broadcasts.cache_size), (1, 1));
    assert_eq!(
        (broadcasts.successful_sends, broadcasts.failed_sends),
        (1, 0)
    );
}

/// One producer's tasks, each from its start to its end.
fn produce(handle: &Handle, thread: usize) {
    for number in 0..20 {
        let id = format!("{thread}-{number}");
        assert!(handle.on_task_started(&id, &json!({"total": 3})).unwrap());
        for current in 1..=3 {
            let progress = json!({"current": current});
            assert!(handle.on_task_progress(&id, &progress).unwrap());
        }
        assert!(handle.on_task_completed(&id, &json!({})).unwrap());
    }
}

#[test]
fn many_threads_report_at_once_and_nothing_is_lost() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    let ids: Vec<String> = (0..8)
        .flat_map(|thread| (0..20).map(move |number| format!("{thread}-{number}")))
        .collect();
    let wanted: Vec<&str> = ids.iter().map(String::as_str).collect();
    viewer.subscribe(&wanted);
    let asker = server.handle();
    thread::scope(|scope| {
        for number in 0..8 {
            let handle = server.handle().clone();
            scope.spawn(move || produce(&handle, number));
        }
        scope.spawn(move || {
            for _ in 0..200 {
                asker.stats().unwrap();
                asker.clients().unwrap();
                asker.broadcast_to_all("noise", &json!(1)).unwrap();
            }
        });
    });
    let mut lives: HashMap<String, Vec<String>> = HashMap::new();
    let mut ended = 0;
    while ended < ids.len() {
        let message = viewer.next();
        let kind = message["type"].as_str().unwrap().to_owned();
        let Some(task) = message["payload"]["taskId"].as_str() else {
            assert_eq!(kind, "noise", "{message}");
            continue;
        };
        ended += usize::from(kind == "task_completed");
        lives.entry(task.to_owned()).or_default().push(kind);
    }
    for (task, kinds) in &lives {
        assert_eq!(kinds[0], "task_started", "{task}: {kinds:?}");
        assert_eq!(kinds.last().unwrap(), "task_completed", "{task}: {kinds:?}");
        let turns = kinds.iter().filter(|kind| *kind != "task_progress").count();
        assert_eq!(turns, 2, "{task}: {kinds:?}");
    }
    assert_eq!(lives.len(), ids.len());
}

#[test]
fn every_call_after_the_end_says_so() {
    let server = Server::start(&config()).unwrap();
    let handle = server.handle();
    server.stop().unwrap();
    let stopped = CommandError::Stopped;
    assert_eq!(handle.stop(), Err(stopped.clone()));
    assert_eq!(handle.client("c"), Err(stopped.clone()));
    assert_eq!(handle.clients(), Err(stopped.clone()));
    assert_eq!(
        handle.disconnect_client("c", 1000, ""),
        Err(stopped.clone())
    );
    assert_eq!(handle.subscribe("c", "r"), Err(stopped.clone()));
    assert_eq!(handle.unsubscribe("c", "r"), Err(stopped.clone()));
    assert_eq!(handle.room_clients("r"), Err(stopped.clone()));
    assert_eq!(handle.send("c", "k", &1), Err(stopped.clone()));
    assert_eq!(handle.send_to_room("r", "k", &1), Err(stopped.clone()));
    assert_eq!(handle.broadcast_to_all("k", &1), Err(stopped.clone()));
    let task = json!({});
    for outcome in [
        handle.on_task_started("t", &task),
        handle.on_task_progress("t", &task),
        handle.on_task_completed("t", &task),
        handle.on_task_failed("t", &task),
        handle.on_task_paused("t", &task),
        handle.on_task_cancelled("t", &task),
        handle.report(&json!({"type": "task_started", "taskId": "t"})),
    ] {
        assert_eq!(outcome, Err(stopped.clone()));
    }
    let batch = [("t", task)];
    assert_eq!(
        handle.broadcast_batch_progress(&batch),
        Err(stopped.clone())
    );
    assert_eq!(handle.health().err(), Some(stopped.clone()));
    assert_eq!(handle.stats().err(), Some(stopped.clone()));
    assert_eq!(handle.broadcaster_stats().err(), Some(stopped));
}

#[test]
fn a_handle_stops_the_server_and_join_returns() {
    let server = Server::start(&config()).unwrap();
    let mut viewer = Viewer::connect(server.addresses().websocket.unwrap(), "/ws");
    viewer.expect("connected");
    let handle = server.handle();
    let stopper = thread::spawn(move || handle.stop());
    let goodbye = viewer.expect("disconnected");
    assert_eq!(goodbye["payload"]["code"], 1001);
    assert_eq!(viewer.close_code(), Some(1001));
    assert_eq!(stopper.join().unwrap(), Ok(()));
    drop(viewer);
    server.join().unwrap();
}

#[test]
fn a_second_stop_ends_a_server_whose_viewer_never_leaves() {
    let mut config = config();
    config.server.shutdown_timeout = 600_000;
    let server = Server::start(&config).unwrap();
    let mut viewer = Viewer::connect(server.addresses().websocket.unwrap(), "/ws");
    viewer.expect("connected");
    let handle = server.handle();
    handle.stop().unwrap();
    // The viewer has neither read nor answered anything, so the server is still there.
    assert_eq!(handle.health().unwrap().status, "draining");
    handle.stop().unwrap();
    server.join().unwrap();
    assert_eq!(handle.health().err(), Some(CommandError::Stopped));
}

#[test]
fn the_server_outlives_its_handles_and_threads_that_used_them() {
    let server = Running::start(|_| {});
    let clones: Vec<Handle> = (0..4).map(|_| server.handle().clone()).collect();
    clones.into_iter().for_each(|handle| {
        let used = thread::spawn(move || handle.on_task_started("t", &json!({})));
        used.join().unwrap().unwrap();
    });
    assert_eq!(server.document("/health")["status"], "healthy");
    let again = server.handle();
    assert_eq!(again.broadcaster_stats().unwrap().cache_size, 1);
    server.stop();
    assert_eq!(again.clients(), Err(CommandError::Stopped));
}

#[test]
fn two_servers_in_one_program_do_not_know_each_other() {
    let (first, second) = (Running::start(|_| {}), Running::start(|_| {}));
    let viewer = first.viewer();
    assert_eq!(first.handle().clients().unwrap().len(), 1);
    assert_eq!(second.handle().clients().unwrap(), []);
    drop(viewer);
    first.stop();
    assert_eq!(second.handle().health().unwrap().status, "healthy");
}

#[test]
fn a_start_that_cannot_be_names_the_key() {
    let running = Running::start(|_| {});
    let mut config = config();
    config.http.port = joblight::ListenPort::Number(running.http.port());
    let refused = Server::start(&config).err().expect("the port is taken");
    assert!(
        refused
            .to_string()
            .starts_with("http.port: cannot listen on "),
        "{refused}"
    );
}

/// A directory of one test, gone when the test is.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("joblight-embedding-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn first_calls_wait_for_the_store_that_opens() {
    let directory = Directory::new("first");
    for expected in [true, false] {
        let mut config = config();
        config.storage.path = directory.0.join("kept.db").display().to_string();
        let server = Server::start(&config).expect("a start");
        let counted = server.handle().on_task_completed("t", &json!({}));
        assert_eq!(
            counted,
            Ok(expected),
            "an ended task is ended after a restart"
        );
        server.stop().expect("an end");
    }
}

#[test]
fn calls_are_refused_while_the_store_does_not_open() {
    let directory = Directory::new("refused");
    let mut config = config();
    config.storage.path = directory.0.join("absent/kept.db").display().to_string();
    let server = Server::start(&config).expect("a start");
    let handle = server.handle();
    let refused = handle.on_task_started("t", &json!({}));
    assert!(
        matches!(&refused, Err(CommandError::Unread(reason)) if reason.contains("no directory")),
        "{refused:?}"
    );
    let health = handle.health().expect("it answers");
    assert_eq!(
        (health.status, health.reasons),
        ("degraded", vec!["storage"])
    );
    server.stop().expect("an end");
}
