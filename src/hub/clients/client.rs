//! A client as the hub knows it: its identity, its memberships, and how far behind it is.
//!
//! A client outlives its connection for a while (contract section 5.5). It stays a member of its rooms, and what it misses is read
//! from the rooms' logs when it comes back; a slow reader is the same case with a connection. So nothing is queued per client but
//! direct messages, and the state of being behind is a few numbers: `received` (confirmed), `queued` (given to the connection), and per
//! room an exception where older entries were asked for. [`lifecycle`](super::lifecycle) tells what moves them.
//!
//! These numbers live in a box that only a client has that is behind, so that an idle client stays within the size asserted below.
//! Invariants: while it is lagging, `received <= queued`; a client that is away is lagging; one that is lagging defers progress, but
//! for the moment between its return and its replay.

use crate::hub::clients::direct::DirectQueue;
use crate::hub::keys::ClientId;
use crate::hub::keys::ClientKey;
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::position::Position;
use crate::hub::workspaces::news::News;
use crate::wire::message::Dialect;
use smallvec::SmallVec;
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Client {
    /// Its connection; the last one while it is away.
    pub connection: ConnectionId,
    pub id: ClientId,
    pub dialect: Dialect,
    /// Whether progress is marked for it and not sent: its connection holds unsent bytes or is gone, or its turn's budget was spent.
    pub defers_progress: bool,
    /// Whether log entries stay in the logs instead of being offered, until a replay has caught up.
    pub is_lagging: bool,
    /// Whether its connection is gone and its session waits.
    pub is_away: bool,
    /// Whether it becomes away, and not detached, when its connection is gone.
    pub has_session: bool,
    pub unsaved: Unsaved,
    /// Unix milliseconds.
    pub connected_at: u64,
    /// Every message up to this serial was confirmed by it, or was not for it.
    pub received: u64,
    behind: Option<Box<Behind>>,
    // One inline: the usual viewer watches one task.
    pub(in crate::hub) rooms: SmallVec<[Membership; 1]>,
}

/// The parts of a session that differ from the store, as bits. Each part is a row of its own, because they change at a different pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
// Bits instead of four flags: they are part of every idle client.
pub struct Unsaved(u8);

impl Unsaved {
    /// What it has confirmed.
    pub const RECEIVED: Self = Self(1);
    /// Rooms joined or left, or positions in them.
    pub const ROOMS: Self = Self(2);
    /// The session itself.
    pub const SESSION: Self = Self(4);
    pub const ALL: Self = Self(1 | 2 | 4);
    /// The session was written less than a second ago, so that the next write waits.
    const RESTS: u8 = 8;

    pub fn is_empty(self) -> bool {
        self.0 & Self::ALL.0 == 0
    }

    pub fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    pub fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    /// Takes the parts to write; the rest period is not touched.
    pub fn take(&mut self) -> Self {
        let taken = Self(self.0 & Self::ALL.0);
        self.0 &= Self::RESTS;
        taken
    }

    pub fn rests(self) -> bool {
        self.0 & Self::RESTS != 0
    }

    pub fn begin_rest(&mut self) {
        self.0 |= Self::RESTS;
    }

    /// Ends the rest period; returns whether there was one.
    pub fn end_rest(&mut self) -> bool {
        let rested = self.rests();
        self.0 &= !Self::RESTS;
        rested
    }
}

/// State of a client that is behind, has direct messages, or lacks news. Boxed: idle clients pay a pointer for it.
#[derive(Debug, Default)]
struct Behind {
    /// Every message up to this serial was queued for its connection.
    queued: u64,
    /// The slot of its rooms at which sending states stopped: the next attempt begins there, so that no room is always last.
    caught_up: u32,
    /// Exceptions from `queued`: rooms of which it asked for older entries, and the offset up to which each was queued.
    // An empty map allocates nothing, and nearly all are.
    older: BTreeMap<RoomKey, u64>,
    direct: DirectQueue,
    /// Viewers' rooms that it joins again when it comes back.
    names: Vec<KeptName>,
    left_at: u64,
    /// Changes of workspaces that its connection refused.
    news: Option<Box<News>>,
}

