//! The key table: every key once, with what it may hold and what the seeds call it in the environment.
//!
//! File, environment, flags and the resolved print all go by this table. It says nothing of defaults and meanings:
//! those stand in `config.toml`.

use super::manual;
use super::settings::{Environment, LogLevel, Synchronous};
use crate::engine::settings::Permission;
use crate::wire::locale::Locale;

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    path: &'static str,
    pub(super) kind: Kind,
    pub(super) seed_variable: Option<&'static str>,
}

/// What a key may hold.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Switch,
    Whole {
        least: u64,
        most: u64,
    },
    /// The same, or "auto".
    AutoWhole {
        least: u64,
        most: u64,
    },
    Fraction {
        least: f64,
        most: f64,
    },
    Choice(&'static [&'static str]),
    Text,
    /// Text that is never shown.
    Secret,
    Host,
    UrlPath,
    /// The same, or nothing.
    MaybeUrlPath,
    /// Path of a Unix-domain socket; empty: none.
    SocketPath,
    /// A port number, or the path of a Unix-domain socket.
    Port,
    Origins,
    Hosts,
    /// Networks in CIDR form and addresses, or `unix`.
    Networks,
    /// The name of a header, or nothing.
    HeaderName,
    /// Patterns of message types.
    Patterns,
}

const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;
const MILLISECONDS: Kind = Kind::Whole {
    least: 0,
    most: YEAR_MS,
};
const COUNT: Kind = Kind::Whole {
    least: 0,
    most: u32::MAX as u64,
};
const AUTO_COUNT: Kind = Kind::AutoWhole {
    least: 0,
    most: u32::MAX as u64,
};
const BYTES: Kind = COUNT;

