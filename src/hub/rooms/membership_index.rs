//! Index of the memberships of clients that are in many rooms, so that finding one costs the same however many there are.
//!
//! Owns the slots only; the directory reports each push and removal. A client with at most [`MAX_SCANNED`] rooms is not in the
//! index: reading its list is as fast, and the usual viewer with one room costs no entry. Invariant: the index holds every
//! membership of clients above that limit, and none of the others.

use crate::hub::clients::client::Membership;
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use hashbrown::HashMap;

/// Longest list of memberships that is searched from end to end.
pub const MAX_SCANNED: usize = 32;

#[derive(Debug)]
pub struct MembershipIndex {
    slots: HashMap<(ClientKey, RoomKey), u32, ahash::RandomState>,
}

impl MembershipIndex {
    pub fn new([first, second, third, fourth]: [u64; 4]) -> Self {
        let hasher = ahash::RandomState::with_seeds(first, second, third, fourth);
        Self {
            slots: HashMap::with_hasher(hasher),
        }
    }

    /// The slot of a room in a client's list of memberships.
    pub fn find(&self, client: ClientKey, rooms: &[Membership], room: RoomKey) -> Option<u32> {
        if rooms.len() > MAX_SCANNED {
            return self.slots.get(&(client, room)).copied();
        }
        let slot = rooms.iter().position(|membership| membership.room == room);
        slot.map(|slot| slot as u32)
    }

    /// Call after a membership was added at the end of a client's list.
    pub fn handle_push(&mut self, client: ClientKey, rooms: &[Membership]) {
        let first = match rooms.len() {
            0..=MAX_SCANNED => return,
            // The list has just become too long to be searched: all of it enters the index.
            len if len == MAX_SCANNED + 1 => 0,
            len => len - 1,
        };
        for (slot, membership) in rooms.iter().enumerate().skip(first) {
            self.slots.insert((client, membership.room), slot as u32);
        }
    }

    /// Call after the membership in `room` was removed from `slot`, which the list's last one now occupies.
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
        // Short enough again: all of it leaves the index.
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

    /// Checks the invariant by count, given how many rooms each client is in.
    pub fn is_in_step(&self, clients: impl Iterator<Item = usize>) -> bool {
        let many = clients.filter(|rooms| *rooms > MAX_SCANNED);
        self.slots.len() == many.sum::<usize>()
    }
}
