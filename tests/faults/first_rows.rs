//! A file that the build before this form of rows has written (`tests/fixtures/first_rows.sqlite`): everything in it goes on.

use crate::store::list;
use crate::support::process::{Directory, Process};
use crate::support::{Http, Viewer};
use serde_json::{Value, json};
use std::fs;

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/first_rows.sqlite"
);
/// The secret of the session in it.
const SESSION: &str = "0755066796000000a0900cea9100ae8778677d697103e75a";

/// Time does nothing to what is in the file, whenever the test runs.
const FLAGS: [&str; 10] = [
    "--storage.path",
    "kept.db",
    "--broadcaster.keep_completed",
    "0",
    "--broadcaster.keep_failed",
    "0",
    "--broadcaster.lost_after",
    "0",
    "--broadcaster.stall_timeout",
    "0",
];

fn document(process: &Process, path: &str) -> Value {
    let mut http = Http::connect(process.http());
    let answer = http.request("GET", path, &[], b"");
    assert_eq!(answer.status, 200, "{path}");
    answer.json()
}

fn task(process: &Process, id: &str) -> Value {
    document(process, &format!("/api/tasks/{id}"))
}

fn serve_fixture(directory: &Directory) -> Process {
    fs::copy(FIXTURE, directory.path("kept.db")).expect("the fixture");
    Process::serve(directory, &FLAGS)
}

#[test]
fn every_task_of_an_old_file_is_there_as_it_was_shown() {
    let directory = Directory::new();
    let process = serve_fixture(&directory);
    let completed = json!({
        "taskId": "ended-well", "seq": 2, "status": "completed", "progress": 100, "current": 0, "total": 3,
        "stage": "an \"st\"age", "estimatedTimeRemaining": 0,
        "result": {"files": 3, "size": 12_345_678_901_234_567_890_u64},
        "startedAt": 1_795_705_213_462_u64, "updatedAt": 1_795_705_213_464_u64, "meta": {"a": [1, 2.5]},
    });
    assert_eq!(task(&process, "ended-well"), completed);
    let paused = json!({
        "taskId": "held", "seq": 41, "status": "paused", "progress": 73, "current": 7, "total": 9.5,
        "stage": "printing", "estimatedTimeRemaining": null, "message": "no paper", "attempt": 3,
        "startedAt": 1_795_705_213_464_u64, "updatedAt": 1_795_705_213_465_u64,
    });
    assert_eq!(task(&process, "held"), paused);
    let running = task(&process, "half-way");
    assert_eq!(
        (&running["progress"], &running["requested"]["action"]),
        (&json!(41.7), &json!("pause"))
    );
    let own = [
        &running["templateId"],
        &running["spelled"],
        &running["null-like"],
    ];
    assert_eq!(own, [&json!("a"), &json!([1, 2.5]), &json!("null")]);
    assert_eq!(running["quo\"ted"], json!({"x": null}));
    assert_eq!(task(&process, "own-id")["id"], "7");
    assert_eq!(task(&process, "own-rate")["rate"], 120.25);
    for (id, status) in [
        ("broken", "failed"),
        ("stopped", "cancelled"),
        ("waits", "pending"),
    ] {
        assert_eq!(task(&process, id)["status"], status);
    }
    process.stop();
}

#[test]
fn unknown_in_an_old_file_stays_unknown() {
    let directory = Directory::new();
    let process = serve_fixture(&directory);
    for (id, indeterminate) in [
        ("unknown", Some(json!(true))),
        ("waits", Some(json!(true))),
        ("zero-of-five", None),
        ("half-way", None),
        ("ended-well", None),
    ] {
        let shown = task(&process, id).get("indeterminate").cloned();
        assert_eq!(shown, indeterminate, "{id}");
    }
    process.stop();
}

/// These two rows were lost: their `startedAt` was written in a form that was not read.
#[test]
fn absurd_start_costs_no_task_of_an_old_file() {
    let directory = Directory::new();
    let process = serve_fixture(&directory);
    for id in ["absurd", "absurd-2"] {
        let shown = task(&process, id);
        assert_eq!(
            (&shown["status"], &shown["startedAt"]),
            (&json!("completed"), &json!(9_007_199_254_740_991_u64))
        );
    }
    assert_eq!(task(&process, "absurd")["result"], "kept");
    process.stop();
}

#[test]
fn old_file_goes_on_and_is_the_same_after_another_restart() {
    let directory = Directory::new();
    let process = serve_fixture(&directory);
    let history = document(&process, "/api/rooms/task:ended-well/history");
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(5));
    let path = format!("/ws?session={SESSION}");
    let mut viewer = Viewer::connect(process.websocket(), &path);
    assert_eq!(viewer.expect("connected")["payload"]["resumed"], true);
    let mut editor = Viewer::connect(process.websocket(), "/");
    assert_eq!(list(&mut editor), ["trailer", "poster"]);
    let answer = process.post(
        "/api/tasks/half-way/progress",
        &json!({"current": 5, "total": 10}),
    );
    assert_eq!(answer["control"][0]["action"], "pause");
    let answer = process.post("/api/tasks/held/progress", &json!({"seq": 41}));
    assert_eq!(answer["dropped"], 1);
    let mut before = document(&process, "/api/tasks");
    drop((viewer, editor));
    process.stop();
    let process = Process::serve(&directory, &FLAGS);
    let mut after = document(&process, "/api/tasks");
    for tasks in [&mut before, &mut after] {
        let tasks = tasks["tasks"].as_array_mut().expect("a list");
        tasks.sort_by_key(|task| task["taskId"].to_string());
        assert_eq!(tasks.len(), 12);
    }
    assert_eq!(after, before);
    process.stop();
}
