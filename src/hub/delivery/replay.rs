//! Replays to one reader what it lacks: the entries of its rooms' logs and its direct messages, in the order of their serials
//! (contract sections 5.1, 5.2 and 5.5).
//!
//! Owns no state. How far a reader was served is in its `queued` serial and its exceptions by room, and both are advanced after each
//! message, so that a replay can stop anywhere: at a full connection, or at the end of the turn's budget for single readers. Messages
//! are read from logs and queue one at a time and never copied into a queue of the reader. Invariant: a client lags until its replay
//! has reached the newest message; from then on it is offered new ones directly.

use crate::hub::clients::client::{Client, Membership, Unsaved};
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::RoomKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::parts::Hub;
use crate::hub::rooms::directory::Directory;
use crate::hub::rooms::position::Position;
use crate::hub::scope::Scope;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Whether a room's log still holds everything that a client lacks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    pub room: RoomKey,
    pub recovered: bool,
}

impl Hub {
    /// For each room of a lagging client, whether the log still holds what it lacks.
    pub fn plan_recovery(&self, client: ClientKey) -> Vec<Recovery> {
        let reader = self.directory.client(client);
        let memberships = reader.memberships().iter();
        memberships
            .map(|membership| {
                let log = self.directory.room(membership.room).log.as_ref();
                let queued = || queued_offset(&self.directory, reader, membership);
                let reaches_back = || log.is_none_or(|log| log.reaches_back(queued()));
                Recovery {
                    room: membership.room,
                    recovered: !membership.is_lost() && reaches_back(),
                }
            })
            .collect()
    }

    /// Gives up what is no longer in the logs of lost rooms: the client is told, and continues with the oldest entry that is there.
    pub(in crate::hub) fn give_up(&mut self, client: ClientKey, lost: &[RoomKey]) {
        let directory = &mut self.directory;
        for room in lost.iter().copied() {
            let start = directory.room(room).start();
            if let Some(member) = directory.member(client, room) {
                // From the oldest entry even if some of it arrived before: the client starts its list over.
                directory.client_mut(client).set_older(room, start);
                let membership = directory.membership_mut(member);
                membership.from = start;
                (membership.told_of_loss, membership.unsaved) = (true, true);
                membership.forget();
            }
        }
        if !lost.is_empty() {
            // Stored until it has confirmed it: after a crash it is told again.
            self.mark(client, Unsaved::ROOMS);
        }
    }

    /// Every message up to this serial was queued for a client's connection, or was not for it: what a confirmed ping stands for.
    pub fn queued_serial(&self, client: ClientKey) -> u64 {
        let reader = self.directory.client(client);
        // A client that keeps up was offered everything so far.
        if !reader.is_lagging {
            return self.fanout.serial();
        }
        // The least over its exceptions.
        let memberships = reader.memberships().iter();
        let older = memberships.filter(|membership| reader.older(membership.room).is_some());
        let missing = older.filter_map(|membership| {
            let log = self.directory.room(membership.room).log.as_ref()?;
            let next = log.next_after(queued_offset(&self.directory, reader, membership))?;
            Some(next.serial - 1)
        });
        missing.fold(reader.queued(), u64::min)
    }

    /// The position in a room up to which every entry was queued for a client's connection, or was not for it.
    pub fn queued_position(&self, client: ClientKey, membership: &Membership) -> Position {
        let reader = self.directory.client(client);
        let mut position = self.directory.room(membership.room).position();
        if reader.is_lagging {
            let given = queued_offset(&self.directory, reader, membership);
            position.offset = position.offset.min(given);
        }
        position
    }
}

