//! What the server holds, for those who test and measure it: a view to read, which speaks of connections, clients, rooms,
//! tasks and the store, and of no struct that holds them.
//!
//! It owns nothing and changes nothing, so what is below it may be rebuilt without a test noticing.

#![allow(missing_docs, reason = "most names say it")]

use super::engine::Engine;
use crate::base::time::{Now, Time};
use crate::engine::commit::durability::Condition;
use crate::hub::durable::rows;
use crate::hub::{Client, ConnectionId, Record, Room};

/// What the server holds.
#[derive(Clone, Copy)]
pub struct Inspection<'a> {
    pub(super) engine: &'a Engine,
}

/// A message of a room's log.
#[derive(Debug)]
pub struct Entry<'a> {
    pub offset: u64,
    /// Its number among the entries of all rooms, by which the store knows it.
    pub serial: u64,
    pub payload: &'a [u8],
}

/// A task.
#[derive(Debug)]
pub struct TaskState {
    pub id: String,
    pub status: &'static str,
    pub attempt: Option<u64>,
    pub progress: f64,
    /// Whether any event has moved it: items alone do not.
    pub has_moved: bool,
    /// Whether a further `task_started` would be a repeat.
    pub is_announced: bool,
}

/// A client, connected or away.
#[derive(Debug)]
pub struct ClientState {
    pub id: String,
    /// Its connection, or its last one.
    pub connection: ConnectionId,
    pub is_away: bool,
    /// Whether messages wait in logs because its connection takes no more.
    pub is_lagging: bool,
    pub lacks_news_of_workspaces: bool,
    /// What it resumes its session with; `None`: it may not come back after its connection is gone.
    pub session: Option<String>,
    /// Every message up to this serial has surely reached it.
    pub received: u64,
    /// The rooms that it is in, or would be, and the position that the store is to know in each.
    pub positions: Vec<(String, String)>,
    /// The serials of messages for it alone that have not surely reached it.
    pub direct_messages: Vec<u64>,
}

/// Connections and clients.
impl<'a> Inspection<'a> {
    /// All shared state as rows of a store, in no order that means anything.
    pub fn shared_rows(self, now: Now) -> Vec<Record> {
        self.engine.hub.shared_rows(now)
    }

    pub fn connections(self) -> usize {
        self.engine.transport.peers.len()
    }

    /// How many messages are unsent, all connections together.
    pub fn unsent_messages(self) -> usize {
        self.engine.transport.peers.unsent_chunks()
    }

    /// Whether the server has decided to end a connection that is still there.
    pub fn is_ending(self, connection: ConnectionId) -> bool {
        let peer = self.engine.transport.peers.peer(connection);
        peer.is_some_and(|peer| !peer.connection.is_open())
    }

    /// Whether a connection holds unsent bytes that keep progress from it.
    pub fn is_backlogged(self, connection: ConnectionId) -> bool {
        let peer = self.engine.transport.peers.peer(connection);
        peer.is_some_and(|peer| peer.backlogged)
    }

    /// Bytes of messages and requests that have begun and not ended.
    pub fn unfinished_bytes(self) -> usize {
        self.engine.transport.unfinished.bytes()
    }

    /// All clients, those that are away as well.
    pub fn clients(self) -> impl Iterator<Item = ClientState> + 'a {
        let clients = self.engine.hub.directory().all_clients();
        clients.map(move |(_, client)| self.client_state(client))
    }

    /// A client by its public name.
    pub fn client(self, id: &str) -> Option<ClientState> {
        let directory = self.engine.hub.directory();
        let client = directory.client(directory.client_by_id(id)?);
        Some(self.client_state(client))
    }

    fn client_state(self, client: &Client) -> ClientState {
        let (directory, key) = (self.engine.hub.directory(), &self.engine.store.session_key);
        let rooms = client.memberships().iter().map(|membership| {
            let room = directory.room(membership.room);
            let row = rows::membership(room, membership);
            (room.name.to_string(), row.trim_matches('"').to_owned())
        });
        let names = client.names().iter();
        let names = names.map(|kept| (kept.name.to_string(), kept.position.to_string()));
        let direct = client.direct().into_iter();
        let direct_messages = direct.flat_map(|direct| direct.messages());
        ClientState {
            id: client.id.to_string(),
            connection: client.connection,
            is_away: client.is_away,
            is_lagging: client.is_lagging,
            lacks_news_of_workspaces: client.lacks_news(),
            session: client.has_session.then(|| key.secret(client.id)),
            received: client.received,
            positions: rooms.chain(names).collect(),
            direct_messages: direct_messages.map(|message| message.serial).collect(),
        }
    }
}