const KEYS: &[Key] = &[
    Key::new("locale", Kind::Choice(Locale::NAMES)),
    Key::new("environment", Kind::Choice(Environment::NAMES)).seed("NODE_ENV"),
    Key::new("websocket.port", Kind::Port).seed("WEBSOCKET_PORT"),
    Key::new("websocket.path", Kind::UrlPath).seed("WEBSOCKET_PATH"),
    Key::new("websocket.echo_path", Kind::MaybeUrlPath),
    Key::new("websocket.host", Kind::Host).seed("WEBSOCKET_HOST"),
    Key::new("websocket.heartbeat_interval", MILLISECONDS),
    Key::new("websocket.connection_timeout", MILLISECONDS),
    Key::new("websocket.max_clients", COUNT),
    Key::new("websocket.max_clients_per_address", COUNT),
    Key::new("websocket.message_queue_size", COUNT),
    Key::new("websocket.max_message_size", BYTES),
    Key::new("websocket.max_outbox_size", BYTES),
    Key::new("websocket.max_outbox_messages", COUNT),
    Key::new("websocket.max_backlog_age", MILLISECONDS),
    Key::new("websocket.session_ttl", MILLISECONDS),
    Key::new("websocket.max_sessions", COUNT),
    Key::new("websocket.max_rooms", COUNT),
    Key::new("websocket.max_viewer_rooms", AUTO_COUNT),
    Key::new("websocket.max_rooms_per_client", COUNT),
    Key::new("websocket.publish", Kind::Choice(Permission::NAMES)),
    Key::new("websocket.control", Kind::Choice(Permission::NAMES)),
    Key::new("websocket.secure", Kind::Switch).seed("WEBSOCKET_SECURE"),
    Key::new("websocket.enable_compression", Kind::Switch),
    Key::new("websocket.compression_threshold", BYTES),
    Key::new("websocket.enable_authentication", Kind::Switch).seed("WEBSOCKET_AUTH_ENABLED"),
    Key::new("websocket.auth_secret", Kind::Secret).seed("WEBSOCKET_AUTH_SECRET"),
    Key::new("websocket.rate_limit.max_messages_per_minute", COUNT),
    Key::new("websocket.rate_limit.message_burst", AUTO_COUNT),
    Key::new("websocket.rate_limit.max_connections_per_minute", COUNT),
    Key::new("websocket.rate_limit.connection_burst", AUTO_COUNT),
    Key::new("websocket.reconnect.max_attempts", COUNT),
    Key::new("websocket.reconnect.delay", MILLISECONDS),
    Key::new("websocket.reconnect.exponential_backoff", Kind::Switch),
    Key::new("broadcaster.enable_incremental_updates", Kind::Switch),
    Key::new(
        "broadcaster.min_change_threshold",
        Kind::Fraction {
            least: 0.0,
            most: 100.0,
        },
    ),
    Key::new("broadcaster.batch_size", COUNT),
    Key::new("broadcaster.broadcast_interval", MILLISECONDS),
    Key::new(
        "broadcaster.max_slowdown",
        Kind::Whole {
            least: 1,
            most: 1000,
        },
    ),
    Key::new("broadcaster.keep_completed", MILLISECONDS),
    Key::new("broadcaster.keep_failed", MILLISECONDS),
    Key::new("broadcaster.max_tasks", COUNT),
    Key::new("broadcaster.max_task_size", BYTES),
    Key::new("broadcaster.stall_timeout", MILLISECONDS),
    Key::new("broadcaster.lost_after", MILLISECONDS),
    Key::new("broadcaster.deduplication_window", MILLISECONDS),
    Key::new("broadcaster.max_deduplication_ids", COUNT),
    Key::new("workspaces.max_workspaces", COUNT),
    Key::new("workspaces.max_size", BYTES),
    Key::new("workspaces.max_total_size", BYTES),
    Key::new("http.port", Kind::Port).seed("HTTP_PORT"),
    Key::new("http.host", Kind::Host),
    Key::new("http.api_key", Kind::Secret),
    Key::new("http.max_body_size", BYTES),
    Key::new("http.max_head_size", BYTES),
    Key::new("ingest.socket", Kind::SocketPath),
    Key::new("routes.types", Kind::Patterns),
    Key::new("routes.timeout", MILLISECONDS),
    Key::new("routes.max_pending", COUNT),
    Key::new("storage.path", Kind::Text),
    Key::new("storage.synchronous", Kind::Choice(Synchronous::NAMES)),
    Key::new("server.allowed_origins", Kind::Origins),
    Key::new("server.allowed_hosts", Kind::Hosts),
    Key::new("server.trusted_proxies", Kind::Networks),
    Key::new("server.client_address_header", Kind::HeaderName),
    Key::new("server.max_connections", COUNT),
    Key::new("server.max_connections_per_address", COUNT),
    Key::new("server.shutdown_timeout", MILLISECONDS),
    Key::new("log.level", Kind::Choice(LogLevel::NAMES)),
    Key::new("log.file", Kind::Text),
];

/// Every key, in the order of `config.toml`.
pub fn keys() -> &'static [Key] {
    KEYS
}

/// A name that stands for one key or several of one kind and sets each of them.
#[derive(Debug)]
pub struct Alias {
    path: &'static str,
    stands_for: &'static [&'static str],
}

const ALIASES: &[Alias] = &[
    Alias {
        path: "broadcaster.task_ttl",
        stands_for: &["broadcaster.keep_completed", "broadcaster.keep_failed"],
    },
    Alias {
        path: "websocket.allowed_origins",
        stands_for: &["server.allowed_origins"],
    },
    Alias {
        path: "http.allowed_origins",
        stands_for: &["server.allowed_origins"],
    },
    Alias {
        path: "http.allowed_hosts",
        stands_for: &["server.allowed_hosts"],
    },
];

/// Every name that stands for other keys.
pub fn aliases() -> &'static [Alias] {
    ALIASES
}

/// The key at a path such as `websocket.port`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The keys that a path sets: the one of that name, those of an alias, or none.
pub(super) fn set_by(path: &str) -> Vec<&'static Key> {
    match alias(path) {
        Some(alias) => alias
            .stands_for
            .iter()
            .filter_map(|path| find(path))
            .collect(),
        None => find(path).into_iter().collect(),
    }
}

pub(super) fn alias(path: &str) -> Option<&'static Alias> {
    ALIASES.iter().find(|alias| alias.path == path)
}

