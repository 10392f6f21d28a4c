//! A store that fails while it is used and works again, and ends that lose nothing.

use crate::socket::{Producer, wait_for};
use crate::support::Viewer;
use crate::support::process::{Directory, Process, command};
use rlimit::{INFINITY, Resource};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// Posts JSON; whatever the answer is.
pub(crate) fn take(http: &mut Producer, path: &str, body: Value) -> (u16, Value) {
    let answer = http.post(path, "application/json", &body.to_string());
    answer.expect("an answer")
}

/// Makes a workspace.
pub(crate) fn create(viewer: &mut Viewer, id: &str) {
    viewer.send(&json!({"type": "workspace.create", "data": {"id": id, "name": id}}));
    viewer.expect("workspace.created");
}

/// The ids of the workspaces, in order.
pub(crate) fn list(viewer: &mut Viewer) -> Vec<String> {
    viewer.send(&json!({"type": "workspace.list"}));
    let list = viewer.expect("workspace.list");
    let workspaces = list["data"]["workspaces"]
        .as_array()
        .expect("a list")
        .iter();
    workspaces
        .map(|workspace| workspace["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// A server that is told when a file has grown too long, as it is told when a disk is full, and not killed.
fn serve_bounded(directory: &Directory, limit: &str) -> Process {
    let server = command(directory, &[]);
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -S -f {limit}; exec \"$0\" \"$@\""))
        .arg(server.get_program())
        .args(["--http.port", "0", "--websocket.port", "0"])
        .args(["--storage.path", "kept.db"])
        .current_dir(directory.root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = Process::spawn(shell);
    process.line("Log level: ");
    process
}

/// How long files of a process may grow.
pub(crate) fn bound_files(process: &Process, bytes: u64) {
    let id = i32::try_from(process.id()).expect("an id");
    rlimit::prlimit(id, Resource::FSIZE, Some((bytes, INFINITY)), None).expect("a limit");
}

/// Writes until the store takes no more; what was acknowledged, and what was not.
fn write_until_refused(http: &mut Producer) -> (Vec<u64>, Value) {
    let mut kept = Vec::new();
    for number in 0..10_000 {
        let payload = json!({"payload": {"number": number, "pad": "x".repeat(2000)}});
        let (status, answer) = take(http, "/api/rooms/r/broadcast", payload);
        match status {
            200 => kept.push(number),
            _ => {
                assert_eq!(
                    (status, &answer["code"]),
                    (503, &json!("storage_unavailable"))
                );
                return (kept, answer);
            }
        }
    }
    panic!("the limit does nothing");
}

/// What the room of a server says, in order.
pub(crate) fn numbers(process: &Process) -> Vec<u64> {
    let mut http = Producer::connect(process.http()).unwrap();
    let (_, page) = http.get("/api/rooms/r/history").unwrap();
    assert_eq!(page["complete"], true, "{}", page["position"]);
    let messages = page["messages"].as_array().expect("messages").iter();
    messages
        .map(|message| message["payload"]["number"].as_u64().expect("a number"))
        .collect()
}

#[test]
fn a_full_disk_stops_promises_only_and_everything_is_kept_when_there_is_room() {
    let directory = Directory::new();
    let mut process = serve_bounded(&directory, "unlimited");
    let mut http = Producer::connect(process.http()).unwrap();
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    let secret = viewer.expect("connected")["payload"]["session"].clone();
    viewer.send(&json!({"type": "subscribe", "rooms": ["r"], "taskIds": ["t"]}));
    viewer.expect("subscription_ack");
    let mut author = Viewer::connect(process.websocket(), "/");
    create(&mut author, "before");
    bound_files(&process, 128 * 1024);
    let (kept, answer) = write_until_refused(&mut http);
    assert!(!kept.is_empty(), "{answer}");
    process.line("live delivery goes on, but what comes in now is not kept; trying again");
    let health = wait_for(process.http(), "/health", |health| {
        health["status"] == "degraded"
    });
    let reason = health["storage"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("kept.db"), "{reason}");
    let (status, answer) = take(&mut http, "/api/tasks/t/started", json!({"total": 3}));
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("storage_unavailable"))
    );
    let heard = viewer.until("task_started");
    assert_eq!(heard.len(), kept.len() + 2, "the refused are delivered too");
    create(&mut author, "meanwhile");
    author.expect("error");
    bound_files(&process, INFINITY);
    process.line("the store works again; everything was rewritten");
    wait_for(process.http(), "/health", |health| {
        health["status"] == "healthy"
    });
    let (status, answer) = take(&mut http, "/api/tasks/t/progress", json!({"current": 2}));
    assert_eq!(status, 200, "{answer}");
    create(&mut author, "after");
    process.kill();
    let path = format!("/ws?session={}", secret.as_str().unwrap());
    check_all_is_there(&directory, kept.len() as u64 + 1, &path);
}

fn check_all_is_there(directory: &Directory, count: u64, path: &str) {
    let process = Process::serve(directory, &["--storage.path", "kept.db"]);
    let expected: Vec<u64> = (0..count).collect();
    assert_eq!(numbers(&process), expected, "the refused one is kept too");
    let mut http = Producer::connect(process.http()).unwrap();
    let (_, task) = http.get("/api/tasks/t").unwrap();
    assert_eq!(
        (&task["status"], &task["current"]),
        (&json!("running"), &json!(2)),
        "{task}"
    );
    let mut viewer = Viewer::connect(process.websocket(), path);
    assert_eq!(viewer.expect("connected")["payload"]["resumed"], true);
    let mut author = Viewer::connect(process.websocket(), "/");
    assert_eq!(list(&mut author), ["before", "meanwhile", "after"]);
}

