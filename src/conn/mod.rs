//! Floor 2: one peer. Its protocol phase, what it is owed and how it ends; it knows no room.
//!
//! A [`Connection`] turns bytes into events and keeps the outbox; what an event means is the engine's business. An
//! idle connection owns no heap: partial input, held batches and unsent chunks exist only while they are needed.

pub mod outbox;
pub mod phase;

pub use outbox::Outbox;
pub use phase::{Fault, InputLimits, PeerEvent, Phase};

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

/// What is read of a peer whose end has begun, so that it hears why: no more than the rest of a large request.
const MAX_DISCARDED: u32 = 16 * 1024 * 1024;

/// One peer.
#[derive(Debug)]
pub struct Connection {
    /// The protocol it speaks now.
    pub phase: Phase,
    /// What it is owed.
    pub outbox: Outbox,
    ending: Ending,
    /// Bytes that came after its end had begun.
    discarded: u32,
    /// Input that waits until the outbox has drained.
    stash: Option<Box<Stash>>,
}

/// Behind one pointer: hardly any connection has it.
#[derive(Debug, Default)]
pub struct Stash {
    bytes: Vec<u8>,
    /// How many of them have been handled already.
    taken: usize,
}

impl Stash {
    /// What is still to be handled.
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.taken..]
    }

    /// All but the last `rest` bytes have been handled.
    pub fn keep_last(&mut self, rest: usize) {
        self.taken = self.bytes.len() - rest;
    }
}

impl Connection {
    /// A peer that has just connected.
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            outbox: Outbox::default(),
            ending: Ending::Open,
            discarded: 0,
            stash: None,
        }
    }

    /// The next event in what the peer sent; `None` when all of it has been taken.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &InputLimits,
    ) -> Result<Option<PeerEvent<'a>>, Fault> {
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

    /// Bytes have come that mean nothing any more; `false`: so many that the peer will not stop for our last words.
    pub fn discard(&mut self, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.discarded = self.discarded.saturating_add(bytes);
        self.discarded <= MAX_DISCARDED
    }

    /// Whether a message, a request or a part of either has begun and not ended.
    pub fn has_begun(&self) -> bool {
        self.phase.held_bytes() > 0
    }

    /// Begins the end; what the outbox holds still goes out. A later call may only hasten it.
    pub fn end(&mut self, ending: Ending) {
        if self.ending != Ending::Final {
            self.ending = ending;
            self.stash = None;
            self.phase.forget_input();
        }
    }

    /// Keeps input for later. In the middle of a request its end may be known already.
    pub fn stash(&mut self, rest: &[u8]) {
        if !rest.is_empty() || self.phase.is_mid_request() {
            let stash = self.stash.get_or_insert_default();
            stash.bytes.extend_from_slice(rest);
        }
    }

    /// Input that was kept, to be handled now.
    pub fn take_stash(&mut self) -> Option<Box<Stash>> {
        self.stash.take()
    }

    /// Keeps what is left of it.
    pub fn put_back(&mut self, stash: Box<Stash>) {
        self.stash = Some(stash);
    }

    /// The memory that unfinished input takes: what waits, and what has begun and not ended.
    pub fn held_input(&self) -> usize {
        let stash = self
            .stash
            .as_ref()
            .map_or(0, |stash| stash.bytes.capacity());
        stash + self.phase.held_bytes()
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
