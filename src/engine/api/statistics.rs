//! Calls about the server itself: its health, and the statistics documents of seed 000, every field live.

use super::call::Call;
use crate::engine::answer::{Answer, Outcome};
use crate::engine::commit::durability::Condition;
use crate::engine::context::Context;
use crate::engine::counts::{DropCounts, Notice};
use crate::engine::life::Life;
use crate::hub::DropReason;
use crate::wire::http::Response;
use serde::Serialize;

/// `GET /health`: 503 once the server shuts down, so that balancers send nobody any more.
pub fn health(context: &mut Context<'_>, _: &Call<'_>) -> Outcome {
    let status = match context.life {
        Life::Serving => 200,
        Life::Draining | Life::Stopped => 503,
    };
    Ok(Answer::Now(Response::document(status, &context.health())))
}

/// `GET /api/websocket/stats`
pub fn websocket_stats(context: &mut Context<'_>, _: &Call<'_>) -> Outcome {
    Ok(Answer::Now(Response::document(
        200,
        &context.websocket_stats(),
    )))
}

/// `GET /api/broadcaster/stats`
pub fn broadcaster_stats(context: &mut Context<'_>, _: &Call<'_>) -> Outcome {
    Ok(Answer::Now(Response::document(
        200,
        &context.broadcaster_stats(),
    )))
}

/// `GET /health`
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// `healthy`; `degraded` while the store does not work; `draining` once the server is shutting down.
    pub status: &'static str,
    /// Why it is `degraded`: `storage`. Left out otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<&'static str>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// Seconds since the start.
    pub uptime: f64,
    /// Of clients.
    pub websocket: HealthWebSocket,
    /// Of broadcasts.
    pub broadcaster: HealthBroadcaster,
    /// Of the store.
    pub storage: HealthStorage,
}

/// `storage` of [`Health`].
#[derive(Debug, Clone, Serialize)]
pub struct HealthStorage {
    /// `off` without `storage.path`, `opening` until the first try to open it is over, `ok`, or `failing`.
    pub status: &'static str,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Calls that were refused before it was read. Left out when there were none.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl HealthStorage {
    fn of(condition: &Condition, refused: u64) -> Self {
        let (status, reason) = match condition {
            Condition::Absent => ("off", None),
            Condition::Good => ("ok", None),
            Condition::Unread { reason: None, .. } => ("opening", None),
            Condition::Unread {
                reason: Some(reason),
                ..
            }
            | Condition::Failing { reason, .. } => ("failing", Some(reason.clone())),
        };
        Self {
            status,
            reason,
            refused,
        }
    }
}

/// `websocket` of [`Health`].
#[derive(Debug, Clone, Serialize)]
pub struct HealthWebSocket {
    /// Clients connected.
    pub connections: usize,
    /// Messages received and sent since the start.
    pub messages: u64,
}

/// `broadcaster` of [`Health`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthBroadcaster {
    /// Tasks whose progress waits to be sent.
    pub queue_size: usize,
    /// Broadcasts since the start.
    pub total_broadcasts: u64,
}

/// `GET /api/websocket/stats`
#[derive(Debug, Clone, Serialize)]
pub struct WebSocketStats {
    /// Of the process.
    pub server: ServerStats,
    /// Of connections.
    pub connections: ConnectionStats,
    /// Of messages.
    pub messages: MessageStats,
    /// Of rooms.
    pub rooms: RoomStats,
    /// Of memory.
    pub memory: MemoryStats,
}

/// `server` of [`WebSocketStats`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerStats {
    /// Milliseconds since the start.
    pub uptime: u64,
    /// The start, in milliseconds since 1970.
    pub start_time: u64,
    /// The version of joblight.
    pub version: &'static str,
}

/// `connections` of [`WebSocketStats`].
#[derive(Debug, Clone, Serialize)]
pub struct ConnectionStats {
    /// Clients since the start.
    pub total: u64,
    /// Clients now.
    pub active: usize,
    /// Clients now that have proved an identity.
    pub authenticated: usize,
    /// Clients now whose sockets do not keep up.
    pub backlogged: usize,
    /// Handshakes since the start that were told to come back later: the server was full, or their address too busy.
    pub refused: u64,
    /// Requests since the start that came from a foreign page, or for a host that is not served.
    pub foreign: u64,
    /// Connections that were ended because they asked too much.
    pub ended: EndedStats,
}

/// `ended` of [`ConnectionStats`]: connections since the start that asked too much of the server.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndedStats {
    /// They sent too many pings and pongs.
    pub control_frames: u64,
    /// A message or request of theirs was begun and not finished in time.
    pub late: u64,
    /// All that was unfinished was too much, and they had left the most.
    pub unfinished: u64,
}

/// `messages` of [`WebSocketStats`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageStats {
    /// Messages sent since the start.
    pub total_sent: u64,
    /// Messages received since the start.
    pub total_received: u64,
    /// Messages sent in the last minute.
    pub sent_per_minute: u64,
    /// Messages received in the last minute.
    pub received_per_minute: u64,
}

