//! The journal: records that wait for a store to take them, and marks of what has changed (contract section 5.6).
//!
//! Owns what has gathered and its size in bytes, by which the engine bounds it while the store is slow. It knows no store: a batch is
//! taken from it, and the engine reports whether it was kept. Invariants: while it is off, nothing gathers; a client is marked once,
//! either in `clients` or, while its session rests, in the count of `rests`.

use crate::hub::clients::client::{Client, Unsaved};
use crate::hub::durable::record::Record;
use crate::hub::durable::record::Table;
use crate::hub::durable::write_debounce::WriteDebounce;
use crate::hub::keys::ClientId;
use crate::hub::keys::TaskKey;
use std::collections::{HashMap, HashSet};

#[derive(Debug, Default)]
pub struct Journal {
    is_on: bool,
    records: Vec<Record>,
    bytes: usize,
    /// Tasks whose row goes into the next batch. Keys and not rows: the row is made when the batch is, from the newest state.
    pub tasks: Vec<TaskKey>,
    /// Clients of whose session something goes into the next batch.
    pub clients: Vec<ClientId>,
    pub rests: WriteDebounce,
    /// Rooms that clients have left and whose membership rows the store still has.
    left: HashMap<ClientId, HashSet<Box<str>>>,
    left_bytes: usize,
}

/// Estimated bytes of one room in `left`.
fn size_of_left(room: &str) -> usize {
    size_of::<Box<str>>() + room.len()
}

/// Most rooms left by one client before its session is written without a rest.
const MAX_LEFT: usize = 1024;

impl Journal {
    /// Whether there is a store.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    pub fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub fn turn_off(&mut self) {
        self.is_on = false;
    }

    /// Estimated bytes that have gathered.
    pub fn bytes(&self) -> usize {
        self.bytes + self.left_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.tasks.is_empty() && self.clients.is_empty()
    }

    pub fn push(&mut self, record: Record) {
        // Checked here once, so that callers record whatever happens, with a store or without.
        if self.is_on {
            self.bytes += record.size();
            self.records.push(record);
        }
    }

    pub fn put(&mut self, table: Table, key: &str, value: String) {
        let key = key.into();
        self.push(Record::Put { table, key, value });
    }

    pub fn delete(&mut self, table: Table, key: &str) {
        let key = key.into();
        self.push(Record::Delete { table, key });
    }

    pub fn drop_entries(&mut self, serials: Vec<u64>) {
        // Most calls have nothing to drop.
        if !serials.is_empty() {
            self.push(Record::Drop { serials });
        }
    }

    pub fn delete_prefix(&mut self, table: Table, prefix: &str) {
        let prefix = prefix.into();
        self.push(Record::DeletePrefix { table, prefix });
    }

    /// Marks parts of a client's session to be written: with the next batch, or when a second has passed since its last write.
    pub fn mark_client(&mut self, client: &mut Client, what: Unsaved) {
        if self.is_on && client.has_session {
            if client.unsaved.is_empty() {
                self.list_client(client);
            }
            client.unsaved.add(what);
        }
    }

    fn list_client(&mut self, client: &Client) {
        match client.unsaved.rests() {
            true => self.rests.await_one(),
            false => self.clients.push(client.id),
        }
    }

    /// Ends a session's rest, so that what has changed goes with the next batch, because an answer has promised that it is kept.
    pub fn write_client_now(&mut self, client: &mut Client) {
        if client.unsaved.end_rest() && !client.unsaved.is_empty() {
            self.rests.settle_one();
            self.clients.push(client.id);
        }
    }

    /// Has a client's membership row deleted with its session's next write. Remembered by name, since the room may be gone by then.
    pub fn leave_room(&mut self, client: &mut Client, room: &str) {
        if self.is_on && client.has_session {
            // A set: a client that joins and leaves again and again must not grow it.
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

    pub fn take_left(&mut self, client: ClientId) -> impl Iterator<Item = Box<str>> + use<> {
        let left = self.left.remove(&client).unwrap_or_default();
        let bytes: usize = left.iter().map(|room| size_of_left(room)).sum();
        self.left_bytes -= bytes;
        debug_assert!(
            !self.left.is_empty() || self.left_bytes == 0,
            "no names, no bytes"
        );
        left.into_iter()
    }

    /// Drops what was marked of a client whose session ends; the caller deletes its rows.
    pub fn forget_client(&mut self, client: &mut Client) {
        if client.unsaved.rests() && !client.unsaved.is_empty() {
            self.rests.settle_one();
        }
        client.unsaved = Unsaved::default();
        drop(self.take_left(client.id));
    }

    pub fn take_records(&mut self) -> Vec<Record> {
        self.bytes = 0;
        std::mem::take(&mut self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::keys::ConnectionId;

    // The engine bounds what gathers behind a stuck batch by this count.
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
