//! The hub and its store: what is written with the next batch, and how everything comes back after a restart (contract
//! section 5.6).

use super::broadcaster::Broadcaster;
use super::client::{ClientKey, LOST, Unsaved};
use super::directory::Directory;
use super::fanout::Fanout;
use super::journal::{Record, Restored, StoredEntry, Table};
use super::log::LogEntry;
use super::mailbox::{Letter, Mailbox};
use super::position::Position;
use super::progress::Stage;
use super::saved::{self, LetterRow, RoomRow, SessionRow};
use crate::base::id::MessageIdReader;
use crate::base::time::Now;
use std::collections::HashMap;

/// What the store has yet to learn, the newest state of each thing once.
pub fn take_records(
    directory: &mut Directory,
    broadcaster: &mut Broadcaster,
    fanout: &mut Fanout,
    now: Now,
) -> Vec<Record> {
    let journal = &mut fanout.journal;
    for key in std::mem::take(&mut journal.tasks) {
        if let Some((id, row)) = broadcaster.save(key, now) {
            journal.put(Table::Task, id, row);
        }
    }
    for id in std::mem::take(&mut journal.clients) {
        if let Some(client_key) = directory.living_client(id) {
            let client = directory.client_mut(client_key);
            let unsaved = std::mem::replace(&mut client.unsaved, Unsaved::Nothing);
            let key = saved::session_key(id);
            journal.put(Table::Received, &key, client.received.to_string());
            if unsaved == Unsaved::Session {
                let row = saved::session(directory, directory.client(client_key));
                journal.put(Table::Session, &key, row);
            }
        }
    }
    for room in directory.take_forgotten() {
        journal.delete(Table::Room, &room);
    }
    journal.drop_entries(directory.take_forgotten_entries());
    journal.take_records()
}

/// Everything that there is goes to a store that was emptied, because it has missed some of it.
pub fn mark_everything(
    directory: &mut Directory,
    broadcaster: &mut Broadcaster,
    fanout: &mut Fanout,
) {
    let journal = &mut fanout.journal;
    directory.take_forgotten();
    directory.take_forgotten_entries();
    let rooms: Vec<_> = directory.rooms().map(|(key, _)| key).collect();
    for key in rooms {
        let room = directory.room_mut(key);
        if let Some(log) = &mut room.log {
            log.set_stored();
            log.take_dropped(1);
        }
        let Some(log) = &room.log else { continue };
        journal.put(Table::Room, &room.name, saved::room(room));
        for entry in log.after(0).entries {
            journal.push(Record::Append(entry.stored(&room.name)));
        }
    }
    broadcaster.keep_ids(journal);
    broadcaster.mark_all(journal);
    let clients: Vec<_> = directory.all_clients().map(|(key, _)| key).collect();
    for key in clients {
        let client = directory.client_mut(key);
        journal.mark_client(client, Unsaved::Session);
        let mailbox = client.mailbox().filter(|_| client.has_session).into_iter();
        mailbox
            .flat_map(|mailbox| mailbox.letters())
            .for_each(|letter| saved::put_letter(journal, client.id, letter));
    }
}

/// Takes back what a store has kept. Every room that had a log begins a new epoch, which goes on from the old one: what was
/// said and not kept may have been heard, so its offsets must not be used again under the old name.
pub fn restore(
    stage: &mut Stage<'_>,
    broadcaster: &mut Broadcaster,
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
    begin_epochs(stage);
    broadcaster.restore_ids(stage, restored);
    for (id, row) in of(Table::Task) {
        if let Err(fault) = broadcaster.restore(stage, id, row) {
            unreadable("task", id, &fault);
        }
    }
    let mut sessions = SavedSessions::read(of(Table::Received), of(Table::Letter));
    for (key, row) in of(Table::Session) {
        sessions.restore(stage, key, row);
    }
    sessions.delete_rest(stage);
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

fn begin_epochs(stage: &mut Stage<'_>) {
    let rooms: Vec<_> = stage.directory.rooms().map(|(key, _)| key).collect();
    for key in rooms {
        let epoch = stage.directory.fresh_epoch();
        let room = stage.directory.room_mut(key);
        let ended = std::mem::replace(&mut room.epoch, epoch);
        if let Some(log) = &mut room.log {
            log.end_epoch(ended);
        }
        let row = saved::room(room);
        stage.fanout.journal.put(Table::Room, &room.name, row);
    }
}

/// What is kept of sessions beside their rooms, by their key.
struct SavedSessions<'a> {
    received: HashMap<&'a str, &'a str>,
    /// Each with its own key.
    letters: HashMap<&'a str, Vec<(&'a str, &'a str)>>,
    ids: MessageIdReader,
}