/// What one source may not name beside `path`: the keys of an alias for several, or the aliases for several that set
/// this key. An old name of a single key is no rival: it may stand beside the key if both have the same value.
pub(super) fn rivals(path: &str) -> Vec<&'static str> {
    let mut rivals = Vec::new();
    for alias in ALIASES.iter().filter(|alias| alias.stands_for.len() > 1) {
        if alias.path == path {
            rivals.extend(alias.stands_for);
        } else if alias.stands_for.contains(&path) {
            rivals.push(alias.path);
        }
    }
    rivals
}

/// Whether a path such as `websocket` has keys below it.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// The spelling of the table: `heartbeatInterval` becomes `heartbeat_interval`, anything else stays.
pub(super) fn canonical(name: &str) -> String {
    if name.contains('_') {
        return name.to_owned();
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The complaint about a path whose rival the same source names.
pub(super) fn sets_the_same(rival: &str) -> String {
    format!("sets the same as {rival}; expected one of the two")
}

impl Alias {
    /// The path, which is also the name of the flag.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    /// A word for what it holds, for a usage line.
    pub fn placeholder(&self) -> &'static str {
        set_by(self.path)
            .first()
            .map_or("TEXT", |key| key.placeholder())
    }

    /// The paths of the keys that it sets.
    pub fn stands_for(&self) -> &'static [&'static str] {
        self.stands_for
    }
}

pub(super) fn variable(path: &str) -> String {
    format!("JOBLIGHT_{}", path.replace('.', "_").to_ascii_uppercase())
}

impl Key {
    const fn new(path: &'static str, kind: Kind) -> Self {
        Self {
            path,
            kind,
            seed_variable: None,
        }
    }

    const fn seed(mut self, variable: &'static str) -> Self {
        self.seed_variable = Some(variable);
        self
    }

    /// The path, which is also the name of the flag: `websocket.port`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The environment variable: `JOBLIGHT_WEBSOCKET_PORT`.
    pub fn variable(&self) -> String {
        variable(self.path)
    }

    /// The comment that `config.toml` makes on the key.
    pub fn meaning(&self) -> &'static str {
        manual::entry(self.path).meaning
    }

    /// The default, as `config.toml` writes it.
    pub fn default_text(&self) -> &'static str {
        manual::entry(self.path).default_text
    }

    /// A word for what the key holds, for a usage line.
    pub fn placeholder(&self) -> &'static str {
        match &self.kind {
            Kind::Switch => "BOOL",
            Kind::Whole { most: YEAR_MS, .. } => "MS",
            Kind::Whole { .. } | Kind::AutoWhole { .. } | Kind::Fraction { .. } => "NUMBER",
            Kind::Choice(_) => "NAME",
            Kind::Text | Kind::Secret | Kind::HeaderName => "TEXT",
            Kind::Host => "HOST",
            Kind::UrlPath | Kind::MaybeUrlPath | Kind::SocketPath => "PATH",
            Kind::Port => "PORT",
            Kind::Origins | Kind::Hosts | Kind::Networks | Kind::Patterns => "A,B",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camel_case_is_an_alias_and_mixtures_are_not() {
        assert_eq!(canonical("maxMessagesPerMinute"), "max_messages_per_minute");
        assert_eq!(canonical("port"), "port");
        assert_eq!(canonical("max_messagesPerMinute"), "max_messagesPerMinute");
    }

    #[test]
    fn variables_are_distinct() {
        let mut names: Vec<String> = keys().iter().map(Key::variable).collect();
        names.extend(aliases().iter().map(Alias::variable));
        names.extend(
            keys()
                .iter()
                .filter_map(|key| key.seed_variable.map(str::to_owned)),
        );
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_alias_stands_for_keys_of_one_kind() {
        for alias in aliases() {
            assert!(find(alias.path()).is_none());
            let keys = set_by(alias.path());
            assert_eq!(keys.len(), alias.stands_for().len());
            assert!(keys.iter().all(|key| key.kind == keys[0].kind));
        }
    }

    #[test]
    fn every_section_of_the_table_is_one() {
        assert!(is_section("websocket") && is_section("websocket.rate_limit"));
        assert!(!is_section("web") && !is_section("websocket.port"));
    }
}
