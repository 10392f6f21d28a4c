//! The resolved configuration: plain typed fields named like their keys. Times are milliseconds, sizes are bytes.
//!
//! A value of these types that came out of [`load`](super::load) holds only possible values; one built by hand is the
//! builder's own affair. Zero keeps the meaning that `config.toml` gives it, mostly "none": see [`none_if_zero`].

use super::auto::Auto;
use crate::hub::{BroadcasterConfig, WorkspacesConfig};
use serde::{Deserialize, Serialize};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Language of error messages and log lines.
    pub locale: Locale,
    /// What the process is for.
    pub environment: Environment,
    /// The WebSocket listener and its clients.
    pub websocket: WebSocketConfig,
    /// Tasks, and how their progress is told.
    pub broadcaster: BroadcasterConfig,
    /// Workspaces of the data dialect.
    pub workspaces: WorkspacesConfig,
    /// The HTTP listener.
    pub http: HttpConfig,
    /// Further ways in for events.
    pub ingest: IngestConfig,
    /// The application's own messages.
    pub routes: RoutesConfig,
    /// What outlives the process.
    pub storage: StorageConfig,
    /// The process.
    pub server: ServerConfig,
    /// Log lines.
    pub log: LogConfig,
}

impl Config {
    /// Whether messages that go to the application, if any do, go to nobody without `http.api_key`.
    pub fn guards_routes(&self) -> bool {
        self.routes.types.is_empty() || !self.http.api_key.is_empty()
    }

    /// Whether one listener serves both HTTP and WebSocket: same port (not 0) on the same host, or same socket path.
    pub fn shares_listener(&self) -> bool {
        let endpoint = self.websocket.endpoint();
        endpoint == self.http.endpoint() && !matches!(endpoint, Endpoint::Port { port: 0, .. })
    }
}

/// `[websocket]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Port or Unix socket path to listen on.
    pub port: ListenPort,
    /// URL path of the payload dialect; begins with `/` and is longer.
    pub path: String,
    /// URL path of the echo endpoint; empty: none.
    pub echo_path: String,
    /// Name or address to listen on.
    pub host: String,
    /// Milliseconds between pings; 0: none.
    pub heartbeat_interval: u64,
    /// Milliseconds of silence before a client counts as gone; 0: never.
    pub connection_timeout: u64,
    /// Clients at once; 0: no limit.
    pub max_clients: usize,
    /// Clients of one address at once; 0: no limit.
    pub max_clients_per_address: usize,
    /// Log entries kept per room; 0: none.
    pub message_queue_size: usize,
    /// Bytes of the longest message; 0: no limit.
    pub max_message_size: usize,
    /// Unsent bytes of one client before it is closed with 4430; 0: no limit.
    pub max_outbox_size: usize,
    /// Unsent messages beyond which they stay in the logs; 0: no limit.
    pub max_outbox_messages: usize,
    /// Milliseconds after which a client that reads nothing of what waits for it is closed; 0: never.
    pub max_backlog_age: u64,
    /// Milliseconds that a client may be away and come back; 0: there are no sessions.
    pub session_ttl: u64,
    /// Clients that may be away at once; 0: no limit.
    pub max_sessions: usize,
    /// Rooms at once; 0: no limit.
    pub max_rooms: usize,
    /// Rooms at once that only viewers have asked for; 0: no limit of their own.
    pub max_viewer_rooms: Auto,
    /// Rooms of one client; 0: no limit.
    pub max_rooms_per_client: usize,
    /// Who may send `room_broadcast`.
    pub publish: Publish,
    /// Who may send `task_control`.
    pub control: Control,
    /// TLS; refused by this version.
    pub secure: bool,
    /// `permessage-deflate` (RFC 7692).
    pub enable_compression: bool,
    /// Bytes below which a message is not compressed.
    pub compression_threshold: usize,
    /// Tokens; refused by this version.
    pub enable_authentication: bool,
    /// Secret of the tokens; empty: none.
    pub auth_secret: String,
    /// Rates per minute.
    pub rate_limit: RateLimitConfig,
    /// What clients are advised.
    pub reconnect: ReconnectConfig,
}

impl WebSocketConfig {
    /// Where the WebSocket listener is bound.
    pub fn endpoint(&self) -> Endpoint {
        self.port.endpoint(&self.host)
    }
}

/// `[websocket.rate_limit]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// Messages of one client; 0: no limit.
    pub max_messages_per_minute: u32,
    /// Messages of one client in a row, at first; 0: one.
    pub message_burst: Auto,
    /// Connections of one address; 0: no limit.
    pub max_connections_per_minute: u32,
    /// Connections of one address in a row, at first; 0: one.
    pub connection_burst: Auto,
}