/// Sends a lagging client what it lacks, oldest first. `true`: it lacks nothing more. `false`: its connection refused a message, and the
/// rest follows when it has drained; or the turn's budget is spent, and the client is postponed.
pub fn replay(scope: &mut Scope<'_>, client: ClientKey) -> bool {
    if scope.fanout.load.is_spent() {
        postpone(scope.directory, scope.fanout, client);
        return false;
    }
    let mut overdue = Overdue::new(scope.directory, client);
    let before = scope.fanout.load.turn();
    // Looking into each room costs, even if nothing is missing in it.
    let rooms = scope.directory.client(client).memberships().len();
    scope.fanout.load.visit(rooms);
    scope.fanout.load.charge(before);
    let mut goes_on = false;
    while let Some(message) = overdue.next(scope.directory) {
        // At least one message, even if finding out what it lacks used up the budget: otherwise it would never advance.
        if std::mem::replace(&mut goes_on, true) && scope.fanout.load.is_spent() {
            postpone(scope.directory, scope.fanout, client);
            return false;
        }
        let is_taken = send(scope, client, &message);
        let reader = scope.directory.client_mut(client);
        if !is_taken {
            reader.defers_progress = true;
            return false;
        }
        // A room with an exception advances by itself; `queued` stands for all others.
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
        // Without a session nothing will ask for these again.
        reader.close_direct();
    }
    reader.trim();
    true
}

/// Continues with a client in a later turn. Until then it is treated like one whose connection is full.
pub fn postpone(directory: &mut Directory, fanout: &mut Fanout, client: ClientKey) {
    let reader = directory.client_mut(client);
    reader.defers_progress = true;
    fanout.load.postpone(reader.id);
}

/// Sends a client that has just joined a room the entries after an offset. What its connection refuses makes it a lagging reader; what
/// exceeds the turn's budget follows in a later turn.
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
            // It lags in this room alone: `queued` stays at the newest serial, and the room is an exception.
            let serial = scope.fanout.serial();
            scope.directory.fall_behind(client, serial);
            scope.directory.client_mut(client).set_older(room, offset);
            if is_spent {
                postpone(scope.directory, scope.fanout, client);
            }
            return;
        }
        offset = next;
    }
}

/// Names a message that a client lacks. Ordered by serial, which no two messages share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Message {
    serial: u64,
    /// Room and offset; `None`: it is in the direct queue.
    room: Option<(RoomKey, u64)>,
}

/// Merges what a lagging client lacks by serial. The heap holds the next message of each source, one per room and one for the
/// direct queue.
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
            let after = queued_offset(directory, reader, membership);
            overdue.look_into(directory, membership.room, after);
        }
        let sent = reader.direct().map_or(0, |direct| direct.sent);
        overdue.look_into_direct(directory, sent);
        overdue
    }

    fn look_into(&mut self, directory: &Directory, room: RoomKey, mut after: u64) {
        // A room that only carries progress has no log.
        let Some(log) = directory.room(room).log.as_ref() else {
            return;
        };
        // Skips the reader's own entries: a sender does not receive what it published.
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
        if let Some(message) = direct.and_then(|direct| direct.next_after(after)) {
            self.next.push(Reverse(Message {
                serial: message.serial,
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

/// The offset up to which a room's entries were queued for a lagging client, or were not for it.
fn queued_offset(directory: &Directory, reader: &Client, membership: &Membership) -> u64 {
    // Everything that is there is owed.
    if membership.is_lost() {
        return 0;
    }
    let log = directory.room(membership.room).log.as_ref();
    let older = reader.older(membership.room);
    let queued = || log.map_or(0, |log| log.offset_at(reader.queued()));
    membership.from.max(older.unwrap_or_else(queued))
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
            let message = direct.and_then(|direct| direct.message(message.serial));
            message.map(|message| Publication::from(message.envelope()))
        }
    };
    // A message that is gone counts as taken: a replay must not stop at it.
    let is_taken = publication.is_none_or(|publication| {
        let Scope { fanout, out, .. } = scope;
        fanout.offer(&publication, reader.connection, Lane::Replay, *out)
    });
    scope.fanout.load.charge(before);
    is_taken
}
