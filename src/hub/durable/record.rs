//! Records: what a store is told and what it tells at the start. Values are JSON, so that a store is a few tables that anybody
//! can read.

use crate::base::id::MessageId;
use crate::hub::keys::ClientId;
use bytes::Bytes;

/// What a record is about; each is a table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Single facts.
    Meta,
    /// Rooms that have a log, by name.
    Room,
    /// Tasks, by id.
    Task,
    /// Sessions, by id.
    Session,
    /// What the client of a session has received, by the session's id.
    Received,
    /// Rooms of sessions, by the session's id and the room's name.
    Membership,
    /// Messages for one client, by the id of its session and their serial.
    DirectMessage,
    /// Workspaces, by id.
    Workspace,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A row is so from now on.
    Put {
        /// Its table.
        table: Table,
        /// Its key.
        key: Box<str>,
        /// What it holds, as JSON.
        value: String,
    },
    /// A row is gone. A room's entries are not: they have a record of their own.
    Delete {
        /// Its table.
        table: Table,
        /// Its key.
        key: Box<str>,
    },
    /// All rows whose key begins so are gone.
    DeletePrefix {
        /// Their table.
        table: Table,
        /// What their keys begin with; not empty.
        prefix: Box<str>,
    },
    /// A room's log has grown.
    Append(StoredEntry),
    /// The id of an event has been seen.
    Remember(StoredId),
    /// Ids up to this serial are not remembered any more.
    Forget {
        /// The greatest serial of them.
        serial: u64,
    },
    /// Everything that was kept before is gone.
    Clear,
    /// Entries that are no longer kept, by their serial.
    Drop {
        /// Their serials, of any rooms and in any order. One that is not kept anyway does no harm.
        serials: Vec<u64>,
    },
}

impl Record {
    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { key, .. } => key.len(),
                Self::DeletePrefix { prefix, .. } => prefix.len(),
                Self::Append(entry) => entry.room.len() + entry.kind.len() + entry.payload.len(),
                Self::Drop { serials } => serials.len() * size_of::<u64>(),
                Self::Remember(_) | Self::Forget { .. } | Self::Clear => 0,
            }
    }
}

/// An entry of a room's log, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The room.
    pub room: Box<str>,
    /// Its number in the room.
    pub offset: u64,
    /// Its number among the entries of all rooms. Within a room it rises with the offset.
    pub serial: u64,
    /// The message type.
    pub kind: Box<str>,
    /// The payload, as JSON.
    pub payload: Bytes,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// The message's id.
    pub id: MessageId,
    /// Who said it and does not hear it, if that is known.
    pub sender: Option<ClientId>,
}

/// The id of an event, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredId {
    /// Its number among the ids.
    pub serial: u64,
    /// What stands for the task or room and the id.
    pub hash: u64,
    /// Milliseconds since 1970 when it was seen.
    pub timestamp: u64,
}

/// Records that are kept together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rises by one with each batch.
    pub seq: u64,
    /// The changes, in order: a later one about the same thing counts.
    pub records: Vec<Record>,
}

/// What a store held when it was opened, or a part of that: tables come in the order of their enum, with the entries of logs
/// and then the ids of events behind the rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Rows in the order of their tables and keys.
    pub rows: Vec<(Table, Box<str>, String)>,
    /// Entries in the order of their serials, so that every room's offsets rise.
    pub entries: Vec<StoredEntry>,
    /// Ids of events in the order in which they were seen.
    pub ids: Vec<StoredId>,
}
