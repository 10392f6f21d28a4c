//! A message for any number of readers, and the outlet that takes it. The hub speaks in messages: encoding, compression and framing
//! belong to the outlet, which does each once per variant.

use crate::base::id::MessageId;
use crate::base::time::Now;
use crate::hub::keys::ConnectionId;
use crate::wire::message::Envelope;

/// Takes publications; the transport, which owns the connections, implements it.
pub trait Outlet {
    /// Queues a publication for every reader. Appends to `refused` the indices in `readers` of those that do not take it, because they
    /// are closing or too far behind. Returns how many bytes it encoded, which does not grow with the readers.
    #[must_use]
    fn publish(
        &mut self,
        publication: &Publication<'_>,
        readers: &[ConnectionId],
        lane: Lane,
        refused: &mut Vec<usize>,
    ) -> usize;

    /// Logs that something is published to a room, whoever is there. The outlet words the line, because the hub knows no language.
    fn log_broadcast(&self, room: &str);
}

/// What happens to a message whose reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Every message counts: it is queued up to the outbox limits, and the hub replays the rest when the reader has drained.
    Log,
    /// As [`Lane::Log`], but for a reader that is known to be behind, so that the tight outbox limits apply from the first byte: its bytes
    /// are shared with few others.
    Replay,
    /// Every message counts and is stored nowhere: a reader that cannot take it is closed as too slow.
    Once,
    /// Only the newest counts: it is refused early, and the hub sends the newest state when the reader has drained.
    State,
}

#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    pub message: Envelope<'a>,
    /// Set when it is read from a log, so that the outlet can reuse its encoding: many readers may replay the same entry in one turn.
    pub log_serial: Option<u64>,
}

impl<'a> Publication<'a> {
    /// A message that is in no log and answers no request.
    pub fn new(kind: &'a str, payload: &'a str, now: Now, id: &'a MessageId) -> Self {
        Self::from(Envelope::new(kind, payload, now.wall_ms, Some(id)))
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
