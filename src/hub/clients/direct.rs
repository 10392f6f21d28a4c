//! Messages for one client alone, kept until they have surely reached it (seed 000's offline queue).

use crate::base::id::MessageId;
use crate::wire::message::{Envelope, TASK_REMOVED};
use std::collections::VecDeque;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectMessage {
    /// Its number among the log entries of all rooms.
    pub serial: u64,
    /// The message type.
    pub kind: Box<str>,
    /// The payload, as JSON.
    pub payload: Box<str>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// The message's id.
    pub id: MessageId,
}

impl DirectMessage {
    /// Whether it only tells what the client can also see by asking: such news gives way to what is meant for it alone.
    fn is_notice(&self) -> bool {
        &*self.kind == TASK_REMOVED
    }

    /// The message as it is sent.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope {
            kind: &self.kind,
            payload: &self.payload,
            timestamp: self.timestamp,
            id: Some(&self.id),
            reply_to: None,
            room_offset: None,
        }
    }
}

/// What waits for a client.
#[derive(Debug, Default)]
pub struct DirectQueue {
    letters: VecDeque<DirectMessage>,
    bytes: usize,
    notices: usize,
    /// The newest that its present connection took.
    pub sent: u64,
}

/// Payload bytes that may wait for one client.
pub const MAX_MAIL_BYTES: usize = 1024 * 1024;

impl DirectQueue {
    /// Keeps a message, and of all no more than `limit` and [`MAX_MAIL_BYTES`] allow; the serials of those that go: notices
    /// first, then the oldest.
    pub fn keep(&mut self, limit: usize, letter: DirectMessage) -> Vec<u64> {
        self.insert(self.letters.len(), letter);
        self.trim(limit)
    }

    /// Takes back a message that a store has kept, in the order of their serials.
    pub fn restore(&mut self, letter: DirectMessage) -> Vec<u64> {
        let place = self
            .letters
            .partition_point(|known| known.serial < letter.serial);
        self.insert(place, letter);
        self.trim(usize::MAX)
    }

    /// Everything up to a serial has reached the client; the serials of the messages that go.
    pub fn confirm(&mut self, serial: u64) -> Vec<u64> {
        let mut gone = Vec::new();
        while self
            .letters
            .front()
            .is_some_and(|oldest| oldest.serial <= serial)
        {
            gone.extend(self.remove(0));
        }
        gone
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// What waits, oldest first.
    pub fn letters(&self) -> impl Iterator<Item = &DirectMessage> {
        self.letters.iter()
    }

    /// The oldest message after a serial.
    pub fn next_after(&self, serial: u64) -> Option<&DirectMessage> {
        let place = self
            .letters
            .partition_point(|letter| letter.serial <= serial);
        self.letters.get(place)
    }

    /// The message of a serial.
    pub fn letter(&self, serial: u64) -> Option<&DirectMessage> {
        let place = self
            .letters
            .binary_search_by_key(&serial, |letter| letter.serial);
        self.letters.get(place.ok()?)
    }

    fn insert(&mut self, place: usize, letter: DirectMessage) {
        self.bytes += letter.payload.len();
        self.notices += usize::from(letter.is_notice());
        self.letters.insert(place, letter);
    }

    fn trim(&mut self, limit: usize) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.letters.len() > limit || self.bytes > MAX_MAIL_BYTES {
            let place = match self.notices {
                0 => Some(0),
                _ => self.letters.iter().position(DirectMessage::is_notice),
            };
            gone.extend(self.remove(place.unwrap_or(0)));
        }
        gone
    }

    fn remove(&mut self, place: usize) -> Option<u64> {
        let letter = self.letters.remove(place)?;
        self.bytes -= letter.payload.len();
        self.notices -= usize::from(letter.is_notice());
        Some(letter.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageIds;

    #[test]
    fn notices_give_way_to_messages_and_then_the_oldest_message_does() {
        let mut ids = MessageIds::new("m".to_owned());
        let mut letter = |serial, kind: &str| DirectMessage {
            serial,
            kind: kind.into(),
            payload: "{}".into(),
            timestamp: 0,
            id: ids.next(),
        };
        let mut direct = DirectQueue::default();
        assert!(direct.keep(2, letter(1, "note")).is_empty());
        assert!(direct.keep(2, letter(2, TASK_REMOVED)).is_empty());
        assert_eq!(direct.keep(2, letter(3, "note")), [2]);
        assert_eq!(direct.keep(2, letter(4, TASK_REMOVED)), [4]);
        assert_eq!(direct.keep(2, letter(5, "note")), [1]);
        assert_eq!(direct.confirm(3), [3]);
        let left: Vec<u64> = direct.letters().map(|letter| letter.serial).collect();
        assert_eq!(left, [5]);
        assert_eq!(direct.letter(5).map(|letter| letter.serial), Some(5));
        assert_eq!(direct.letter(4), None);
    }
}
