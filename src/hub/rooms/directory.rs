//! Who is here and in which rooms: clients and rooms, linked both ways so that joining and leaving cost O(1).
//!
//! Owns the membership graph and each room's log; sends nothing and knows no message.

use crate::base::time::Time;
use crate::hub::clients::client::{Client, Member, Membership};
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::membership_index::{MAX_SCANNED, Places};
use crate::hub::rooms::room::Room;
use crate::hub::rooms::viewer_rooms::{Entry, ViewerRooms};
use crate::wire::message::Dialect;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// Why a room cannot be joined or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are as many rooms as allowed.
    Rooms,
    /// There are as many as allowed that only viewers hold.
    ViewerRooms,
    /// The client is in as many rooms as allowed.
    Memberships,
}

impl Full {
    /// The key of the limit that is reached.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rooms => "websocket.max_rooms",
            Self::ViewerRooms => "websocket.max_viewer_rooms",
            Self::Memberships => "websocket.max_rooms_per_client",
        }
    }
}

/// All clients and rooms.
#[derive(Debug)]
pub struct Directory {
    clients: Slab<Client>,
    pub(in crate::hub) rooms: Slab<Room>,
    names: HashTable<u32>,
    hasher: ahash::RandomState,
    next_epoch: u64,
    max_rooms: usize,
    memberships: usize,
    places: Places,
    away: usize,
    away_memberships: usize,
    /// Clients whose name does not carry their slot: they come from an earlier life of the server.
    aliases: HashMap<ClientId, ClientKey>,
    /// Rooms whose log grows old, by when to look at it.
    pub(in crate::hub) aging: BTreeSet<(Time, RoomKey)>,
    /// Rooms that are gone from here and not yet from the store, and entries that their logs had lost before.
    pub(in crate::hub) forgotten: Vec<Box<str>>,
    pub(in crate::hub) forgotten_entries: Vec<u64>,
    pub(in crate::hub) viewer_rooms: ViewerRooms,
}

