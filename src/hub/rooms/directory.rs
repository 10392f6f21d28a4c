//! The directory of clients and rooms, linked both ways so that joining and leaving cost O(1).
//!
//! Owns the membership graph, the names of rooms, and the marks of each client that follow from being away, lagging or back. It sends
//! nothing and knows no message. A client's list says where it stands in each room's list, and the room's list says which membership
//! of the client that is; only `enroll`, `swap_members` and `unlink` change either end. Within a room connected members come first, so
//! that a fan-out reads one slice. [`Directory::check_invariants`] states the rest.

use crate::base::names::Names;
use crate::base::slots::Slots;
use crate::base::time::Time;
use crate::hub::clients::client::{Client, Member, Membership};
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::log::EndedLog;
use crate::hub::rooms::membership_index::{MAX_SCANNED, MembershipIndex};
use crate::hub::rooms::room::Room;
use crate::hub::rooms::viewer_rooms::{JoinedBy, ViewerRooms};
use crate::hub::settings::HubSettings;
use crate::wire::message::Dialect;
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// Which limit prevents a room from being created or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Rooms,
    ViewerRooms,
    Memberships,
}

impl Full {
    /// The configuration key of that limit.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rooms => "websocket.max_rooms",
            Self::ViewerRooms => "websocket.max_viewer_rooms",
            Self::Memberships => "websocket.max_rooms_per_client",
        }
    }
}

/// The outcome of joining a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    pub room: RoomKey,
    /// Whether the client was not in it before.
    pub is_new: bool,
}

#[derive(Debug)]
pub struct Directory {
    clients: Slots<Client>,
    pub(in crate::hub) rooms: Slots<Room>,
    pub(in crate::hub::rooms) names: Names<RoomKey>,
    next_epoch: u64,
    // Counted as they change: statistics ask for them, and a walk over all clients would hold the loop.
    memberships: usize,
    index: MembershipIndex,
    away: usize,
    away_memberships: usize,
    /// Restored clients whose slot differs from the one in their id.
    aliases: HashMap<ClientId, ClientKey>,
    /// Rooms whose log will expire, by when to check it.
    pub(in crate::hub) aging: BTreeSet<(Time, RoomKey)>,
    /// Logs that were removed, and of which nobody was told yet.
    pub(in crate::hub::rooms) ended_logs: Vec<EndedLog>,
    pub(in crate::hub) viewer_rooms: ViewerRooms,
    /// It follows another, and has logs removed by changes only.
    pub(in crate::hub) follows: bool,
}

impl Directory {
    /// `seed` keys the hash and the first epoch: epochs must differ from those of an earlier process, whose positions clients may still
    /// hold.
    pub fn new(seed: [u64; 2]) -> Self {
        let seeds = [seed[0], seed[1], !seed[0], !seed[1]];
        Self {
            clients: Slots::new(),
            rooms: Slots::new(),
            names: Names::new(seeds),
            index: MembershipIndex::new(seeds),
            // Leaves room to count up without wrapping.
            next_epoch: seed[1] >> 16,
            memberships: 0,
            away: 0,
            away_memberships: 0,
            aliases: HashMap::new(),
            aging: BTreeSet::new(),
            ended_logs: Vec::new(),
            viewer_rooms: ViewerRooms::default(),
            follows: false,
        }
    }

    /// Adds a client whose id `nonce` makes unguessable. It has received everything up to `serial`, because it was in no room.
    pub fn attach(
        &mut self,
        connection: ConnectionId,
        dialect: Dialect,
        connected_at: u64,
        nonce: u64,
        serial: u64,
    ) -> ClientKey {
        // The id carries the slot that the client is about to take.
        let id = ClientId::new(self.clients.next_slot(), nonce);
        self.insert(Client::new(connection, id, dialect, connected_at, serial))
    }

