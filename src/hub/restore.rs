//! What a store has kept comes back after a restart (contract section 5.6), slice by slice in the order of [`Table`], so that
//! nothing is held twice.
//!
//! A slice may be of any size. Nothing that it brings is told to anybody before [`begin_epochs`] has gone through all rooms
//! and what that records is kept.

use super::broadcaster::Broadcaster;
use super::client::{ClientId, ClientKey, LOST, Unsaved};
use super::directory::RoomKey;
use super::journal::{Restored, StoredEntry, Table};
use super::log::LogEntry;
use super::mailbox::Letter;
use super::position::Position;
use super::progress::Stage;
use super::room::Room;
use super::saved::{self, LetterRow, RoomRow, SessionRow};
use super::viewer_rooms::Entry;
use crate::base::id::MessageIdReader;

/// How far the restoring is.
#[derive(Debug, Default)]
pub struct Restoring {
    ids: MessageIdReader,
    /// Rooms that are yet to begin an epoch, once all are there.
    rooms: Option<Vec<RoomKey>>,
}

/// Takes back a slice of what a store has kept.
pub fn restore(
    stage: &mut Stage<'_>,
    broadcaster: &mut Broadcaster,
    restoring: &mut Restoring,
    limit: usize,
    restored: &Restored,
) {
    let of = |wanted: Table| {
        let rows = restored
            .rows
            .iter()
            .filter(move |(table, ..)| *table == wanted);
        rows.map(|(_, key, value)| (&**key, value.as_str()))
    };
    for (name, row) in of(Table::Room) {
        restore_room(stage, name, row);
    }
    for entry in &restored.entries {
        restore_entry(stage, limit, entry);
    }
    broadcaster.restore_ids(stage, restored);
    for (id, row) in of(Table::Task) {
        if let Err(fault) = broadcaster.restore(stage, id, row) {
            unreadable("task", id, &fault);
        }
    }
    for (key, row) in of(Table::Session) {
        restore_session(stage, restoring, key, row);
    }
    for (key, row) in of(Table::Received) {
        restore_received(stage, key, row);
    }
    for (key, row) in of(Table::Membership) {
        restore_place(stage, key, row);
    }
    for (key, row) in of(Table::Letter) {
        restore_letter(stage, restoring, key, row);
    }
}

fn unreadable(what: &str, key: &str, fault: &serde_json::Error) {
    ::log::warn!("{what} `{key}` in the store is unreadable and left out: {fault}");
}

fn restore_room(stage: &mut Stage<'_>, name: &str, row: &str) {
    let row: RoomRow = match serde_json::from_str(row) {
        Ok(row) => row,
        Err(fault) => return unreadable("room", name, &fault),
    };
    let Ok(position) = row.position.parse::<Position>() else {
        return ::log::warn!("room `{name}` in the store has no position and is left out");
    };
    let key = stage.directory.restore_room(name, position.epoch);
    let lineage = row.lineage.iter().filter_map(|text| text.parse().ok());
    let log = stage.directory.room_mut(key).log.get_or_insert_default();
    log.restore(position.offset, row.lost_serial, lineage.collect());
    stage.fanout.skip_serials(row.lost_serial);
}

fn restore_entry(stage: &mut Stage<'_>, limit: usize, stored: &StoredEntry) {
    stage.fanout.skip_serials(stored.serial);
    let room = stage.directory.find(&stored.room);
    let log = room.and_then(|room| stage.directory.room_mut(room).log.as_mut());
    let Some(log) = log else {
        // Its room is gone, or unreadable.
        return stage.fanout.journal.drop_entries(vec![stored.serial]);
    };
    let entry = LogEntry {
        offset: stored.offset,
        serial: stored.serial,
        kind: stored.kind.clone(),
        payload: stored.payload.clone(),
        timestamp: stored.timestamp,
        id: stored.id.clone(),
        sender: stored.sender,
        until: stage.fanout.log_until(stage.now, stored.timestamp),
    };
    log.restore_entry(limit, entry);
}

/// Every room that had a log begins a new epoch, which goes on from the old one: what was said and not kept may have been
/// heard, so its offsets must not be used again under the old name. So many begin at once; `false`: all have.
pub fn begin_epochs(stage: &mut Stage<'_>, restoring: &mut Restoring, mut count: usize) -> bool {
    let directory = &stage.directory;
    let rooms = restoring
        .rooms
        .get_or_insert_with(|| directory.rooms().map(|(key, _)| key).collect());
    while count > 0
        && let Some(key) = rooms.pop()
    {
        if stage.directory.room(key).log.is_none() {
            continue;
        }
        count -= 1;
        let epoch = stage.directory.fresh_epoch();
        let room = stage.directory.room_mut(key);
        let ended = std::mem::replace(&mut room.epoch, epoch);
        if let Some(log) = &mut room.log {
            log.end_epoch(ended);
        }
        let row = saved::room(room);
        stage.fanout.journal.put(Table::Room, &room.name, row);
    }
    !rooms.is_empty()
}

