//! Viewers' rooms in the directory: counting them, evicting one for a producer, and keeping their names for clients that are away.
//!
//! Whether a room is one of these follows from its members, log and task (`Room::is_viewers`); every mutator of those calls
//! [`Directory::recount`] so that the count stays right. Invariant: none of them is without a connected member.

use crate::hub::clients::client::{KeptName, LOST};
use crate::hub::keys::{ClientId, ClientKey, RoomKey};
use crate::hub::rooms::directory::{Directory, Full};
use crate::hub::rooms::position::Position;
use crate::hub::rooms::viewer_rooms::JoinedBy;
use crate::hub::settings::HubSettings;

/// Candidates for eviction collected per scan of all rooms, so that a burst of new producers' rooms does not scan for each.
const LISTED_AT_ONCE: usize = 1024;

impl Directory {
    pub fn viewer_rooms(&self) -> usize {
        self.viewer_rooms.count
    }

    /// Names of viewers' rooms that sessions keep, all together.
    pub fn kept_names(&self) -> usize {
        self.viewer_rooms.names
    }

    /// Whether sessions keep more names than allowed. The limit is that of viewers' rooms, because each name may become one again.
    pub fn has_too_many_names(&self, settings: &HubSettings) -> bool {
        let limit = settings.max_viewer_rooms;
        limit > 0 && self.viewer_rooms.names > limit
    }

    /// Connected clients evicted from rooms since the last call.
    pub fn take_evicted(&mut self) -> Vec<(ClientId, Box<str>)> {
        std::mem::take(&mut self.viewer_rooms.evicted)
    }

    /// The serial of the newest entry that any removed room had, if it rose since the last call.
    pub fn take_lost_serial(&mut self) -> Option<u64> {
        let is_new = std::mem::take(&mut self.viewer_rooms.is_lost_serial_new);
        is_new.then_some(self.viewer_rooms.lost_serial)
    }

    pub fn restore_lost_serial(&mut self, serial: u64) {
        self.viewer_rooms.note_lost(serial);
    }

    /// Has it written again, to a store that was emptied.
    pub fn mark_lost_serial(&mut self) {
        self.viewer_rooms.is_lost_serial_new = self.viewer_rooms.lost_serial > 0;
    }

    /// Records that a room's task was created or removed.
    pub fn set_has_task(&mut self, key: RoomKey, has_task: bool) {
        self.room_mut(key).has_task = has_task;
        self.recount(key);
    }

    /// Recounts a room whose members, log or task changed.
    pub fn recount(&mut self, key: RoomKey) {
        let room = self.room_mut(key);
        if room.members.is_empty() {
            // No member is left for whom the call held it.
            room.is_held_by_call = false;
        }
        let is_viewers = room.is_viewers();
        let was = std::mem::replace(&mut room.is_counted, is_viewers);
        // Added before subtracted, because the count is unsigned.
        self.viewer_rooms.count += usize::from(is_viewers);
        self.viewer_rooms.count -= usize::from(was);
    }

    /// Finds or creates the room for a client that joins it, within the limits of `entry`. A viewer never evicts a room: otherwise viewers
    /// could evict each other.
    pub(in crate::hub) fn find_or_open(
        &mut self,
        name: &str,
        entry: JoinedBy,
        settings: &HubSettings,
    ) -> Result<RoomKey, Full> {
        // A room that exists takes no further place, and a call has the rights of a producer.
        if entry != JoinedBy::Call && self.find(name).is_none() {
            self.check_place_for_viewer(entry, settings)?;
        }
        self.find_or_create(name, settings)
    }

    fn check_place_for_viewer(&self, entry: JoinedBy, settings: &HubSettings) -> Result<(), Full> {
        if self.is_full(settings) {
            return Err(Full::Rooms);
        }
        let limit = settings.max_viewer_rooms;
        match entry == JoinedBy::Viewer && limit > 0 && self.viewer_rooms.count >= limit {
            true => Err(Full::ViewerRooms),
            false => Ok(()),
        }
    }