    /// Restores a client that an earlier process knew: it is away, and everything after `received` may be missing. `None`: there is no
    /// place for it.
    pub fn restore(&mut self, id: ClientId, connected_at: u64, received: u64) -> Option<ClientKey> {
        if !self.has_room_for_clients(1) {
            return None;
        }
        // No connection has this name; the client gets a real one when it resumes.
        let connection = ConnectionId {
            index: u32::MAX,
            generation: 0,
        };
        let dialect = Dialect::default();
        let mut client = Client::new(connection, id, dialect, connected_at, received);
        (client.defers_progress, client.is_lagging) = (true, true);
        (client.is_away, client.has_session) = (true, true);
        let key = self.insert(client);
        if id.slot() != key.0.slot() {
            self.aliases.insert(id, key);
        }
        self.away += 1;
        Some(key)
    }

    /// Whether so many more clients may be attached: there are keys for 16 million.
    pub fn has_room_for_clients(&self, count: usize) -> bool {
        self.clients.has_room_for(count)
    }

    fn insert(&mut self, client: Client) -> ClientKey {
        ClientKey(self.clients.insert(client))
    }

    /// Turns a client whose connection is gone into one that is away. It stays a member of its rooms, except that of viewers' rooms only
    /// the name is kept. Everything that it has not confirmed counts as not received; `serial` is the newest one.
    pub fn set_client_away(&mut self, key: ClientKey, serial: u64) {
        if !self.client(key).is_away {
            self.requeue_unconfirmed(key);
            self.set_away(key, true);
            // After it is marked: a room whose last connected member it was is one of those to leave.
            self.leave_viewer_rooms(key, serial);
        }
    }

    /// Gives a client that has come back its new connection. It stays lagging until what it missed was replayed. A client may come back
    /// before the loss of its connection was noticed; then it is rewound here.
    pub fn adopt(&mut self, key: ClientKey, connection: ConnectionId, dialect: Dialect) {
        match self.client(key).is_away {
            true => self.set_away(key, false),
            false => self.requeue_unconfirmed(key),
        }
        let client = self.client_mut(key);
        (client.connection, client.dialect) = (connection, dialect);
        (client.defers_progress, client.is_lagging) = (false, true);
        // A page that was reloaded has no state to which a delta could be applied.
        for membership in &mut client.rooms {
            membership.forget();
        }
    }

    /// Rewinds `received` to `serial`, because older entries of some rooms are resent. The other rooms keep what the client has received
    /// so far in their memberships; the caller rewinds those that are resent.
    pub fn rewind_confirmed(&mut self, key: ClientKey, serial: u64) {
        let client = &mut self.clients[key.0];
        for membership in &mut client.rooms {
            let log = self.rooms[membership.room.0].log.as_ref();
            let received = log.map_or(0, |log| log.offset_at(client.received));
            membership.unsaved |= membership.from < received;
            membership.from = membership.from.max(received);
        }
        // Read before `received` goes back, because it defaults to that.
        let queued = client.queued();
        client.received = client.received.min(serial);
        if client.is_lagging {
            client.set_queued(queued);
        }
    }

    /// Resets what was queued to what was confirmed: whatever was on its way when the connection broke is sent again.
    fn requeue_unconfirmed(&mut self, key: ClientKey) {
        let client = &mut self.clients[key.0];
        let received = client.received;
        client.set_queued(received);
        client.forget_older(None);
        client.rooms.iter_mut().for_each(Membership::rewind);
        if let Some(direct) = client.direct_mut() {
            direct.sent = received;
        }
        (client.defers_progress, client.is_lagging) = (true, true);
    }

    fn set_away(&mut self, key: ClientKey, is_away: bool) {
        self.clients[key.0].is_away = is_away;
        let rooms = self.client(key).rooms.len();
        for slot in 0..rooms {
            let Membership { room, place, .. } = self.client(key).rooms[slot];
            let watchers = self.room(room).connected_count() as u32;
            // The border between connected members and those that are away moves past it.
            match is_away {
                true => {
                    self.swap_members(room, place, watchers - 1);
                    self.room_mut(room).away += 1;
                }
                false => {
                    self.swap_members(room, place, watchers);
                    self.room_mut(room).away -= 1;
                }
            }
        }
        match is_away {
            true => {
                (self.away, self.away_memberships) = (self.away + 1, self.away_memberships + rooms)
            }
            false => {
                (self.away, self.away_memberships) = (self.away - 1, self.away_memberships - rooms)
            }
        }
    }

