//! The binary as an operator runs it: a process in a directory of its own, its lines on standard error, its end.

use super::{Http, LIMIT};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A directory of one test, gone when the test is.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("joblight-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same as text.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name)
            .into_os_string()
            .into_string()
            .expect("a temporary directory whose name is text")
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a command that has ended went.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary with nothing of this process's environment, and in memory only unless a flag names a file.
pub fn command(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_joblight"));
    command
        .args(arguments)
        .current_dir(directory.root())
        .env_clear()
        .env("JOBLIGHT_STORAGE_PATH", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command that ends by itself.
pub fn outcome(directory: &Directory, arguments: &[&str]) -> Outcome {
    let process = Process::spawn(command(directory, arguments));
    process.outcome()
}

/// A running process. It is killed, by its own id, when a test forgets it.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    stdout: Receiver<String>,
    /// Every line on standard error that has been read.
    pub seen: Vec<String>,
}

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the process starts");
        let (sender, lines) = channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || send_lines(stderr, &sender));
        }
        let (sender, stdout) = channel();
        let pipe = child.stdout.take().expect("a pipe");
        thread::spawn(move || send_lines(pipe, &sender));
        Self {
            child,
            lines,
            stdout,
            seen: Vec::new(),
        }
    }

    /// Starts a server on ports that the system chooses, and waits until it says that it has started.
    pub fn serve(directory: &Directory, arguments: &[&str]) -> Self {
        let mut process = Self::spawn(command(
            directory,
            &[
                &["serve", "--http.port", "0", "--websocket.port", "0"],
                arguments,
            ]
            .concat(),
        ));
        process.line("Log level: ");
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe for standard input")
    }

    /// The next line on standard error that contains `part`, without its time and level.
    pub fn line(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(LIMIT) else {
                panic!("no line with `{part}` after {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return message(&line).to_owned();
            }
        }
    }

    /// The next line on standard output.
    pub fn output_line(&mut self) -> String {
        let line = self.stdout.recv_timeout(LIMIT);
        line.unwrap_or_else(|_| panic!("no line on standard output; {:#?}", self.seen))
    }

    /// The messages of all lines read until now.
    pub fn messages(&self) -> Vec<&str> {
        self.seen.iter().map(|line| message(line)).collect()
    }

    /// Where the WebSocket listener is, by the start-up lines.
    pub fn websocket(&self) -> SocketAddr {
        self.address("ws://localhost:")
    }

    /// Where the HTTP listener is, by the start-up lines.
    pub fn http(&self) -> SocketAddr {
        self.address("http://localhost:")
    }

    fn address(&self, before: &str) -> SocketAddr {
        let port = self.seen.iter().find_map(|line| {
            line.split_once(before)?
                .1
                .split('/')
                .next()?
                .trim()
                .parse()
                .ok()
        });
        SocketAddr::from(([127, 0, 0, 1], port.expect("a start-up line with the port")))
    }

    /// Posts to the API; the answer must be 2xx.
    pub fn post(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        let mut http = Http::connect(self.http());
        let answer = http.request("POST", path, &[], body.to_string().as_bytes());
        assert!(
            (200..300).contains(&answer.status),
            "POST {path}: {answer:?}"
        );
        answer.json()
    }

    /// Sends this process a signal by its name.
    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.id());
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(status.expect("a shell").success(), "{script}");
    }

    /// Kills it as the system would, without a chance to clean up.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// Waits until it ends by itself.
    pub fn end(&mut self) -> ExitStatus {
        while self.next_output() {}
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.seen.push(line);
        }
        self.child.wait().expect("it was ours")
    }

    /// Waits until it ends by itself; all that it said.
    pub fn outcome(mut self) -> Outcome {
        let mut stdout = String::new();
        while let Ok(line) = self.stdout.recv_timeout(LIMIT) {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let code = self.end().code();
        let stderr = self.seen.iter().map(|line| format!("{line}\n")).collect();
        Outcome {
            code,
            stdout,
            stderr,
        }
    }

    /// SIGTERM, and a good end.
    pub fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.end().code(), Some(0), "{:#?}", self.seen);
    }

    /// Reads on until standard output ends, which is when the process does.
    fn next_output(&self) -> bool {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.stdout.recv_timeout(LIMIT) {
            Ok(_) => true,
            Err(Disconnected) => false,
            Err(Timeout) => panic!("it does not end; it said {:#?}", self.seen),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already in every test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A log line without its time and level; other lines as they are.
pub fn message(line: &str) -> &str {
    let is_log = line.starts_with('[') && line.get(20..21) == Some("]");
    match line.split_once("] [") {
        Some((_, rest)) if is_log => rest.split_once("] ").map_or(rest, |(_, message)| message),
        _ => line,
    }
}

/// Writes to a pipe or socket that must take it.
pub fn write(mut to: impl Write, text: &str) {
    to.write_all(text.as_bytes()).expect("the bytes leave");
    to.flush().expect("the bytes leave");
}

fn send_lines(from: impl Read, to: &Sender<String>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        if to.send(line).is_err() {
            return;
        }
    }
}