/// Rooms, tasks and workspaces.
impl<'a> Inspection<'a> {
    /// The names of all rooms.
    pub fn rooms(self) -> impl ExactSizeIterator<Item = &'a str> {
        let rooms = self.engine.hub.directory().rooms();
        rooms.map(|(_, room)| &*room.name)
    }

    /// How many names of rooms sessions keep whose rooms are not there.
    pub fn kept_names(self) -> usize {
        self.engine.hub.directory().kept_names()
    }

    /// The position of a room's newest entry, as viewers are told it.
    pub fn position(self, room: &str) -> Option<String> {
        Some(self.room(room)?.position().to_string())
    }

    /// Which offset of a room's log a position is, if that room is there and the position one of its own.
    pub fn offset(self, room: &str, position: &str) -> Option<u64> {
        self.room(room)?.resolve(position.parse().ok()?)
    }

    /// What a room's log holds, oldest first.
    pub fn entries(self, room: &str) -> impl Iterator<Item = Entry<'a>> + 'a {
        let log = self.room(room).and_then(|room| room.log.as_deref());
        let entries = log.into_iter().flat_map(|log| log.after(0).entries);
        entries.map(|entry| Entry {
            offset: entry.offset,
            serial: entry.serial,
            payload: &entry.payload,
        })
    }

    /// The names of all tasks.
    pub fn task_ids(self) -> impl Iterator<Item = &'a str> {
        let tasks = self.engine.hub.broadcaster().tasks();
        tasks.iter().map(|(_, task)| &*task.id)
    }

    pub fn task(self, id: &str) -> Option<TaskState> {
        let tasks = self.engine.hub.broadcaster().tasks();
        let task = tasks.task(tasks.find(id)?)?;
        Some(TaskState {
            id: task.id.to_string(),
            status: task.view.status.as_str(),
            attempt: task.view.attempt,
            progress: task.view.progress,
            has_moved: task.seq > 0,
            is_announced: task.announced,
        })
    }

    /// How many tasks have progress that has not gone out.
    pub fn pending_progress(self) -> usize {
        self.engine.hub.broadcaster().queue_len()
    }

    /// All workspaces, as a `workspace.list` holds them.
    pub fn workspace_list(self) -> String {
        self.engine.hub.workspaces().list()
    }

    /// Fails where what the server knows of clients, rooms and workspaces contradicts itself.
    pub fn check_invariants(self) {
        self.engine.hub.directory().check_invariants();
        self.engine.hub.workspaces().check_invariants();
    }

    fn room(self, name: &str) -> Option<&'a Room> {
        let directory = self.engine.hub.directory();
        Some(directory.room(directory.find(name)?))
    }
}

/// The store, the application, and what happens later.
impl Inspection<'_> {
    pub fn is_store_good(self) -> bool {
        *self.engine.store.condition() == Condition::Good
    }

    /// Whether the store has failed and is tried again.
    pub fn is_store_failing(self) -> bool {
        matches!(self.engine.store.condition(), Condition::Failing { .. })
    }

    /// Whether changes wait for the next batch.
    pub fn has_unstored_changes(self) -> bool {
        self.engine.hub.has_marks()
    }

    /// Whether changes of sessions wait for a later batch, because their sessions were written a moment ago.
    pub fn has_resting_changes(self) -> bool {
        self.engine.hub.has_resting_changes()
    }

    /// Bytes of changes that wait for the next batch.
    pub fn unstored_bytes(self) -> usize {
        self.engine.hub.gathered_bytes()
    }

    /// How many links the application has.
    pub fn backend_links(self) -> usize {
        self.engine.backend.links()
    }

    /// How many messages of clients wait for the application's answer.
    pub fn backend_requests(self) -> usize {
        self.engine.backend.pending()
    }

    /// How many timers are armed.
    pub fn timers(self) -> usize {
        self.engine.wheel.len()
    }

    /// When time will next change a task or a log.
    pub fn next_aging(self) -> Option<Time> {
        self.engine.hub.next_aging(&self.engine.settings.hub)
    }
}