    /// Records on whose behalf a room was joined.
    pub(in crate::hub) fn open(&mut self, key: RoomKey, entry: JoinedBy) {
        let room = self.room_mut(key);
        room.has_task |= entry == JoinedBy::Task;
        room.is_held_by_call |= entry == JoinedBy::Call;
        self.recount(key);
    }

    /// Evicts the oldest of the viewers' rooms; `false`: there is none.
    pub(in crate::hub) fn evict(&mut self) -> bool {
        while self.viewer_rooms.count > 0 {
            let Some(key) = self.viewer_rooms.oldest.pop() else {
                self.list_oldest();
                continue;
            };
            // A candidate may have been removed since the scan.
            if self.find_room(key).is_some_and(|room| room.is_counted) {
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
        // Selected before sorted: the order of the others does not matter.
        if oldest.len() > LISTED_AT_ONCE {
            oldest.select_nth_unstable(LISTED_AT_ONCE);
            oldest.truncate(LISTED_AT_ONCE);
        }
        oldest.sort_unstable_by(|one, other| other.cmp(one));
        self.viewer_rooms.oldest = oldest.into_iter().map(|(_, key)| key).collect();
    }

    /// Ends all memberships of a room. Clients that are away keep its name and enter it again when they resume.
    fn empty(&mut self, key: RoomKey) {
        // From the end, where unlinking moves no other member.
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

    /// Turns a viewers' room without connected members into names.
    pub(in crate::hub) fn keep_names_if_left(&mut self, key: RoomKey) {
        let room = self.room(key);
        if room.is_counted && room.connected_count() == 0 {
            self.empty(key);
            self.recount(key);
        }
    }

    /// Turns a client's memberships in viewers' rooms into names, because it is away now.
    pub(in crate::hub) fn leave_viewer_rooms(&mut self, client: ClientKey, serial: u64) {
        // From the end, because a name takes its membership out of the list.
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
            // They were collected from the end; it is to join them again in their original order.
            left.names_mut().reverse();
        }
    }

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

    /// Has a client that is away join a room when it comes back.
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

    pub fn take_names(&mut self, client: ClientKey) -> Vec<KeptName> {
        let names = self.client_mut(client).take_names();
        self.viewer_rooms.names -= names.len();
        names
    }

    /// Continues in a room that a client has joined again by its kept name.
    pub fn continue_at(&mut self, client: ClientKey, room: RoomKey, kept: &KeptName) {
        let from = self.place_after(client, room, kept.position);
        if let Some(member) = self.member(client, room) {
            self.membership_mut(member).from = from;
        }
    }

    /// The offset at which a client continues whose last position was in a room of the same name; [`LOST`] if entries may be missing.
    pub fn place_after(&self, client: ClientKey, room: RoomKey, position: Position) -> u64 {
        let found = self.room(room);
        let known = found.resolve(position);
        // A room of the same name may have come and gone meanwhile, with entries that the client never saw.
        let may_have_missed = self.viewer_rooms.lost_serial > self.client(client).left_at();
        let is_lost = position.offset == LOST || found.knows(position.epoch) || may_have_missed;
        // Otherwise the room began after the client had left: all of it is new.
        known.unwrap_or(if is_lost { LOST } else { 0 })
    }

    pub(in crate::hub) fn check_viewer_rooms(&self) {
        let rooms = self.rooms().filter(|(_, room)| room.is_counted);
        assert_eq!(rooms.count(), self.viewer_rooms.count, "viewers' rooms");
        for (_, room) in self.rooms() {
            assert_eq!(room.is_counted, room.is_viewers(), "{}", room.name);
            let is_left = room.is_counted && room.connected_count() == 0;
            assert!(!is_left, "{} is held by nobody who is here", room.name);
        }
        let names = self.all_clients().map(|(_, client)| client.names().len());
        assert_eq!(names.sum::<usize>(), self.viewer_rooms.names, "kept names");
    }
}
