//! Where clients that are in many rooms keep each of them: so finding a membership costs the same however many there are.
//!
//! Owns nothing but the slots, which the directory keeps in step with its lists. A client in few rooms is not in here,
//! because its list is read as fast.

use crate::hub::clients::client::Membership;
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use hashbrown::HashMap;

/// Lists up to this length are read from end to end.
pub const MAX_SCANNED: usize = 32;

/// The slots of memberships.
#[derive(Debug)]
pub struct Places {
    slots: HashMap<(ClientKey, RoomKey), u32, ahash::RandomState>,
}

impl Places {
    /// Nobody is in many rooms yet.
    pub fn new(hasher: ahash::RandomState) -> Self {
        Self {
            slots: HashMap::with_hasher(hasher),
        }
    }

    /// The slot of a client's room among its memberships.
    pub fn find(&self, client: ClientKey, rooms: &[Membership], room: RoomKey) -> Option<u32> {
        if rooms.len() > MAX_SCANNED {
            return self.slots.get(&(client, room)).copied();
        }
        let slot = rooms.iter().position(|membership| membership.room == room);
        slot.map(|slot| slot as u32)
    }

    /// A membership has been added at the end of a client's list.
    pub fn handle_push(&mut self, client: ClientKey, rooms: &[Membership]) {
        let first = match rooms.len() {
            0..=MAX_SCANNED => return,
            // The list has just become too long to be read.
            len if len == MAX_SCANNED + 1 => 0,
            len => len - 1,
        };
        for (slot, membership) in rooms.iter().enumerate().skip(first) {
            self.slots.insert((client, membership.room), slot as u32);
        }
    }

    /// The membership in a room has been removed from a client's list, whose last one took its slot.
    pub fn handle_swap_remove(
        &mut self,
        client: ClientKey,
        rooms: &[Membership],
        room: RoomKey,
        slot: usize,
    ) {
        if rooms.len() < MAX_SCANNED {
            return;
        }
        self.slots.remove(&(client, room));
        if rooms.len() == MAX_SCANNED {
            for membership in rooms {
                self.slots.remove(&(client, membership.room));
            }
        } else if let Some(moved) = rooms.get(slot) {
            self.slots.insert((client, moved.room), slot as u32);
        }
        if self.slots.is_empty() {
            self.slots.shrink_to_fit();
        }
    }

    /// Whether what is kept here is that of clients in so many rooms each.
    pub fn is_in_step(&self, clients: impl Iterator<Item = usize>) -> bool {
        let many = clients.filter(|rooms| *rooms > MAX_SCANNED);
        self.slots.len() == many.sum::<usize>()
    }
}