impl Directory {
    /// An empty directory of at most `max_rooms` rooms, `max_viewer_rooms` of them held by viewers only (0: no limit). `seed`
    /// keys the hash and the epochs.
    pub fn new(max_rooms: usize, max_viewer_rooms: usize, seed: [u64; 2]) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed[0], seed[1], !seed[0], !seed[1]);
        Self {
            clients: Slab::new(),
            rooms: Slab::new(),
            names: HashTable::new(),
            places: Places::new(hasher.clone()),
            hasher,
            next_epoch: seed[1] >> 16,
            max_rooms,
            memberships: 0,
            away: 0,
            away_memberships: 0,
            aliases: HashMap::new(),
            aging: BTreeSet::new(),
            forgotten: Vec::new(),
            forgotten_entries: Vec::new(),
            viewer_rooms: ViewerRooms::new(max_viewer_rooms),
        }
    }

    /// Adds a client; `nonce` makes its name unguessable. Nothing up to `serial` is owed to it.
    pub fn attach(
        &mut self,
        connection: ConnectionId,
        dialect: Dialect,
        connected_at: u64,
        nonce: u64,
        serial: u64,
    ) -> ClientKey {
        let id = ClientId::new(self.clients.vacant_key(), nonce);
        self.insert(Client::new(connection, id, dialect, connected_at, serial))
    }

    /// Brings back a client of an earlier life of the server; its connection is gone.
    pub fn restore(&mut self, id: ClientId, connected_at: u64, received: u64) -> ClientKey {
        let connection = ConnectionId {
            index: u32::MAX,
            generation: 0,
        };
        let dialect = Dialect::default();
        let mut client = Client::new(connection, id, dialect, connected_at, received);
        (client.backlogged, client.is_lagging) = (true, true);
        (client.is_away, client.has_session) = (true, true);
        let key = self.insert(client);
        if id.slot() != key.slot() {
            self.aliases.insert(id, key);
        }
        self.away += 1;
        key
    }

    fn insert(&mut self, client: Client) -> ClientKey {
        ClientKey::new(self.clients.insert(client))
    }

    /// A client's connection is gone, and the client may come back: it stays in its rooms, or keeps the names of those that
    /// only viewers hold. What it has not surely received is owed to it from now on; `serial` is the newest that there is.
    pub fn leave_behind(&mut self, key: ClientKey, serial: u64) {
        if !self.client(key).is_away {
            self.requeue_unconfirmed(key);
            self.set_away(key, true);
            self.leave_viewer_rooms(key, serial);
        }
    }

    /// A client has come back on another connection; it is still lagging.
    pub fn adopt(&mut self, key: ClientKey, connection: ConnectionId, dialect: Dialect) {
        match self.client(key).is_away {
            true => self.set_away(key, false),
            false => self.requeue_unconfirmed(key),
        }
        let client = self.client_mut(key);
        (client.connection, client.dialect) = (connection, dialect);
        (client.backlogged, client.is_lagging) = (false, true);
        for membership in &mut client.rooms {
            membership.forget();
        }
    }

    /// Rewinds `received` to `serial`, because older entries of some rooms are resent. What the client has received up to
    /// now stays known of each room; the caller sets those rooms back.
    pub fn rewind_confirmed(&mut self, key: ClientKey, serial: u64) {
        let client = &mut self.clients[key.slot()];
        for membership in &mut client.rooms {
            let log = self.rooms[membership.room.0 as usize].log.as_ref();
            let received = log.map_or(0, |log| log.offset_at(client.received));
            membership.unsaved |= membership.from < received;
            membership.from = membership.from.max(received);
        }
        let queued = client.queued();
        client.received = client.received.min(serial);
        if client.is_lagging {
            client.set_queued(queued);
        }
    }

    fn requeue_unconfirmed(&mut self, key: ClientKey) {
        let client = &mut self.clients[key.slot()];
        let received = client.received;
        client.set_queued(received);
        client.forget_older(None);
        client.rooms.iter_mut().for_each(Membership::rewind);
        if let Some(direct) = client.direct_mut() {
            direct.sent = received;
        }
        (client.backlogged, client.is_lagging) = (true, true);
    }

    fn set_away(&mut self, key: ClientKey, is_away: bool) {
        self.clients[key.slot()].is_away = is_away;
        let rooms = self.client(key).rooms.len();
        for slot in 0..rooms {
            let Membership { room, place, .. } = self.client(key).rooms[slot];
            let watchers = self.room(room).watchers() as u32;
            // The border between those who are here and those who are away moves over it.
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

    /// A client's connection takes no more: what comes after a serial stays in the logs from now on.
    pub fn fall_behind(&mut self, key: ClientKey, serial: u64) {
        let client = &mut self.clients[key.slot()];
        if !std::mem::replace(&mut client.is_lagging, true) {
            client.backlogged = true;
            client.set_queued(serial);
        }
    }

    /// Removes a client from all its rooms and from here.
    pub fn detach(&mut self, key: ClientKey) {
        if self.client(key).is_away {
            self.set_away(key, false);
        }
        while let Some(membership) = self.clients[key.slot()].rooms.last().copied() {
            self.unlink(key, self.clients[key.slot()].rooms.len() - 1);
            self.forget_if_idle(membership.room);
        }
        let client = self.clients.remove(key.slot());
        self.viewer_rooms.names -= client.names().len();
        self.aliases.remove(&client.id);
        if self.clients.is_empty() {
            self.clients.shrink_to_fit();
        }
    }

    /// The client of that key.
    pub fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key.slot()]
    }

    /// The client of that key, to be changed.
    pub fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key.slot()]
    }

    /// The client of that public name.
    pub fn client_by_id(&self, id: &str) -> Option<ClientKey> {
        self.living_client(ClientId::parse(id)?)
    }

    /// The client of that id, if it is still here: another in its slot has another id.
    pub fn living_client(&self, id: ClientId) -> Option<ClientKey> {
        let own = self.clients.get(id.slot());
        match own.is_some_and(|client| client.id == id) {
            true => Some(ClientKey::new(id.slot())),
            false => self.aliases.get(&id).copied(),
        }
    }

    /// Every connected client.
    pub fn clients(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        self.all_clients().filter(|(_, client)| !client.is_away)
    }

    /// Every client, those that are away included.
    pub fn all_clients(&self) -> impl Iterator<Item = (ClientKey, &Client)> {
        let clients = self.clients.iter();
        clients.map(|(slot, client)| (ClientKey::new(slot), client))
    }

    /// How many clients are connected.
    pub fn connected(&self) -> usize {
        self.clients.len() - self.away
    }

    /// How many clients are away and may come back.
    pub fn away(&self) -> usize {
        self.away
    }

    /// The room of that key.
    pub fn room(&self, key: RoomKey) -> &Room {
        &self.rooms[key.0 as usize]
    }

    /// The room of that key, to be changed.
    pub fn room_mut(&mut self, key: RoomKey) -> &mut Room {
        &mut self.rooms[key.0 as usize]
    }

    /// Every room.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = (RoomKey, &Room)> {
        self.rooms
            .iter()
            .map(|(slot, room)| (RoomKey(slot as u32), room))
    }

    /// How many memberships connected clients have in all.
    pub fn memberships(&self) -> usize {
        self.memberships - self.away_memberships
    }

    /// The room of that name.
    pub fn find(&self, name: &str) -> Option<RoomKey> {
        let hash = self.hasher.hash_one(name);
        self.names
            .find(hash, |slot| &*self.rooms[*slot as usize].name == name)
            .map(|slot| RoomKey(*slot))
    }

    /// The room of that name, made for a producer when there is none: one that only viewers hold gives way if it must.
    pub fn find_or_create(&mut self, name: &str) -> Result<RoomKey, Full> {
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        if self.is_full() && !self.evict() {
            return Err(Full::Rooms);
        }
        let epoch = self.fresh_epoch();
        Ok(self.create(name, epoch))
    }

    /// Whether a room of that name is there, or can be made for a producer.
    pub fn has_place_for(&self, name: &str) -> bool {
        !self.is_full() || self.viewer_rooms() > 0 || self.find(name).is_some()
    }

    pub(in crate::hub) fn is_full(&self) -> bool {
        self.max_rooms > 0 && self.rooms.len() >= self.max_rooms
    }

    /// Brings back a room of an earlier life of the server.
    pub fn restore_room(&mut self, name: &str, epoch: u64) -> RoomKey {
        match self.find(name) {
            Some(key) => key,
            None => self.create(name, epoch),
        }
    }

    fn create(&mut self, name: &str, epoch: u64) -> RoomKey {
        let room = Room {
            name: name.into(),
            epoch,
            log: None,
            has_task: false,
            is_called_for: false,
            is_counted: false,
            away: 0,
            members: SmallVec::new(),
        };
        let slot = self.rooms.insert(room) as u32;
        let (rooms, hasher) = (&self.rooms, &self.hasher);
        self.names
            .insert_unique(hasher.hash_one(name), slot, |slot| {
                hasher.hash_one(&*rooms[*slot as usize].name)
            });
        RoomKey(slot)
    }

    /// An epoch that no room has had.
    pub fn fresh_epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    /// Puts a client into a room; `false` when it was there already. `max_memberships` bounds the client (0: no limit).
    pub fn join(
        &mut self,
        client: ClientKey,
        name: &str,
        entry: Entry,
        max_memberships: usize,
    ) -> Result<(RoomKey, bool), Full> {
        let existing = self.find(name);
        if let Some(room) = existing
            && self.membership(client, room).is_some()
        {
            self.open(room, entry);
            return Ok((room, false));
        }
        if max_memberships > 0 && self.client(client).rooms.len() >= max_memberships {
            return Err(Full::Memberships);
        }
        let room = self.find_or_open(name, entry)?;
        self.enroll(client, room);
        self.open(room, entry);
        Ok((room, true))
    }

    /// Makes one membership at both ends.
    fn enroll(&mut self, client: ClientKey, room: RoomKey) {
        let slot = self.client(client).rooms.len() as u32;
        let entered = &mut self.rooms[room.0 as usize];
        let place = entered.members.len() as u32;
        let from = entered.log.as_ref().map_or(0, |log| log.last_offset());
        entered.members.push(Member { client, slot });
        let joined = &mut self.clients[client.slot()];
        joined.rooms.push(Membership {
            room,
            place,
            seen: 0,
            introduced: false,
            told_of_loss: false,
            unsaved: true,
            from,
        });
        self.places.handle_push(client, &joined.rooms);
        self.memberships += 1;
        match joined.is_away {
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

    /// Takes a client out of a room; `false` when it was not in it.
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

    /// The client's membership in a room.
    pub fn membership(&self, client: ClientKey, room: RoomKey) -> Option<&Membership> {
        let member = self.member(client, room)?;
        Some(&self.client(client).rooms[member.slot as usize])
    }

    /// The client as a member of a room, looked for in the shorter of the two lists, unless both are long.
    pub fn member(&self, client: ClientKey, room: RoomKey) -> Option<Member> {
        let (client_rooms, members) = (&self.client(client).rooms, &self.room(room).members);
        if members.len() < client_rooms.len().min(MAX_SCANNED) {
            return members
                .iter()
                .find(|member| member.client == client)
                .copied();
        }
        let slot = self.places.find(client, client_rooms, room)?;
        Some(Member { client, slot })
    }

    /// The membership of a member, to be changed.
    pub fn membership_mut(&mut self, member: Member) -> &mut Membership {
        &mut self.client_mut(member.client).rooms[member.slot as usize]
    }

    /// Removes a room that nobody is in, or only clients that are away, and whose log is empty.
    pub fn forget_if_idle(&mut self, key: RoomKey) {
        self.recount(key);
        self.keep_names_if_left(key);
        let room = &self.rooms[key.0 as usize];
        if !room.is_forgettable() {
            return;
        }
        let hash = self.hasher.hash_one(&*room.name);
        if let Ok(entry) = self.names.find_entry(hash, |slot| *slot == key.0) {
            entry.remove();
        }
        let room = self.rooms.remove(key.0 as usize);
        if let Some(at) = room.log.as_ref().and_then(|log| log.aging) {
            self.aging.remove(&(at, key));
        }
        if let Some(log) = &room.log {
            self.viewer_rooms.note_lost(log.lost_serial());
        }
        if let Some(mut log) = room.log.filter(|log| log.is_stored()) {
            self.forgotten_entries.extend(log.take_dropped(1));
            self.forgotten.push(room.name);
        }
        if self.rooms.is_empty() {
            self.rooms.shrink_to_fit();
            self.names = HashTable::new();
        }
    }

    /// Cuts one membership at both ends and mends the two lists that closed up behind it.
    pub(in crate::hub) fn unlink(&mut self, client: ClientKey, slot: usize) {
        let left = &mut self.clients[client.slot()];
        let Membership { room, place, .. } = left.rooms[slot];
        left.forget_older(Some(room));
        let watchers = self.room(room).watchers() as u32;
        let last = self.room(room).members.len() as u32 - 1;
        if place < watchers {
            // Its place goes to the last of those who are here, whose place goes to the last of all.
            self.swap_members(room, place, watchers - 1);
            self.swap_members(room, watchers - 1, last);
        } else {
            self.swap_members(room, place, last);
            self.room_mut(room).away -= 1;
            self.away_memberships -= 1;
        }
        self.room_mut(room).members.pop();
        self.clients[client.slot()].rooms.swap_remove(slot);
        if let Some(moved) = self.client(client).rooms.get(slot).copied() {
            self.rooms[moved.room.0 as usize].members[moved.place as usize].slot = slot as u32;
        }
        let rooms = &self.clients[client.slot()].rooms;
        self.places.handle_swap_remove(client, rooms, room, slot);
        self.memberships -= 1;
    }

    /// Two members of a room change places.
    fn swap_members(&mut self, room: RoomKey, one: u32, other: u32) {
        if one == other {
            return;
        }
        let members = &mut self.rooms[room.0 as usize].members;
        members.swap(one as usize, other as usize);
        for place in [one, other] {
            let member = members[place as usize];
            self.clients[member.client.slot()].rooms[member.slot as usize].place = place;
        }
    }

    /// Whether every link has its other end; for tests and debug builds.
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
                let is_here = (membership.place as usize) < self.room(membership.room).watchers();
                assert_ne!(is_here, client.is_away, "whoever is away stands last");
                memberships += 1;
            }
        }
        assert_eq!(memberships, self.memberships, "memberships are miscounted");
        let rooms = self.all_clients().map(|(_, client)| client.rooms.len());
        assert!(self.places.is_in_step(rooms), "slots are left over");
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