/// A viewers' room that a client was in when it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptName {
    pub name: Box<str>,
    /// Entries up to here are not owed to the client.
    pub position: Position,
    pub(in crate::hub) unsaved: bool,
}

impl Client {
    pub(in crate::hub) fn new(
        connection: ConnectionId,
        id: ClientId,
        dialect: Dialect,
        connected_at: u64,
        received: u64,
    ) -> Self {
        Self {
            connection,
            id,
            dialect,
            defers_progress: false,
            is_lagging: false,
            is_away: false,
            has_session: false,
            unsaved: Unsaved::default(),
            connected_at,
            received,
            behind: None,
            rooms: SmallVec::new(),
        }
    }

    /// While it is lagging: every message up to this serial was queued for its connection, except in rooms with [`Client::older`].
    pub fn queued(&self) -> u64 {
        self.behind
            .as_ref()
            .map_or(self.received, |behind| behind.queued)
    }

    pub(in crate::hub) fn set_queued(&mut self, serial: u64) {
        // An equal serial needs no box.
        if self.queued() != serial {
            self.behind_mut().queued = serial;
        }
    }

    /// The offset up to which a room's entries were queued, if fewer were than [`Client::queued`] says.
    pub fn older(&self, room: RoomKey) -> Option<u64> {
        self.behind.as_ref()?.older.get(&room).copied()
    }

    pub(in crate::hub) fn set_older(&mut self, room: RoomKey, offset: u64) {
        self.behind_mut().older.insert(room, offset);
    }

    /// Ends the exception of one room, or of all.
    pub(in crate::hub) fn forget_older(&mut self, room: Option<RoomKey>) {
        let Some(behind) = &mut self.behind else {
            return;
        };
        match room {
            Some(room) => drop(behind.older.remove(&room)),
            None => behind.older.clear(),
        }
    }

    /// The slot of its rooms at which sending states stopped; 0: it did not.
    pub fn caught_up(&self) -> usize {
        self.behind
            .as_ref()
            .map_or(0, |behind| behind.caught_up as usize)
    }

    pub(in crate::hub) fn set_caught_up(&mut self, place: usize) {
        if self.caught_up() != place {
            self.behind_mut().caught_up = place as u32;
        }
    }

    /// Direct messages that it has not confirmed; `None`: there are none.
    pub fn direct(&self) -> Option<&DirectQueue> {
        let direct = self.behind.as_ref().map(|behind| &behind.direct);
        direct.filter(|direct| !direct.is_empty())
    }

    pub(in crate::hub) fn direct_mut(&mut self) -> Option<&mut DirectQueue> {
        let direct = self.behind.as_mut().map(|behind| &mut behind.direct);
        direct.filter(|direct| !direct.is_empty())
    }

    pub(in crate::hub) fn open_direct(&mut self) -> &mut DirectQueue {
        &mut self.behind_mut().direct
    }

