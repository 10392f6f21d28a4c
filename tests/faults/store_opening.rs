//! Stores that cannot be used yet: the server says why, decides nothing, lets viewers wait, and begins once they can.

use crate::socket::{Producer, wait_for};
use crate::store::{create, list, numbers, take};
use crate::support::Viewer;
use crate::support::process::{Directory, Process, command, write};
use rusqlite::Connection;
use serde_json::json;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

/// A server whose store does not open, and says so once. A viewer waits, and nobody is promised or shown anything.
fn waits(directory: &Directory, path: &str, reason: &str) -> (Process, Viewer) {
    let mut process = Process::serve(directory, &["--storage.path", path]);
    process.line("until it opens");
    let told = process
        .seen
        .iter()
        .filter(|line| line.contains("[ERROR]") && line.contains(reason));
    assert_eq!(told.count(), 1, "{reason} in {:#?}", process.seen);
    let mut http = Producer::connect(process.http()).unwrap();
    let (status, health) = http.get("/health").unwrap();
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    assert_eq!(health["reasons"], json!(["storage"]));
    let said = health["storage"]["reason"].as_str().expect("a reason");
    assert!(said.contains(reason) && said.contains(path), "{said}");
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.send(&json!({"type": "subscribe", "taskIds": ["t"]}));
    is_refused(&mut http);
    (process, viewer)
}

fn is_refused(http: &mut Producer) {
    let started = json!({"type": "task_started", "payload": {"taskId": "t"}});
    for (kind, body) in [
        ("application/json", started.to_string()),
        ("application/json", json!([started]).to_string()),
    ] {
        let (status, answer) = http.post("/api/events", kind, &body).unwrap();
        let code = answer["code"].as_str();
        assert_eq!(
            (status, code),
            (503, Some("storage_unavailable")),
            "{answer}"
        );
    }
    let broadcast = "/api/rooms/task:t/broadcast";
    assert_eq!(take(http, broadcast, json!({"payload": 1})).0, 503);
    assert_eq!(http.get("/api/tasks").unwrap().0, 503);
}

/// The store has opened: the viewer is greeted and its subscription answered, and nothing of what was refused has happened.
fn is_served(process: &mut Process, viewer: &mut Viewer) {
    process.line("the store is open");
    viewer.expect("connected");
    viewer.expect("subscription_ack");
    wait_for(process.http(), "/health", |health| {
        health["status"] == "healthy"
    });
    let mut http = Producer::connect(process.http()).unwrap();
    assert_eq!(http.get("/api/tasks/t").unwrap().0, 404);
    process.post("/api/tasks/t/started", &json!({}));
    viewer.expect("task_started");
}

#[test]
fn a_directory_in_the_place_of_the_file() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path("kept")).unwrap();
    waits(&directory, "kept", "is a directory").0.stop();
}

#[test]
fn a_directory_that_is_mounted_late_brings_what_it_holds() {
    let directory = Directory::new();
    let earlier = Directory::new();
    let first = Process::serve(&earlier, &["--storage.path", "kept.db"]);
    first.post("/api/rooms/r/broadcast", &json!({"payload": {"number": 7}}));
    first.stop();
    let (mut process, mut viewer) = waits(&directory, "late/kept.db", "there is no directory");
    let late = directory.path("being mounted");
    std::fs::create_dir(&late).unwrap();
    std::fs::copy(earlier.path("kept.db"), late.join("kept.db")).unwrap();
    std::fs::rename(late, directory.path("late")).unwrap();
    is_served(&mut process, &mut viewer);
    assert_eq!(numbers(&process), [7]);
    let tries = process.seen.iter().filter(|line| line.contains("[ERROR]"));
    assert_eq!(tries.count(), 1, "not one for each try");
    process.stop();
}

#[test]
fn a_place_where_nobody_may_write() {
    let directory = Directory::new();
    waits(&directory, "/proc/kept.db", "cannot be written")
        .0
        .stop();
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let directory = Directory::new();
    let text = "these are somebody's notes, and no database\n".repeat(500);
    directory.write("kept.db", &text);
    waits(&directory, "kept.db", "damaged, or no database")
        .0
        .stop();
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
    waits(&directory, "kept.db", "damaged").0.stop();
    assert_eq!(std::fs::read(directory.path("kept.db")).unwrap(), bytes);
}