/// `[websocket.reconnect]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconnectConfig {
    /// Attempts before giving up; 0: no limit.
    pub max_attempts: u32,
    /// Milliseconds before the first attempt.
    pub delay: u64,
    /// Whether the wait doubles.
    pub exponential_backoff: bool,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Port or Unix socket path to listen on.
    pub port: ListenPort,
    /// Name or address to listen on.
    pub host: String,
    /// Bearer key; empty: none.
    pub api_key: String,
    /// Bytes of the longest body; 0: no limit.
    pub max_body_size: usize,
    /// Bytes of the longest head; 0: no limit.
    pub max_head_size: usize,
}

impl HttpConfig {
    /// Where the HTTP listener is bound.
    pub fn endpoint(&self) -> Endpoint {
        self.port.endpoint(&self.host)
    }
}

/// `[ingest]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Unix socket path for NDJSON; empty: none.
    pub socket: String,
}

/// `[routes]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutesConfig {
    /// Patterns of the message types that go to the application; `*` is any run of characters.
    pub types: Vec<String>,
    /// Milliseconds that an answer may take; 0: any time.
    pub timeout: u64,
    /// Messages that wait for an answer at once; 0: no limit.
    pub max_pending: usize,
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The file, relative to the working directory; empty: memory only.
    pub path: String,
    /// How far a commit reaches before it counts.
    pub synchronous: Synchronous,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Origins of pages that are served; `auto`: those of this machine and of the hosts that are; `*`: any.
    pub allowed_origins: Vec<String>,
    /// Names of hosts under which the server may be asked.
    pub allowed_hosts: Vec<String>,
    /// Networks whose proxies may say whom they ask for; `unix`: whoever connects over a Unix-domain socket.
    pub trusted_proxies: Vec<String>,
    /// The header in which they do; empty: none.
    pub client_address_header: String,
    /// Connections at once; 0: as many as descriptors allow.
    pub max_connections: usize,
    /// Connections of one address at once; 0: no limit.
    pub max_connections_per_address: usize,
    /// Milliseconds that clients get to leave.
    pub shutdown_timeout: u64,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Least serious lines written.
    pub level: LogLevel,
    /// File to add to; empty: standard error.
    pub file: String,
}

/// `port`, as it is written: a number or the path of a Unix-domain socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ListenPort {
    /// A TCP port; 0: the system chooses.
    Number(u16),
    /// A Unix-domain socket.
    UnixPath(String),
}

impl ListenPort {
    fn endpoint(&self, host: &str) -> Endpoint {
        match self {
            Self::Number(port) => Endpoint::Port {
                host: host.to_owned(),
                port: *port,
            },
            Self::UnixPath(path) => Endpoint::UnixPath(path.clone()),
        }
    }
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port on a name or address.
    Port {
        /// The name or address.
        host: String,
        /// The port; 0: the system chooses.
        port: u16,
    },
    /// A Unix-domain socket.
    UnixPath(String),
}

/// `None` for the zero that stands for "none" in limits and intervals.
pub fn none_if_zero<N: Default + PartialEq>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}

/// An enum whose values are spelled in the configuration as given.
macro_rules! choices {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$meaning])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every spelling, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The spelling of this value.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

choices! {
    /// The language that people read.
    Locale {
        /// English.
        English = "en",
        /// Simplified Chinese, as in the seeds.
        SimplifiedChinese = "zh-CN",
    }
}

choices! {
    /// What the process is for.
    Environment {
        /// A developer's machine.
        Development = "development",
        /// The real thing.
        Production = "production",
        /// Tests.
        Test = "test",
    }
}

choices! {
    /// Which clients may send `room_broadcast`.
    Publish {
        /// None of them.
        Nobody = "none",
        /// The members of the room.
        Members = "members",
        /// All of them.
        Anybody = "any",
    }
}

choices! {
    /// Which clients may send `task_control`.
    Control {
        /// None of them.
        Nobody = "none",
        /// Those who watch the task.
        Members = "members",
        /// All of them.
        Anybody = "any",
    }
}

choices! {
    /// How far a commit reaches before it counts.
    Synchronous {
        /// The system has it: it survives the end of this process.
        Normal = "normal",
        /// The disk has it: it survives the end of the machine.
        Full = "full",
    }
}

choices! {
    /// How serious a log line must be.
    LogLevel {
        /// Nothing is written.
        Off = "off",
        /// What failed.
        Error = "error",
        /// What is odd.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// What was said.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

impl From<LogLevel> for log::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::Off,
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}