    pub(in crate::hub) fn close_direct(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.direct = DirectQueue::default();
        }
    }

    pub fn names(&self) -> &[KeptName] {
        self.behind.as_ref().map_or(&[], |behind| &behind.names)
    }

    /// It was a member of its rooms up to this serial, confirmed or not: entries up to here are in logs that it knows.
    pub fn left_at(&self) -> u64 {
        let left_at = self.behind.as_ref().map_or(0, |behind| behind.left_at);
        // A restored client has only what it confirmed.
        left_at.max(self.received)
    }

    pub(in crate::hub) fn set_left_at(&mut self, serial: u64) {
        self.behind_mut().left_at = serial;
    }

    pub(in crate::hub) fn names_mut(&mut self) -> &mut [KeptName] {
        let names = self.behind.as_mut();
        names.map_or(&mut [], |behind| &mut behind.names)
    }

    /// Has all its rooms and names written again.
    pub(in crate::hub) fn mark_unsaved(&mut self) {
        for membership in &mut self.rooms {
            membership.unsaved = true;
        }
        for kept in self.names_mut() {
            kept.unsaved = true;
        }
    }

    pub(in crate::hub) fn keep_name(&mut self, name: KeptName) {
        self.behind_mut().names.push(name);
    }

    pub(in crate::hub) fn take_names(&mut self) -> Vec<KeptName> {
        let behind = self.behind.as_mut();
        behind.map_or_else(Vec::new, |behind| std::mem::take(&mut behind.names))
    }

    /// Whether its connection refused changes of workspaces that are still owed.
    pub fn lacks_news(&self) -> bool {
        self.news().is_some()
    }

    pub(in crate::hub) fn news(&self) -> Option<&News> {
        self.behind.as_ref()?.news.as_deref()
    }

    pub(in crate::hub) fn news_mut(&mut self) -> Option<&mut News> {
        self.behind.as_mut()?.news.as_deref_mut()
    }

    pub(in crate::hub) fn open_news(&mut self) -> &mut News {
        self.behind_mut().news.get_or_insert_default()
    }

    pub(in crate::hub) fn close_news(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.news = None;
        }
        self.trim();
    }

    /// Frees the box once nothing in it is needed.
    pub(in crate::hub) fn trim(&mut self) {
        // `caught_up` counts as well: a reader that was interrupted continues where it stopped.
        let is_behind = self.is_lagging || self.lacks_news();
        if !is_behind && self.caught_up() == 0 && self.direct().is_none() {
            self.behind = None;
        }
    }

    // Starts at `received`: until it is set, nothing beyond what was confirmed is known to be queued.
    fn behind_mut(&mut self) -> &mut Behind {
        let queued = self.received;
        self.behind.get_or_insert_with(|| {
            Box::new(Behind {
                queued,
                ..Behind::default()
            })
        })
    }

    pub fn rooms(&self) -> impl ExactSizeIterator<Item = RoomKey> + '_ {
        self.rooms.iter().map(|membership| membership.room)
    }

    pub fn memberships(&self) -> &[Membership] {
        &self.rooms
    }
}

/// A client's side of its link with a room.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    pub room: RoomKey,
    /// Its index in the room's list of members.
    pub(in crate::hub) place: u32,
    /// The version of the room's task that it was sent; 0: none yet.
    pub seen: u32,
    /// Whether it was sent a snapshot, to which deltas apply.
    pub introduced: bool,
    /// Whether it was told of a loss and has not confirmed that: if the connection breaks first, it must be told again.
    pub(in crate::hub) told_of_loss: bool,
    /// Whether its row in the store is outdated.
    pub(in crate::hub) unsaved: bool,
    /// Entries up to this offset are not owed to the client: it joined after them, or has confirmed them. [`LOST`]: it must be told that
    /// entries may be missing.
    pub from: u64,
}

// The cost of each further room of a client.
const _: () = assert!(size_of::<Membership>() <= 24);

/// The offset that stands for "may have missed entries". Beyond every log, so that it resolves in none.
pub(in crate::hub) const LOST: u64 = u64::MAX;

impl Membership {
    /// The client is taken to know nothing of the room's task: it was removed, or what was sent of it may not have arrived.
    pub fn forget(&mut self) {
        (self.seen, self.introduced) = (0, false);
    }

    /// Whether the client must be told that it may have missed entries.
    pub fn is_lost(&self) -> bool {
        self.from == LOST
    }

    /// Undoes what is unconfirmed, because it may not have arrived: that the client was told of a loss is part of it.
    pub(in crate::hub) fn rewind(&mut self) {
        if std::mem::take(&mut self.told_of_loss) {
            self.from = LOST;
        }
    }
}

/// The room's side of a [`Membership`].
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub client: ClientKey,
    /// Its index in the client's list of memberships.
    pub slot: u32,
}

// The hub's part of an idle client.
const _: () = assert!(size_of::<Client>() <= 80);
