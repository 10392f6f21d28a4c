//! Who is here and in which rooms: clients and rooms, linked both ways so that joining and leaving cost O(1).
//!
//! Owns the membership graph and each room's log; sends nothing and knows no message.

use super::log::RoomLog;
use super::position::Position;
use super::publication::Link;
use crate::wire::message::Variant;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use std::fmt;

/// A connected client.
#[derive(Debug)]
pub struct Client {
    /// Its connection.
    pub link: Link,
    /// Its public name.
    pub id: ClientId,
    /// The form in which it reads messages.
    pub variant: Variant,
    /// Whether its connection holds unsent bytes: progress is then marked, not sent.
    pub backlogged: bool,
    /// Where among its rooms catching up stopped the last time.
    pub caught_up: u32,
    /// Milliseconds since 1970 when it connected.
    pub connected_at: u64,
    rooms: SmallVec<[Membership; 1]>,
}

impl Client {
    /// The rooms it is in.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = RoomKey> + '_ {
        self.rooms.iter().map(|membership| membership.room)
    }
}

/// A client in a room.
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// The room.
    pub room: RoomKey,
    /// Where the client stands in the room's list.
    place: u32,
    /// The version of the room's task that the client has seen; 0: none yet.
    pub seen: u32,
    /// Whether the client has been sent a snapshot, which deltas may follow.
    pub introduced: bool,
}

impl Membership {
    /// The task is gone: another of its name begins anew.
    pub fn forget(&mut self) {
        (self.seen, self.introduced) = (0, false);
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

/// A room: whoever is in it hears what is published to it.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Box<str>,
    /// The life of this room: a room made anew under the same name has another.
    pub epoch: u64,
    /// Its log, once something was logged.
    pub log: Option<Box<RoomLog>>,
    /// Whether a timer is set to age the log.
    pub expiry_armed: bool,
    members: SmallVec<[Member; 2]>,
}

impl Room {
    /// Who is in it.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The place of its newest entry.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.log.as_ref().map_or(0, |log| log.last_offset()),
        }
    }

    fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.log.as_ref().is_none_or(|log| log.is_empty())
    }
}

/// What an idle client costs here, and what a room of its own adds.
const _: () = assert!(size_of::<Client>() <= 56 && size_of::<Room>() <= 64);

/// Names a client while it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(u32);

/// Names a room while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoomKey(u32);

/// A client's public name: `client_` and letters that cannot be guessed. It carries the client's slot, so that
/// looking it up needs no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

/// The slot takes the low bits of a [`ClientId`].
const SLOT_BITS: u32 = 24;

impl fmt::Display for ClientId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client_{:x}", self.0)
    }
}

impl ClientId {
    fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text.strip_prefix("client_")?, 16)
            .ok()
            .map(Self)
    }

    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

/// Why a room cannot be joined or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are as many rooms as allowed.
    Rooms,
    /// The client is in as many rooms as allowed.
    Memberships,
}

/// All clients and rooms.
#[derive(Debug)]
pub struct Directory {
    clients: Slab<Client>,
    rooms: Slab<Room>,
    names: HashTable<u32>,
    hasher: ahash::RandomState,
    next_epoch: u64,
    max_rooms: usize,
    memberships: usize,
}

impl Directory {
    /// An empty directory of at most `max_rooms` rooms (0: no limit). `seed` keys the hash and the epochs.
    pub fn new(max_rooms: usize, seed: [u64; 2]) -> Self {
        Self {
            clients: Slab::new(),
            rooms: Slab::new(),
            names: HashTable::new(),
            hasher: ahash::RandomState::with_seeds(seed[0], seed[1], !seed[0], !seed[1]),
            next_epoch: seed[1] >> 16,
            max_rooms,
            memberships: 0,
        }
    }

    /// Adds a client; `nonce` makes its name unguessable.
    pub fn attach(
        &mut self,
        link: Link,
        variant: Variant,
        connected_at: u64,
        nonce: u64,
    ) -> ClientKey {
        let slot = self.clients.vacant_key();
        let id = ClientId((nonce << SLOT_BITS) | slot as u64);
        self.clients.insert(Client {
            link,
            id,
            variant,
            backlogged: false,
            caught_up: 0,
            connected_at,
            rooms: SmallVec::new(),
        });
        ClientKey(slot as u32)
    }

