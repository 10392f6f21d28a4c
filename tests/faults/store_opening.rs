//! Stores that cannot be used from the start: the server says why, goes on live, and promises nothing.

use crate::socket::Producer;
use crate::store::{create, list, take};
use crate::support::Viewer;
use crate::support::process::{Directory, Process};
use serde_json::json;

/// A server whose store does not work, with a viewer that is none the worse.
fn goes_on_without(directory: &Directory, path: &str, reason: &str) -> Process {
    let process = Process::serve(directory, &["--storage.path", path]);
    let told = process
        .seen
        .iter()
        .filter(|line| line.contains("[ERROR]") && line.contains(reason));
    assert_eq!(told.count(), 1, "{reason} in {:#?}", process.seen);
    let mut http = Producer::connect(process.http()).unwrap();
    let (status, health) = http.get("/health").unwrap();
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    assert_eq!(health["storage"]["status"], "failing");
    let said = health["storage"]["reason"].as_str().expect("a reason");
    assert!(said.contains(reason) && said.contains(path), "{said}");
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    viewer.subscribe(&["t"]);
    let started = json!({"type": "task_started", "payload": {"taskId": "t"}});
    for (kind, body) in [
        ("application/json", started.to_string()),
        ("application/json", json!([started]).to_string()),
        ("application/x-ndjson", format!("{started}\n")),
    ] {
        let (status, answer) = http.post("/api/events", kind, &body).unwrap();
        let code = answer["code"].as_str();
        assert_eq!(
            (status, code),
            (503, Some("storage_unavailable")),
            "{answer}"
        );
    }
    viewer.expect("task_started");
    let (status, answer) = take(
        &mut http,
        "/api/rooms/task:t/broadcast",
        json!({"payload": 1}),
    );
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("storage_unavailable"))
    );
    while viewer.next()["type"] != "room_broadcast" {}
    let mut author = Viewer::connect(process.websocket(), "/");
    create(&mut author, "films");
    let error = author.expect("error");
    assert!(
        error["message"].as_str().unwrap().contains(reason),
        "{error}"
    );
    assert_eq!(list(&mut author), ["films"]);
    process
}

#[test]
fn a_directory_in_the_place_of_the_file() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path("kept")).unwrap();
    goes_on_without(&directory, "kept", "is a directory").stop();
}

#[test]
fn a_directory_that_is_not_there() {
    let directory = Directory::new();
    goes_on_without(&directory, "absent/kept.db", "there is no directory").stop();
}

#[test]
fn a_place_where_nobody_may_write() {
    let directory = Directory::new();
    goes_on_without(&directory, "/proc/kept.db", "cannot be written").stop();
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let directory = Directory::new();
    let text = "these are somebody's notes, and no database\n".repeat(500);
    directory.write("kept.db", &text);
    goes_on_without(&directory, "kept.db", "damaged, or no database").stop();
    assert_eq!(
        std::fs::read_to_string(directory.path("kept.db")).unwrap(),
        text
    );
}

#[test]
fn a_file_whose_middle_was_overwritten() {
    let directory = Directory::new();
    let process = Process::serve(&directory, &["--storage.path", "kept.db"]);
    for number in 0..200 {
        process.post("/api/rooms/r/broadcast", &json!({"payload": number}));
    }
    process.stop();
    let mut bytes = std::fs::read(directory.path("kept.db")).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(directory.path("kept.db"), &bytes).unwrap();
    goes_on_without(&directory, "kept.db", "damaged").stop();
    assert_eq!(std::fs::read(directory.path("kept.db")).unwrap(), bytes);
}

#[test]
fn a_file_that_another_process_has() {
    let directory = Directory::new();
    let first = Process::serve(&directory, &["--storage.path", "kept.db"]);
    first.post("/api/tasks/mine/started", &json!({}));
    let second = goes_on_without(&directory, "kept.db", "in use by another process");
    let mut http = Producer::connect(first.http()).unwrap();
    let (_, health) = http.get("/health").unwrap();
    assert_eq!(health["status"], "healthy", "the first does not notice");
    first.post("/api/tasks/mine/completed", &json!({}));
    second.stop();
    drop(http);
    first.stop();
    let third = Process::serve(&directory, &["--storage.path", "kept.db"]);
    let mut http = Producer::connect(third.http()).unwrap();
    assert_eq!(
        http.get("/api/tasks/mine").unwrap().1["status"],
        "completed"
    );
    assert_eq!(http.get("/api/tasks/t").unwrap().0, 404);
}
