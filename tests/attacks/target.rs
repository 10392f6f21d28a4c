//! The server that is attacked: its memory as the system tells it, and how long somebody else waits for an answer.

use crate::support::process::{Directory, Process, command};
use crate::support::{Http, LIMIT};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A mebibyte.
pub(crate) const MIB: usize = 1024 * 1024;
/// How long an attacker waits for a socket that takes nothing, before it gives up.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two looks at how long others wait.
const PACE: Duration = Duration::from_millis(20);

/// A server of its own process.
pub(crate) struct Target {
    process: Process,
    idle: usize,
    _directory: Directory,
}

impl Target {
    /// Starts one that lets attackers in: an attack is over many addresses, or comes through a proxy.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = Directory::new();
        let rates = "--websocket.rate_limit.max_connections_per_minute 0 \
                     --websocket.rate_limit.max_messages_per_minute 0 \
                     --http.port 0 --websocket.port 0 --log.level warn";
        let rates: Vec<&str> = rates.split_whitespace().collect();
        let ours = command(&directory, &[&["serve"], &rates[..], arguments].concat());
        let process = Process::spawn(attacked(ours));
        let mut target = Self {
            process,
            idle: 0,
            _directory: directory,
        };
        target.await_start();
        target.idle = target.peak();
        target
    }

    /// Ports are announced at a level that is not logged here, so they are looked up.
    fn await_start(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.listeners().len() < 2 {
            assert!(Instant::now() < deadline, "the server did not start");
            thread::yield_now();
        }
    }

    /// The addresses on 127.0.0.1 that this process listens on, in the order of its descriptors.
    fn listeners(&self) -> Vec<SocketAddr> {
        let id = self.process.id();
        let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp")).unwrap_or_default();
        let descriptors = std::fs::read_dir(format!("/proc/{id}/fd"))
            .into_iter()
            .flatten();
        let mut links: Vec<(u32, String)> = descriptors
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                let connection = std::fs::read_link(entry.path()).ok()?;
                Some((number, connection.to_str()?.to_owned()))
            })
            .collect();
        links.sort_unstable();
        let inode = |connection: &str| {
            connection
                .strip_prefix("socket:[")?
                .strip_suffix(']')
                .map(str::to_owned)
        };
        let inodes: Vec<String> = links
            .iter()
            .filter_map(|(_, connection)| inode(connection))
            .collect();
        let find = |inode: &String| {
            table.lines().find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_it = fields.get(3) == Some(&"0A") && fields.get(9) == Some(&inode.as_str());
                let (_, port) = fields.get(1).filter(|_| is_it)?.split_once(':')?;
                let port = u16::from_str_radix(port, 16).ok()?;
                Some(SocketAddr::from(([127, 0, 0, 1], port)))
            })
        };
        inodes.iter().filter_map(find).collect()
    }

    /// The WebSocket listener, which is bound first.
    pub(crate) fn websocket(&self) -> SocketAddr {
        self.listeners()[0]
    }

    /// The HTTP listener.
    pub(crate) fn http(&self) -> SocketAddr {
        self.listeners()[1]
    }

    /// The most memory that it has ever had, in bytes.
    fn peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.expect("a peak").parse::<usize>().expect("a number") * 1024
    }

    /// Attacks, and tells what it cost: bytes of memory beyond those of an idle server.
    pub(crate) fn suffers(&self, name: &str, attack: impl FnOnce() + Send) -> usize {
        let address = self.http();
        let mut waits: Vec<Duration> = Vec::new();
        thread::scope(|scope| {
            let (sender, is_over) = channel::<()>();
            scope.spawn(move || {
                let _until_it_is_over = sender;
                attack();
            });
            while is_over.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
                waits.push(health(address));
            }
        });
        waits.push(health(address));
        waits.sort_unstable();
        let cost = self.peak().saturating_sub(self.idle);
        println!(
            "{name}: {:.1} MiB beyond {:.1}; /health: half within {:.1} ms, all within {:.1} ms",
            cost as f64 / MIB as f64,
            self.idle as f64 / MIB as f64,
            waits[waits.len() / 2].as_secs_f64() * 1e3,
            waits[waits.len() - 1].as_secs_f64() * 1e3,
        );
        cost
    }
}

fn health(address: SocketAddr) -> Duration {
    let began = Instant::now();
    let status = Http::connect(address)
        .request("GET", "/health", &[], b"")
        .status;
    assert_eq!(status, 200);
    began.elapsed()
}

/// The same command with the binary that is to be attacked.
fn attacked(ours: Command) -> Command {
    let Some(path) = std::env::var_os("JOBLIGHT_ATTACKED") else {
        return ours;
    };
    let mut other = Command::new(path);
    other.args(ours.get_args()).env_clear();
    other.envs(
        ours.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    other.current_dir(ours.get_current_dir().expect("a directory"));
    other.stdin(std::process::Stdio::null());
    other.stdout(std::process::Stdio::piped());
    other.stderr(std::process::Stdio::piped());
    other
}

/// A connection of an attacker.
pub(crate) struct Attacker {
    stream: TcpStream,
}

impl Attacker {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        Self { stream }
    }

    /// One that has become a WebSocket.
    pub(crate) fn upgraded(address: SocketAddr, path: &str) -> Self {
        let mut attacker = Self::connect(address);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        assert!(attacker.send(request.as_bytes()));
        let mut answer = [0; 12];
        attacker
            .stream
            .set_read_timeout(Some(LIMIT))
            .expect("a limit");
        attacker.stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 101");
        attacker
    }

    /// Sends bytes; `false` when the server takes no more, or has closed.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a piece over and over, up to so many bytes, and reads nothing of what comes.
    pub(crate) fn flood(&mut self, piece: &[u8], bytes: usize) {
        let piece = piece.repeat((64 * 1024 / piece.len()).max(1));
        let mut left = bytes;
        while left > 0 && self.send(&piece) {
            left = left.saturating_sub(piece.len());
        }
    }

    /// The same, and reads what comes.
    pub(crate) fn flood_and_read(&mut self, piece: &[u8], bytes: usize) {
        let mut reading = self.stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut buffer = [0; 16 * 1024];
                while reading.read(&mut buffer).is_ok_and(|count| count > 0) {}
            });
            self.flood(piece, bytes);
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        });
    }

    /// Waits until the server has said something or closed; what it said.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => buffer.truncate(count),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "nothing was said");
                buffer.clear();
            }
        }
        buffer
    }

    /// Has sending wait as long as a failing test may take: what is half sent cannot be gone on with.
    pub(crate) fn patient(self) -> Self {
        self.stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        self
    }

    /// Has reading wait no longer than a failing test may take.
    pub(crate) fn listening(self) -> Self {
        self.stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        self
    }
}

/// Several attackers at once, each on a thread of its own.
pub(crate) fn at_once(count: usize, attack: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(&attack);
        }
    });
}
