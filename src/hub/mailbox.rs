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
    /// Keeps a message, and of the older ones no more than `limit` and [`MAX_MAIL_BYTES`] allow.
    pub fn keep(&mut self, limit: usize, letter: Letter) {
        self.bytes += letter.payload.len();
        self.letters.push_back(letter);
        while self.letters.len() > limit || self.bytes > MAX_MAIL_BYTES {
            self.drop_oldest();
        }
    }

    /// Everything up to a serial has reached the client.
    pub fn confirm(&mut self, serial: u64) {
        while self
            .letters
            .front()
            .is_some_and(|letter| letter.serial <= serial)
        {
            self.drop_oldest();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// What waits, oldest first.
    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.iter()
    }

    fn drop_oldest(&mut self) {
        if let Some(letter) = self.letters.pop_front() {
            self.bytes -= letter.payload.len();
        }
    }
}
