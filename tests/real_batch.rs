//! A real batch as an application would run it: a shell script checks and packs the files of this repository and
//! reports with curl; viewers on two WebSocket libraries that are not ours watch it from the start, from its middle and
//! from after its end. What they were told must agree with the files, with each other and with the statistics.

mod support;

use serde_json::{Map, Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use support::optional::{node_modules, skip};
use support::{Running, Viewer};

const TASK: &str = "pack-repository";
const ROOM: &str = "task:pack-repository";
/// A room that tells viewers that nothing more will come.
const LAST_ROOM: &str = "last";
/// `broadcaster.broadcast_interval` of the defaults; a wall clock in whole milliseconds may lose one of them.
const INTERVAL_MS: u64 = 100;
const ROUNDING_MS: u64 = 1;

#[test]
fn a_batch_of_real_files_is_told_truly_to_all() {
    let missing = missing_programs();
    if !missing.is_empty() {
        return skip(&format!("the batch needs {missing:?}"));
    }
    let files = source_files();
    assert!(files.len() > 100, "{} files", files.len());
    let folder = Folder::new();
    let server = Running::start(|_| {});
    let mut early = watch(&server);
    let mut node = NodeViewer::start(&server);
    if node.is_none() {
        skip("the viewer on Node's ws was not run");
    }
    let batch = start_batch(&server, &files, &folder.0);
    let mut late = None;
    loop {
        let message = early.next();
        if message["payload"]["stage"] == "compress" && late.is_none() {
            late = Some(watch(&server));
        }
        if early.keep(message) == "task_completed" {
            break;
        }
    }
    assert!(batch.wait_with_output().expect("it ends").status.success());
    let mut last = watch(&server);
    server.post(
        &format!("/api/rooms/{LAST_ROOM}/broadcast"),
        json!({"payload": {}}),
    );
    let mut late = late.expect("the second stage was seen");
    let mut stories = Vec::new();
    for viewer in [&mut early, &mut late, &mut last] {
        viewer.read_to_end();
        stories.push(std::mem::take(&mut viewer.heard));
    }
    stories.extend(node.as_mut().map(NodeViewer::read_to_end));

    let state = server.document(&format!("/api/tasks/{TASK}"));
    check_result(&state, &files, &folder.0);
    for story in &stories {
        check_order(story);
        check_pace(story);
        check_state(story, &state);
    }
    for whole in stories.iter().take(1).chain(stories.get(3)) {
        check_documents(whole, &files, 0);
        assert_eq!(kinds(whole).next(), Some("task_started"));
    }
    check_late(&stories[1], &files);
    assert_eq!(
        kinds(&stories[2]).collect::<Vec<_>>(),
        ["task_progress", "room_broadcast"],
        "after the end there is the end"
    );
    check_answers(&folder.0, files.len());
    check_statistics(&server, &stories);
}

/// The viewers.
struct Watcher {
    viewer: Viewer,
    heard: Vec<Value>,
}

fn watch(server: &Running) -> Watcher {
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "subscribe", "taskIds": [TASK], "rooms": [ROOM, LAST_ROOM]}));
    let heard = vec![viewer.greeting.clone(), viewer.expect("subscription_ack")];
    Watcher { viewer, heard }
}

impl Watcher {
    fn next(&mut self) -> Value {
        self.viewer.next()
    }

    /// Keeps a message, and tells its type.
    fn keep(&mut self, message: Value) -> String {
        let kind = message["type"].as_str().expect("a type").to_owned();
        self.heard.push(message);
        kind
    }

    fn read_to_end(&mut self) {
        let rest = self.viewer.until("room_broadcast");
        self.heard.extend(rest);
    }
}

struct NodeViewer {
    child: Child,
    heard: Vec<Value>,
}

impl NodeViewer {
    /// Starts the viewer and waits until it is in its rooms; `None` where there is no Node, or no `ws`.
    fn start(server: &Running) -> Option<Self> {
        let modules = node_modules()?;
        let mut child = Command::new("node")
            .env("NODE_PATH", modules)
            .arg(root().join("tests/real_batch/viewer.js"))
            .arg(format!("ws://{}/ws", server.websocket))
            .args([TASK, LAST_ROOM])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stdout.as_mut().expect("it is piped"));
        let mut heard = Vec::new();
        for kind in ["connected", "subscription_ack"] {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a line");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(message["type"], kind);
            heard.push(message);
        }
        assert!(lines.buffer().is_empty(), "nothing has happened yet");
        Some(Self { child, heard })
    }

    fn read_to_end(&mut self) -> Vec<Value> {
        let lines = BufReader::new(self.child.stdout.take().expect("it is piped")).lines();
        let messages =
            lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"));
        self.heard.extend(messages);
        assert!(self.child.wait().expect("it ends").success());
        std::mem::take(&mut self.heard)
    }
}

