//! Rooms that exist only because viewers asked for them. They have a limit of their own, are evicted when a producer needs a room,
//! and are removed with the last connected viewer; otherwise every page that asks for a random name would take a producer's place.
//!
//! A viewer that is away is no member of such a room: its session keeps the name and a position. Nothing was logged in the room
//! while the viewer was in it, so when it comes back, everything in a room of that name is what it has missed.

use crate::hub::keys::ClientId;
use crate::hub::keys::RoomKey;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinedBy {
    /// The viewer asked for it, and the limits for viewers bind.
    Viewer,
    /// The viewer asked for it, but the room's task exists, so that the room is a producer's.
    Task,
    /// An API call or the server put the client in.
    Call,
}

/// Counts of viewers' rooms and what the rest must be told of them.
#[derive(Debug, Default)]
pub(in crate::hub) struct ViewerRooms {
    pub(super) count: usize,
    /// Names kept by all sessions together.
    pub(in crate::hub) names: usize,
    /// Candidates for eviction, the oldest last. Some may be gone.
    pub(super) oldest: Vec<RoomKey>,
    /// Connected clients that were removed from a room by an eviction and must be told.
    pub(super) evicted: Vec<(ClientId, Box<str>)>,
    /// Serial of the newest entry that any removed room had. A client that left before it may have missed entries of a room that
    /// came and went under a name that it keeps: it is told so.
    pub(in crate::hub) lost_serial: u64,
    /// Whether the store must be told of `lost_serial`.
    pub(super) is_lost_serial_new: bool,
}

impl ViewerRooms {
    pub(in crate::hub) fn note_lost(&mut self, serial: u64) {
        if serial > self.lost_serial {
            (self.lost_serial, self.is_lost_serial_new) = (serial, true);
        }
    }
}
