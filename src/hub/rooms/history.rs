//! Reads a room's log for `history` requests and `since`; changes nothing.

use crate::hub::keys::RoomKey;
use crate::hub::parts::Hub;
use crate::hub::rooms::log::Missed;
use crate::hub::rooms::position::Since;

impl Hub {
    /// Entries after `since`; all of them, marked as incomplete, when the log does not know that position.
    pub fn history(&self, room: RoomKey, since: Since) -> Missed<'_> {
        let offset = self.offset_of(room, since);
        let log = self.directory().room(room).log.as_ref();
        // To a reader with a position of another log, all of this one is new.
        let mut missed = log.map_or_else(Missed::nothing, |log| log.after(offset.unwrap_or(0)));
        missed.complete &= offset.is_some();
        missed
    }

    /// Whether the log still holds every entry after `since`.
    pub fn can_recover(&self, room: RoomKey, since: Since) -> bool {
        let log = self.directory().room(room).log.as_ref();
        self.offset_of(room, since)
            .is_some_and(|offset| log.is_none_or(|log| log.reaches_back(offset)))
    }

    /// The offset that `since` means in this room's log; `None`: the position is of another log, or beyond the end.
    fn offset_of(&self, room: RoomKey, since: Since) -> Option<u64> {
        match since {
            Since::Start => Some(0),
            Since::After(position) => self.directory().room(room).resolve(position),
        }
    }
}
