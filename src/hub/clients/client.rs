//! A client as the hub knows it: who it is, what it is in, and how far behind it is.
//!
//! A client outlives its connection for a while (contract section 5.5): it stays in its rooms, and what it misses there
//! is read from the rooms' logs when it comes back. A reader that is behind is the same thing with a connection.

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

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its connection, or its last one.
    pub connection: ConnectionId,
    /// Its public name.
    pub id: ClientId,
    /// The envelope in which it reads messages.
    pub dialect: Dialect,
    /// Whether its connection holds unsent bytes, or is gone: progress is then marked, not sent.
    pub backlogged: bool,
    /// Whether messages of logs are left in the logs, because its connection takes no more, or is gone.
    pub is_lagging: bool,
    /// Whether its connection is gone.
    pub is_away: bool,
    /// Whether it may come back after its connection is gone.
    pub has_session: bool,
    /// What the store has yet to learn of it.
    pub unsaved: Unsaved,
    /// Milliseconds since 1970 when it connected.
    pub connected_at: u64,
    /// Every message up to this serial has surely reached it, or was not for it.
    pub received: u64,
    behind: Option<Box<Behind>>,
    pub(in crate::hub) rooms: SmallVec<[Membership; 1]>,
}

/// What the store has yet to learn of a client. A session is written at most once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsaved(u8);

impl Unsaved {
    /// What the client has received.
    pub const RECEIVED: Self = Self(1);
    /// Rooms that it has entered or left, or where it stands in them.
    pub const ROOMS: Self = Self(2);
    /// That it is there.
    pub const SESSION: Self = Self(4);
    /// All of it.
    pub const ALL: Self = Self(1 | 2 | 4);
    /// It was written less than a second ago, so that the next write waits.
    const RESTS: u8 = 8;

    /// Whether nothing is to be written.
    pub fn is_empty(self) -> bool {
        self.0 & Self::ALL.0 == 0
    }

    /// Whether something of this kind is to be written.
    pub fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    /// Something more is to be written.
    pub fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    /// What is to be written, which is going to be.
    pub fn take(&mut self) -> Self {
        let taken = Self(self.0 & Self::ALL.0);
        self.0 &= Self::RESTS;
        taken
    }

    /// Whether it was written less than a second ago, so that the next write waits.
    pub fn rests(self) -> bool {
        self.0 & Self::RESTS != 0
    }

    /// It is written: the next write waits.
    pub fn begin_rest(&mut self) {
        self.0 |= Self::RESTS;
    }

    /// Ends that wait; tells whether there was one.
    pub fn end_rest(&mut self) -> bool {
        let rested = self.rests();
        self.0 &= !Self::RESTS;
        rested
    }
}

/// What only a client needs that is behind, or was written to.
#[derive(Debug)]
struct Behind {
    queued: u64,
    caught_up: u32,
    /// Rooms of which it asked for older messages than it has of the others, and what its connection has of each.
    older: BTreeMap<RoomKey, u64>,
    direct: DirectQueue,
    /// Rooms that it is to be in again when it comes back.
    names: Vec<KeptName>,
    /// The newest serial when it left.
    left_at: u64,
    /// News of workspaces that its connection did not take.
    news: Option<Box<News>>,
}

/// A room that only viewers held when a client left: its name is kept in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptName {
    /// The name.
    pub name: Box<str>,
    /// Up to where nothing of it was ever for the client.
    pub position: Position,
    /// Whether the store has yet to learn of it.
    pub(in crate::hub) unsaved: bool,
}

impl Client {
    /// A client that is in no room and has everything up to a serial.
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
            backlogged: false,
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

    /// While it is lagging: every message up to this serial was queued for its connection.
    pub fn queued(&self) -> u64 {
        self.behind
            .as_ref()
            .map_or(self.received, |behind| behind.queued)
    }

    /// Every message up to a serial was queued, and no more is to be.
    pub(in crate::hub) fn set_queued(&mut self, serial: u64) {
        if self.queued() != serial {
            self.behind_mut().queued = serial;
        }
    }

    /// The offset up to which all of a room was queued, if that is less than [`Client::queued`] says.
    pub fn older(&self, room: RoomKey) -> Option<u64> {
        self.behind.as_ref()?.older.get(&room).copied()
    }

    /// Of a room only what comes up to an offset was queued, whatever [`Client::queued`] says.
    pub(in crate::hub) fn set_older(&mut self, room: RoomKey, offset: u64) {
        self.behind_mut().older.insert(room, offset);
    }

    /// A room, or each of them, is no exception any more.
    pub(in crate::hub) fn forget_older(&mut self, room: Option<RoomKey>) {
        let Some(behind) = &mut self.behind else {
            return;
        };
        match room {
            Some(room) => drop(behind.older.remove(&room)),
            None => behind.older.clear(),
        }
    }

    /// Where among its rooms catching up stopped the last time.
    pub fn caught_up(&self) -> usize {
        self.behind
            .as_ref()
            .map_or(0, |behind| behind.caught_up as usize)
    }

    /// Catching up has stopped there; 0: it has not stopped.
    pub(in crate::hub) fn set_caught_up(&mut self, place: usize) {
        if self.caught_up() != place {
            self.behind_mut().caught_up = place as u32;
        }
    }

