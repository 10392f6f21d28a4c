//! Floor 2: one peer. Its protocol phase, what it is owed and how it ends; it knows no room.
//!
//! A [`Connection`] turns bytes into events and keeps the outbox; what an event means is the engine's business. An
//! idle connection owns no heap: partial input, held batches and unsent chunks exist only while they are needed.

pub mod outbox;
pub mod phase;

pub use outbox::{Outbox, Refused};
pub use phase::{Event, Fault, Limits, Phase};

use crate::base::chunk_queue::ChunkPool;
use crate::wire::input::Input;
use bytes::Bytes;

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// It is not ending.
    #[default]
    Open,
    /// Once the outbox is empty, half-close and wait for the peer to close: what it still sends must not turn our last
    /// words into a reset (RFC 9112 section 9.6, RFC 6455 section 7.1.1).
    Lingering,
    /// Half-closed; waiting for the peer.
    HalfClosed,
    /// Once the outbox is empty, close: the peer has said its last word already.
    Final,
}

/// One peer.
#[derive(Debug)]
pub struct Connection {
    /// The protocol it speaks now.
    pub phase: Phase,
    /// What it is owed.
    pub outbox: Outbox,
    ending: Ending,
    /// Input that waits until the outbox has drained.
    stash: Option<Box<Stash>>,
}

/// Behind one pointer: hardly any connection has it.
#[derive(Debug, Default)]
struct Stash {
    bytes: Vec<u8>,
}

impl Connection {
    /// A peer that has just connected.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            outbox: Outbox::default(),
            ending: Ending::Open,
            stash: None,
        }
    }

    /// The next event in what the peer sent; `None` when all of it has been taken.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, Fault> {
        if self.ending != Ending::Open {
            input.take_all();
            return Ok(None);
        }
        self.phase.poll_event(input, limits)
    }

    /// How far the end is.
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Whether the peer can still be sent messages.
    pub fn is_open(&self) -> bool {
        self.ending == Ending::Open
    }

    /// Begins the end; what the outbox holds still goes out. A later call may only hasten it.
    pub fn end(&mut self, ending: Ending) {
        if self.ending != Ending::Final {
            self.ending = ending;
            self.stash = None;
        }
    }

    /// Keeps input for later.
    pub fn stash(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            let stash = self.stash.get_or_insert_default();
            stash.bytes.extend_from_slice(rest);
        }
    }

    /// Input that was kept, to be handled now.
    pub fn take_stash(&mut self) -> Option<Vec<u8>> {
        self.stash.take().map(|stash| stash.bytes)
    }

    /// Whether input is being kept.
    pub fn has_stash(&self) -> bool {
        self.stash.is_some()
    }

    /// Gives back everything that is shared.
    pub fn clear(&mut self, pool: &mut ChunkPool) {
        self.outbox.clear(pool);
    }

    /// Queues bytes that must not be refused: answers and last words.
    pub fn push(&mut self, pool: &mut ChunkPool, bytes: Bytes) {
        self.outbox.push(pool, bytes);
    }
}