impl<'a> SavedSessions<'a> {
    fn read(
        received: impl Iterator<Item = (&'a str, &'a str)>,
        rows: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut letters: HashMap<_, Vec<_>> = HashMap::new();
        for (key, row) in rows {
            let (session, _) = key.split_once(':').unwrap_or((key, ""));
            letters.entry(session).or_default().push((key, row));
        }
        Self {
            received: received.collect(),
            letters,
            ids: MessageIdReader::default(),
        }
    }

    fn restore(&mut self, stage: &mut Stage<'_>, key: &str, row: &str) {
        let row: SessionRow = match serde_json::from_str(row) {
            Ok(row) => row,
            Err(fault) => return unreadable("session", key, &fault),
        };
        let Some(id) = saved::session_client(key) else {
            return ::log::warn!("session `{key}` in the store has no client and is left out");
        };
        let received = self.received.remove(key).and_then(|row| row.parse().ok());
        let received = received.or(row.received).unwrap_or(0);
        stage.fanout.skip_serials(received);
        let client = stage.directory.restore(id, row.connected_at, received);
        let mut is_outdated = row.received.is_some();
        for (name, position) in &row.rooms {
            is_outdated |= !restore_membership(stage, client, name, position);
        }
        let old_mail = row.mail.into_iter();
        let old_mail: Vec<Letter> = old_mail
            .filter_map(|row| row.letter(&mut self.ids))
            .collect();
        for letter in &old_mail {
            saved::put_letter(&mut stage.fanout.journal, id, letter);
        }
        let mut letters = self.take_letters(key);
        letters.extend(old_mail);
        letters.sort_unstable_by_key(|letter| letter.serial);
        let mut mailbox = Mailbox::default();
        for letter in letters {
            stage.fanout.skip_serials(letter.serial);
            let gone = mailbox.keep(usize::MAX, letter);
            saved::delete_letters(&mut stage.fanout.journal, id, gone);
        }
        let reader = stage.directory.client_mut(client);
        if !mailbox.is_empty() {
            mailbox.sent = received;
            *reader.open_mailbox() = mailbox;
        }
        if is_outdated {
            stage.fanout.journal.mark_client(reader, Unsaved::Session);
        }
    }

    fn take_letters(&mut self, session: &str) -> Vec<Letter> {
        let rows = self.letters.remove(session).into_iter().flatten();
        let mut letters = Vec::new();
        for (key, row) in rows {
            match serde_json::from_str::<LetterRow>(row) {
                Ok(row) => letters.extend(row.letter(&mut self.ids)),
                Err(fault) => unreadable("letter", key, &fault),
            }
        }
        letters
    }

    /// What belongs to no session is not to be kept.
    fn delete_rest(self, stage: &mut Stage<'_>) {
        let journal = &mut stage.fanout.journal;
        for key in self.received.into_keys() {
            journal.delete(Table::Received, key);
        }
        for (key, _) in self.letters.into_values().flatten() {
            journal.delete(Table::Letter, key);
        }
    }
}

/// Brings a client back into a room. `false`: its row does not name the epoch in which what comes will be said.
fn restore_membership(
    stage: &mut Stage<'_>,
    client: ClientKey,
    name: &str,
    position: &str,
) -> bool {
    // A lower limit than before is for those who come: whoever was in a room stays in it.
    if stage.directory.find(name).is_none() {
        let epoch = stage.directory.fresh_epoch();
        stage.directory.restore_room(name, epoch);
    }
    let Ok((room, _)) = stage.directory.join(client, name, 0) else {
        return true;
    };
    let position = position.parse::<Position>().ok();
    let found = stage.directory.room(room);
    let (offset, is_current) = match found.log {
        Some(_) => (position.and_then(|position| found.resolve(position)), true),
        // It had no log while the client was in it: whatever comes is new.
        None => (Some(0), false),
    };
    if let Some(member) = stage.directory.member(client, room) {
        // Beyond every log: it is told that something may be missing.
        stage.directory.membership_mut(member).from = offset.unwrap_or(LOST);
    }
    is_current
}
