//! What the engine must know of the configuration. Everywhere 0 means none (contract section 8).

use crate::base::pattern::Pattern;
use crate::base::time::{Now, Span};
use crate::base::token_bucket::Rate;
use crate::engine::access::{Access, Proxies};
use crate::hub::{HubSettings, Moment};
use crate::wire::locale::Locale;
use crate::wire::message::event::check_application_type;
use serde::Serialize;

/// The engine's part of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The language of error messages and log lines.
    pub locale: Locale,
    /// Of WebSocket connections.
    pub websocket: WebSocketSettings,
    /// Of the HTTP API.
    pub http: HttpSettings,
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
    pub routes: RoutesSettings,
    /// How long connections may drain at the end.
    pub shutdown_timeout: Span,
}

impl Settings {
    /// What the hub is lent with a call.
    pub fn at(&self, now: Now) -> Moment<'_> {
        let settings = &self.hub;
        Moment { now, settings }
    }
}

/// `[websocket]`
#[derive(Debug, Clone)]
pub struct WebSocketSettings {
    /// The path of the payload dialect.
    pub path: String,
    /// The path on which every message is sent back; empty: none.
    pub echo_path: String,
    /// Messages of fewer bytes are not compressed.
    pub compression_threshold: usize,
    /// The time between two pings.
    pub heartbeat_interval: Span,
    /// The time a handshake may take, and the silence that a socket is allowed.
    pub connection_timeout: Span,
    /// The most clients.
    pub max_clients: usize,
    /// The most clients of one address.
    pub max_clients_per_address: usize,
    /// The largest message, in bytes.
    pub max_message_size: usize,
    /// Unsent bytes of one client beyond which messages stay in the logs.
    pub max_outbox_size: usize,
    /// Unsent messages of one client beyond which they do.
    pub max_outbox_messages: usize,
    /// How long a client may read nothing of what waits for it.
    pub max_backlog_age: Span,
    /// Whether `permessage-deflate` is agreed to.
    pub enable_compression: bool,
    /// Who may publish to a room.
    pub publish: Permission,
    /// Who may cancel, pause and resume tasks.
    pub control: Permission,
    /// How often one client may send a message.
    pub message_rate: Rate,
    /// How often one address may connect.
    pub connection_rate: Rate,
    /// What clients are told about reconnecting.
    pub reconnect: Reconnect,
}

/// `[websocket.reconnect]`, as a greeting tells it.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconnect {
    /// How often a client should try.
    pub max_attempts: u32,
    /// How long it should wait before the first attempt, in milliseconds.
    #[serde(rename = "delay")]
    pub delay_ms: u64,
    /// Whether it should double the wait each time.
    pub exponential_backoff: bool,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The key that the API demands; empty: none.
    pub api_key: String,
    /// The largest body, in bytes.
    pub max_body_size: usize,
    /// The largest head, in bytes.
    pub max_head_size: usize,
}

/// `[routes]`
#[derive(Debug, Clone)]
pub struct RoutesSettings {
    /// Which message types go to the application.
    pub types: Vec<Pattern>,
    /// How long it may take to answer one.
    pub timeout: Span,
    /// The most messages that wait for its answer.
    pub max_pending: usize,
}

impl RoutesSettings {
    /// Whether messages of this type, which joblight does not know, go to the application. What only the server may say is no
    /// message for anybody, whatever the patterns are.
    pub fn takes(&self, kind: &str) -> bool {
        self.types.iter().any(|pattern| pattern.matches(kind))
            && check_application_type(kind).is_ok()
    }
}

/// What viewers may do: `websocket.publish` (send a `room_broadcast`), `websocket.control` (send a `task_control`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Nobody,
    /// The members of the room, or of the task's room.
    Members,
    Anybody,
}