    /// Messages for it alone that may not have reached it, if there are any.
    pub fn direct(&self) -> Option<&DirectQueue> {
        let direct = self.behind.as_ref().map(|behind| &behind.direct);
        direct.filter(|direct| !direct.is_empty())
    }

    pub(in crate::hub) fn direct_mut(&mut self) -> Option<&mut DirectQueue> {
        let direct = self.behind.as_mut().map(|behind| &mut behind.direct);
        direct.filter(|direct| !direct.is_empty())
    }

    /// The direct queue, to put something into it.
    pub(in crate::hub) fn open_direct(&mut self) -> &mut DirectQueue {
        &mut self.behind_mut().direct
    }

    /// Nothing waits for it any more.
    pub(in crate::hub) fn close_direct(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.direct = DirectQueue::default();
        }
    }

    /// The rooms that it is to be in again when it comes back.
    pub fn names(&self) -> &[KeptName] {
        self.behind.as_ref().map_or(&[], |behind| &behind.names)
    }

    /// It was a member of its rooms up to this serial, whether it has received that or not.
    pub fn left_at(&self) -> u64 {
        let left_at = self.behind.as_ref().map_or(0, |behind| behind.left_at);
        left_at.max(self.received)
    }

    pub(in crate::hub) fn set_left_at(&mut self, serial: u64) {
        self.behind_mut().left_at = serial;
    }

    pub(in crate::hub) fn names_mut(&mut self) -> &mut [KeptName] {
        let names = self.behind.as_mut();
        names.map_or(&mut [], |behind| &mut behind.names)
    }

    pub(in crate::hub) fn keep_name(&mut self, name: KeptName) {
        self.behind_mut().names.push(name);
    }

    pub(in crate::hub) fn take_names(&mut self) -> Vec<KeptName> {
        let behind = self.behind.as_mut();
        behind.map_or_else(Vec::new, |behind| std::mem::take(&mut behind.names))
    }

    /// Whether its connection has not taken all news of workspaces.
    pub fn lacks_news(&self) -> bool {
        self.news().is_some()
    }

    pub(in crate::hub) fn news(&self) -> Option<&News> {
        self.behind.as_ref()?.news.as_deref()
    }

    pub(in crate::hub) fn news_mut(&mut self) -> Option<&mut News> {
        self.behind.as_mut()?.news.as_deref_mut()
    }

    /// The news that it lacks from now on.
    pub(in crate::hub) fn open_news(&mut self) -> &mut News {
        self.behind_mut().news.get_or_insert_default()
    }

    /// It lacks none any more.
    pub(in crate::hub) fn close_news(&mut self) {
        if let Some(behind) = &mut self.behind {
            behind.news = None;
        }
        self.trim();
    }

    /// Gives back what is not needed now.
    pub(in crate::hub) fn trim(&mut self) {
        let is_behind = self.is_lagging || self.lacks_news();
        if !is_behind && self.caught_up() == 0 && self.direct().is_none() {
            self.behind = None;
        }
    }

    fn behind_mut(&mut self) -> &mut Behind {
        let queued = self.received;
        self.behind.get_or_insert_with(|| {
            Box::new(Behind {
                queued,
                caught_up: 0,
                older: BTreeMap::new(),
                direct: DirectQueue::default(),
                names: Vec::new(),
                left_at: 0,
                news: None,
            })
        })
    }

    /// The rooms it is in.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = RoomKey> + '_ {
        self.rooms.iter().map(|membership| membership.room)
    }

    /// Its memberships.
    pub fn memberships(&self) -> &[Membership] {
        &self.rooms
    }
}

/// A client in a room.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// The room.
    pub room: RoomKey,
    /// Where the client stands in the room's list.
    pub(in crate::hub) place: u32,
    /// The version of the room's task that the client has seen; 0: none yet.
    pub seen: u32,
    /// Whether the client has been sent a snapshot, which deltas may follow.
    pub introduced: bool,
    /// Whether the client was told that it has missed something, and has not confirmed that.
    pub(in crate::hub) told_of_loss: bool,
    /// Whether the store has yet to learn of it.
    pub(in crate::hub) unsaved: bool,
    /// Nothing up to this offset of the room's log was ever for the client.
    pub from: u64,
}

/// What a room more costs a client, and a reader that has stopped.
const _: () = assert!(size_of::<Membership>() <= 24);

/// Where a client stands that must be told that it has missed something: beyond every log.
pub(in crate::hub) const LOST: u64 = u64::MAX;

impl Membership {
    /// The client knows nothing of the room's task: that is gone, or what was said of it may not have arrived.
    pub fn forget(&mut self) {
        (self.seen, self.introduced) = (0, false);
    }

    /// Whether the client must be told that it has missed something.
    pub fn is_lost(&self) -> bool {
        self.from == LOST
    }

    /// What was said since the client last confirmed anything may not have arrived, and that it has missed something neither.
    pub(in crate::hub) fn rewind(&mut self) {
        if std::mem::take(&mut self.told_of_loss) {
            self.from = LOST;
        }
    }
}

/// The other end of a [`Membership`].
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// The client.
    pub client: ClientKey,
    /// Which of the client's memberships this is.
    pub slot: u32,
}

/// What an idle client costs here.
const _: () = assert!(size_of::<Client>() <= 80);
