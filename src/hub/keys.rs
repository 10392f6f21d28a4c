//! Names of connections, clients, rooms and tasks. Keys are slots with a generation, which only the hub makes: a key of something
//! that is gone finds nothing. Ids are public, may be kept by others, and are looked up.

use crate::base::slots::{SLOT_BITS, SlotKey};
use std::fmt;

/// A connection as the transport names it; opaque to the hub, which only hands it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The slot.
    pub index: u32,
    /// Tells apart the connections that used this slot one after another: output for a closed one is dropped.
    pub generation: u32,
}

/// Names a client until it is detached. Keep a [`ClientId`] where the client may be gone by the time of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientKey(pub(in crate::hub) SlotKey);

/// A client's public name: `client_` and hex digits that cannot be guessed. The low bits are its slot, so that looking it up
/// needs no table; only restored clients, whose slot may be taken by then, need an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

impl fmt::Display for ClientId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client_{:x}", self.0)
    }
}

impl ClientId {
    /// `nonce` makes it unguessable; of it 40 bits remain above the slot.
    pub fn new(slot: usize, nonce: u64) -> Self {
        Self((nonce << SLOT_BITS) | slot as u64)
    }

    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text.strip_prefix("client_")?, 16)
            .ok()
            .map(Self)
    }

    /// Its slot, if it was given out by this process; compare the id of what is found there.
    pub fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }

    pub fn number(self) -> u64 {
        self.0
    }

    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Names a room while it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey(pub(in crate::hub) SlotKey);

/// A task's slot and generation: a key of a task that was removed finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    pub(in crate::hub) index: u32,
    pub(in crate::hub) generation: u32,
}