    /// Marks a client as lagging: entries after `serial` are no longer offered to its connection but stay in the logs until a replay.
    pub fn fall_behind(&mut self, key: ClientKey, serial: u64) {
        let client = &mut self.clients[key.0];
        // Only the first refusal sets the serial: later entries are not offered, so none of them is queued.
        if !std::mem::replace(&mut client.is_lagging, true) {
            client.defers_progress = true;
            client.set_queued(serial);
        }
    }

    /// Removes a client with its memberships; rooms that this leaves idle go with it.
    pub fn detach(&mut self, key: ClientKey) {
        // Corrects the counts of clients that are away; it then leaves like any other.
        if self.client(key).is_away {
            self.set_away(key, false);
        }
        // From the end, so that no other membership moves into the slot that is freed.
        while let Some(membership) = self.clients[key.0].rooms.last().copied() {
            self.unlink(key, self.clients[key.0].rooms.len() - 1);
            self.forget_if_idle(membership.room);
        }
        if let Some(client) = self.clients.remove(key.0) {
            self.viewer_rooms.names -= client.names().len();
            self.aliases.remove(&client.id);
        }
    }

    pub fn has_client(&self, key: ClientKey) -> bool {
        self.find_client(key).is_some()
    }

    /// `None` if the client is gone.
    pub fn find_client(&self, key: ClientKey) -> Option<&Client> {
        self.clients.get(key.0)
    }

