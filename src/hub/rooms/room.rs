//! A room: its members and its log.

use crate::hub::clients::client::Member;
use crate::hub::rooms::log::RoomLog;
use crate::hub::rooms::position::Position;
use smallvec::SmallVec;

/// A room: whoever is in it hears what is published to it.
#[derive(Debug)]
pub struct Room {
    /// Its name.
    pub name: Box<str>,
    /// The life of this room: a room made anew under the same name has another.
    pub epoch: u64,
    /// Its log, once something was logged.
    pub log: Option<Box<RoomLog>>,
    /// Whether its task is known.
    pub(in crate::hub) has_task: bool,
    /// Whether a call put somebody into it, or the server did, since somebody is in it.
    pub(in crate::hub) is_called_for: bool,
    /// Whether it counts among those that only viewers hold.
    pub(in crate::hub) is_counted: bool,
    /// How many of the members are away: they are the last ones.
    pub(in crate::hub) away: u32,
    pub(in crate::hub) members: SmallVec<[Member; 2]>,
}

impl Room {
    /// Who is in it.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who of them is connected.
    pub fn connected(&self) -> &[Member] {
        &self.members[..self.watchers()]
    }

    /// How many of them are connected.
    pub fn watchers(&self) -> usize {
        self.members.len() - self.away as usize
    }

    /// The place of its newest entry.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.log.as_ref().map_or(0, |log| log.last_offset()),
        }
    }

    /// Where a position lies in its log, if it is one of its own.
    pub fn resolve(&self, position: Position) -> Option<u64> {
        match &self.log {
            Some(log) => log.resolve(position, self.epoch),
            None => (position == self.position()).then_some(0),
        }
    }

    /// Whether positions of an epoch are places in it: of its own, or of one that its log remembers.
    pub fn knows(&self, epoch: u64) -> bool {
        let log = self.log.as_ref();
        let mut lineage = log.into_iter().flat_map(|log| log.lineage());
        self.epoch == epoch || lineage.any(|ended| ended.epoch == epoch)
    }

    /// The place before the oldest entry that its log still has.
    pub fn start(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.first_offset() - 1)
    }

    /// Whether it exists only because viewers have asked for it.
    pub fn is_viewers(&self) -> bool {
        let is_empty = self.log.as_ref().is_none_or(|log| log.is_empty());
        is_empty && !self.members.is_empty() && !self.has_task && !self.is_called_for
    }

    /// Whether nobody is in it and nothing is logged. While its task lives, it knows that something was.
    pub fn is_forgettable(&self) -> bool {
        let is_empty = self.log.as_ref().is_none_or(|log| log.is_empty());
        is_empty && self.members.is_empty() && !(self.has_task && self.log.is_some())
    }
}

/// What a room of its own adds to an idle client.
const _: () = assert!(size_of::<Room>() <= 64);
