//! Rooms that exist only because viewers have asked for them: they have a limit of their own, give way when a producer needs
//! a room, and are gone with the last viewer that is connected.
//!
//! The session of a viewer that is away keeps their names, and what it needs to go on in them. Nothing was said in such a room
//! while it was there, so whatever is in a room of the name when the viewer comes back is what it has missed.

use crate::hub::keys::ClientId;
use crate::hub::keys::RoomKey;

/// On whose behalf a client enters a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Its own.
    Viewer,
    /// Its own, but the room's task is known.
    Task,
    /// Whoever called the API, or the server's.
    Call,
}

/// What is known of these rooms together.
#[derive(Debug)]
pub(in crate::hub) struct ViewerRooms {
    pub(super) limit: usize,
    pub(super) count: usize,
    /// The names that sessions keep, of all sessions together.
    pub(in crate::hub) names: usize,
    /// The next to give way, by the epoch in which each was made, the oldest last.
    pub(super) oldest: Vec<(u64, RoomKey)>,
    /// Who was put out of which room since that was last asked.
    pub(super) evicted: Vec<(ClientId, Box<str>)>,
    /// Of the rooms that are gone, the serial of the newest entry that any of them had.
    pub(super) lost_serial: u64,
    pub(super) is_lost_serial_new: bool,
}

impl ViewerRooms {
    pub(in crate::hub) fn new(limit: usize) -> Self {
        Self {
            limit,
            count: 0,
            names: 0,
            oldest: Vec::new(),
            evicted: Vec::new(),
            lost_serial: 0,
            is_lost_serial_new: false,
        }
    }

    pub(in crate::hub) fn note_lost(&mut self, serial: u64) {
        if serial > self.lost_serial {
            (self.lost_serial, self.is_lost_serial_new) = (serial, true);
        }
    }
}
