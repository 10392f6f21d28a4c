//! Messages for one client alone, kept until they have surely reached it (seed 000's offline queue).

use crate::base::id::MessageId;
use crate::wire::message::Envelope;
use std::collections::VecDeque;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
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

impl Letter {
    /// The message as it is sent.
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope {
            kind: &self.kind,
            payload: &self.payload,
            timestamp: self.timestamp,
            id: Some(&self.id),
            reply_to: None,
            place: None,
        }
    }
}

/// What waits for a client.
#[derive(Debug, Default)]
pub struct Mailbox {
    letters: VecDeque<Letter>,
    bytes: usize,
    /// The newest that its present connection took.
    pub sent: u64,
}

/// Payload bytes that may wait for one client.
pub const MAX_MAIL_BYTES: usize = 1024 * 1024;

impl Mailbox {
    /// Keeps a message, and of the older ones no more than `limit` and [`MAX_MAIL_BYTES`] allow; the serials of those that go.
    pub fn keep(&mut self, limit: usize, letter: Letter) -> Vec<u64> {
        self.bytes += letter.payload.len();
        self.letters.push_back(letter);
        self.drop_while(|mailbox, _| {
            mailbox.letters.len() > limit || mailbox.bytes > MAX_MAIL_BYTES
        })
    }

    /// Takes back a message that a store has kept, in the order of their serials.
    pub fn restore(&mut self, letter: Letter) -> Vec<u64> {
        let place = self
            .letters
            .partition_point(|known| known.serial < letter.serial);
        self.bytes += letter.payload.len();
        self.letters.insert(place, letter);
        self.drop_while(|mailbox, _| mailbox.bytes > MAX_MAIL_BYTES)
    }

    /// Everything up to a serial has reached the client; the serials of the messages that go.
    pub fn confirm(&mut self, serial: u64) -> Vec<u64> {
        self.drop_while(|_, oldest| oldest.serial <= serial)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// What waits, oldest first.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter()
    }

    fn drop_while(&mut self, goes: impl Fn(&Self, &Letter) -> bool) -> Vec<u64> {
        let mut gone = Vec::new();
        while let Some(oldest) = self.letters.front()
            && goes(self, oldest)
        {
            self.bytes -= oldest.payload.len();
            gone.push(oldest.serial);
            self.letters.pop_front();
        }
        gone
    }
}
