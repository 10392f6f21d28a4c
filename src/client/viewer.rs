//! A viewer: it watches rooms, reconnects when its connection is lost, and asks for what it missed.

use super::connection::{ConnectError, Connection, Received};
use super::positions::Positions;
use super::reconnect::{Advice, Loss, ReconnectDecision, ReconnectPolicy};
use super::url::{Purpose, ServerUrl, UrlError};
use crate::base::time::Span;
use crate::wire::websocket::CloseCode;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// For a connection, a handshake or a greeting.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server that greets at all has usually done so by then.
const EARLY: Duration = Duration::from_secs(1);

/// The default path of the payload dialect.
const DEFAULT_PATH: &str = "/ws";

/// The id of the `ping` that finds out whether the peer understands us.
const PROBE_ID: &str = "greeting";

/// The id of a subscription, repeated in an error that answers it.
pub const SUBSCRIBE_ID: &str = "subscribe";

/// Practically for ever, and within the range of `Instant`.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a client gives up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The first connection failed.
    #[error("cannot connect to {url}: {source}")]
    Connect { url: String, source: ConnectError },
    /// Whoever answers does not greet as the contract demands.
    #[error(
        "no greeting from `{url}`; expected the path of the payload dialect, as in `{expected}`"
    )]
    NoGreeting {
        url: String,
        /// The URL under a server's default configuration.
        expected: String,
    },
    #[error("cannot ask for randomness: {0}")]
    Randomness(getrandom::Error),
    /// The server wants a token, or a fresh one.
    #[error("{0}; a new token is needed")]
    Unauthorized(String),
    /// Reconnecting would end the same way.
    #[error("{0}")]
    Ended(String),
    /// The advised number of attempts is used up.
    #[error("{0}; gave up")]
    GaveUp(String),
}

#[derive(Debug)]
pub enum ClientEvent {
    Message(ServerMessage),
    /// The client reconnects by itself while it is asked for events.
    Lost {
        reason: String,
        /// The next attempt, from 1.
        attempt: u32,
        /// Until that attempt.
        delay: Duration,
    },
}

#[derive(Debug, Clone)]
pub struct ServerMessage {
    /// As it came.
    pub text: String,
    /// The same, parsed; `null` if it is not JSON.
    pub value: Value,
}

impl ServerMessage {
    fn parse(text: String) -> Self {
        let value = serde_json::from_str(&text).unwrap_or_default();
        Self { text, value }
    }

