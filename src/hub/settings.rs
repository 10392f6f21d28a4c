//! What the hub must know of the configuration. The engine holds the only copy and lends it with every call, so that a reload is one
//! assignment. Everywhere 0 means none.

use crate::base::time::{Now, Span};
use serde::{Deserialize, Serialize};

/// The hub's part of the configuration (contract section 8).
#[derive(Debug, Clone)]
pub struct HubSettings {
    pub broadcaster: BroadcasterConfig,
    pub workspaces: WorkspacesConfig,
    /// Most entries in one room's log, and most direct messages queued for one client.
    pub message_queue_size: usize,
    /// How long a client may be away; zero: there are no sessions.
    pub session_ttl: Span,
    /// Most clients away at once; beyond it the session of the one that left first ends.
    pub max_sessions: usize,
    pub max_rooms: usize,
    /// Most rooms that exist only because viewers asked for them.
    pub max_viewer_rooms: usize,
    /// Most rooms per client; it binds API calls as well.
    pub max_rooms_per_client: usize,
    /// What the `error` of a lost task says to people: worded above the hub, which knows no language.
    pub lost_message: String,
}

/// When something is handled, and the settings that hold then.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub now: Now,
    pub settings: &'a HubSettings,
}

/// `[broadcaster]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcasterConfig {
    /// Deltas instead of whole states.
    pub enable_incremental_updates: bool,
    /// Points, 0 to 100, that progress must move; 0: any movement.
    pub min_change_threshold: f64,
    /// Messages per batch; 0: no limit.
    pub batch_size: usize,
    /// Milliseconds between progress messages; 0: at once.
    pub broadcast_interval: u64,
    /// How many times the interval may stretch; at least 1.
    pub max_slowdown: u32,
    /// Milliseconds that completed and cancelled tasks are remembered, and room logs; 0: for ever.
    pub keep_completed: u64,
    /// Milliseconds that failed tasks are remembered; 0: for ever.
    pub keep_failed: u64,
    /// Tasks at once; 0: no limit.
    pub max_tasks: usize,
    /// Bytes of one task; 0: no limit.
    pub max_task_size: usize,
    /// Milliseconds of silence before a task is stalled, unless its pace is slower; 0: never.
    pub stall_timeout: u64,
    /// Milliseconds of silence before a task is given up as lost; 0: never.
    pub lost_after: u64,
    /// Milliseconds that event ids are remembered; 0: not at all.
    pub deduplication_window: u64,
    /// Event ids at once; 0: no limit.
    pub max_deduplication_ids: usize,
}

/// `[workspaces]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspacesConfig {
    /// Workspaces at once; 0: no limit.
    pub max_workspaces: usize,
    /// Bytes of one workspace; 0: no limit.
    pub max_size: usize,
    /// Bytes of all workspaces together, which `workspace.list` sends in one message; 0: no limit.
    pub max_total_size: usize,
}

#[cfg(test)]
impl HubSettings {
    /// Nothing is bounded, held back or aged.
    pub fn unlimited() -> Self {
        Self {
            broadcaster: BroadcasterConfig {
                enable_incremental_updates: true,
                min_change_threshold: 0.0,
                batch_size: 0,
                broadcast_interval: 0,
                max_slowdown: 1,
                keep_completed: 0,
                keep_failed: 0,
                max_tasks: 0,
                max_task_size: 0,
                stall_timeout: 0,
                lost_after: 0,
                deduplication_window: 0,
                max_deduplication_ids: 0,
            },
            workspaces: WorkspacesConfig {
                max_workspaces: 0,
                max_size: 0,
                max_total_size: 0,
            },
            message_queue_size: 100,
            session_ttl: Span::ZERO,
            max_sessions: 0,
            max_rooms: 0,
            max_viewer_rooms: 0,
            max_rooms_per_client: 0,
            lost_message: "no news".to_owned(),
        }
    }
}
