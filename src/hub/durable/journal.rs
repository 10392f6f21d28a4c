//! What must outlive the process: changes as records, gathered until a store takes them (contract section 5.6).
//!
//! Knows no store: a batch goes out, and the word that it is kept, or is not, comes back. Values are JSON, so that a
//! store is a few tables that anybody can read.

use crate::hub::clients::client::{Client, Unsaved};
use crate::hub::durable::record::Record;
use crate::hub::durable::record::Table;
use crate::hub::durable::write_debounce::Rests;
use crate::hub::keys::ClientId;
use crate::hub::keys::TaskKey;
use std::collections::{HashMap, HashSet};

/// Changes on their way to the store.
#[derive(Debug, Default)]
pub struct Journal {
    is_on: bool,
    records: Vec<Record>,
    bytes: usize,
    /// Tasks whose row is to be written with the next batch.
    pub tasks: Vec<TaskKey>,
    /// Clients of whose session something is.
    pub clients: Vec<ClientId>,
    /// Sessions that were written less than a second ago: what changes meanwhile waits.
    pub rests: Rests,
    /// Rooms that clients have left and whose rows are still kept.
    left: HashMap<ClientId, HashSet<Box<str>>>,
    left_bytes: usize,
}

/// About what the name of a room that a client has left takes.
fn size_of_left(room: &str) -> usize {
    size_of::<Box<str>>() + room.len()
}

/// Beyond so many rooms that a client has left, the store is told at once.
const MAX_LEFT: usize = 1024;

impl Journal {
    /// Whether anything is to be kept at all.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// From now on changes are kept.
    pub fn turn_on(&mut self) {
        self.is_on = true;
    }

    /// From now on they are not.
    pub fn turn_off(&mut self) {
        self.is_on = false;
    }

    /// How much has gathered, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.left_bytes
    }

    /// Whether nothing waits for the store.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tasks.is_empty() && self.clients.is_empty()
    }

    /// A change is to be kept.
    pub fn push(&mut self, record: Record) {
        if self.is_on {
            self.bytes += record.size();
            self.records.push(record);
        }
    }

    /// A row is to be kept.
    pub fn put(&mut self, table: Table, key: &str, value: String) {
        let key = key.into();
        self.push(Record::Put { table, key, value });
    }

    /// A row is not to be kept any more.
    pub fn delete(&mut self, table: Table, key: &str) {
        let key = key.into();
        self.push(Record::Delete { table, key });
    }

    /// Entries are not to be kept any more.
    pub fn drop_entries(&mut self, serials: Vec<u64>) {
        if !serials.is_empty() {
            self.push(Record::Drop { serials });
        }
    }

    /// Rows whose key begins so are not to be kept any more.
    pub fn delete_prefix(&mut self, table: Table, prefix: &str) {
        let prefix = prefix.into();
        self.push(Record::DeletePrefix { table, prefix });
    }

    /// Something of a client's session is to be kept: with the next batch, or a second after it was last written.
    pub fn mark_client(&mut self, client: &mut Client, what: Unsaved) {
        if !self.is_on || !client.has_session {
            return;
        }
        if client.unsaved.is_empty() {
            match client.unsaved.rests() {
                true => self.rests.await_one(),
                false => self.clients.push(client.id),
            }
        }
        client.unsaved.add(what);
    }

    /// Skips that wait: what is to be kept of a client's session goes with the next batch, because somebody was promised it.
    pub fn write_client_now(&mut self, client: &mut Client) {
        if client.unsaved.end_rest() && !client.unsaved.is_empty() {
            self.rests.settle_one();
            self.clients.push(client.id);
        }
    }

    /// A client has left a room: the row that says that it is in there is to go.
    pub fn leave_room(&mut self, client: &mut Client, room: &str) {
        if self.is_on && client.has_session {
            let left = self.left.entry(client.id).or_default();
            if left.insert(room.into()) {
                self.left_bytes += size_of_left(room);
            }
            let is_much = left.len() >= MAX_LEFT;
            self.mark_client(client, Unsaved::ROOMS);
            if is_much {
                self.write_client_now(client);
            }
        }
    }

    /// The rooms that a client has left since the store was last told.
    pub fn take_left(&mut self, client: ClientId) -> impl Iterator<Item = Box<str>> + use<> {
        let left = self.left.remove(&client).unwrap_or_default();
        let bytes: usize = left.iter().map(|room| size_of_left(room)).sum();
        self.left_bytes -= bytes;
        left.into_iter()
    }

    /// A client's session ends: nothing of it is to be kept.
    pub fn forget_client(&mut self, client: &mut Client) {
        if client.unsaved.rests() && !client.unsaved.is_empty() {
            self.rests.settle_one();
        }
        client.unsaved = Unsaved::default();
        drop(self.take_left(client.id));
    }

    /// What has gathered.
    pub fn take_records(&mut self) -> Vec<Record> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::keys::ConnectionId;

    /// What a stuck batch makes wait is bounded by what is counted.
    #[test]
    fn names_of_rooms_that_were_left_count_until_the_store_is_told() {
        let mut journal = Journal::default();
        journal.turn_on();
        let connection = ConnectionId {
            index: 0,
            generation: 0,
        };
        let id = ClientId::from_number(1);
        let mut client = Client::new(connection, id, Default::default(), 0, 0);
        client.has_session = true;
        for number in 0..1000 {
            let room = format!("{number:0>200}");
            journal.leave_room(&mut client, &room);
            journal.leave_room(&mut client, &room);
        }
        assert!((200_000..300_000).contains(&journal.bytes()));
        assert_eq!(journal.take_left(id).count(), 1000);
        assert_eq!(journal.bytes(), 0);
        journal.leave_room(&mut client, "a");
        assert_ne!(journal.bytes(), 0);
        journal.forget_client(&mut client);
        assert_eq!(journal.bytes(), 0);
    }
}
