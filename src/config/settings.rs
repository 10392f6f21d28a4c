//! The resolved configuration: plain typed fields named like their keys. Times are milliseconds, sizes are bytes.
//!
//! A value of these types that came out of [`load`](super::load) holds only possible values; one built by hand is the
//! builder's own affair. Zero keeps the meaning that `config.toml` gives it, mostly "none": see [`none_if_zero`].

use crate::base::choices::choices;
use crate::engine::settings::{HttpConfig, ListenPort, RoutesConfig, WebSocketConfig};
use crate::hub::{BroadcasterConfig, WorkspacesConfig};
use crate::wire::locale::Locale;
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

impl WebSocketConfig {
    /// Where the WebSocket listener is bound.
    pub fn endpoint(&self) -> Endpoint {
        self.port.endpoint(&self.host)
    }
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
        let level = level.name().parse();
        level.expect("the levels are named like those of `log`")
    }
}
