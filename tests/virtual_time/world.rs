//! What the shell is in production: it hands the engine time and bytes and carries out what comes back. Here time is a
//! number, a socket is a queue, and how much a peer reads is up to the test.

use super::frames::{Decoder, Heard};
use super::masked::{PONG, TEXT, masked};
use joblight::Config;
use joblight::config::Auto;
use joblight::internals::base::{Now, Span, Time};
use joblight::internals::engine::{Engine, Input, Link, MemoryUse, Output, Services};
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

/// How long clients may be away by default.
const SESSION_TTL_MS: u64 = 300_000;
/// Milliseconds since 1970 when a world begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Where the clock of a later life begins, as that of the shell does.
const HEAD_START_MS: u64 = 366 * 24 * 3_600_000;
/// An engine that wants to be called more often than this at one moment will never rest.
const MAX_TURNS_AT_ONCE: usize = 100;

/// Names a connection for good.
pub(crate) type PeerId = usize;

/// Something heard, and the virtual millisecond.
pub(crate) type Said = (u64, Heard);

/// The engine and all its peers.
pub(crate) struct World {
    /// The server under test.
    pub(crate) engine: Engine,
    began: Now,
    micros: u64,
    peers: Vec<Peer>,
    links: HashMap<Link, PeerId>,
    rereads: Vec<PeerId>,
    transcript: DefaultHasher,
    /// The engine asked for its listeners to be closed.
    pub(crate) listens: bool,
    /// The engine said that nothing is left to be done.
    pub(crate) stopped: bool,
}

/// The far end of one connection.
struct Peer {
    link: Link,
    decoder: Decoder,
    heard: Vec<Said>,
    /// Bytes that its socket still takes; `None`: any number.
    window: Option<usize>,
    /// Bytes that it has sent and the server has not read.
    unread: Vec<u8>,
    pings: Vec<Vec<u8>>,
    answers_pings: bool,
    leaves: bool,
    half_closed: bool,
    closed: bool,
}

/// A request to become a WebSocket, with further header lines.
pub(crate) fn upgrade_request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

