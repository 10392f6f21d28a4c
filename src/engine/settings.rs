//! What the engine must know of the configuration: its sections as they are written, and what follows from them. Zero keeps the meaning
//! that `config.toml` gives it, mostly "none".

use crate::base::auto::Auto;
use crate::base::choices::choices;
use crate::base::pattern::Pattern;
use crate::base::time::{Now, Span};
use crate::base::token_bucket::Rate;
use crate::engine::access::{Access, Proxies};
use crate::hub::{HubSettings, Moment};
use crate::wire::locale::Locale;
use crate::wire::message::event::check_application_type;
use serde::{Deserialize, Serialize};

/// The engine's part of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The language of error messages and log lines.
    pub locale: Locale,
    /// What concerns rooms, logs and sessions is read from `hub`, rates from `message_rate` and `connection_rate`, and patterns from
    /// `routed`, because they are derived; assign all together with `Config::engine_settings`.
    pub websocket: WebSocketConfig,
    /// How often one client may send a message.
    pub message_rate: Rate,
    /// How often one address may connect.
    pub connection_rate: Rate,
    pub http: HttpConfig,
    /// Which pages and hosts are served.
    pub access: Access,
    /// Who may say whom it asks for.
    pub proxies: Proxies,
    /// So many connections beyond which no viewer is let in; 0: any number.
    pub max_viewers: usize,
    /// The most connections of one address.
    pub max_connections_per_address: usize,
    /// Of rooms and tasks.
    pub hub: HubSettings,
    /// Of the application's own messages.
    pub routes: RoutesConfig,
    /// `routes.types`, to be matched.
    pub routed: Vec<Pattern>,
    /// How long connections may drain at the end.
    pub shutdown_timeout: Span,
}

impl Settings {
    /// What the hub is lent with a call.
    pub fn at(&self, now: Now) -> Moment<'_> {
        let settings = &self.hub;
        Moment { now, settings }
    }

    /// Whether messages of this type, which joblight does not know, go to the application. What only the server may say is no
    /// message for anybody, whatever the patterns are.
    pub fn routes(&self, kind: &str) -> bool {
        self.routed.iter().any(|pattern| pattern.matches(kind))
            && check_application_type(kind).is_ok()
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
    /// Milliseconds that a handshake, a request or a message may take, and of silence before a client counts as gone; 0: any.
    pub connection_timeout: u64,
    /// Clients at once; 0: no limit.
    pub max_clients: usize,
    /// Clients of one address at once; 0: no limit.
    pub max_clients_per_address: usize,
    /// Log entries kept per room; 0: none.
    pub message_queue_size: usize,
    /// Bytes of the longest message; 0: no limit.
    pub max_message_size: usize,
    /// Unsent bytes of one client beyond which messages stay in the logs; 0: no limit. A broadcast that a client of the data dialect
    /// has no room for closes it (4430).
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
    pub publish: Permission,
    /// Who may send `task_control`.
    pub control: Permission,
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

/// `port`, as it is written: a number or the path of a Unix-domain socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ListenPort {
    /// A TCP port; 0: the system chooses.
    Number(u16),
    /// A Unix-domain socket.
    UnixPath(String),
}

choices! {
    /// What viewers may do: `websocket.publish` (send a `room_broadcast`), `websocket.control` (send a `task_control`).
    Permission {
        /// None of them.
        Nobody = "none",
        /// The members of the room, or of the task's room.
        Members = "members",
        /// All of them.
        Anybody = "any",
    }
}