/// `rooms` of [`WebSocketStats`].
#[derive(Debug, Clone, Serialize)]
pub struct RoomStats {
    /// Rooms that exist.
    pub total: usize,
    /// Memberships in all rooms.
    pub clients: usize,
}

/// `memory` of [`WebSocketStats`].
#[derive(Debug, Clone, Serialize)]
pub struct MemoryStats {
    /// Resident bytes of the process.
    pub used: u64,
    /// Bytes of memory there are.
    pub total: u64,
    /// The one in percent of the other.
    pub percentage: f64,
}

/// `GET /api/broadcaster/stats`
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BroadcasterStats {
    /// Publications that had a reader.
    pub total_broadcasts: u64,
    /// Messages meant for readers.
    pub total_messages: u64,
    /// Messages that connections took.
    pub successful_sends: u64,
    /// Messages that connections refused.
    pub failed_sends: u64,
    /// Milliseconds from an event's arrival to the end of the turn that wrote it, on average.
    pub average_latency: f64,
    /// Tasks whose progress waits to be sent.
    pub queue_size: usize,
    /// Tasks that are known.
    pub cache_size: usize,
    /// The last broadcast, in milliseconds since 1970; 0 before the first.
    pub last_update: u64,
    /// Events that were late, repeated or out of order.
    pub dropped_events: u64,
    /// The same by reason.
    pub reasons: DropCounts,
    /// The broadcast interval in force, in milliseconds.
    pub broadcast_interval: f64,
    /// How many times longer that is than configured.
    pub slowdown: f64,
}

impl Context<'_> {
    /// How the server is.
    pub fn health(&self) -> Health {
        Health {
            status: match (self.life, self.store.fault()) {
                (Life::Serving, None) => "healthy",
                (Life::Serving, Some(_)) => "degraded",
                _ => "draining",
            },
            reasons: self.store.fault().map(|_| "storage").into_iter().collect(),
            timestamp: self.now.wall_ms,
            uptime: self.uptime_ms() as f64 / 1000.0,
            websocket: HealthWebSocket {
                connections: self.hub.directory().connected(),
                messages: self.counts.received.total() + self.counts.sent.total(),
            },
            broadcaster: HealthBroadcaster {
                queue_size: self.hub.broadcaster().queue_len(),
                total_broadcasts: self.hub.counts().broadcasts,
            },
            storage: HealthStorage::of(self.store.condition(), self.counts.unread.get()),
        }
    }

    fn uptime_ms(&self) -> u64 {
        let started = self.counts.started.at;
        self.now.at.saturating_since(started).as_millis()
    }

    /// What the WebSocket server has done.
    pub fn websocket_stats(&self) -> WebSocketStats {
        let directory = self.hub.directory();
        let memory = (self.counts.memory)();
        let percentage = if memory.total == 0 {
            0.0
        } else {
            memory.used as f64 * 100.0 / memory.total as f64
        };
        WebSocketStats {
            server: ServerStats {
                uptime: self.uptime_ms(),
                start_time: self.counts.started.wall_ms,
                version: env!("CARGO_PKG_VERSION"),
            },
            connections: ConnectionStats {
                total: self.counts.connections,
                active: self.hub.directory().connected(),
                authenticated: 0,
                backlogged: self.out.peers.backlogged(),
                refused: self.counts.refused,
                foreign: self.counts.foreign,
                ended: EndedStats {
                    control_frames: self.counts.notices.total(Notice::ControlFrames),
                    late: self.counts.notices.total(Notice::Late),
                    unfinished: self.counts.notices.total(Notice::Unfinished),
                },
            },
            messages: MessageStats {
                total_sent: self.counts.sent.total(),
                total_received: self.counts.received.total(),
                sent_per_minute: self.counts.sent.per_minute(self.now.at),
                received_per_minute: self.counts.received.per_minute(self.now.at),
            },
            rooms: RoomStats {
                total: directory.rooms().len(),
                clients: directory.memberships(),
            },
            memory: MemoryStats {
                used: memory.used,
                total: memory.total,
                percentage: (percentage * 100.0).round() / 100.0,
            },
        }
    }

    /// What the broadcaster has done.
    pub fn broadcaster_stats(&self) -> BroadcasterStats {
        let (counts, broadcaster) = (self.hub.counts(), self.hub.broadcaster());
        let moment = self.settings.at(self.now);
        BroadcasterStats {
            total_broadcasts: counts.broadcasts,
            total_messages: counts.delivered + counts.failed,
            successful_sends: counts.delivered,
            failed_sends: counts.failed,
            average_latency: (counts.latency.mean_ms() * 1000.0).round() / 1000.0,
            queue_size: broadcaster.queue_len(),
            cache_size: broadcaster.tasks().len(),
            last_update: counts.last_broadcast_at,
            dropped_events: DropReason::ALL
                .map(|reason| broadcaster.dropped(reason))
                .iter()
                .sum(),
            reasons: DropCounts::of(|reason| broadcaster.dropped(reason)),
            broadcast_interval: broadcaster.pace().interval(moment).as_micros() as f64 / 1000.0,
            slowdown: (broadcaster.pace().slowdown(moment) * 100.0).round() / 100.0,
        }
    }
}