#[test]
fn a_database_of_another_program_and_one_of_a_newer_version_are_left_as_they_are() {
    for (sql, reason) in [
        (
            "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)",
            "another program",
        ),
        (
            "CREATE TABLE later (a); PRAGMA application_id = 1246708300; PRAGMA user_version = 99",
            "schema version 99",
        ),
    ] {
        let directory = Directory::new();
        let path = directory.path("kept.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(&path).unwrap();
        let (process, viewer) = waits(&directory, "kept.db", reason);
        drop(viewer);
        process.stop();
        assert_eq!(std::fs::read(&path).unwrap(), before, "{reason}");
    }
}

/// The old process drains while the new one starts: all that it has taken in is there afterwards.
#[test]
fn a_file_that_the_predecessor_still_has() {
    let directory = Directory::new();
    let first = Process::serve(&directory, &["--storage.path", "kept.db"]);
    first.post("/api/tasks/mine/started", &json!({}));
    let (mut second, mut viewer) = waits(&directory, "kept.db", "in use by another process");
    let mut http = Producer::connect(first.http()).unwrap();
    let (_, health) = http.get("/health").unwrap();
    assert_eq!(health["status"], "healthy", "the first does not notice");
    first.post("/api/tasks/mine/completed", &json!({}));
    drop(http);
    first.stop();
    is_served(&mut second, &mut viewer);
    let mut http = Producer::connect(second.http()).unwrap();
    assert_eq!(
        http.get("/api/tasks/mine").unwrap().1["status"],
        "completed"
    );
    second.stop();
}

/// A backup holds the lock: all is there again when it is done, and a session goes on.
#[test]
fn a_file_that_a_backup_has_locked() {
    let directory = Directory::new();
    let first = Process::serve(&directory, &["--storage.path", "kept.db"]);
    let mut viewer = Viewer::connect(first.websocket(), "/ws");
    let secret = viewer.expect("connected")["payload"]["session"].clone();
    viewer.send(&json!({"type": "subscribe", "rooms": ["r"]}));
    viewer.expect("subscription_ack");
    let mut author = Viewer::connect(first.websocket(), "/");
    create(&mut author, "films");
    drop((viewer, author));
    first.post("/api/rooms/r/broadcast", &json!({"payload": {"number": 1}}));
    first.stop();
    let backup = Connection::open(directory.path("kept.db")).unwrap();
    backup.execute_batch("BEGIN IMMEDIATE").unwrap();
    // To close the file in this process would let go of the lock, so another one reads it.
    let copy = |name: &str| {
        let script = format!("cp kept.db {name}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(directory.root());
        assert!(shell.status().expect("a shell").success());
        std::fs::read(directory.path(name)).unwrap()
    };
    let before = copy("before");
    let (mut process, mut waiting) = waits(&directory, "kept.db", "in use");
    let path = format!("/ws?session={}", secret.as_str().unwrap());
    let mut back = Viewer::connect(process.websocket(), &path);
    assert!(copy("after") == before, "not read, not changed");
    backup.execute_batch("ROLLBACK").unwrap();
    drop(backup);
    is_served(&mut process, &mut waiting);
    assert_eq!(back.expect("connected")["payload"]["resumed"], true);
    let ack = back.expect("subscription_ack");
    assert_eq!(ack["payload"]["recovered"], json!({"r": true}));
    assert_eq!(numbers(&process), [1]);
    let mut author = Viewer::connect(process.websocket(), "/");
    assert_eq!(list(&mut author), ["films"]);
    process.stop();
}

/// What local producers write meanwhile waits in their pipes and sockets, and none of it is lost.
#[test]
fn local_producers_wait_for_the_store() {
    let directory = Directory::new();
    let mut server = command(
        &directory,
        &[
            "serve",
            "--stdin",
            "--http.port",
            "0",
            "--websocket.port",
            "0",
            "--ingest.socket",
            &directory.text_path("ingest"),
            "--storage.path",
            "late/kept.db",
        ],
    );
    server.stdin(Stdio::piped());
    let mut process = Process::spawn(server);
    let stdin = process.stdin();
    process.line("Log level: ");
    process.line("until it opens");
    let line = |task: &str, number: u64| {
        let payload = json!({"taskId": task, "current": number});
        json!({"type": "task_progress", "payload": payload}).to_string() + "\n"
    };
    let mut socket = UnixStream::connect(directory.path("ingest")).unwrap();
    for number in 1..=100 {
        write(&stdin, &line("piped", number));
        socket.write_all(line("sent", number).as_bytes()).unwrap();
    }
    drop(socket);
    std::fs::create_dir(directory.path("late")).unwrap();
    process.line("the store is open");
    for task in ["piped", "sent"] {
        wait_for(process.http(), &format!("/api/tasks/{task}"), |task| {
            task["current"] == 100
        });
    }
    process.stop();
}

#[test]
fn a_server_that_waits_for_its_store_stops_when_it_is_told() {
    let directory = Directory::new();
    let (process, mut viewer) = waits(&directory, "absent/kept.db", "there is no directory");
    process.signal("TERM");
    assert_eq!(viewer.close_code(), Some(1001));
    drop(viewer);
    let mut process = process;
    assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    assert!(!directory.path("absent").exists());
}