    /// The message type.
    pub fn kind(&self) -> &str {
        self.value["type"].as_str().unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Client {
    url: ServerUrl,
    connection: Option<Connection>,
    reconnect: ReconnectPolicy,
    retry_at: Instant,
    session: Option<String>,
    positions: Positions,
    last_heard: Instant,
    max_silence: Option<Duration>,
}

impl Client {
    /// Connects to the payload dialect and waits for the greeting. A first connection that fails is not retried.
    pub fn connect(url: &str) -> Result<Self, ClientError> {
        let parsed = ServerUrl::parse(url, Purpose::WebSocket)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(ClientError::Randomness)?;
        let connection = Connection::open(&parsed, &parsed.target, TIMEOUT);
        let connection = connection.map_err(|source| ClientError::Connect {
            url: url.to_owned(),
            source,
        })?;
        let mut client = Self {
            url: parsed,
            connection: Some(connection),
            reconnect: ReconnectPolicy::new(seed),
            retry_at: Instant::now(),
            session: None,
            positions: Positions::default(),
            last_heard: Instant::now(),
            max_silence: None,
        };
        match client.greeting()? {
            Some(ClientEvent::Message(message)) if message.kind() == "connected" => Ok(client),
            Some(ClientEvent::Message(message)) if message.kind() == "disconnected" => {
                Err(ClientError::Ended(farewell(&message)))
            }
            Some(ClientEvent::Lost { reason, .. }) => Err(ClientError::Ended(reason)),
            _ => Err(ClientError::NoGreeting {
                url: url.to_owned(),
                expected: client.url.with_target(DEFAULT_PATH),
            }),
        }
    }

    /// The server's first message. Other dialects say nothing until asked, and then that they do not understand.
    fn greeting(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let early = self.next(EARLY)?;
        if early.is_some() {
            return Ok(early);
        }
        self.send(&json!({"type": "ping", "id": PROBE_ID}));
        self.next(TIMEOUT)
    }

    /// Watches rooms, now and after every reconnect. `subscription_ack` comes as the next message or later.
    pub fn subscribe(&mut self, rooms: &[String]) {
        for room in rooms {
            self.positions.insert(room);
        }
        self.send(&json!({"type": "subscribe", "id": SUBSCRIBE_ID, "payload": {"rooms": rooms}}));
    }

    /// Watches the room `task:<id>` of each task.
    pub fn subscribe_tasks(&mut self, task_ids: &[String]) {
        let rooms: Vec<String> = task_ids.iter().map(|id| format!("task:{id}")).collect();
        self.subscribe(&rooms);
    }

    /// A message sent while the connection is lost is lost as well.
    pub fn send(&mut self, message: &Value) {
        if let Some(connection) = &mut self.connection {
            connection.send(message.to_string());
        }
    }

    /// Waits for no longer than `timeout`; `None` when nothing has happened by then.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<ClientEvent>, ClientError> {
        let deadline = later(Instant::now(), timeout);
        loop {
            let now = Instant::now();
            if self.connection.is_none() {
                if self.retry_at > deadline {
                    thread::sleep(deadline.saturating_duration_since(now));
                    return Ok(None);
                }
                thread::sleep(self.retry_at.saturating_duration_since(now));
                if let Some(event) = self.come_back()? {
                    return Ok(Some(event));
                }
            }
            match self.receive(deadline) {
                Received::Text(text) => {
                    let message = ServerMessage::parse(text);
                    if self.observe(&message.value) {
                        return Ok(Some(ClientEvent::Message(message)));
                    }
                }
                Received::Lost(loss, reason) => return self.handle_loss(loss, reason).map(Some),
                Received::Sign | Received::Nothing if Instant::now() < deadline => {}
                Received::Sign | Received::Nothing => return Ok(None),
            }
        }
    }

    pub fn close(self) {
        if let Some(connection) = self.connection {
            connection.close();
        }
    }

    fn receive(&mut self, deadline: Instant) -> Received {
        let silent_at = self
            .max_silence
            .map(|silence| later(self.last_heard, silence));
        let until = silent_at.map_or(deadline, |silent_at| silent_at.min(deadline));
        let Some(connection) = &mut self.connection else {
            return Received::Nothing;
        };
        let received = connection.receive(until.saturating_duration_since(Instant::now()));
        match received {
            Received::Nothing if silent_at.is_some_and(|at| at <= Instant::now()) => {
                Received::Lost(Loss::Broken, "no sign of life from the server".to_owned())
            }
            Received::Nothing | Received::Lost(..) => received,
            Received::Text(_) | Received::Sign => {
                self.last_heard = Instant::now();
                received
            }
        }
    }

    fn come_back(&mut self) -> Result<Option<ClientEvent>, ClientError> {
        let target = match &self.session {
            Some(session) => self.url.target_with(&format!("session={session}")),
            None => self.url.target.clone(),
        };
        match Connection::open(&self.url, &target, TIMEOUT) {
            Ok(connection) => {
                self.connection = Some(connection);
                self.last_heard = Instant::now();
                Ok(None)
            }
            Err(error) => {
                let event = self.handle_loss(error.loss(), error.to_string());
                event.map(Some)
            }
        }
    }

    fn handle_loss(&mut self, loss: Loss, reason: String) -> Result<ClientEvent, ClientError> {
        self.connection = None;
        match self.reconnect.handle_loss(loss) {
            ReconnectDecision::Retry { attempt, delay } => {
                let delay = Duration::from(delay);
                self.retry_at = later(Instant::now(), delay);
                Ok(ClientEvent::Lost {
                    reason,
                    attempt,
                    delay,
                })
            }
            ReconnectDecision::RenewToken => Err(ClientError::Unauthorized(reason)),
            ReconnectDecision::StayAway => Err(ClientError::Ended(reason)),
            ReconnectDecision::GiveUp => Err(ClientError::GaveUp(reason)),
        }
    }

    /// Records what a message says about the connection itself; returns whether the message is new.
    fn observe(&mut self, message: &Value) -> bool {
        let payload = &message["payload"];
        match message["type"].as_str() {
            Some("connected") => self.handle_connected(payload),
            Some("disconnected") => {
                let code = payload["code"]
                    .as_u64()
                    .and_then(|code| u16::try_from(code).ok());
                let delay = Span::from_millis(payload["delayMs"].as_u64().unwrap_or(0));
                let code = CloseCode(code.unwrap_or(1005));
                let reconnect = payload["reconnect"].as_bool();
                self.reconnect.handle_disconnected(code, reconnect, delay);
            }
            Some("pong") if message["replyTo"] == PROBE_ID => return false,
            Some("subscription_ack") => self.positions.handle_acknowledgement(payload),
            _ => return self.positions.handle_message(message),
        }
        true
    }

    fn handle_connected(&mut self, payload: &Value) {
        let millis = |value: &Value| value.as_u64().unwrap_or(0);
        let advised = &payload["reconnect"];
        self.reconnect.handle_connected(Advice {
            max_attempts: u32::try_from(millis(&advised["maxAttempts"])).unwrap_or(u32::MAX),
            delay: Span::from_millis(millis(&advised["delay"])),
            exponential_backoff: advised["exponentialBackoff"] == true,
        });
        let heartbeat = millis(&payload["heartbeatInterval"]);
        let patience = millis(&payload["connectionTimeout"]).max(heartbeat);
        self.max_silence =
            (heartbeat > 0).then(|| Duration::from_millis(heartbeat.saturating_add(patience)));
        self.session = payload["session"].as_str().map(str::to_owned);
        if payload["resumed"] != true && !self.positions.is_empty() {
            self.subscribe_again();
        }
    }

    /// Asks a server that does not remember the session for all rooms, and for what was missed in them.
    fn subscribe_again(&mut self) {
        let wish = json!({"rooms": self.positions.rooms(), "since": self.positions.since()});
        let message = json!({"type": "subscribe", "id": SUBSCRIBE_ID, "payload": wish});
        self.send(&message);
    }
}

/// Bounded by what `Instant` can express, however long a server lets us wait.
fn later(from: Instant, span: Duration) -> Instant {
    from.checked_add(span.min(LONGEST)).unwrap_or(from)
}

fn farewell(message: &ServerMessage) -> String {
    let payload = &message.value["payload"];
    let reason = payload["reason"].as_str().unwrap_or_default();
    format!("the server closed with {}: {reason}", payload["code"])
}