    /// Removes a client from all its rooms and from here.
    pub fn detach(&mut self, key: ClientKey) {
        while let Some(membership) = self.clients[key.0 as usize].rooms.last().copied() {
            self.unlink(key, self.clients[key.0 as usize].rooms.len() - 1);
            self.forget_if_idle(membership.room);
        }
        self.clients.remove(key.0 as usize);
        if self.clients.is_empty() {
            self.clients.shrink_to_fit();
        }
    }

    /// The client of that key.
    pub fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key.0 as usize]
    }

    /// The client of that key, to be changed.
    pub fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key.0 as usize]
    }

    /// The client of that public name.
    pub fn client_by_id(&self, id: &str) -> Option<ClientKey> {
        self.living_client(ClientId::parse(id)?)
    }

    /// The client of that id, if it is still here: another in its slot has another id.
    pub fn living_client(&self, id: ClientId) -> Option<ClientKey> {
        let client = self.clients.get(id.slot())?;
        (client.id == id).then_some(ClientKey(id.slot() as u32))
    }

    /// Every client.
    pub fn clients(&self) -> impl ExactSizeIterator<Item = (ClientKey, &Client)> {
        self.clients
            .iter()
            .map(|(slot, client)| (ClientKey(slot as u32), client))
    }

    /// The room of that key.
    pub fn room(&self, key: RoomKey) -> &Room {
        &self.rooms[key.0 as usize]
    }

    /// The room of that key, to be changed.
    pub fn room_mut(&mut self, key: RoomKey) -> &mut Room {
        &mut self.rooms[key.0 as usize]
    }

    /// The room in that slot, to be changed, if it is still the one whose epoch ends in `life`.
    pub fn living_room_mut(&mut self, key: RoomKey, life: u32) -> Option<&mut Room> {
        self.rooms
            .get_mut(key.0 as usize)
            .filter(|room| room.epoch as u32 == life)
    }

    /// Every room.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = (RoomKey, &Room)> {
        self.rooms
            .iter()
            .map(|(slot, room)| (RoomKey(slot as u32), room))
    }

    /// How many memberships there are in all.
    pub fn memberships(&self) -> usize {
        self.memberships
    }

    /// The room of that name.
    pub fn find(&self, name: &str) -> Option<RoomKey> {
        let hash = self.hasher.hash_one(name);
        self.names
            .find(hash, |slot| &*self.rooms[*slot as usize].name == name)
            .map(|slot| RoomKey(*slot))
    }

    /// The room of that name, made when there is none.
    pub fn find_or_create(&mut self, name: &str) -> Result<RoomKey, Full> {
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        if self.max_rooms > 0 && self.rooms.len() >= self.max_rooms {
            return Err(Full::Rooms);
        }
        self.next_epoch += 1;
        let room = Room {
            name: name.into(),
            epoch: self.next_epoch,
            log: None,
            expiry_armed: false,
            members: SmallVec::new(),
        };
        let slot = self.rooms.insert(room) as u32;
        let (rooms, hasher) = (&self.rooms, &self.hasher);
        self.names
            .insert_unique(hasher.hash_one(name), slot, |slot| {
                hasher.hash_one(&*rooms[*slot as usize].name)
            });
        Ok(RoomKey(slot))
    }

    /// Puts a client into a room; `false` when it was there already. `max_memberships` bounds the client (0: no limit).
    pub fn join(
        &mut self,
        client: ClientKey,
        name: &str,
        max_memberships: usize,
    ) -> Result<(RoomKey, bool), Full> {
        let existing = self.find(name);
        if let Some(room) = existing
            && self.membership(client, room).is_some()
        {
            return Ok((room, false));
        }
        if max_memberships > 0 && self.client(client).rooms.len() >= max_memberships {
            return Err(Full::Memberships);
        }
        let room = self.find_or_create(name)?;
        let slot = self.client(client).rooms.len() as u32;
        let members = &mut self.rooms[room.0 as usize].members;
        let place = members.len() as u32;
        members.push(Member { client, slot });
        self.client_mut(client).rooms.push(Membership {
            room,
            place,
            seen: 0,
            introduced: false,
        });
        self.memberships += 1;
        Ok((room, true))
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

    /// The client as a member of a room, looked for in the shorter of the two lists.
    pub fn member(&self, client: ClientKey, room: RoomKey) -> Option<Member> {
        let (client_rooms, members) = (&self.client(client).rooms, &self.room(room).members);
        if members.len() < client_rooms.len() {
            return members
                .iter()
                .find(|member| member.client == client)
                .copied();
        }
        let slot = client_rooms
            .iter()
            .position(|membership| membership.room == room)?;
        Some(Member {
            client,
            slot: slot as u32,
        })
    }

    /// The membership of a member, to be changed.
    pub fn membership_mut(&mut self, member: Member) -> &mut Membership {
        &mut self.client_mut(member.client).rooms[member.slot as usize]
    }

    /// Removes a room that nobody is in and whose log is empty.
    pub fn forget_if_idle(&mut self, key: RoomKey) {
        let room = &self.rooms[key.0 as usize];
        if !room.is_forgettable() {
            return;
        }
        let hash = self.hasher.hash_one(&*room.name);
        if let Ok(entry) = self.names.find_entry(hash, |slot| *slot == key.0) {
            entry.remove();
        }
        self.rooms.remove(key.0 as usize);
        if self.rooms.is_empty() {
            self.rooms.shrink_to_fit();
            self.names = HashTable::new();
        }
    }

    /// Cuts one membership at both ends and mends the two lists that closed up behind it.
    fn unlink(&mut self, client: ClientKey, slot: usize) {
        let Membership { room, place, .. } = self.client_mut(client).rooms.swap_remove(slot);
        if let Some(moved) = self.client(client).rooms.get(slot).copied() {
            self.rooms[moved.room.0 as usize].members[moved.place as usize].slot = slot as u32;
        }
        let members = &mut self.rooms[room.0 as usize].members;
        members.swap_remove(place as usize);
        if let Some(moved) = members.get(place as usize).copied() {
            self.clients[moved.client.0 as usize].rooms[moved.slot as usize].place = place;
        }
        self.memberships -= 1;
    }

    /// Whether every link has its other end; for tests and debug builds.
    pub fn check_invariants(&self) {
        let mut memberships = 0;
        for (key, client) in self.clients() {
            for (slot, membership) in client.rooms.iter().enumerate() {
                let member = self.room(membership.room).members[membership.place as usize];
                assert_eq!(
                    (member.client, member.slot as usize),
                    (key, slot),
                    "a membership without its other end"
                );
                memberships += 1;
            }
        }
        assert_eq!(memberships, self.memberships, "memberships are miscounted");
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn link(index: u32) -> Link {
        Link {
            index,
            generation: 0,
        }
    }

    #[test]
    fn a_client_is_found_by_its_public_name_while_it_is_here() {
        let mut directory = Directory::new(0, [1, 2]);
        let key = directory.attach(link(0), Variant::default(), 0, 0x123456);
        let id = directory.client(key).id.to_string();
        assert_eq!(directory.client_by_id(&id), Some(key));
        directory.detach(key);
        assert_eq!(directory.client_by_id(&id), None);
        assert_eq!(directory.client_by_id("client_zz"), None);
    }

    #[test]
    fn limits_hold() {
        let mut directory = Directory::new(2, [1, 2]);
        let key = directory.attach(link(0), Variant::default(), 0, 1);
        assert!(directory.join(key, "a", 2).is_ok());
        assert!(directory.join(key, "b", 2).is_ok());
        assert_eq!(directory.join(key, "c", 2), Err(Full::Memberships));
        assert_eq!(directory.join(key, "c", 0), Err(Full::Rooms));
        assert!(!directory.join(key, "a", 2).unwrap().1);
    }

    proptest! {
        #[test]
        fn memberships_agree_with_a_plain_model(steps in prop::collection::vec((0u8..4, 0usize..6, 0u8..5), 1..200)) {
            let mut directory = Directory::new(0, [3, 4]);
            let mut keys: BTreeMap<usize, ClientKey> = BTreeMap::new();
            let mut model: BTreeSet<(usize, u8)> = BTreeSet::new();
            for (action, client, room) in steps {
                let name = format!("room{room}");
                match (action, keys.get(&client).copied()) {
                    (0, None) => {
                        keys.insert(client, directory.attach(link(client as u32), Variant::default(), 0, 9));
                    }
                    (1, Some(key)) => {
                        let fresh = directory.join(key, &name, 0).unwrap().1;
                        prop_assert_eq!(fresh, model.insert((client, room)));
                    }
                    (2, Some(key)) => prop_assert_eq!(directory.leave(key, &name), model.remove(&(client, room))),
                    (3, Some(key)) => {
                        directory.detach(key);
                        keys.remove(&client);
                        model.retain(|(member, _)| *member != client);
                    }
                    _ => {}
                }
                directory.check_invariants();
                prop_assert_eq!(directory.memberships(), model.len());
                let rooms: BTreeSet<u8> = model.iter().map(|(_, room)| *room).collect();
                prop_assert_eq!(directory.rooms().len(), rooms.len(), "empty rooms are forgotten");
            }
        }
    }
}
