//! The server without its sockets, as the benchmarks drive it: bytes in, turns, and outputs drained as if every socket
//! took all at once. Time is a number, and moves only when a benchmark says so.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each benchmark uses what it needs"
)]

#[path = "../../tests/support/masked.rs"]
mod masked;

pub(crate) use masked::{BINARY, TEXT, masked};

use joblight::Config;
use joblight::internals::base::{Now, Time};
use joblight::internals::engine::{ConnectionId, Engine, Input, MemoryUse, Output, Services};
use std::hint::black_box;

/// Milliseconds since 1970 when a benchmark begins.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The engine and its virtual clock.
pub struct Rig {
    /// The server.
    pub engine: Engine,
    micros: u64,
}

impl Rig {
    /// A server with the default configuration without limits, changed by `change`.
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.storage.path = String::new();
        config.websocket.max_clients = 0;
        config.websocket.rate_limit.max_connections_per_minute = 0;
        config.websocket.rate_limit.max_messages_per_minute = 0;
        change(&mut config);
        let start = Now {
            at: Time::ZERO,
            wall_ms: EPOCH_MS,
        };
        let settings = config.engine_settings(0);
        Self {
            engine: Engine::new(settings, start, [1; 32], Box::new(MemoryUse::default)),
            micros: 0,
        }
    }

    /// Lets time pass; what becomes due happens in the next turn.
    pub fn pass(&mut self, micros: u64) {
        self.micros += micros;
    }

    /// One turn of the loop with these inputs; how many bytes were written.
    pub fn turn(&mut self, inputs: impl FnOnce(&mut Engine, Now)) -> usize {
        let now = self.now();
        self.engine.begin_turn(now);
        inputs(&mut self.engine, now);
        self.engine.handle_time(now);
        self.engine.settle(now);
        let written = self.drain(now);
        self.engine.handle_turn_end(now);
        written
    }

    /// A peer connects.
    pub fn connect(&mut self, services: Services) -> ConnectionId {
        let now = self.now();
        self.engine
            .accept(now, services, Some([127, 0, 0, 1].into()))
    }

    /// A peer sends bytes, in a turn of their own, or as many as their share of a turn takes.
    pub fn receive(&mut self, connection: ConnectionId, bytes: &mut [u8]) -> usize {
        let mut written =
            self.turn(|engine, now| engine.handle_input(now, Input::Received(connection, bytes)));
        while self.engine.has_input() {
            written += self.turn(|_, _| {});
        }
        written
    }

    /// A WebSocket client that watches these tasks and has been told so.
    pub fn viewer(&mut self, tasks: &[&str]) -> ConnectionId {
        let connection = self.connect(Services::BOTH);
        let clients = self
            .engine
            .inspect()
            .clients()
            .filter(|client| !client.is_away)
            .count();
        assert!(self.receive(connection, &mut UPGRADE.as_bytes().to_vec()) > 0);
        assert!(self.receive(connection, &mut subscription(tasks)) > 0);
        assert_eq!(
            self.engine
                .inspect()
                .clients()
                .filter(|client| !client.is_away)
                .count(),
            clients + 1
        );
        connection
    }

    fn now(&self) -> Now {
        Now {
            at: Time::from_micros(self.micros),
            wall_ms: EPOCH_MS + self.micros / 1000,
        }
    }

    fn drain(&mut self, now: Now) -> usize {
        let mut written = 0;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Write(connection) => {
                    let bytes = self.engine.unsent(connection).map(<[u8]>::len).sum();
                    written += bytes;
                    let input = Input::Sent {
                        connection,
                        bytes: black_box(bytes),
                        blocked: false,
                    };
                    self.engine.handle_input(now, input);
                }
                Output::Close(_) | Output::Read(_) => {}
                other => panic!("nothing here reads slowly: {other:?}"),
            }
        }
        written
    }
}

/// A request for a WebSocket.
pub const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client's frame that subscribes to tasks.
pub fn subscription(tasks: &[&str]) -> Vec<u8> {
    let message = serde_json::json!({"type": "subscribe", "taskIds": tasks});
    masked(TEXT, message.to_string().as_bytes())
}

/// Whether to measure (`cargo bench`); otherwise everything runs once, small, to see that it works.
pub fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}
