//! A message on its way to its readers, and the outlet that takes it. The hub speaks in messages: how one is encoded and framed
//! is the outlet's.

use crate::base::id::MessageId;
use crate::base::time::Now;
use crate::hub::keys::ConnectionId;
use crate::wire::message::Envelope;

/// Where publications go: implemented by whoever owns the connections.
pub trait Outlet {
    /// Queues a publication for every reader. The places in `readers` of those that do not take it, because they are closing or
    /// too far behind, are appended to `refused`. How many bytes were encoded for it.
    #[must_use]
    fn publish(
        &mut self,
        publication: &Publication<'_>,
        readers: &[ConnectionId],
        lane: Lane,
        refused: &mut Vec<usize>,
    ) -> usize;
}

/// What becomes of a message when its reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Every message counts: it is queued up to a limit, and the hub sends the rest when the reader has drained.
    Log,
    /// As [`Lane::Log`], but for one reader alone: while its bytes wait, nobody shares them.
    Replay,
    /// Every message counts and is kept nowhere: a reader that cannot take it is too slow.
    Once,
    /// Only the newest counts: it is refused early, and the hub sends the newest state when the reader has drained.
    State,
}

/// One message for any number of readers.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    pub message: Envelope<'a>,
    /// Set when it is read from a log: several readers that are behind may be due the same entry in one turn.
    pub log_serial: Option<u64>,
}

impl<'a> Publication<'a> {
    /// A message that stands in no log and answers nobody.
    pub fn new(kind: &'a str, payload: &'a str, now: Now, id: &'a MessageId) -> Self {
        Self::from(Envelope {
            kind,
            payload,
            timestamp: now.wall_ms,
            id: Some(id),
            reply_to: None,
            room_offset: None,
        })
    }
}

impl<'a> From<Envelope<'a>> for Publication<'a> {
    fn from(message: Envelope<'a>) -> Self {
        Self {
            message,
            log_serial: None,
        }
    }
}