impl World {
    /// A server with the default configuration, without rate limits, changed by `change`.
    pub(crate) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_seed(1, change)
    }

    /// The same, with chance of one's own.
    pub(crate) fn with_seed(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let began = Now {
            at: Time::ZERO,
            wall_ms: EPOCH_MS,
        };
        Self::begun(seed, began, change)
    }

    /// The same, so many milliseconds after the others begin, and with room for what happened before.
    pub(crate) fn later(seed: u64, millis: u64, change: impl FnOnce(&mut Config)) -> Self {
        let began = Now {
            at: Time::from_millis(HEAD_START_MS),
            wall_ms: EPOCH_MS + millis,
        };
        Self::begun(seed, began, change)
    }

    fn begun(seed: u64, began: Now, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.storage.path = String::new();
        config.websocket.rate_limit.max_connections_per_minute = 0;
        config.websocket.rate_limit.max_messages_per_minute = 0;
        config.server.trusted_proxies = Vec::new();
        config.server.max_connections_per_address = 0;
        config.websocket.max_clients_per_address = 0;
        change(&mut config);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let memory = || MemoryUse {
            used: 1,
            total: 100,
        };
        Self {
            engine: Engine::new(config.engine_settings(), began, bytes, Box::new(memory)),
            began,
            micros: 0,
            peers: Vec::new(),
            links: HashMap::new(),
            rereads: Vec::new(),
            transcript: DefaultHasher::new(),
            listens: true,
            stopped: false,
        }
    }

    /// Virtual milliseconds since the beginning.
    pub(crate) fn millis(&self) -> u64 {
        self.micros / 1000
    }

    /// The moment of a message's `timestamp`, in virtual milliseconds.
    pub(crate) fn moment(message: &Value) -> u64 {
        message["timestamp"].as_u64().expect("a timestamp") - EPOCH_MS
    }

    /// A virtual millisecond on the wall clock.
    pub(crate) fn wall_ms(millis: u64) -> u64 {
        EPOCH_MS + millis
    }

    /// A number for all that the engine has ever put out.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript.finish()
    }

    /// Lets time pass, calling the engine whenever it wants to be called and at no other moment.
    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.micros + millis * 1000;
        let mut turns = 0;
        while let Some(at) = self.next_wake()
            && at <= end
        {
            turns = if at > self.micros { 0 } else { turns + 1 };
            assert!(turns < MAX_TURNS_AT_ONCE, "the engine spins at {at}");
            self.micros = self.micros.max(at);
            self.turn(|_| {});
        }
        self.micros = end;
    }

    /// When the engine wants to be called, in virtual microseconds.
    fn next_wake(&self) -> Option<u64> {
        let at = self.engine.poll_timeout()?;
        Some(at.saturating_since(self.began.at).as_micros())
    }

    /// One turn of the loop, with these inputs.
    pub(crate) fn turn(&mut self, inputs: impl FnOnce(&mut Self)) {
        self.long_turn(0, inputs);
        for peer in 0..self.peers.len() {
            if self.peers[peer].answers_pings && !self.peers[peer].closed {
                let pings = self.pings(peer).into_iter();
                let pongs: Vec<Vec<u8>> = pings.map(|ping| masked(PONG, &ping)).collect();
                if !pongs.is_empty() {
                    self.say(peer, &pongs.concat());
                }
            }
        }
        for peer in std::mem::take(&mut self.rereads) {
            self.say(peer, &[]);
        }
    }

    /// A turn that takes a while: time passes between its inputs and its end.
    pub(crate) fn long_turn(&mut self, millis: u64, inputs: impl FnOnce(&mut Self)) {
        self.engine.begin_turn(self.now());
        inputs(self);
        self.engine.handle_time(self.now());
        self.micros += millis * 1000;
        self.engine.settle(self.now());
        self.carry_out();
        self.engine.handle_turn_end(self.now());
    }

    /// A peer connects.
    pub(crate) fn connect(&mut self, services: Services, address: [u8; 4]) -> PeerId {
        self.connect_from(services, Some(address.into()))
    }

    /// The same, from any address, or (`None`) over a Unix-domain socket.
    pub(crate) fn connect_from(&mut self, services: Services, address: Option<IpAddr>) -> PeerId {
        let now = self.now();
        let peer = self.peers.len();
        self.turn(|world| {
            let link = world.engine.accept(now, services, address);
            world.links.insert(link, peer);
            world.peers.push(Peer {
                link,
                decoder: Decoder::default(),
                heard: Vec::new(),
                window: None,
                unread: Vec::new(),
                pings: Vec::new(),
                answers_pings: true,
                leaves: true,
                half_closed: false,
                closed: false,
            });
        });
        peer
    }

    /// A client of the payload dialect, greeted.
    pub(crate) fn viewer(&mut self) -> PeerId {
        let viewer = self.upgrade("/ws", "");
        let greeting = self.messages(viewer);
        assert_eq!(greeting.len(), 1);
        assert_eq!(greeting[0]["type"], "connected");
        viewer
    }

    /// A viewer in the room of a task, with nothing heard yet.
    pub(crate) fn watcher(&mut self, task: &str) -> PeerId {
        let viewer = self.viewer();
        self.send(
            viewer,
            &serde_json::json!({"type": "subscribe", "taskIds": [task]}),
        );
        assert_eq!(self.messages(viewer)[0]["type"], "subscription_ack");
        viewer
    }

    /// A WebSocket connection on `path`, with further header lines.
    pub(crate) fn upgrade(&mut self, path: &str, headers: &str) -> PeerId {
        let peer = self.connect(Services::BOTH, [127, 0, 0, 1]);
        self.ask_upgrade(peer, path, headers);
        peer
    }

    /// A connection asks to become a WebSocket.
    pub(crate) fn ask_upgrade(&mut self, peer: PeerId, path: &str, headers: &str) {
        self.say(peer, upgrade_request(path, headers).as_bytes());
    }

    /// A peer says that it will send no more, and goes on reading.
    pub(crate) fn end(&mut self, peer: PeerId) {
        let (now, link) = (self.now(), self.peers[peer].link);
        self.turn(|world| world.engine.handle_input(now, link, Input::Ended));
    }

    /// A client sends a message.
    pub(crate) fn send(&mut self, peer: PeerId, message: &Value) {
        self.say(peer, &masked(TEXT, message.to_string().as_bytes()));
    }

    /// A peer sends bytes.
    pub(crate) fn say(&mut self, peer: PeerId, bytes: &[u8]) {
        self.turn(|world| world.feed(peer, bytes));
    }

    /// Hands bytes of a peer to the engine, if it reads them now, within a turn.
    pub(crate) fn feed(&mut self, peer: PeerId, bytes: &[u8]) {
        let now = self.now();
        let far = &mut self.peers[peer];
        far.unread.extend_from_slice(bytes);
        if !far.closed && self.engine.is_reading(far.link) {
            let mut unread = std::mem::take(&mut far.unread);
            self.engine
                .handle_input(now, far.link, Input::Received(&mut unread));
        }
    }

    /// A request to the API from a connection of its own.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let peer = self.connect(Services::HTTP, [127, 0, 0, 1]);
        self.say(peer, request(method, path, body).as_bytes());
        let heard = self.heard(peer);
        self.leave(peer);
        match &heard[..] {
            [(_, Heard::Answer(status, body))] => (*status, body.clone()),
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    /// A request that must be answered 2xx.
    pub(crate) fn post(&mut self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call("POST", path, &body);
        assert!(
            (200..300).contains(&status),
            "POST {path} {body}: {status} {answer}"
        );
        answer
    }

    /// A task event.
    pub(crate) fn report(&mut self, task: &str, verb: &str, body: Value) -> Value {
        self.post(&format!("/api/tasks/{task}/{verb}"), body)
    }

    /// A document that must be there.
    pub(crate) fn document(&mut self, path: &str) -> Value {
        let (status, answer) = self.call("GET", path, &Value::Null);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// What a peer has heard since it was last asked.
    pub(crate) fn heard(&mut self, peer: PeerId) -> Vec<Said> {
        std::mem::take(&mut self.peers[peer].heard)
    }

    /// The `Retry-After` of the last answer that a peer was given, in seconds.
    pub(crate) fn retry_after(&self, peer: PeerId) -> Option<u64> {
        self.peers[peer].decoder.retry_after
    }

    /// The messages among it.
    pub(crate) fn messages(&mut self, peer: PeerId) -> Vec<Value> {
        let heard = self.heard(peer).into_iter();
        heard
            .filter_map(|(_, heard)| match heard {
                Heard::Message(message) => Some(message),
                _ => None,
            })
            .collect()
    }

    /// A peer's socket takes so many bytes more, and then none.
    pub(crate) fn stall(&mut self, peer: PeerId, bytes: usize) {
        self.peers[peer].window = Some(bytes);
    }

    /// A peer reads `bytes` more, or (`None`) all from now on.
    pub(crate) fn read(&mut self, peer: PeerId, bytes: Option<usize>) {
        self.peers[peer].window = bytes;
        self.turn(|world| world.write(peer));
    }

    /// Whether the server leaves a peer's requests for later, because it does not read the answers.
    pub(crate) fn is_held_back(&self, peer: PeerId) -> bool {
        self.engine.inspect().is_backlogged(self.peers[peer].link)
    }

    /// What the pings carried that a peer has not answered; nobody answers them any more.
    pub(crate) fn pings(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.peers[peer].pings)
    }

    /// What the pongs carried that a peer has been sent since it was last asked.
    pub(crate) fn pongs(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        self.peers[peer].decoder.take_pongs()
    }

    /// Whether the server would read more of a peer now.
    pub(crate) fn is_read(&self, peer: PeerId) -> bool {
        self.engine.is_reading(self.peers[peer].link)
    }

    /// A peer answers a ping.
    pub(crate) fn pong(&mut self, peer: PeerId, payload: &[u8]) {
        self.say(peer, &masked(PONG, payload));
    }

    /// Whether a peer answers pings; at first every peer does.
    pub(crate) fn set_answers_pings(&mut self, peer: PeerId, answers: bool) {
        self.peers[peer].answers_pings = answers;
    }

    /// Whether a peer goes when the server says goodbye; at first every peer does.
    pub(crate) fn set_leaves(&mut self, peer: PeerId, leaves: bool) {
        self.peers[peer].leaves = leaves;
    }

    /// A peer's socket closes.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        let now = self.now();
        let link = self.peers[peer].link;
        self.turn(|world| world.engine.handle_input(now, link, Input::Failed));
        assert!(self.peers[peer].closed, "a closed socket is let go");
    }

    /// Whether a connection is over.
    pub(crate) fn is_closed(&self, peer: PeerId) -> bool {
        self.peers[peer].closed
    }

    /// What the engine calls a peer.
    pub(crate) fn link(&self, peer: PeerId) -> Link {
        self.peers[peer].link
    }

    /// Bytes that the server holds for a peer.
    pub(crate) fn unsent_bytes(&self, peer: PeerId) -> usize {
        self.engine
            .unsent(self.peers[peer].link)
            .map(<[u8]>::len)
            .sum()
    }

    /// Where the first of them lie.
    pub(crate) fn unsent_place(&self, peer: PeerId) -> *const u8 {
        let mut unsent = self.engine.unsent(self.peers[peer].link);
        unsent.next().expect("something is unsent").as_ptr()
    }

    /// Whether the server has sent its FIN.
    pub(crate) fn is_half_closed(&self, peer: PeerId) -> bool {
        self.peers[peer].half_closed
    }

    /// SIGTERM.
    pub(crate) fn shut_down(&mut self) {
        let now = self.now();
        self.turn(|world| world.engine.shut_down(now));
    }

    /// Fails unless nothing is left of any connection, room, task or timer.
    pub(crate) fn assert_empty(&mut self) {
        while let Some(away) = Some(self.engine.inspect().away()).filter(|away| *away > 0) {
            self.run_for(SESSION_TTL_MS);
            assert!(self.engine.inspect().away() < away, "sessions");
        }
        let held = self.engine.inspect();
        assert_eq!(held.connections(), 0, "connections");
        assert_eq!(held.backlogged(), 0, "backlogged connections");
        assert_eq!(held.unsent_messages(), 0, "unsent messages");
        assert_eq!(held.rooms().len(), 0, "rooms");
        assert_eq!(held.tasks(), 0, "tasks");
        assert_eq!(held.pending_progress(), 0, "pending progress");
        assert_eq!(held.backend_requests(), 0, "messages for the application");
        assert_eq!(held.timers(), 0, "timers");
        assert_eq!(
            self.engine.poll_timeout(),
            None,
            "an empty server wakes for nothing"
        );
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            at: self.began.at + Span::from_micros(self.micros),
            wall_ms: self.began.wall_ms + self.millis(),
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            (self.micros, format!("{output:?}")).hash(&mut self.transcript);
            match output {
                Output::Write(link) => {
                    if let Some(peer) = self.links.get(&link) {
                        self.write(*peer);
                    }
                }
                Output::Read(link) => self.rereads.extend(self.links.get(&link)),
                Output::HalfClose(link) => self.handle_half_close(self.links[&link]),
                Output::Close(link) => {
                    let peer = self.links[&link];
                    assert!(!self.peers[peer].closed, "a socket is closed once");
                    self.peers[peer].closed = true;
                }
                Output::StopListening => self.listens = false,
                Output::Stopped => self.stopped = true,
            }
        }
    }

    fn handle_half_close(&mut self, peer: PeerId) {
        self.peers[peer].half_closed = true;
        if self.peers[peer].leaves {
            let now = self.now();
            self.engine
                .handle_input(now, self.peers[peer].link, Input::Ended);
        }
    }

    /// Writes what is unsent, as far as the peer's window reaches.
    fn write(&mut self, peer: PeerId) {
        let (now, at) = (self.now(), self.millis());
        let far = &mut self.peers[peer];
        if far.closed {
            return;
        }
        let unsent = self.engine.unsent(far.link).collect::<Vec<_>>().concat();
        let bytes = unsent.len().min(far.window.unwrap_or(usize::MAX));
        let blocked = bytes < unsent.len();
        unsent[..bytes].hash(&mut self.transcript);
        far.window = far.window.map(|window| window - bytes);
        far.decoder.push(&unsent[..bytes]);
        let heard = far.decoder.poll();
        far.pings.extend(far.decoder.take_pings());
        far.heard.extend(heard.into_iter().map(|heard| (at, heard)));
        self.engine
            .handle_input(now, far.link, Input::Sent { bytes, blocked });
    }
}

/// So many connections of an address at once and in each minute.
pub(crate) fn limit_connections(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_connections_per_minute = count;
    limits.connection_burst = Auto::Number(count);
}

/// So many messages of a client at once and in each minute.
pub(crate) fn limit_messages(config: &mut Config, count: u32) {
    let limits = &mut config.websocket.rate_limit;
    limits.max_messages_per_minute = count;
    limits.message_burst = Auto::Number(count);
}

/// An HTTP request with a JSON body.
pub(crate) fn request(method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
