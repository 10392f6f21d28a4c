//! A room: its members and its log. It exists while it has a member, an entry or a task whose entries have expired; the directory
//! removes it otherwise. Connected members come first in `members`, those that are away last, so that a fan-out is one slice.

use crate::hub::clients::client::Member;
use crate::hub::rooms::log::RoomLog;
use crate::hub::rooms::position::Position;
use smallvec::SmallVec;

/// A room; its members receive what is published to it.
#[derive(Debug)]
pub struct Room {
    pub name: Box<str>,
    /// Tells this room's log from that of an earlier room of the same name, whose positions mean nothing here.
    pub epoch: u64,
    /// Absent until the first entry: most rooms of viewers only carry progress, which is not logged.
    pub log: Option<Box<RoomLog>>,
    /// Whether the table of tasks has this room's task.
    pub(in crate::hub) has_task: bool,
    /// Whether an API call or the server itself put a client into it; holds until it has no members.
    pub(in crate::hub) is_held_by_call: bool,
    /// Whether the count of viewers' rooms includes it: what [`Room::is_viewers`] said when it was last recounted.
    pub(in crate::hub) is_counted: bool,
    /// How many members are away; they are the last ones of `members`.
    pub(in crate::hub) away: u32,
    // Two inline: a task has one or two viewers as a rule, and its room then allocates no list.
    pub(in crate::hub) members: SmallVec<[Member; 2]>,
}

impl Room {
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn connected(&self) -> &[Member] {
        &self.members[..self.connected_count()]
    }

    /// Members that are connected.
    pub fn connected_count(&self) -> usize {
        self.members.len() - self.away as usize
    }

    /// The position of its newest entry.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.log.as_ref().map_or(0, |log| log.last_offset()),
        }
    }

    /// The offset that a position means in this log; `None` if it belongs to another log.
    pub fn resolve(&self, position: Position) -> Option<u64> {
        match &self.log {
            Some(log) => log.resolve(position, self.epoch),
            None => (position == self.position()).then_some(0),
        }
    }

    /// Whether an epoch is this room's own or one that its log continues.
    pub fn knows(&self, epoch: u64) -> bool {
        let log = self.log.as_ref();
        let mut lineage = log.into_iter().flat_map(|log| log.lineage());
        self.epoch == epoch || lineage.any(|ended| ended.epoch == epoch)
    }

    /// The offset before the oldest entry that its log still holds.
    pub fn start(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.first_offset() - 1)
    }

    /// Whether it exists only because viewers asked for it: it has a separate limit, and gives way to producers' rooms.
    pub fn is_viewers(&self) -> bool {
        let is_empty = self.log.as_ref().is_none_or(|log| log.is_empty());
        is_empty && !self.members.is_empty() && !self.has_task && !self.is_held_by_call
    }

    /// Whether it can be removed: no member, no entry. A room whose log is empty stays while its task lives, because the log still
    /// knows that entries are gone: a new room would claim to be complete.
    pub fn is_forgettable(&self) -> bool {
        let is_empty = self.log.as_ref().is_none_or(|log| log.is_empty());
        is_empty && self.members.is_empty() && !(self.has_task && self.log.is_some())
    }
}

// Part of what an idle viewer with a room of its own costs.
const _: () = assert!(size_of::<Room>() <= 64);
