//! A disk that takes what it is given and never says that it has: nobody waits for it for long.

use crate::socket::{Producer, wait_for};
use crate::store::take;
use crate::support::Viewer;
use crate::support::optional::skip;
use crate::support::process::{Directory, Process, command};
use serde_json::json;
use std::fs;
use std::process::Command;

/// Stands before the system's own functions, and does not come back while a file is there.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int after(const char *name, int fd) {
    const char *hung = getenv("HUNG");
    while (hung && access(hung, F_OK) == 0) usleep(10000);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}
int fsync(int fd) { return after("fsync", fd); }
int fdatasync(int fd) { return after("fdatasync", fd); }
"#;

/// A server whose disk hangs while the file `hung` is in its directory.
fn serve(directory: &Directory, flags: &[&str]) -> Option<Process> {
    directory.write("shim.c", SHIM);
    let shim = directory.text_path("shim.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &shim, "shim.c", "-ldl"])
        .current_dir(directory.root())
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        skip("there is no C compiler to make a disk hang with");
        return None;
    }
    let ports = ["serve", "--http.port", "0", "--websocket.port", "0"];
    let store = ["--storage.path", "kept.db", "--storage.synchronous", "full"];
    let mut server = command(directory, &[&ports[..], &store, flags].concat());
    server
        .env("LD_PRELOAD", &shim)
        .env("HUNG", directory.path("hung"));
    let mut process = Process::spawn(server);
    process.line("Log level: ");
    wait_for(process.http(), "/health", |health| {
        health["status"] == "healthy"
    });
    Some(process)
}

#[test]
fn a_disk_that_hangs_is_degraded_and_everything_is_kept_when_it_goes_on() {
    let directory = Directory::new();
    let Some(mut process) = serve(&directory, &[]) else {
        return;
    };
    let mut viewer = Viewer::connect(process.websocket(), "/ws");
    viewer.expect("connected");
    viewer.subscribe(&["t"]);
    let mut http = Producer::connect(process.http()).expect("a connection");
    assert_eq!(take(&mut http, "/api/tasks/t/started", json!({})).0, 200);
    viewer.expect("task_started");
    directory.write("hung", "");
    let (status, answer) = take(&mut http, "/api/tasks/t/paused", json!({}));
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("storage_unavailable"))
    );
    viewer.expect("task_paused");
    process.line("live delivery goes on");
    let health = wait_for(process.http(), "/health", |health| {
        health["status"] == "degraded"
    });
    let reason = health["storage"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("has not answered for 5 s"), "{health}");
    assert_eq!(health["reasons"], json!(["storage"]));
    let (status, _) = take(&mut http, "/api/tasks/t/completed", json!({}));
    assert_eq!(status, 503, "it is not waited for again");
    viewer.expect("task_completed");
    fs::remove_file(directory.path("hung")).expect("a file");
    process.line("the store works again; everything was rewritten");
    assert_eq!(take(&mut http, "/api/tasks/u/started", json!({})).0, 200);
    process.kill();
    let process = Process::serve(&directory, &["--storage.path", "kept.db"]);
    let mut http = Producer::connect(process.http()).expect("a connection");
    let (_, task) = http.get("/api/tasks/t").expect("an answer");
    assert_eq!(task["status"], "completed", "{task}");
}

#[test]
fn the_end_does_not_wait_for_a_disk_that_hangs() {
    for timeout in ["0", "2000"] {
        let directory = Directory::new();
        let Some(mut process) = serve(&directory, &["--server.shutdown_timeout", timeout]) else {
            return;
        };
        directory.write("hung", "");
        let mut http = Producer::connect(process.http()).expect("a connection");
        http.send_only("/api/tasks/t/completed", "{}");
        process.signal("TERM");
        let line = process.line("[ERROR]");
        assert!(line.contains("its disk does not answer"), "{line}");
        assert!(line.contains("what came last is not kept"), "{line}");
        assert_eq!(process.end().code(), Some(0), "{:#?}", process.seen);
    }
}
