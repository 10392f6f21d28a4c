//! Makes the records of a batch from what the journal has marked (contract section 5.6): the newest row of each thing, once.
//!
//! Owns no state. It clears every mark that it reads, so that the same batch cannot be made twice: after one that the store did not
//! take, the engine has everything written again with [`mark_everything`].

use crate::base::time::{Now, Time};
use crate::hub::clients::client::Unsaved;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Restored, Table};
use crate::hub::durable::rows;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::room::Room;
use crate::hub::tasks::broadcaster::Broadcaster;

/// Key in [`Table::Meta`] of the newest serial that any removed room had.
const LOST_KEY: &str = "lost_serial";

/// Takes the records of the next batch, with at most `max_sessions` sessions; those that are written rest from now on.
pub fn take_records(
    directory: &mut Directory,
    broadcaster: &mut Broadcaster,
    fanout: &mut Fanout,
    now: Now,
    max_sessions: usize,
) -> Vec<Record> {
    let journal = &mut fanout.journal;
    for key in std::mem::take(&mut journal.tasks) {
        if let Some((id, row)) = broadcaster.save(key, now) {
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
    for room in directory.take_forgotten() {
        journal.delete(Table::Room, &room);
    }
    journal.drop_entries(directory.take_forgotten_entries());
    if let Some(serial) = directory.take_lost_serial() {
        journal.put(Table::Meta, LOST_KEY, serial.to_string());
    }
    journal.take_records()
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

/// Adds all shared state but workspaces, as the rows that a store would hold.
pub fn shared(
    directory: &Directory,
    broadcaster: &Broadcaster,
    now: Now,
    records: &mut Vec<Record>,
) {
    let lost_serial = directory.viewer_rooms.lost_serial.to_string();
    records.push(rows::put(Table::Meta, LOST_KEY, lost_serial));
    records.extend(directory.rooms().flat_map(|(_, room)| log_records(room)));
    records.extend(broadcaster.event_ids.records());
    for (_, task) in broadcaster.tasks.iter() {
        records.push(rows::put(Table::Task, &task.id, task.saved(now)));
    }
    for (id, row) in broadcaster.unread.iter() {
        records.push(rows::put(Table::Task, id, row.to_owned()));
    }
    let clients = directory.all_clients().map(|(_, client)| client);
    for client in clients.filter(|client| client.has_session) {
        let key = rows::session_key(client.id);
        records.push(rows::put(Table::Session, &key, rows::session(client)));
        let direct = client.direct().into_iter();
        let messages = direct.flat_map(|direct| direct.messages());
        records.extend(messages.map(|message| rows::direct(client.id, message)));
    }
}

/// Marks all state to be written to a store that was emptied.
pub fn mark_everything(
    directory: &mut Directory,
    broadcaster: &mut Broadcaster,
    fanout: &mut Fanout,
) {
    let journal = &mut fanout.journal;
    // Deletions mean nothing to an empty store.
    directory.take_forgotten();
    directory.take_forgotten_entries();
    directory.mark_lost_serial();
    let rooms: Vec<_> = directory.rooms().map(|(key, _)| key).collect();
    for key in rooms {
        let room = directory.room_mut(key);
        if let Some(log) = &mut room.log {
            log.set_stored();
            log.take_dropped(1);
        }
        log_records(room).for_each(|record| journal.push(record));
    }
    for record in broadcaster.event_ids.records() {
        journal.push(record);
    }
    broadcaster.list_all(journal);
    let clients: Vec<_> = directory.all_clients().map(|(key, _)| key).collect();
    for key in clients {
        let client = directory.client_mut(key);
        client
            .rooms
            .iter_mut()
            .for_each(|membership| membership.unsaved = true);
        let names = client.names_mut().iter_mut();
        names.for_each(|kept| kept.unsaved = true);
        journal.mark_client(client, Unsaved::ALL);
        journal.write_client_now(client);
        let direct = client.direct().filter(|_| client.has_session).into_iter();
        direct
            .flat_map(|direct| direct.messages())
            .for_each(|message| rows::put_direct(journal, client.id, message));
    }
}