impl Drop for NodeViewer {
    fn drop(&mut self) {
        // It has ended by itself, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("real-batch-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a failed removal lies in the build folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn missing_programs() -> Vec<&'static str> {
    let runs = |program: &&&str| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null());
        !command.status().is_ok_and(|status| status.success())
    };
    let needed = ["bash", "curl", "gzip", "sha256sum"];
    needed.iter().filter(runs).copied().collect()
}

/// The source files of this repository, relative to its root.
fn source_files() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from("src"), PathBuf::from("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(path),
                false => files.push(path.to_str().expect("file names are UTF-8").to_owned()),
            }
        }
    }
    files.sort();
    files
}

fn start_batch(server: &Running, files: &[String], folder: &Path) -> Child {
    let list = folder.join("files.txt");
    fs::write(&list, files.join("\n") + "\n").expect("the list is written");
    Command::new("bash")
        .arg("tests/real_batch/batch.sh")
        .arg(format!("http://{}", server.http))
        .arg(TASK)
        .arg(list)
        .arg(folder)
        .current_dir(root())
        .spawn()
        .expect("bash starts")
}

/// The types of what was told of the batch.
fn kinds(story: &[Value]) -> impl Iterator<Item = &str> {
    story[2..]
        .iter()
        .map(|message| message["type"].as_str().expect("a type"))
}

fn of_kind<'a>(story: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    story.iter().filter(move |message| message["type"] == kind)
}

/// The result is that of the files.
fn check_result(state: &Value, files: &[String], folder: &Path) {
    let packed = (0..files.len()).map(|index| {
        fs::metadata(folder.join(format!("{index}.gz")))
            .expect("each file was packed")
            .len()
    });
    assert_eq!(state["result"]["packedBytes"], packed.sum::<u64>());
    assert_eq!(state["result"]["files"], files.len());
    assert_eq!(state["current"], 2 * files.len());
    assert_eq!(
        (&state["status"], &state["progress"], &state["message"]),
        (&json!("completed"), &json!(100), &json!("done"))
    );
}

/// Offsets without gap from the position of the acknowledgement, progress that only rises, and nothing after the end.
fn check_order(story: &[Value]) {
    let position = story[1]["payload"]["positions"][ROOM].as_str();
    let (_, offset) = position
        .and_then(|text| text.split_once(':'))
        .expect("epoch:offset");
    let mut offset: u64 = offset.parse().expect("a number");
    let mut progress = 0.0;
    let mut ended = false;
    for message in &story[2..] {
        if message["room"] == ROOM {
            offset += 1;
            assert_eq!(message["offset"], offset, "{message}");
        }
        let kind = message["type"].as_str().expect("a type");
        if kind.starts_with("task_") {
            assert!(!ended, "after the end: {message}");
            let next = message["payload"]["progress"].as_f64().unwrap_or(progress);
            assert!(next >= progress, "back from {progress}: {message}");
            progress = next;
        }
        ended |= kind == "task_completed";
    }
}

