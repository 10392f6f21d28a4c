//! Restores state from the rows of a store (contract section 5.6), slice by slice in the order of [`Table`], so that the store's
//! content is never held twice.
//!
//! A slice may be of any size. The order of tables matters: a membership needs its session, and its room's log and task. A row that
//! cannot be read is left out with a warning, since one damaged row must not keep the server from starting. Nothing is sent to a
//! client before [`Hub::begin_epochs`](crate::hub::Hub::begin_epochs) has gone through all rooms and the store has kept that.

use crate::base::id::MessageIdReader;
use crate::hub::clients::client::{LOST, Unsaved};
use crate::hub::clients::direct::DirectMessage;
use crate::hub::durable::record::{Restored, StoredEntry, Table};
use crate::hub::durable::rows::{self, DirectRow, RoomRow, SessionRow};
use crate::hub::keys::RoomKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::log::LogEntry;
use crate::hub::rooms::position::Position;
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::Broadcaster;

/// The state of a restore between two slices.
#[derive(Debug, Default)]
pub struct Restoring {
    ids: MessageIdReader,
    /// Rooms that still need a new epoch; absent until all rows are read.
    pub rooms: Option<Vec<RoomKey>>,
}

pub fn restore(
    scope: &mut Scope<'_>,
    broadcaster: &mut Broadcaster,
    restoring: &mut Restoring,
    restored: &Restored,
) {
    let of = |wanted: Table| {
        let rows = restored
            .rows
            .iter()
            .filter(move |(table, ..)| *table == wanted);
        rows.map(|(_, key, value)| (&**key, value.as_str()))
    };
    // By table: a slice may hold rows of several, and the later ones refer to the earlier ones.
    for (name, row) in of(Table::Room) {
        restore_room(scope, name, row);
    }
    for entry in &restored.entries {
        restore_entry(scope, entry);
    }
    broadcaster.event_ids.restore(scope.now, restored);
    for (id, row) in of(Table::Task) {
        if let Err(fault) = broadcaster.restore(scope, id, row) {
            unreadable("task", id, &fault);
        }
    }
    for (key, row) in of(Table::Session) {
        restore_session(scope, restoring, key, row);
    }
    for (key, row) in of(Table::Received) {
        restore_received(scope, key, row);
    }
    for (key, row) in of(Table::Membership) {
        restore_membership_row(scope, key, row);
    }
    for (key, row) in of(Table::DirectMessage) {
        restore_direct(scope, restoring, key, row);
    }
}

fn unreadable(what: &str, key: &str, fault: &serde_json::Error) {
    ::log::warn!("{what} `{key}` in the store is unreadable and left out: {fault}");
}

fn restore_room(scope: &mut Scope<'_>, name: &str, row: &str) {
    let row: RoomRow = match serde_json::from_str(row) {
        Ok(row) => row,
        Err(fault) => return unreadable("room", name, &fault),
    };
    // Without a position its entries could not be told from those of another epoch.
    let Ok(position) = row.position.parse::<Position>() else {
        return ::log::warn!("room `{name}` in the store has no position and is left out");
    };
    let Ok(key) = scope.directory.restore_room(name, position.epoch) else {
        return ::log::warn!("room `{name}` in the store is left out: there are too many");
    };
    let lineage = row.lineage.iter().filter_map(|text| text.parse().ok());
    let log = scope.directory.room_mut(key).log.get_or_insert_default();
    log.restore(position.offset, row.lost_serial, lineage.collect());
    // New serials must exceed all old ones, even those of entries that are gone.
    scope.fanout.skip_serials(row.lost_serial);
}

fn restore_entry(scope: &mut Scope<'_>, stored: &StoredEntry) {
    scope.fanout.skip_serials(stored.serial);
    let until = scope.log_until(stored.timestamp);
    let room = scope.directory.find(&stored.room);
    let log = room.and_then(|room| scope.directory.room_mut(room).log.as_mut());
    let Some(log) = log else {
        // The row of its room is missing or unreadable.
        return scope.fanout.journal.drop_entries(vec![stored.serial]);
    };
    let entry = LogEntry {
        offset: stored.offset,
        serial: stored.serial,
        kind: stored.kind.clone(),
        payload: stored.payload.clone(),
        timestamp: stored.timestamp,
        id: stored.id.clone(),
        sender: stored.sender,
        until,
    };
    log.restore_entry(scope.settings.message_queue_size, entry);
}