    /// A client that is surely there: an outdated key is a bug, which debug builds find.
    pub fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key.0]
    }

    pub fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key.0]
    }

    pub fn client_by_id(&self, id: &str) -> Option<ClientKey> {
        self.living_client(ClientId::parse(id)?)
    }

    /// The client of that id, unless it is gone: another client in its slot has another id.
    pub fn living_client(&self, id: ClientId) -> Option<ClientKey> {
        let own = self.clients.key_at(id.slot());
        match own.filter(|key| self.clients[*key].id == id) {
            Some(key) => Some(ClientKey(key)),
            None => self.aliases.get(&id).copied(),
        }
    }

    pub fn clients(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        self.all_clients().filter(|(_, client)| !client.is_away)
    }

    /// Every client, including those that are away.
    pub fn all_clients(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        let clients = self.clients.iter();
        clients.map(|(key, client)| (ClientKey(key), client))
    }

    pub fn connected(&self) -> usize {
        self.clients.len() - self.away
    }

    pub fn away(&self) -> usize {
        self.away
    }

    /// `None` if the room is gone.
    pub fn find_room(&self, key: RoomKey) -> Option<&Room> {
        self.rooms.get(key.0)
    }

    /// A room that is surely there: an outdated key is a bug, which debug builds find.
    pub fn room(&self, key: RoomKey) -> &Room {
        &self.rooms[key.0]
    }

    pub fn room_mut(&mut self, key: RoomKey) -> &mut Room {
        &mut self.rooms[key.0]
    }

    pub fn rooms(&self) -> impl ExactSizeIterator<Item = (RoomKey, &Room)> {
        let rooms = self.rooms.iter();
        rooms.map(|(key, room)| (RoomKey(key), room))
    }

    /// Memberships of connected clients.
    pub fn memberships(&self) -> usize {
        self.memberships - self.away_memberships
    }

    pub fn find(&self, name: &str) -> Option<RoomKey> {
        self.names.find(name, |key| &self.rooms[key.0].name)
    }

    /// The room of that name, created on behalf of a producer if there is none; the oldest of the viewers' rooms is evicted for it if all
    /// rooms are taken.
    pub fn find_or_create(&mut self, name: &str, settings: &HubSettings) -> Result<RoomKey, Full> {
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        if self.is_full(settings) && !self.evict() {
            return Err(Full::Rooms);
        }
        let epoch = self.fresh_epoch();
        Ok(self.create(name, epoch))
    }

    /// Whether [`Directory::find_or_create`] would succeed.
    pub fn has_place_for(&self, name: &str, settings: &HubSettings) -> bool {
        !self.is_full(settings) || self.viewer_rooms() > 0 || self.find(name).is_some()
    }

    pub(in crate::hub) fn is_full(&self, settings: &HubSettings) -> bool {
        let limit = settings.max_rooms;
        limit > 0 && self.rooms.len() >= limit || !self.rooms.has_room_for(1)
    }

    /// Restores a room, whatever the configured limit; its epoch is replaced once all rows are read.
    pub fn restore_room(&mut self, name: &str, epoch: u64) -> Result<RoomKey, Full> {
        match self.find(name) {
            Some(key) => Ok(key),
            None if !self.rooms.has_room_for(1) => Err(Full::Rooms),
            None => Ok(self.create(name, epoch)),
        }
    }

    fn create(&mut self, name: &str, epoch: u64) -> RoomKey {
        let room = Room {
            name: name.into(),
            epoch,
            log: None,
            has_task: false,
            is_held_by_call: false,
            is_counted: false,
            away: 0,
            members: SmallVec::new(),
        };
        let key = RoomKey(self.rooms.insert(room));
        let rooms = &self.rooms;
        self.names.insert(key, |key| &rooms[key.0].name);
        key
    }

    /// An epoch that no room of this process has had.
    pub fn fresh_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Makes a client a member of a room.
    pub fn join(
        &mut self,
        client: ClientKey,
        name: &str,
        entry: JoinedBy,
        settings: &HubSettings,
    ) -> Result<Joined, Full> {
        let existing = self.find(name);
        if let Some(room) = existing
            && self.membership(client, room).is_some()
        {
            // A call may name a room that the client joined itself; from then on the call holds it.
            self.open(room, entry);
            let is_new = false;
            return Ok(Joined { room, is_new });
        }
        // Checked before the room is created: a refusal must leave no room behind.
        let limit = settings.max_rooms_per_client;
        if limit > 0 && self.client(client).rooms.len() >= limit {
            return Err(Full::Memberships);
        }
        let room = self.find_or_open(name, entry, settings)?;
        self.enroll(client, room);
        self.open(room, entry);
        let is_new = true;
        Ok(Joined { room, is_new })
    }

    /// Makes a client a member of a room that it is not in; the caller recounts the room.
    pub(in crate::hub) fn enroll(&mut self, client: ClientKey, room: RoomKey) {
        let slot = self.client(client).rooms.len() as u32;
        let entered = &mut self.rooms[room.0];
        let place = entered.members.len() as u32;
        // Nothing logged before it joined is owed to it, unless it names a `since`.
        let from = entered.log.as_ref().map_or(0, |log| log.last_offset());
        entered.members.push(Member { client, slot });
        let joined = &mut self.clients[client.0];
        joined.rooms.push(Membership {
            room,
            place,
            seen: 0,
            introduced: false,
            told_of_loss: false,
            unsaved: true,
            from,
        });
        self.index.handle_push(client, &joined.rooms);
        self.memberships += 1;
        match joined.is_away {
            // Restoring: a client that is away belongs at the end.
            true => {
                entered.away += 1;
                self.away_memberships += 1;
            }
            false => {
                let border = place - entered.away;
                self.swap_members(room, place, border);
            }
        }
    }

    /// Ends a membership; `false` when there was none.
    pub fn leave(&mut self, client: ClientKey, name: &str) -> bool {
        let Some(room) = self.find(name) else {
            return false;
        };
        let Some(member) = self.member(client, room) else {
            return false;
        };
        self.unlink(client, member.slot as usize);
        self.forget_if_idle(room);
        true
    }

    pub fn membership(&self, client: ClientKey, room: RoomKey) -> Option<&Membership> {
        let member = self.member(client, room)?;
        Some(&self.client(client).rooms[member.slot as usize])
    }

    /// A client's membership in a room by slot. The shorter of the two lists is searched; when both are long, the index answers.
    pub fn member(&self, client: ClientKey, room: RoomKey) -> Option<Member> {
        let (client_rooms, members) = (&self.client(client).rooms, &self.room(room).members);
        if members.len() < client_rooms.len().min(MAX_SCANNED) {
            return members
                .iter()
                .find(|member| member.client == client)
                .copied();
        }
        let slot = self.index.find(client, client_rooms, room)?;
        Some(Member { client, slot })
    }

    pub fn membership_mut(&mut self, member: Member) -> &mut Membership {
        &mut self.client_mut(member.client).rooms[member.slot as usize]
    }

    /// Removes a membership from both lists and corrects the entries that `swap_remove` and the swaps moved.
    pub(in crate::hub) fn unlink(&mut self, client: ClientKey, slot: usize) {
        let left = &mut self.clients[client.0];
        let Membership { room, place, .. } = left.rooms[slot];
        // The exception must not outlive the membership.
        left.forget_older(Some(room));
        let watchers = self.room(room).connected_count() as u32;
        let last = self.room(room).members.len() as u32 - 1;
        if place < watchers {
            // Two swaps, so that connected members stay in front: with the last connected one, then with the last of all.
            self.swap_members(room, place, watchers - 1);
            self.swap_members(room, watchers - 1, last);
        } else {
            self.swap_members(room, place, last);
            self.room_mut(room).away -= 1;
            self.away_memberships -= 1;
        }
        self.room_mut(room).members.pop();
        self.clients[client.0].rooms.swap_remove(slot);
        // The client's last membership has moved into the slot: its other end must follow.
        if let Some(moved) = self.client(client).rooms.get(slot).copied() {
            self.rooms[moved.room.0].members[moved.place as usize].slot = slot as u32;
        }
        let rooms = &self.clients[client.0].rooms;
        self.index.handle_swap_remove(client, rooms, room, slot);
        self.memberships -= 1;
    }

    fn swap_members(&mut self, room: RoomKey, one: u32, other: u32) {
        if one == other {
            return;
        }
        let members = &mut self.rooms[room.0].members;
        members.swap(one as usize, other as usize);
        for place in [one, other] {
            let member = members[place as usize];
            self.clients[member.client.0].rooms[member.slot as usize].place = place;
        }
    }

    /// Panics unless every link has its other end and every count is right; for tests and debug builds.
    pub fn check_invariants(&self) {
        self.check_viewer_rooms();
        let mut memberships = 0;
        for (key, client) in self.all_clients() {
            for (slot, membership) in client.rooms.iter().enumerate() {
                let member = self.room(membership.room).members[membership.place as usize];
                assert_eq!(
                    (member.client, member.slot as usize),
                    (key, slot),
                    "a membership without its other end"
                );
                let is_here =
                    (membership.place as usize) < self.room(membership.room).connected_count();
                assert_ne!(is_here, client.is_away, "whoever is away stands last");
                memberships += 1;
            }
        }
        assert_eq!(memberships, self.memberships, "memberships are miscounted");
        let rooms = self.all_clients().map(|(_, client)| client.rooms.len());
        assert!(self.index.is_in_step(rooms), "slots are left over");
        let clients = self.all_clients().filter(|(_, client)| client.is_away);
        let away: Vec<usize> = clients.map(|(_, client)| client.rooms.len()).collect();
        assert_eq!(
            (away.len(), away.iter().sum::<usize>()),
            (self.away, self.away_memberships),
            "clients that are away are miscounted"
        );
        assert_eq!(
            memberships,
            self.rooms
                .iter()
                .map(|(_, room)| room.members.len())
                .sum::<usize>()
        );
        assert_eq!(
            self.names.len(),
            self.rooms.len(),
            "a room without its name"
        );
    }
}
