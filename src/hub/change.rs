//! Changes of shared state: what was decided, with its place in the order.
//!
//! *Shared* is what outlives a connection: tasks, logs and their epochs, event ids, sessions, direct messages, workspaces. What belongs to
//! the viewers of this process alone (memberships, versions seen, backlog, confirmation) changes where it lives. Each kind has one
//! function that applies it, with its owner:
//!
//! | change | applied by |
//! | --- | --- |
//! | tasks | `Broadcaster::apply` in `tasks/commands`, `Broadcaster::apply_removal` in `tasks/removal` |
//! | logs | `apply_entry`, `apply_expiry`, `apply_epoch` in `delivery/publishing`; their removal in `rooms/removal` |
//! | event ids | `tasks/deduplication`: `EventIds::remember`, `EventIds::forget_until` |
//! | sessions, direct messages | `clients/shared` |
//! | workspaces | `workspaces/documents`: `Workspaces::apply` |
//! | rows of a store | `durable/persistence`: `Hub::restore`, `Hub::finish_restoring`, `Hub::end_rows` |
//!
//! That function records the change; only `RoomRemoved` is recorded later, by `Hub::tell_ended_logs` in `durable/records`. The
//! function depends on nothing but the change, the state before it and the settings. So the changes of one hub lead another one to the
//! same state (`Hub::apply` in `follow`), which tests hold it to. Nothing is recorded, and nothing copied, until somebody asks. Not
//! shared yet is the estimate that viewers were told: it is stored with the task and moves with delivery.

use crate::base::time::Now;
use crate::hub::clients::direct::DirectMessage;
use crate::hub::durable::record::Restored;
use crate::hub::keys::ClientId;
use crate::hub::rooms::log::LogEntry;
use crate::hub::tasks::deduplication::IdKey;
use crate::hub::tasks::step::{Removal, Step};
use crate::hub::workspaces::documents::Edit;
use std::collections::VecDeque;

/// `at` is when the change was decided, for those in which time matters.
#[derive(Debug, Clone)]
pub enum Change {
    /// Something happened to a task, which is created if there is none.
    Task {
        at: Now,
        id: Box<str>,
        step: Step,
    },
    /// A task, or its unreadable row, and all entries of its room are gone.
    TaskRemoved {
        at: Now,
        id: Box<str>,
        why: Removal,
    },
    /// A room's log has another entry.
    Logged {
        at: Now,
        room: Box<str>,
        epoch: u64,
        entry: LogEntry,
        /// The entry tells the whole state of the room's task.
        tells_task: bool,
    },
    /// Entries of a room's log up to this offset have expired.
    LogExpired {
        room: Box<str>,
        offset: u64,
    },
    /// A room's log continues in another epoch.
    Epoch {
        room: Box<str>,
        epoch: u64,
    },
    /// A room with a log is gone, unless it is in another epoch by now.
    RoomRemoved {
        room: Box<str>,
        epoch: u64,
    },
    EventId {
        at: Now,
        key: IdKey,
    },
    /// Event ids up to this serial are forgotten.
    EventIdsForgotten {
        serial: u64,
    },
    Client {
        client: ClientId,
        what: ClientChange,
    },
    Workspace(Edit),
    /// Everything is gone: the store that it was read from has failed.
    Emptied,
    /// State of an earlier process, from a slice of the store.
    Rows {
        at: Now,
        rows: Box<Restored>,
    },
    /// The last slice was read.
    RowsEnd {
        at: Now,
    },
}

/// A change of what is shared of a client.
#[derive(Debug, Clone)]
pub enum ClientChange {
    /// Its session begins, or it has come back.
    Session {
        connected_at: u64,
    },
    SessionEnded,
    Direct(DirectMessage),
    /// It has confirmed direct messages up to this serial.
    Confirmed {
        serial: u64,
    },
}

/// The changes since somebody asked for them, oldest first.
#[derive(Debug, Default)]
pub struct Changes {
    /// `None`: nobody has asked.
    recorded: Option<VecDeque<Change>>,
}

impl Changes {
    pub fn record(&mut self, change: impl FnOnce() -> Change) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push_back(change());
        }
    }

    /// Records from now on. Poll at least once a turn: there is no bound.
    pub fn begin(&mut self) {
        self.recorded.get_or_insert_default();
    }

    pub fn poll(&mut self) -> Option<Change> {
        self.recorded.as_mut()?.pop_front()
    }
}