/// At most one progress message an interval, but for what goes out right before a lifecycle message; a snapshot for who
/// has just come counts for nobody else.
fn check_pace(story: &[Value]) {
    let moment = |message: &Value| message["timestamp"].as_u64().expect("a timestamp");
    let task: Vec<&Value> = story[2..]
        .iter()
        .filter(|message| {
            message["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("task_"))
        })
        .collect();
    for (index, pair) in task.windows(2).enumerate() {
        let [one, other] = pair else { continue };
        let joins = one["payload"]["snapshot"] == true && index == 0;
        if joins || other["type"] != "task_progress" || one["type"] != "task_progress" {
            continue;
        }
        let is_flushed = task.get(index + 2).is_some_and(|next| {
            next["type"] != "task_progress" && moment(next) <= moment(other) + ROUNDING_MS
        });
        assert!(
            is_flushed || moment(other) + ROUNDING_MS >= moment(one) + INTERVAL_MS,
            "{one} and {other}"
        );
    }
}

/// Snapshot and deltas, or the whole state of a lifecycle message, add up to the state that the server has.
fn check_state(story: &[Value], state: &Value) {
    let mut known: Option<Map<String, Value>> = None;
    let mut first_progress = true;
    for message in &story[2..] {
        let payload = message["payload"].as_object().expect("an object").clone();
        match message["type"].as_str().expect("a type") {
            "task_progress" => {
                let is_snapshot = payload.get("snapshot") == Some(&json!(true));
                assert_eq!(is_snapshot, first_progress, "{message}");
                first_progress = false;
                let mut sum = known.filter(|_| !is_snapshot).unwrap_or_default();
                sum.extend(payload);
                known = Some(sum);
            }
            kind if kind.starts_with("task_") => known = Some(payload),
            _ => {}
        }
    }
    let mut known = known.expect("the task was shown");
    known.retain(|name, value| name != "snapshot" && !value.is_null());
    let mut state = state.as_object().expect("an object").clone();
    state.retain(|_, value| !value.is_null());
    assert_eq!(known, state);
}

/// Every document from `first` on, once, in order, with the right checksum's form.
fn check_documents(story: &[Value], files: &[String], first: usize) {
    let told: Vec<(u64, &str)> = of_kind(story, "document_generated")
        .map(|message| {
            let payload = &message["payload"];
            assert_eq!(payload["sha256"].as_str().map(str::len), Some(64));
            (
                payload["documentId"].as_u64().expect("a number"),
                payload["name"].as_str().expect("a name"),
            )
        })
        .collect();
    let expected: Vec<(u64, &str)> = files
        .iter()
        .enumerate()
        .skip(first)
        .map(|(index, name)| (index as u64, name.as_str()))
        .collect();
    assert_eq!(told, expected);
}

/// Who came in the middle: the whole state first, then everything from there on.
fn check_late(story: &[Value], files: &[String]) {
    assert_eq!(story[2]["type"], "task_progress");
    assert_eq!(story[2]["payload"]["snapshot"], true);
    assert_eq!(story[2]["payload"]["status"], "running");
    assert_eq!(story[2]["payload"]["stage"], "compress");
    assert_eq!(story[2]["payload"]["total"], 2 * files.len());
    let first = of_kind(story, "document_generated")
        .next()
        .and_then(|message| message["payload"]["documentId"].as_u64())
        .expect("some were still to come");
    check_documents(story, files, first as usize);
    assert_eq!(of_kind(story, "task_completed").count(), 1);
}

/// Each event was accepted once, and the repeated one dropped.
fn check_answers(folder: &Path, files: usize) {
    let text = fs::read_to_string(folder.join("answers.jsonl")).expect("answers were kept");
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let sum = |name: &str| -> u64 {
        answers
            .iter()
            .map(|answer| answer[name].as_u64().expect("a number"))
            .sum()
    };
    assert_eq!(sum("accepted"), 3 * files as u64 + 2);
    assert_eq!(sum("dropped"), 1);
    assert!(answers.iter().all(|answer| answer.get("errors").is_none()));
}

/// The statistics count what was sent, message by message.
fn check_statistics(server: &Running, stories: &[Vec<Value>]) {
    let broadcaster = server.document("/api/broadcaster/stats");
    let websocket = server.document("/api/websocket/stats");
    let health = server.document("/health");
    let all: usize = stories.iter().map(Vec::len).sum();
    let broadcast: usize = stories.iter().map(|story| story.len() - 2).sum();
    assert_eq!(broadcaster["successfulSends"], broadcast);
    assert_eq!(broadcaster["totalMessages"], broadcast);
    assert_eq!(broadcaster["failedSends"], 0);
    assert_eq!(broadcaster["droppedEvents"], 1);
    assert_eq!(broadcaster["cacheSize"], 1);
    assert_eq!(broadcaster["queueSize"], 0);
    assert_eq!(
        health["broadcaster"]["totalBroadcasts"],
        broadcaster["totalBroadcasts"]
    );
    assert_eq!(websocket["connections"]["total"], stories.len());
    assert_eq!(websocket["messages"]["totalSent"], all);
    assert_eq!(websocket["messages"]["totalReceived"], stories.len());
    assert_eq!(health["websocket"]["messages"], all + stories.len());
    let updated = broadcaster["lastUpdate"].as_u64().expect("a moment");
    let last = stories[0]
        .last()
        .and_then(|message| message["timestamp"].as_u64());
    assert_eq!(
        Some(updated),
        last,
        "the last broadcast is the last message"
    );
}
