//! Rooms that only viewers hold, in the directory: counted, emptied for a producer, left behind by name.

use crate::hub::clients::client::{KeptName, LOST};
use crate::hub::keys::{ClientId, ClientKey, RoomKey};
use crate::hub::rooms::directory::{Directory, Full};
use crate::hub::rooms::position::Position;
use crate::hub::rooms::viewer_rooms::Entry;

/// So many that may give way are looked for at once: it means to look at every room.
const LISTED_AT_ONCE: usize = 1024;

impl Directory {
    /// How many rooms only viewers hold.
    pub fn viewer_rooms(&self) -> usize {
        self.viewer_rooms.count
    }

    /// How many names of rooms sessions keep.
    pub fn kept_names(&self) -> usize {
        self.viewer_rooms.names
    }

    /// Whether sessions keep more names of rooms than allowed.
    pub fn has_too_many_names(&self) -> bool {
        self.viewer_rooms.limit > 0 && self.viewer_rooms.names > self.viewer_rooms.limit
    }

    /// Who was put out of which room since the last call.
    pub fn take_evicted(&mut self) -> Vec<(ClientId, Box<str>)> {
        std::mem::take(&mut self.viewer_rooms.evicted)
    }

    /// The serial of the newest entry that any room had which is gone, if that has changed since the last call.
    pub fn take_lost_serial(&mut self) -> Option<u64> {
        let is_new = std::mem::take(&mut self.viewer_rooms.is_lost_serial_new);
        is_new.then_some(self.viewer_rooms.lost_serial)
    }

    /// Takes back what a store has kept of that, or has it kept again.
    pub fn restore_lost_serial(&mut self, serial: u64) {
        self.viewer_rooms.note_lost(serial);
    }

    /// The store is to be told of it again.
    pub fn mark_lost_serial(&mut self) {
        self.viewer_rooms.is_lost_serial_new = self.viewer_rooms.lost_serial > 0;
    }

    /// A room's task is known, or is not any more.
    pub fn set_has_task(&mut self, key: RoomKey, has_task: bool) {
        self.room_mut(key).has_task = has_task;
        self.recount(key);
    }

    /// What makes a room one of these may have changed.
    pub fn recount(&mut self, key: RoomKey) {
        let room = &mut self.rooms[key.slot()];
        if room.members.is_empty() {
            room.is_called_for = false;
        }
        let is_viewers = room.is_viewers();
        let was = std::mem::replace(&mut room.is_counted, is_viewers);
        self.viewer_rooms.count += usize::from(is_viewers);
        self.viewer_rooms.count -= usize::from(was);
    }

    /// The room of that name for somebody who enters it.
    pub(in crate::hub) fn find_or_open(
        &mut self,
        name: &str,
        entry: Entry,
    ) -> Result<RoomKey, Full> {
        let limit = self.viewer_rooms.limit;
        if entry == Entry::Call || self.find(name).is_some() {
            return self.find_or_create(name);
        }
        if self.is_full() {
            return Err(Full::Rooms);
        }
        if entry == Entry::Viewer && limit > 0 && self.viewer_rooms.count >= limit {
            return Err(Full::ViewerRooms);
        }
        self.find_or_create(name)
    }

    /// Somebody has entered a room.
    pub(in crate::hub) fn open(&mut self, key: RoomKey, entry: Entry) {
        let room = self.room_mut(key);
        room.has_task |= entry == Entry::Task;
        room.is_called_for |= entry == Entry::Call;
        self.recount(key);
    }

    /// The oldest room that only viewers hold gives way; `false`: there is none.
    pub(in crate::hub) fn evict(&mut self) -> bool {
        while self.viewer_rooms.count > 0 {
            let Some((epoch, key)) = self.viewer_rooms.oldest.pop() else {
                self.list_oldest();
                continue;
            };
            let room = self.rooms.get(key.slot());
            if room.is_some_and(|room| room.epoch == epoch && room.is_counted) {
                self.empty(key);
                self.forget_if_idle(key);
                return true;
            }
        }
        false
    }

    fn list_oldest(&mut self) {
        let rooms = self.rooms().filter(|(_, room)| room.is_counted);
        let mut oldest: Vec<(u64, RoomKey)> = rooms.map(|(key, room)| (room.epoch, key)).collect();
        if oldest.len() > LISTED_AT_ONCE {
            oldest.select_nth_unstable(LISTED_AT_ONCE);
            oldest.truncate(LISTED_AT_ONCE);
        }
        oldest.sort_unstable_by(|one, other| other.cmp(one));
        self.viewer_rooms.oldest = oldest;
    }

