//! Records: what a store is told, and what it returns at the start. They are plain data without behaviour, shared with the store's
//! thread. Values are JSON, so that a store is a few tables that any tool can read.

use crate::base::id::MessageId;
use crate::hub::keys::ClientId;
use bytes::Bytes;

/// The tables of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Single values, by name.
    Meta,
    /// Rooms that have a log, by name.
    Room,
    /// Tasks, by id.
    Task,
    /// Sessions, by id.
    Session,
    /// The serial that a session's client has confirmed, by the session's id. Apart from [`Table::Session`], because it changes all the
    /// time.
    Received,
    /// Positions of sessions in rooms, by the session's id and the room's name.
    Membership,
    /// Direct messages, by the session's id and their serial.
    DirectMessage,
    /// Workspaces, by id.
    Workspace,
}

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Writes a row, whether it exists or not.
    Put {
        /// Its table.
        table: Table,
        /// Its key.
        key: Box<str>,
        /// JSON.
        value: String,
    },
    /// Deletes a row. A room's entries stay: [`Record::Drop`] deletes them.
    Delete {
        /// Its table.
        table: Table,
        /// Its key.
        key: Box<str>,
    },
    /// Deletes all rows whose key begins with a prefix.
    DeletePrefix {
        /// Their table.
        table: Table,
        /// Not empty.
        prefix: Box<str>,
    },
    /// Adds an entry to a room's log.
    Append(StoredEntry),
    /// Remembers the id of an event, by which a repeat is recognised.
    Remember(StoredId),
    /// Forgets event ids.
    Forget {
        /// Up to this serial.
        serial: u64,
    },
    /// Empties the store.
    Clear,
    /// Deletes log entries.
    Drop {
        /// Serials of entries of any rooms, in any order. One that the store does not have does no harm.
        serials: Vec<u64>,
    },
}

impl Record {
    /// Estimated bytes, for the bound of what gathers.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Put { key, value, .. } => key.len() + value.len(),
                Self::Delete { key, .. } | Self::DeletePrefix { prefix: key, .. } => key.len(),
                Self::Append(entry) => entry.room.len() + entry.kind.len() + entry.payload.len(),
                Self::Drop { serials } => size_of_val(&**serials),
                Self::Remember(_) | Self::Forget { .. } | Self::Clear => 0,
            }
    }
}

/// A log entry in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// The room's name.
    pub room: Box<str>,
    /// Its number within the room's log.
    pub offset: u64,
    /// Its number among the entries of all rooms; within a room it rises with the offset.
    pub serial: u64,
    /// The message type.
    pub kind: Box<str>,
    /// JSON.
    pub payload: Bytes,
    /// Unix milliseconds.
    pub timestamp: u64,
    /// The message's id.
    pub id: MessageId,
    /// The client that published it and does not receive it itself; `None`: no client did, as far as is known.
    pub sender: Option<ClientId>,
}

/// An event id in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredId {
    /// Orders the ids by when they were first seen.
    pub serial: u64,
    /// Hash of the task or room and the id: ids are long, and only equality matters.
    pub hash: u64,
    /// When it was first seen, in Unix milliseconds.
    pub timestamp: u64,
}

/// Records that the store commits together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rises by one with each batch.
    pub seq: u64,
    /// In order: of two records about the same row the later one counts.
    pub records: Vec<Record>,
}

/// The content of a store when it was opened, or a slice of it. Slices come table by table in the order of [`Table`], with the log
/// entries and then the event ids right after the rooms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Table, key and value, in the order of tables and keys.
    pub rows: Vec<(Table, Box<str>, String)>,
    /// In the order of their serials, so that every room's offsets rise.
    pub entries: Vec<StoredEntry>,
    /// In the order in which they were first seen.
    pub ids: Vec<StoredId>,
}
