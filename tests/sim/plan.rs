//! What a seed's world is like: how large, how configured, and what may fail in it.

use super::dice::Dice;
use joblight::Config;

/// Everything about a run that does not change.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) viewers: usize,
    pub(crate) rooms: Vec<String>,
    pub(crate) log_limit: usize,
    pub(crate) incremental: bool,
    pub(crate) interval_ms: u64,
    pub(crate) threshold: f64,
    pub(crate) max_outbox_bytes: usize,
    pub(crate) max_outbox_messages: usize,
    pub(crate) max_backlog_ms: u64,
    pub(crate) heartbeat_ms: u64,
    /// Bytes between a socket and its reader.
    pub(crate) buffer_bytes: usize,
    pub(crate) delay_ms: u64,
    /// Connections break.
    pub(crate) breaks: bool,
    /// There is a store.
    pub(crate) stores: bool,
    /// The process is killed.
    pub(crate) crashes: bool,
    /// The store fails.
    pub(crate) fails: bool,
    /// The longest time that a batch takes.
    pub(crate) store_ms: u64,
    /// A turn does next to nothing for single readers, so that most of what is due to them is postponed.
    pub(crate) postpones: bool,
    /// Clients of the data dialect.
    pub(crate) editors: usize,
    pub(crate) max_workspaces: usize,
    /// How many clients may be away at once.
    pub(crate) max_sessions: usize,
    /// The first task is forgotten on demand. Nothing crashes then: what a crash may bring back the shadow does not know.
    pub(crate) forgets: bool,
}

/// How long a client may be away.
pub(crate) const SESSION_TTL_MS: u64 = 300_000;
/// How long an ended task is remembered.
pub(crate) const TASK_TTL_MS: u64 = 24 * 3_600_000;

impl Plan {
    /// What the seed says.
    pub(crate) fn new(seed: u64, dice: &mut Dice) -> Self {
        let crowd = seed % 16 == 15;
        let stores = !dice.one_in(4);
        let tasks = dice.between(1, if crowd { 12 } else { 5 });
        let mut rooms: Vec<String> = (0..tasks).map(|task| format!("task:t{task}")).collect();
        rooms.push("lobby".to_owned());
        let crashes = stores && !dice.one_in(3);
        Self {
            seed,
            viewers: match crowd {
                true => dice.between(64, 200) as usize,
                false => dice.between(2, 8) as usize,
            },
            rooms,
            log_limit: dice.pick(&[2, 10, 100]),
            incremental: !dice.one_in(5),
            interval_ms: dice.pick(&[0, 100, 100, 250]),
            threshold: dice.pick(&[0.0, 1.0, 1.0, 10.0]),
            max_outbox_bytes: dice.pick(&[0, 3_000, 20_000]),
            max_outbox_messages: dice.pick(&[0, 8, 64]),
            max_backlog_ms: dice.pick(&[5_000, 60_000]),
            heartbeat_ms: dice.pick(&[0, 30_000, 30_000]),
            buffer_bytes: dice.pick(&[300, 2_000, 16_000]),
            delay_ms: dice.pick(&[0, 5, 60]),
            breaks: !dice.one_in(4),
            stores,
            crashes,
            fails: stores && dice.one_in(2),
            store_ms: dice.pick(&[0, 3, 40, 700]),
            postpones: seed.is_multiple_of(3),
            editors: dice.pick(&[0, 2, 3, 5]),
            max_workspaces: dice.pick(&[0, 3]),
            max_sessions: dice.pick(&[0, 0, 0, 3]),
            forgets: !crashes && dice.one_in(2),
        }
    }

    /// The configuration that it stands for.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.storage.path = String::new();
        config.websocket.rate_limit.max_connections_per_minute = 0;
        config.websocket.rate_limit.max_messages_per_minute = 0;
        config.websocket.message_queue_size = self.log_limit;
        config.websocket.max_outbox_size = self.max_outbox_bytes;
        config.websocket.max_outbox_messages = self.max_outbox_messages;
        config.websocket.max_backlog_age = self.max_backlog_ms;
        config.websocket.heartbeat_interval = self.heartbeat_ms;
        if self.heartbeat_ms == 0 {
            config.websocket.connection_timeout = 0;
        }
        config.websocket.control = joblight::config::Control::Anybody;
        config.websocket.session_ttl = SESSION_TTL_MS;
        config.websocket.max_sessions = self.max_sessions;
        config.broadcaster.broadcast_interval = self.interval_ms;
        config.broadcaster.min_change_threshold = self.threshold;
        config.broadcaster.enable_incremental_updates = self.incremental;
        config.workspaces.max_workspaces = self.max_workspaces;
        config.broadcaster.batch_size = 4;
        config.broadcaster.keep_completed = TASK_TTL_MS;
        config.broadcaster.keep_failed = TASK_TTL_MS;
        // The shadow forgets no id.
        config.broadcaster.deduplication_window = 24 * 3_600_000;
        config
    }
}
