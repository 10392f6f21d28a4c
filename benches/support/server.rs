//! The release binary as a process of its own, on a port that the system chose, and what it uses by `/proc`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Linux counts a process's time in hundredths of a second (`USER_HZ`, proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// A server without limits on clients, killed by its own id when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Its WebSocket listener.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it with these further flags and waits until it listens.
    pub(crate) fn start(flags: &[&str]) -> Self {
        const UNLIMITED: [&str; 13] = [
            "serve",
            "--http.port",
            "0",
            "--websocket.port",
            "0",
            "--storage.path",
            "",
            "--websocket.max_clients",
            "0",
            "--websocket.rate_limit.max_connections_per_minute",
            "0",
            "--websocket.rate_limit.max_messages_per_minute",
            "0",
        ];
        let mut child = Command::new(env!("CARGO_BIN_EXE_joblight"))
            .args(UNLIMITED)
            .args(flags)
            .current_dir(std::env::temp_dir())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("ws://localhost:")?;
            port.trim().parse().ok()
        });
        // A pipe that nobody reads would stop it in the end.
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port.expect("a line with the port"))),
        }
    }

    /// The processor time it has used, its own and the kernel's for it.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        // Fields 14 and 15 of all; the first after the name is the third.
        let times = fields.split(' ').skip(11).take(2);
        let ticks: u32 = times.map(|time| time.parse::<u32>().expect("ticks")).sum();
        TICK * ticks
    }

    /// The memory it occupies.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("a resident size") * 1024
    }

    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
