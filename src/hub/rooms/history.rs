//! What a room's log holds, for those who ask for a page of it or name a place in it.

use crate::hub::keys::RoomKey;
use crate::hub::parts::Hub;
use crate::hub::rooms::log::Missed;
use crate::hub::rooms::position::Since;

impl Hub {
    /// Entries after `since`; all of them when the log does not know that position, which makes them incomplete.
    pub fn history(&self, room: RoomKey, since: Since) -> Missed<'_> {
        let offset = self.offset_of(room, since);
        let log = self.directory().room(room).log.as_ref();
        let mut missed = log.map_or_else(Missed::nothing, |log| log.after(offset.unwrap_or(0)));
        missed.complete &= offset.is_some();
        missed
    }

    /// Whether the log of a room still holds everything after `since`.
    pub fn can_recover(&self, room: RoomKey, since: Since) -> bool {
        let log = self.directory().room(room).log.as_ref();
        self.offset_of(room, since)
            .is_some_and(|offset| log.is_none_or(|log| log.reaches_back(offset)))
    }

    /// Where a room's log goes on after `since`; `None`: it does not know that place.
    fn offset_of(&self, room: RoomKey, since: Since) -> Option<u64> {
        match since {
            Since::Start => Some(0),
            Since::After(position) => self.directory().room(room).resolve(position),
        }
    }
}
