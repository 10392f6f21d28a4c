//! Makes the records of a batch from what the journal has marked (contract section 5.6): the newest row of each thing, once.
//!
//! Owns no state. It clears every mark that it reads, so that the same batch cannot be made twice: after one that the store did not
//! take, the engine has everything written again with [`Hub::mark_everything`].

use crate::base::time::{Now, Time};
use crate::hub::change::Change;
use crate::hub::clients::client::Unsaved;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Restored, Table};
use crate::hub::durable::rows;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::parts::Hub;
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::log::EndedLog;
use crate::hub::rooms::room::Room;
use crate::hub::tasks::broadcaster::Broadcaster;

/// Key in [`Table::Meta`] of the newest serial that any removed room had.
const LOST_KEY: &str = "lost_serial";

impl Hub {
    /// Takes the records of the next batch, with at most `max_sessions` sessions; those that are written rest from now on, and the others
    /// stay marked.
    pub fn take_records(&mut self, now: Now, max_sessions: usize) -> Vec<Record> {
        self.end_rests(now.at);
        self.tell_ended_logs();
        let (directory, journal) = (&mut self.directory, &mut self.fanout.journal);
        for key in std::mem::take(&mut journal.tasks) {
            if let Some((id, row)) = self.broadcaster.save(key, now) {
                journal.put(Table::Task, id, row);
            }
        }
        let mut clients = std::mem::take(&mut journal.clients);
        journal.clients = clients.split_off(max_sessions.min(clients.len()));
        for id in clients {
            // Its session may have ended since it was marked.
            let client = directory.living_client(id);
            if let Some(client) = client.filter(|client| directory.client(*client).has_session) {
                put_session(directory, journal, now.at, client, id);
            }
        }
        if let Some(serial) = directory.take_lost_serial() {
            journal.put(Table::Meta, LOST_KEY, serial.to_string());
        }
        journal.take_records()
    }

    /// Records logs that have ended, for the store and for whoever follows.
    pub(in crate::hub) fn tell_ended_logs(&mut self) {
        for EndedLog {
            room,
            epoch,
            dropped,
        } in self.directory.take_ended_logs()
        {
            if let Some(dropped) = dropped {
                // A room that has a log again has written a row since, which must stay.
                let found = self.directory.find(&room);
                if found.is_none_or(|found| self.directory.room(found).log.is_none()) {
                    self.fanout.journal.delete(Table::Room, &room);
                }
                self.fanout.journal.drop_entries(dropped);
            }
            let changes = &mut self.fanout.changes;
            changes.record(|| Change::RoomRemoved { room, epoch });
        }
    }

    /// All shared state as rows of a store, in no order that means anything.
    pub fn shared_rows(&self, now: Now) -> Vec<Record> {
        let lost_serial = self.directory.viewer_rooms.lost_serial.to_string();
        let mut records = self.workspaces.records();
        records.push(rows::put(Table::Meta, LOST_KEY, lost_serial));
        records.extend(lasting_rows(&self.directory, &self.broadcaster));
        for (_, task) in self.broadcaster.tasks.iter() {
            records.push(rows::put(Table::Task, &task.id, task.saved(now)));
        }
        let clients = self.directory.all_clients().map(|(_, client)| client);
        for client in clients.filter(|client| client.has_session) {
            let key = rows::session_key(client.id);
            records.push(rows::put(Table::Session, &key, rows::session(client)));
        }
        records
    }

    /// Writes all state again, for a store that has missed a batch and was emptied.
    pub fn mark_everything(&mut self) {
        // Deletions mean nothing to an empty store, but whoever follows must hear of them.
        self.tell_ended_logs();
        self.keep(self.workspaces.records());
        self.directory.mark_lost_serial();
        let rooms: Vec<_> = self.directory.rooms().map(|(key, _)| key).collect();
        for key in rooms {
            if let Some(log) = &mut self.directory.room_mut(key).log {
                log.is_stored = true;
                log.take_dropped(1);
            }
        }
        for record in lasting_rows(&self.directory, &self.broadcaster) {
            self.fanout.journal.push(record);
        }
        self.broadcaster.list_all(&mut self.fanout.journal);
        let clients: Vec<_> = self.directory.all_clients().map(|(key, _)| key).collect();
        for key in clients {
            let client = self.directory.client_mut(key);
            client.mark_unsaved();
            self.fanout.journal.mark_client(client, Unsaved::ALL);
            self.fanout.journal.write_client_now(client);
        }
    }
}

