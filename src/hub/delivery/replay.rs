//! Messages that must not be lost, on their way to one reader that is behind or has come back: read from the logs of its
//! rooms and its direct queue, in the order in which they were said (contract sections 5.1, 5.2 and 5.5).

use crate::hub::clients::client::{Client, Membership};
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::RoomKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::directory::Directory;
use crate::hub::scope::Scope;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A room, and whether its log still holds everything that a client lacks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The room.
    pub room: RoomKey,
    /// Whether nothing is missing.
    pub recovered: bool,
}

/// Which of a lagging client's rooms can be made up for.
pub fn plan_recovery(directory: &Directory, client: ClientKey) -> Vec<Recovery> {
    let reader = directory.client(client);
    let memberships = reader.memberships().iter();
    memberships
        .map(|membership| {
            let log = directory.room(membership.room).log.as_ref();
            let reaches_back =
                || log.is_none_or(|log| log.reaches_back(given(directory, reader, membership)));
            Recovery {
                room: membership.room,
                recovered: !membership.is_lost() && reaches_back(),
            }
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
/// more of it, and the rest follows when it has drained again, or this turn has done enough of that, and the rest is
/// postponed.
pub fn replay(scope: &mut Scope<'_>, client: ClientKey) -> bool {
    if scope.fanout.load.is_spent() {
        postpone(scope, client);
        return false;
    }
    let mut overdue = Overdue::new(scope.directory, client);
    let before = scope.fanout.load.turn();
    let rooms = scope.directory.client(client).memberships().len();
    scope.fanout.load.visit(rooms);
    scope.fanout.load.charge(before);
    let mut goes_on = false;
    while let Some(message) = overdue.next(scope.directory) {
        // Finding out what it lacks had its price, so that it gets one message at least.
        if std::mem::replace(&mut goes_on, true) && scope.fanout.load.is_spent() {
            postpone(scope, client);
            return false;
        }
        let is_taken = send(scope, client, &message);
        let reader = scope.directory.client_mut(client);
        if !is_taken {
            reader.backlogged = true;
            return false;
        }
        match message.room {
            Some((room, offset)) if reader.older(room).is_some() => reader.set_older(room, offset),
            _ => reader.set_queued(message.serial),
        }
        if let (None, Some(direct)) = (message.room, reader.direct_mut()) {
            direct.sent = message.serial;
        }
    }
    let reader = scope.directory.client_mut(client);
    reader.is_lagging = false;
    reader.forget_older(None);
    if !reader.has_session {
        // Nobody will ask for these again.
        reader.close_direct();
    }
    reader.trim();
    true
}

/// The rest of what is due to a client follows in a later turn. Until then it is served like one whose connection is full.
pub fn postpone(scope: &mut Scope<'_>, client: ClientKey) {
    let reader = scope.directory.client_mut(client);
    reader.backlogged = true;
    scope.fanout.load.postpone(reader.id);
}

/// Sends a client that has just joined a room what the log holds after an offset; what its connection does not take follows
/// when it has drained, and what this turn does not in a later one.
pub fn replay_room(scope: &mut Scope<'_>, client: ClientKey, room: RoomKey, mut offset: u64) {
    let reader = scope.directory.client(client).id;
    loop {
        let log = scope.directory.room(room).log.as_ref();
        let Some(entry) = log.and_then(|log| log.next_after(offset)) else {
            return;
        };
        let message = Message {
            serial: entry.serial,
            room: Some((room, entry.offset)),
        };
        let next = entry.offset;
        let is_own = entry.sender == Some(reader);
        let is_spent = scope.fanout.load.is_spent();
        if !is_own && (is_spent || !send(scope, client, &message)) {
            // Of the other rooms it has everything.
            let serial = scope.fanout.serial();
            scope.directory.fall_behind(client, serial);
            scope.directory.client_mut(client).set_older(room, offset);
            if is_spent {
                postpone(scope, client);
            }
            return;
        }
        offset = next;
    }
}

/// A message that a client lacks, by its place: logs are not copied before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    serial: u64,
    /// Its room and offset; `None`: it is in the direct queue.
    room: Option<(RoomKey, u64)>,
}

/// What a lagging client lacks, oldest first: the next message of each of its rooms, and of its direct queue.
struct Overdue {
    reader: ClientId,
    client: ClientKey,
    next: BinaryHeap<Reverse<Message>>,
}

impl Overdue {
    fn new(directory: &Directory, client: ClientKey) -> Self {
        let reader = directory.client(client);
        let mut overdue = Self {
            reader: reader.id,
            client,
            next: BinaryHeap::new(),
        };
        for membership in reader.memberships() {
            let after = given(directory, reader, membership);
            overdue.look_into(directory, membership.room, after);
        }
        let sent = reader.direct().map_or(0, |direct| direct.sent);
        overdue.look_into_direct(directory, sent);
        overdue
    }

    fn look_into(&mut self, directory: &Directory, room: RoomKey, mut after: u64) {
        let Some(log) = directory.room(room).log.as_ref() else {
            return;
        };
        while let Some(entry) = log.next_after(after) {
            if entry.sender != Some(self.reader) {
                return self.next.push(Reverse(Message {
                    serial: entry.serial,
                    room: Some((room, entry.offset)),
                }));
            }
            after = entry.offset;
        }
    }

    fn look_into_direct(&mut self, directory: &Directory, after: u64) {
        let direct = directory.client(self.client).direct();
        if let Some(letter) = direct.and_then(|direct| direct.next_after(after)) {
            self.next.push(Reverse(Message {
                serial: letter.serial,
                room: None,
            }));
        }
    }

    fn next(&mut self, directory: &Directory) -> Option<Message> {
        let Reverse(message) = self.next.pop()?;
        match message.room {
            Some((room, offset)) => self.look_into(directory, room, offset),
            None => self.look_into_direct(directory, message.serial),
        }
        Some(message)
    }
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
        let log = directory.room(membership.room).log.as_ref()?;
        let next = log.next_after(given(directory, reader, membership))?;
        Some(next.serial - 1)
    });
    missing.fold(reader.queued(), u64::min)
}

fn send(scope: &mut Scope<'_>, client: ClientKey, message: &Message) -> bool {
    let before = scope.fanout.load.turn();
    scope.fanout.load.visit(1);
    let reader = scope.directory.client(client);
    let publication = match message.room {
        Some((room, offset)) => {
            let room = scope.directory.room(room);
            let entry = room.log.as_ref().and_then(|log| log.entry(offset));
            entry.map(|entry| Publication {
                message: entry.envelope(&room.name),
                log_serial: Some(entry.serial),
            })
        }
        None => {
            let direct = reader.direct();
            let message = direct.and_then(|direct| direct.letter(message.serial));
            message.map(|message| Publication::from(message.envelope()))
        }
    };
    let is_taken = publication.is_none_or(|publication| {
        let Scope { fanout, out, .. } = scope;
        fanout.offer(&publication, reader.connection, Lane::Replay, *out)
    });
    scope.fanout.load.charge(before);
    is_taken
}
