//! What connections, clients, rooms and tasks are named by. Keys name slots, and only the hub makes them; an id is public.

use crate::base::index::Index;
use std::fmt;

/// The owner's name for a connection; opaque to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The connection's slot.
    pub index: u32,
    /// Which of the connections that had this slot.
    pub generation: u32,
}

/// Names a client while it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(Index);

impl ClientKey {
    pub(in crate::hub) fn new(slot: usize) -> Self {
        Self(Index::new(slot))
    }

    pub(in crate::hub) fn slot(self) -> usize {
        self.0.position()
    }
}

/// A client's public name: `client_` and letters that cannot be guessed. It carries the client's slot, so that
/// looking it up needs no table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// The slot takes the low bits of a [`ClientId`].
const SLOT_BITS: u32 = 24;

impl fmt::Display for ClientId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client_{:x}", self.0)
    }
}

impl ClientId {
    /// A name for the client of that slot; `nonce` makes it unguessable.
    pub fn new(slot: usize, nonce: u64) -> Self {
        Self((nonce << SLOT_BITS) | slot as u64)
    }

    /// Reads what was printed.
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text.strip_prefix("client_")?, 16)
            .ok()
            .map(Self)
    }

    /// Its slot, unless it comes from an earlier life of the server.
    pub fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    /// The name as a number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The name of that number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Names a room while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey(pub(in crate::hub) u32);

impl RoomKey {
    pub(in crate::hub) fn slot(self) -> usize {
        self.0 as usize
    }
}

/// Names a task while it is known; a stale key finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    pub(in crate::hub) index: u32,
    pub(in crate::hub) generation: u32,
}