fn restore_session(stage: &mut Stage<'_>, restoring: &mut Restoring, key: &str, row: &str) {
    let row: SessionRow = match serde_json::from_str(row) {
        Ok(row) => row,
        Err(fault) => return unreadable("session", key, &fault),
    };
    let Some(id) = saved::session_client(key) else {
        return ::log::warn!("session `{key}` in the store has no client and is left out");
    };
    let received = row.received.unwrap_or(0);
    stage.fanout.skip_serials(received);
    let client = stage.directory.restore(id, row.connected_at, received);
    let is_old = row.received.is_some() || !row.rooms.is_empty() || !row.mail.is_empty();
    for (name, position) in &row.rooms {
        restore_membership(stage, client, name, position.parse().ok());
    }
    for letter in row.mail {
        if let Some(letter) = letter.letter(&mut restoring.ids) {
            saved::put_letter(&mut stage.fanout.journal, id, &letter);
            post(stage, client, letter);
        }
    }
    if is_old {
        // Earlier versions kept its rooms and messages in this row.
        let client = stage.directory.client_mut(client);
        client.rooms.iter_mut().for_each(|room| room.unsaved = true);
        let names = client.names_mut().iter_mut();
        names.for_each(|kept| kept.unsaved = true);
        stage.fanout.journal.mark_client(client, Unsaved::ALL);
    }
}

fn restore_received(stage: &mut Stage<'_>, key: &str, row: &str) {
    let client = saved::session_client(key).and_then(|id| stage.directory.living_client(id));
    let Some(client) = client else {
        // What belongs to no session is not to be kept.
        return stage.fanout.journal.delete(Table::Received, key);
    };
    if let Ok(received) = row.parse() {
        stage.fanout.skip_serials(received);
        let client = stage.directory.client_mut(client);
        client.received = received;
        if let Some(mailbox) = client.mailbox_mut() {
            mailbox.sent = received;
        }
    }
}

fn restore_place(stage: &mut Stage<'_>, key: &str, row: &str) {
    let Some((client, room)) = client_of_part(stage, key) else {
        return stage.fanout.journal.delete(Table::Membership, key);
    };
    restore_membership(stage, client, room, saved::membership_position(row));
}

fn restore_letter(stage: &mut Stage<'_>, restoring: &mut Restoring, key: &str, row: &str) {
    let Some((client, _)) = client_of_part(stage, key) else {
        return stage.fanout.journal.delete(Table::Letter, key);
    };
    match serde_json::from_str::<LetterRow>(row) {
        Ok(row) => {
            if let Some(letter) = row.letter(&mut restoring.ids) {
                post(stage, client, letter);
            }
        }
        Err(fault) => unreadable("letter", key, &fault),
    }
}

fn client_of_part<'a>(stage: &Stage<'_>, key: &'a str) -> Option<(ClientKey, &'a str)> {
    let (id, part): (ClientId, _) = saved::part_client(key)?;
    Some((stage.directory.living_client(id)?, part))
}

fn post(stage: &mut Stage<'_>, client: ClientKey, letter: Letter) {
    stage.fanout.skip_serials(letter.serial);
    let reader = stage.directory.client_mut(client);
    let received = reader.received;
    let mailbox = reader.open_mailbox();
    mailbox.sent = received;
    let gone = mailbox.restore(letter);
    saved::delete_letters(&mut stage.fanout.journal, reader.id, gone);
}

/// Brings a client back into a room.
fn restore_membership(
    stage: &mut Stage<'_>,
    client: ClientKey,
    name: &str,
    position: Option<Position>,
) {
    let room = stage.directory.find(name);
    let holds = |room: &Room| room.has_task || room.log.as_ref().is_some_and(|log| !log.is_empty());
    if room.is_none_or(|room| !holds(stage.directory.room(room))) {
        // Only viewers held it: it is made again when one of them comes back.
        let position = position.unwrap_or_default();
        return stage
            .directory
            .add_name(client, name.into(), position, false);
    }
    // A lower limit than before is for those who come: whoever was in such a room stays in it.
    let Ok((room, _)) = stage.directory.join(client, name, Entry::Viewer, 0) else {
        return;
    };
    let found = stage.directory.room(room);
    let (offset, is_outdated) = match &found.log {
        Some(log) => (
            position.map(|position| stage.directory.place_after(client, room, position)),
            position
                .is_some_and(|position| log.is_old(position.epoch) || !found.knows(position.epoch)),
        ),
        // It had no log while the client was in it: whatever comes is new, and is said in the epoch that begins now.
        None => (Some(0), true),
    };
    let Some(member) = stage.directory.member(client, room) else {
        return;
    };
    let membership = stage.directory.membership_mut(member);
    // Beyond every log: it is told that something may be missing.
    membership.from = offset.unwrap_or(LOST);
    membership.unsaved = is_outdated;
    if is_outdated {
        let reader = stage.directory.client_mut(client);
        stage.fanout.journal.mark_client(reader, Unsaved::ROOMS);
    }
}