    /// Puts everybody out of a room. Whoever is away finds it again by its name.
    fn empty(&mut self, key: RoomKey) {
        while let Some(member) = self.room(key).members.last().copied() {
            match self.client(member.client).is_away {
                true => self.keep_name(member.client, member.slot as usize),
                false => {
                    let (id, name) = (self.client(member.client).id, self.room(key).name.clone());
                    self.viewer_rooms.evicted.push((id, name));
                    self.unlink(member.client, member.slot as usize);
                }
            }
        }
    }

    /// A room that only viewers hold, all of whom are away, is no more than a name.
    pub(in crate::hub) fn keep_names_if_left(&mut self, key: RoomKey) {
        let room = self.room(key);
        if room.is_counted && room.watchers() == 0 {
            self.empty(key);
            self.recount(key);
        }
    }

    /// A client has just become away: rooms that only viewers hold go on without it.
    pub(in crate::hub) fn leave_viewer_rooms(&mut self, client: ClientKey, serial: u64) {
        for slot in (0..self.client(client).rooms.len()).rev() {
            let room = self.client(client).rooms[slot].room;
            if self.room(room).is_counted {
                self.keep_name(client, slot);
                self.forget_if_idle(room);
            }
        }
        let left = self.client_mut(client);
        if !left.names().is_empty() {
            left.set_left_at(serial);
            // It enters them again in the order in which it has entered them.
            left.names_mut().reverse();
        }
    }

    /// A membership of a client that is away becomes a name.
    fn keep_name(&mut self, client: ClientKey, slot: usize) {
        let membership = self.client(client).rooms[slot];
        let room = self.room(membership.room);
        let position = Position {
            epoch: room.epoch,
            offset: membership.from,
        };
        let name = room.name.clone();
        self.add_name(client, name, position, membership.unsaved);
        self.unlink(client, slot);
    }

    /// A client that is away is to be in a room when it comes back.
    pub fn add_name(
        &mut self,
        client: ClientKey,
        name: Box<str>,
        position: Position,
        unsaved: bool,
    ) {
        self.viewer_rooms.names += 1;
        self.client_mut(client).keep_name(KeptName {
            name,
            position,
            unsaved,
        });
    }

    /// The rooms that a client which has come back is to be in again.
    pub fn take_names(&mut self, client: ClientKey) -> Vec<KeptName> {
        let names = self.client_mut(client).take_names();
        self.viewer_rooms.names -= names.len();
        names
    }

    /// A client is in a room again whose name was kept for it.
    pub fn go_on(&mut self, client: ClientKey, room: RoomKey, kept: &KeptName) {
        let from = self.place_after(client, room, kept.position);
        if let Some(member) = self.member(client, room) {
            self.membership_mut(member).from = from;
        }
    }

    /// Where in a room a client goes on that was last at a position in a room of the name.
    pub fn place_after(&self, client: ClientKey, room: RoomKey, position: Position) -> u64 {
        let found = self.room(room);
        let known = found.resolve(position);
        // Another room of the name may have come and gone meanwhile, and what was said there with it.
        let may_have_missed = self.viewer_rooms.lost_serial > self.client(client).left_at();
        match known {
            Some(offset) => offset,
            None if position.offset == LOST || found.knows(position.epoch) => LOST,
            None if may_have_missed => LOST,
            // It began when the client had left.
            None => 0,
        }
    }

    pub(in crate::hub) fn check_viewer_rooms(&self) {
        let rooms = self.rooms().filter(|(_, room)| room.is_counted);
        assert_eq!(rooms.count(), self.viewer_rooms.count, "viewers' rooms");
        for (_, room) in self.rooms() {
            assert_eq!(room.is_counted, room.is_viewers(), "{}", room.name);
            let is_left = room.is_counted && room.watchers() == 0;
            assert!(!is_left, "{} is held by nobody who is here", room.name);
        }
        let names = self.all_clients().map(|(_, client)| client.names().len());
        assert_eq!(names.sum::<usize>(), self.viewer_rooms.names, "kept names");
    }
}
