//! Somebody removes the file of a running server, or puts another in its place: that is said, and nothing is lost.

use crate::socket::{Producer, wait_for};
use crate::store::{create, list, numbers, take};
use crate::support::Viewer;
use crate::support::process::{Directory, Process};
use serde_json::json;

const FLAGS: [&str; 2] = ["--storage.path", "kept.db"];

/// A server that has kept something, whose file is then changed behind its back; after a crash all of it is there.
fn survives(change: impl FnOnce(&Directory)) {
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &FLAGS);
    let mut http = Producer::connect(process.http()).unwrap();
    let mut author = Viewer::connect(process.websocket(), "/");
    create(&mut author, "before");
    let number = |number: u64| json!({"payload": {"number": number}});
    let broadcast = "/api/rooms/r/broadcast";
    assert_eq!(take(&mut http, broadcast, number(0)).0, 200);
    change(&directory);
    let (status, problem) = take(&mut http, broadcast, number(1));
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("storage_unavailable"))
    );
    process.line("removed, replaced or cut short");
    assert_eq!(http.get("/health").unwrap().1["status"], "degraded");
    process.line("the store works again; everything was rewritten");
    wait_for(process.http(), "/health", |health| {
        health["status"] == "healthy"
    });
    assert_eq!(take(&mut http, broadcast, number(2)).0, 200);
    process.kill();
    let process = Process::serve(&directory, &FLAGS);
    assert_eq!(numbers(&process), [0, 1, 2]);
    let mut author = Viewer::connect(process.websocket(), "/");
    assert_eq!(list(&mut author), ["before"]);
}

#[test]
fn the_file_is_removed_and_a_crash_follows() {
    survives(|directory| {
        std::fs::remove_file(directory.path("kept.db")).unwrap();
        std::fs::remove_file(directory.path("kept.db-wal")).unwrap();
    });
}

/// That copy was never read, and may be all that somebody has: it stays as it is, and comes into force with a restart.
#[test]
fn an_old_copy_that_is_put_in_its_place_is_not_written_over() {
    let earlier = Directory::new();
    let process = Process::serve(&earlier, &FLAGS);
    process.post("/api/rooms/r/broadcast", &json!({"payload": {"number": 7}}));
    process.stop();
    let directory = Directory::new();
    let mut process = Process::serve(&directory, &FLAGS);
    let mut http = Producer::connect(process.http()).unwrap();
    let number = |number: u64| json!({"payload": {"number": number}});
    let broadcast = "/api/rooms/r/broadcast";
    assert_eq!(take(&mut http, broadcast, number(0)).0, 200);
    let before = std::fs::read(earlier.path("kept.db")).unwrap();
    std::fs::rename(earlier.path("kept.db"), directory.path("kept.db")).unwrap();
    assert_eq!(take(&mut http, broadcast, number(1)).0, 503);
    wait_for(process.http(), "/health", |health| {
        let reason = health["storage"]["reason"].as_str();
        reason.is_some_and(|reason| reason.contains("has not read"))
    });
    drop(http);
    process.signal("TERM");
    process.end();
    assert_eq!(std::fs::read(directory.path("kept.db")).unwrap(), before);
    let process = Process::serve(&directory, &FLAGS);
    assert_eq!(numbers(&process), [7]);
}