#[test]
fn a_crash_while_the_disk_is_full_loses_nothing_that_was_acknowledged() {
    let directory = Directory::new();
    let mut process = serve_bounded(&directory, "unlimited");
    let mut http = Producer::connect(process.http()).unwrap();
    bound_files(&process, 128 * 1024);
    let (kept, _) = write_until_refused(&mut http);
    process.line("trying again");
    process.kill();
    let process = Process::serve(&directory, &["--storage.path", "kept.db"]);
    assert!(numbers(&process).starts_with(&kept), "{kept:?}");
}

#[test]
fn what_cannot_be_kept_at_the_end_is_said() {
    let directory = Directory::new();
    let mut process = serve_bounded(&directory, "unlimited");
    let mut http = Producer::connect(process.http()).unwrap();
    assert_eq!(take(&mut http, "/api/tasks/t/started", json!({})).0, 200);
    // Of what nobody waits for, nothing is written before the end.
    bound_files(&process, 4096);
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    process.signal("TERM");
    process.line("[ERROR]");
    let told = process.seen.last().expect("a line");
    assert!(told.contains("not kept"), "{told}");
    process.end();
}

#[test]
fn a_disk_that_is_full_at_the_start_may_have_room_later() {
    let directory = Directory::new();
    let first = Process::serve(&directory, &["--storage.path", "kept.db"]);
    let number = |number: u64| json!({"payload": {"number": number}});
    first.post("/api/rooms/r/broadcast", &number(0));
    first.stop();
    let mut process = serve_bounded(&directory, "1");
    process.line("[ERROR]");
    let mut http = Producer::connect(process.http()).unwrap();
    assert_eq!(http.get("/health").unwrap().1["status"], "degraded");
    assert_eq!(numbers(&process), [0]);
    let (status, answer) = take(&mut http, "/api/rooms/r/broadcast", number(1));
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("storage_unavailable"))
    );
    bound_files(&process, INFINITY);
    process.line("the store works again; everything was rewritten");
    process.post("/api/rooms/r/broadcast", &number(2));
    process.kill();
    let process = Process::serve(&directory, &["--storage.path", "kept.db"]);
    assert_eq!(numbers(&process), [0, 1, 2]);
}

#[test]
fn workspaces_come_back_in_their_order_after_a_crash() {
    let directory = Directory::new();
    let flags = ["--storage.path", "kept.db"];
    let mut process = Process::serve(&directory, &flags);
    let mut author = Viewer::connect(process.websocket(), "/");
    ["a", "b", "c", "d"]
        .iter()
        .for_each(|id| create(&mut author, id));
    author.send(&json!({"type": "workspace.reorder", "data": {"ids": ["d", "b", "a", "c"]}}));
    author.expect("workspace.reordered");
    author.send(&json!({"type": "workspace.delete", "data": {"id": "b"}}));
    author.expect("workspace.deleted");
    author.send(&json!({"type": "workspace.update", "data": {"id": "a", "colour": "red"}}));
    let updated = author.expect("workspace.updated")["data"].clone();
    process.kill();
    let process = Process::serve(&directory, &flags);
    let mut author = Viewer::connect(process.websocket(), "/");
    assert_eq!(list(&mut author), ["d", "a", "c"]);
    author.send(&json!({"type": "workspace.list"}));
    let shown = author.expect("workspace.list")["data"]["workspaces"][1].clone();
    assert_eq!(shown, updated);
    create(&mut author, "e");
    assert_eq!(list(&mut author), ["d", "a", "c", "e"]);
}

/// What came last, without anybody who waits for it, is kept as well.
#[test]
fn a_clean_end_loses_nothing_and_viewers_go_on_at_the_next_process() {
    let directory = Directory::new();
    let flags = ["--storage.path", "kept.db"];
    let mut process = Process::serve(&directory, &flags);
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    let secret = viewer.expect("connected")["payload"]["session"].clone();
    viewer.send(&json!({"type": "subscribe", "rooms": ["r"], "taskIds": ["t"]}));
    viewer.expect("subscription_ack");
    process.post("/api/tasks/t/started", &json!({"total": 10}));
    viewer.expect("task_started");
    process.post("/api/tasks/t/progress", &json!({"current": 7}));
    process.post("/api/rooms/r/broadcast", &json!({"payload": {"number": 0}}));
    process.signal("TERM");
    let goodbye = viewer.until("disconnected").pop().unwrap();
    assert_eq!(
        (
            &goodbye["payload"]["code"],
            &goodbye["payload"]["reconnect"]
        ),
        (&json!(1001), &json!(true))
    );
    assert_eq!(viewer.close_code(), Some(1001));
    drop(viewer);
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    let process = Process::serve(&directory, &flags);
    process.post("/api/rooms/r/broadcast", &json!({"payload": {"number": 1}}));
    process.post("/api/tasks/t/completed", &json!({}));
    let path = format!("/ws?session={}", secret.as_str().unwrap());
    let mut viewer = Viewer::connect(process.websocket(), &path);
    assert_eq!(viewer.expect("connected")["payload"]["resumed"], true);
    let ack = viewer.expect("subscription_ack");
    assert_eq!(
        ack["payload"]["recovered"],
        json!({"r": true, "task:t": true})
    );
    let missed = viewer.until("task_completed");
    let said = missed.iter().filter(|message| message["room"] == "r");
    let said: Vec<_> = said.map(|message| &message["payload"]["number"]).collect();
    assert!(
        said.ends_with(&[&json!(1)]) && said.len() <= 2,
        "{missed:#?}"
    );
    assert_eq!(numbers(&process), [0, 1]);
    drop(viewer);
    process.stop();
}
