//! Direct messages: messages for one client, kept until it has confirmed them.
//!
//! Owns one client's queue, ordered by serial, its bytes and its bound. It sends nothing and knows no store: it returns the serials of
//! the messages that it dropped, and the caller deletes their rows. Notices are dropped first, then the oldest messages.

use crate::base::id::MessageId;
use crate::wire::message::{Envelope, TASK_REMOVED};
use serde::Serialize;
use std::collections::VecDeque;

/// Serialized it is its row in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectMessage {
    /// Orders it among the log entries of all rooms and all direct messages.
    pub serial: u64,
    pub kind: Box<str>,
    /// JSON.
    pub payload: Box<str>,
    /// Unix milliseconds.
    pub timestamp: u64,
    pub id: MessageId,
}

impl DirectMessage {
    /// Whether the client could also learn it by asking: notices are the first to be dropped.
    fn is_notice(&self) -> bool {
        &*self.kind == TASK_REMOVED
    }

    pub fn envelope(&self) -> Envelope<'_> {
        Envelope::new(&self.kind, &self.payload, self.timestamp, Some(&self.id))
    }
}

/// Unconfirmed direct messages of one client.
#[derive(Debug, Default)]
pub struct DirectQueue {
    messages: VecDeque<DirectMessage>,
    bytes: usize,
    notices: usize,
    /// Serial of the newest message that its present connection took; later ones are still to be sent.
    pub sent: u64,
}

/// Most payload bytes queued for one client.
pub const MAX_DIRECT_BYTES: usize = 1024 * 1024;

impl DirectQueue {
    /// Appends a message and drops what exceeds `limit` or [`MAX_DIRECT_BYTES`]; returns the serials of dropped messages.
    pub fn keep(&mut self, limit: usize, message: DirectMessage) -> Vec<u64> {
        self.insert(self.messages.len(), message);
        self.trim(limit)
    }

    /// Inserts a stored message by its serial: those in rows of an earlier version of the store come out of order.
    pub fn restore(&mut self, message: DirectMessage) -> Vec<u64> {
        let place = self
            .messages
            .partition_point(|known| known.serial < message.serial);
        self.insert(place, message);
        self.trim(usize::MAX)
    }

    /// Removes what the client has confirmed; returns the serials.
    pub fn confirm(&mut self, serial: u64) -> Vec<u64> {
        let mut gone = Vec::new();
        while self
            .messages
            .front()
            .is_some_and(|oldest| oldest.serial <= serial)
        {
            gone.extend(self.remove(0));
        }
        gone
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Oldest first.
    pub fn messages(&self) -> impl Iterator<Item = &DirectMessage> {
        self.messages.iter()
    }

    pub fn next_after(&self, serial: u64) -> Option<&DirectMessage> {
        let place = self
            .messages
            .partition_point(|message| message.serial <= serial);
        self.messages.get(place)
    }

    pub fn message(&self, serial: u64) -> Option<&DirectMessage> {
        let place = self
            .messages
            .binary_search_by_key(&serial, |message| message.serial);
        self.messages.get(place.ok()?)
    }

    fn insert(&mut self, place: usize, message: DirectMessage) {
        self.bytes += message.payload.len();
        self.notices += usize::from(message.is_notice());
        self.messages.insert(place, message);
    }

    fn trim(&mut self, limit: usize) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.messages.len() > limit || self.bytes > MAX_DIRECT_BYTES {
            let place = match self.notices {
                0 => Some(0),
                // A linear search, but only when the queue overflows.
                _ => self.messages.iter().position(DirectMessage::is_notice),
            };
            gone.extend(self.remove(place.unwrap_or(0)));
        }
        gone
    }

    fn remove(&mut self, place: usize) -> Option<u64> {
        let message = self.messages.remove(place)?;
        self.bytes -= message.payload.len();
        self.notices -= usize::from(message.is_notice());
        debug_assert!(
            !self.messages.is_empty() || (self.bytes, self.notices) == (0, 0),
            "an empty queue counts nothing"
        );
        Some(message.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageIds;

    #[test]
    fn notices_give_way_to_messages_and_then_the_oldest_message_does() {
        let mut ids = MessageIds::new("m".to_owned());
        let mut message = |serial, kind: &str| DirectMessage {
            serial,
            kind: kind.into(),
            payload: "{}".into(),
            timestamp: 0,
            id: ids.next(),
        };
        let mut direct = DirectQueue::default();
        assert!(direct.keep(2, message(1, "note")).is_empty());
        assert!(direct.keep(2, message(2, TASK_REMOVED)).is_empty());
        assert_eq!(direct.keep(2, message(3, "note")), [2]);
        assert_eq!(direct.keep(2, message(4, TASK_REMOVED)), [4]);
        assert_eq!(direct.keep(2, message(5, "note")), [1]);
        assert_eq!(direct.confirm(3), [3]);
        let left: Vec<u64> = direct.messages().map(|message| message.serial).collect();
        assert_eq!(left, [5]);
        assert_eq!(direct.message(5).map(|message| message.serial), Some(5));
        assert_eq!(direct.message(4), None);
    }
}