/// Rows of which no newer one can be due: those of logs, event ids, unreadable tasks and direct messages.
fn lasting_rows(directory: &Directory, broadcaster: &Broadcaster) -> impl Iterator<Item = Record> {
    let logs = directory.rooms();
    let logs = logs.flat_map(|(_, room)| log_records(room));
    // They survive as they are: a newer version may read them again.
    let unread = broadcaster.unread.iter();
    let unread = unread.map(|(id, row)| rows::put(Table::Task, id, row.to_owned()));
    let clients = directory.all_clients().map(|(_, client)| client);
    let direct = clients
        .filter(|client| client.has_session)
        .flat_map(|client| {
            let direct = client.direct().into_iter();
            let messages = direct.flat_map(|direct| direct.messages());
            messages.map(|message| rows::direct(client.id, message))
        });
    let ids = broadcaster.event_ids.records();
    logs.chain(ids).chain(unread).chain(direct)
}

/// Restores the newest serial that any removed room had.
pub fn restore_meta(directory: &mut Directory, restored: &Restored) {
    let is_it =
        |(table, key, _): &&(Table, Box<str>, String)| *table == Table::Meta && &**key == LOST_KEY;
    if let Some((.., value)) = restored.rows.iter().find(is_it) {
        directory.restore_lost_serial(value.parse().unwrap_or(0));
    }
}

/// Writes the parts of a session that have changed.
fn put_session(
    directory: &mut Directory,
    journal: &mut Journal,
    now: Time,
    key: ClientKey,
    id: ClientId,
) {
    let client = directory.client_mut(key);
    let unsaved = client.unsaved.take();
    let session = rows::session_key(id);
    if unsaved.has(Unsaved::RECEIVED) {
        journal.put(Table::Received, &session, client.received.to_string());
    }
    match unsaved.has(Unsaved::SESSION) {
        // No rest after the first write: a page joins its rooms right after it has connected, and they should be kept at once.
        true => journal.put(Table::Session, &session, rows::session(client)),
        false => {
            client.unsaved.begin_rest();
            journal.rests.begin(now, id);
        }
    }
    if unsaved.has(Unsaved::ROOMS) {
        put_memberships(directory, journal, key, id);
    }
}

fn put_memberships(
    directory: &mut Directory,
    journal: &mut Journal,
    client: ClientKey,
    id: ClientId,
) {
    let names = directory.client_mut(client).names_mut();
    for kept in names.iter_mut().filter(|kept| kept.unsaved) {
        kept.unsaved = false;
        let key = rows::membership_key(id, &kept.name);
        journal.put(Table::Membership, &key, rows::kept_name(kept));
    }
    for name in journal.take_left(id) {
        let room = directory.find(&name);
        let names = directory.client(client).names();
        // It may have joined the room again since then, or keep its name.
        let is_kept = names.iter().any(|kept| kept.name == name);
        if !is_kept && room.is_none_or(|room| directory.membership(client, room).is_none()) {
            journal.delete(Table::Membership, &rows::membership_key(id, &name));
        }
    }
    for slot in 0..directory.client(client).rooms.len() {
        let membership = &mut directory.client_mut(client).rooms[slot];
        if std::mem::take(&mut membership.unsaved) {
            let membership = *membership;
            let room = directory.room(membership.room);
            let key = rows::membership_key(id, &room.name);
            journal.put(Table::Membership, &key, rows::membership(room, &membership));
        }
    }
}

/// A room's row and its entries, if it has a log.
fn log_records(room: &Room) -> impl Iterator<Item = Record> {
    let log = room.log.as_ref();
    let row = log.map(|_| rows::put(Table::Room, &room.name, rows::room(room)));
    let entries = log.into_iter().flat_map(|log| log.after(0).entries);
    let entries = entries.map(|entry| Record::Append(entry.stored(&room.name)));
    row.into_iter().chain(entries)
}