fn restore_session(scope: &mut Scope<'_>, restoring: &mut Restoring, key: &str, row: &str) {
    let row: SessionRow = match serde_json::from_str(row) {
        Ok(row) => row,
        Err(fault) => return unreadable("session", key, &fault),
    };
    let Some(id) = rows::session_client(key) else {
        return ::log::warn!("session `{key}` in the store has no client and is left out");
    };
    let received = row.received.unwrap_or(0);
    scope.fanout.skip_serials(received);
    let Some(client) = scope.directory.restore(id, row.connected_at, received) else {
        return ::log::warn!("session `{key}` in the store is left out: there are too many");
    };
    // The present version writes none of these fields.
    let is_old = row.received.is_some() || !row.rooms.is_empty() || !row.mail.is_empty();
    for (name, position) in &row.rooms {
        restore_membership(scope, client, name, position.parse().ok());
    }
    for message in row.mail {
        if let Some(message) = message.message(&mut restoring.ids) {
            rows::put_direct(&mut scope.fanout.journal, id, &message);
            restore_message(scope, client, message);
        }
    }
    if is_old {
        // A row of an earlier version, which held rooms and messages as well: write them as the rows of this one.
        let client = scope.directory.client_mut(client);
        client.mark_unsaved();
        scope.fanout.journal.mark_client(client, Unsaved::ALL);
    }
}

fn restore_received(scope: &mut Scope<'_>, key: &str, row: &str) {
    let client = rows::session_client(key).and_then(|id| scope.directory.living_client(id));
    let Some(client) = client else {
        // A part without its session is of no use.
        return scope.fanout.journal.delete(Table::Received, key);
    };
    if let Ok(received) = row.parse() {
        scope.fanout.skip_serials(received);
        let client = scope.directory.client_mut(client);
        client.received = received;
        if let Some(direct) = client.direct_mut() {
            // What it has not confirmed counts as not sent.
            direct.sent = received;
        }
    }
}

fn restore_membership_row(scope: &mut Scope<'_>, key: &str, row: &str) {
    let Some((client, room)) = client_of_part(scope, key) else {
        return scope.fanout.journal.delete(Table::Membership, key);
    };
    restore_membership(scope, client, room, rows::membership_position(row));
}

fn restore_direct(scope: &mut Scope<'_>, restoring: &mut Restoring, key: &str, row: &str) {
    let Some((client, _)) = client_of_part(scope, key) else {
        return scope.fanout.journal.delete(Table::DirectMessage, key);
    };
    match serde_json::from_str::<DirectRow>(row) {
        Ok(row) => {
            if let Some(message) = row.message(&mut restoring.ids) {
                restore_message(scope, client, message);
            }
        }
        Err(fault) => unreadable("direct message", key, &fault),
    }
}

fn client_of_part<'a>(scope: &Scope<'_>, key: &'a str) -> Option<(ClientKey, &'a str)> {
    let (id, part): (ClientId, _) = rows::part_client(key)?;
    Some((scope.directory.living_client(id)?, part))
}

fn restore_message(scope: &mut Scope<'_>, client: ClientKey, message: DirectMessage) {
    scope.fanout.skip_serials(message.serial);
    let reader = scope.directory.client_mut(client);
    let received = reader.received;
    let direct = reader.open_direct();
    direct.sent = received;
    let gone = direct.restore(message);
    rows::delete_direct(&mut scope.fanout.journal, reader.id, gone);
}

/// Restores a client's membership, or the name of the room if only viewers held it.
fn restore_membership(
    scope: &mut Scope<'_>,
    client: ClientKey,
    name: &str,
    position: Option<Position>,
) {
    let room = scope.directory.find(name);
    let holds = |room: &RoomKey| {
        let room = scope.directory.room(*room);
        room.has_task || room.log.as_ref().is_some_and(|log| !log.is_empty())
    };
    let Some(room) = room.filter(holds) else {
        // Only viewers held it: one of them creates it again on its return.
        let position = position.unwrap_or_default();
        return scope
            .directory
            .add_name(client, name.into(), position, false);
    };
    // No limit here: if it was lowered since, it binds those who join from now on.
    if scope.directory.member(client, room).is_none() {
        scope.directory.enroll(client, room);
        scope.directory.recount(room);
    }
    let found = scope.directory.room(room);
    let (offset, is_outdated) = match &found.log {
        Some(log) => (
            position.map(|position| scope.directory.place_after(client, room, position)),
            position
                .is_some_and(|position| log.is_old(position.epoch) || !found.knows(position.epoch)),
        ),
        // It had no log while the client was in it: every entry is new, and will be in the epoch that begins now.
        None => (Some(0), true),
    };
    let Some(member) = scope.directory.member(client, room) else {
        return;
    };
    let membership = scope.directory.membership_mut(member);
    // Without a position that resolves the client is told that entries may be missing.
    membership.from = offset.unwrap_or(LOST);
    membership.unsaved = is_outdated;
    if is_outdated {
        let reader = scope.directory.client_mut(client);
        scope.fanout.journal.mark_client(reader, Unsaved::ROOMS);
    }
}
