//! Messages that must not be lost, on their way to one reader that is behind or has come back: read from the logs of its
//! rooms and its mailbox, in the order in which they were said (contract sections 5.1, 5.2 and 5.5).

use super::client::{Client, ClientKey, Membership};
use super::directory::{Directory, RoomKey};
use super::log::Missed;
use super::progress::Stage;
use super::publication::Lane;

/// A room, and whether its log still holds everything that a client lacks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The room.
    pub room: RoomKey,
    /// Whether nothing is missing.
    pub recovered: bool,
}

/// Which of a lagging client's rooms can be made up for.
pub fn survey(directory: &Directory, client: ClientKey) -> Vec<Recovery> {
    let reader = directory.client(client);
    let memberships = reader.memberships().iter();
    memberships
        .map(|membership| Recovery {
            room: membership.room,
            recovered: !membership.is_lost()
                && lacking(directory, reader, membership).is_none_or(|missed| missed.complete),
        })
        .collect()
}

/// Gives up what a client lacks of the rooms whose logs no longer hold all of it: it is told, and goes on with the oldest
/// entry that is there.
pub fn give_up(directory: &mut Directory, client: ClientKey, lost: &[RoomKey]) {
    for room in lost.iter().copied() {
        let start = directory.room(room).start();
        if let Some(member) = directory.member(client, room) {
            // It begins anew there, whatever of it has arrived before.
            directory.client_mut(client).set_older(room, start);
            let membership = directory.membership_mut(member);
            membership.from = start;
            (membership.told_of_loss, membership.unsaved) = (true, true);
            membership.forget();
        }
    }
}

/// Sends a lagging client what it lacks, oldest first. `true`: it lacks nothing any more. `false`: its connection took no
/// more of it, and the rest follows when it has drained again.
pub fn replay(stage: &mut Stage<'_>, client: ClientKey) -> bool {
    stage.out.expect_readers(1);
    for message in overdue(stage.directory, client) {
        let is_taken = send(stage, client, &message);
        let reader = stage.directory.client_mut(client);
        if !is_taken {
            reader.backlogged = true;
            return false;
        }
        match message.room {
            Some((room, offset)) if reader.older(room).is_some() => reader.set_older(room, offset),
            _ => reader.set_queued(message.serial),
        }
        if let (None, Some(mailbox)) = (message.room, reader.mailbox_mut()) {
            mailbox.sent = message.serial;
        }
    }
    let reader = stage.directory.client_mut(client);
    reader.is_lagging = false;
    reader.forget_older(None);
    if !reader.has_session {
        // Nobody will ask for these again.
        reader.close_mailbox();
    }
    reader.trim();
    true
}

/// Sends a client that has just joined a room what the log holds after an offset; what its connection does not take follows
/// when it has drained.
pub fn replay_room(stage: &mut Stage<'_>, client: ClientKey, room: RoomKey, offset: u64) {
    stage.out.expect_readers(1);
    let log = stage.directory.room(room).log.as_ref();
    let entries = log.map_or_else(Vec::new, |log| log.after(offset).entries);
    let reader = stage.directory.client(client).id;
    let due: Vec<Overdue> = entries
        .iter()
        .filter(|entry| entry.sender != Some(reader))
        .map(|entry| Overdue {
            serial: entry.serial,
            room: Some((room, entry.offset)),
        })
        .collect();
    for message in due {
        if !send(stage, client, &message) {
            // Of the other rooms it has everything.
            let serial = stage.fanout.serial();
            stage.directory.fall_behind(client, serial);
            let offset = message.room.map_or(0, |(_, offset)| offset - 1);
            return stage.directory.client_mut(client).set_older(room, offset);
        }
    }
}

/// A message that a client lacks, by its place: logs are not copied before it is sent.
struct Overdue {
    serial: u64,
    /// Its room and offset; `None`: it is in the mailbox.
    room: Option<(RoomKey, u64)>,
}

fn overdue(directory: &Directory, client: ClientKey) -> Vec<Overdue> {
    let reader = directory.client(client);
    let mut messages = Vec::new();
    for membership in reader.memberships() {
        let missed = lacking(directory, reader, membership);
        let entries = missed.into_iter().flat_map(|missed| missed.entries);
        let entries = entries.filter(|entry| entry.sender != Some(reader.id));
        messages.extend(entries.map(|entry| Overdue {
            serial: entry.serial,
            room: Some((membership.room, entry.offset)),
        }));
    }
    let mailbox = reader.mailbox().into_iter();
    let letters = mailbox.flat_map(|mailbox| {
        mailbox
            .letters()
            .filter(|letter| letter.serial > mailbox.sent)
    });
    messages.extend(letters.map(|letter| Overdue {
        serial: letter.serial,
        room: None,
    }));
    messages.sort_unstable_by_key(|message| message.serial);
    messages
}

fn lacking<'a>(
    directory: &'a Directory,
    reader: &Client,
    membership: &Membership,
) -> Option<Missed<'a>> {
    let log = directory.room(membership.room).log.as_ref()?;
    Some(log.after(given(directory, reader, membership)))
}

/// Up to which offset of a room everything was queued for a lagging client, or was not for it.
pub fn given(directory: &Directory, reader: &Client, membership: &Membership) -> u64 {
    if membership.is_lost() {
        return 0;
    }
    let log = directory.room(membership.room).log.as_ref();
    let older = reader.older(membership.room);
    let queued = || log.map_or(0, |log| log.offset_at(reader.queued()));
    membership.from.max(older.unwrap_or_else(queued))
}

/// Every message up to this serial was queued for a client's connection, or was not for it.
pub fn queued_serial(directory: &Directory, client: ClientKey) -> u64 {
    let reader = directory.client(client);
    let memberships = reader.memberships().iter();
    let older = memberships.filter(|membership| reader.older(membership.room).is_some());
    let missing = older.filter_map(|membership| {
        let missed = lacking(directory, reader, membership)?;
        missed.entries.first().map(|entry| entry.serial - 1)
    });
    missing.fold(reader.queued(), u64::min)
}

fn send(stage: &mut Stage<'_>, client: ClientKey, message: &Overdue) -> bool {
    let reader = stage.directory.client(client);
    let encoded = match message.room {
        Some((room, offset)) => {
            let room = stage.directory.room(room);
            let entry = room.log.as_ref().and_then(|log| log.entry(offset));
            entry.map(|entry| entry.envelope(&room.name).encode(reader.variant))
        }
        None => {
            let letter = reader
                .mailbox()
                .and_then(|mailbox| mailbox.letter(message.serial));
            letter.map(|letter| letter.envelope().encode(reader.variant))
        }
    };
    let Some(encoded) = encoded else { return true };
    let frame = stage.fanout.framer().frame(&encoded, reader.variant);
    let is_taken = stage.out.deliver(reader.link, &frame, Lane::Replay);
    stage.fanout.count(is_taken);
    is_taken
}
