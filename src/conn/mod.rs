//! Floor 2: one peer, from its first byte to its last. It knows no room, and not what an event means.
//!
//! A [`Connection`] turns bytes into events and keeps the outbox. An idle one owns no heap: partial input, held batches
//! and unsent chunks exist only while they are needed. It is open, then closing ([`Ending`]); a closing connection
//! drops its input and still sends its outbox.
//!
//! - `phase`: the protocol spoken now, and its events
//! - `outbox`: unsent bytes, batches, limits

pub mod outbox;
pub mod phase;

pub use outbox::Outbox;
pub use phase::{Fault, InputLimits, PeerEvent, Phase};

use crate::base::chunk_queue::ChunkPool;
use crate::wire::input::Input;
use bytes::Bytes;

/// How far the closing of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    #[default]
    Open,
    /// Once the outbox is empty, half-close and wait for the peer to close: unread input would turn the last answer
    /// into a reset (RFC 9112 section 9.6, RFC 6455 section 7.1.1).
    Lingering,
    HalfClosed,
    /// Once the outbox is empty, close: nothing more comes from the peer.
    Final,
}

/// How much a closing connection reads and drops, so that the peer gets the last answer: the rest of a large request,
/// no more.
const MAX_DISCARDED: u32 = 16 * 1024 * 1024;

#[derive(Debug)]
pub struct Connection {
    pub phase: Phase,
    pub outbox: Outbox,
    ending: Ending,
    /// Bytes dropped since closing began.
    discarded: u32,
    /// Input that waits until the outbox drains.
    stash: Option<Box<Stash>>,
}

/// Boxed because hardly any connection has one.
#[derive(Debug, Default)]
pub struct Stash {
    bytes: Vec<u8>,
    /// Bytes already handled.
    taken: usize,
}

impl Stash {
    pub fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.taken..]
    }

    /// Marks all but the last `rest` bytes as handled.
    pub fn keep_last(&mut self, rest: usize) {
        let taken = self.bytes.len() - rest;
        debug_assert!(taken >= self.taken, "input is handled front to back");
        self.taken = taken;
    }
}

impl Connection {
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            outbox: Outbox::default(),
            ending: Ending::Open,
            discarded: 0,
            stash: None,
        }
    }

    /// `None` once all input is taken.
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

    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// Whether messages may still be queued.
    pub fn is_open(&self) -> bool {
        self.ending == Ending::Open
    }

    /// Drops input of a closing connection; `false` once the peer has sent so much that it will not stop for an answer.
    pub fn discard(&mut self, bytes: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.discarded = self.discarded.saturating_add(bytes);
        self.discarded <= MAX_DISCARDED
    }

    /// Whether a request or message is incomplete.
    pub fn has_begun(&self) -> bool {
        self.phase.held_bytes() > 0
    }

    /// Begins closing; the outbox is still sent. A later call may make it final but never reopens the connection.
    pub fn end(&mut self, ending: Ending) {
        debug_assert!(ending != Ending::Open, "a connection never reopens");
        if self.ending != Ending::Final {
            self.ending = ending;
            self.stash = None;
            self.phase.forget_input();
        }
    }

    /// Keeps input for later. An empty stash counts in the middle of a request, whose end may be known already.
    pub fn stash(&mut self, rest: &[u8]) {
        if !rest.is_empty() || self.phase.is_mid_request() {
            let stash = self.stash.get_or_insert_default();
            stash.bytes.extend_from_slice(rest);
        }
    }

    pub fn take_stash(&mut self) -> Option<Box<Stash>> {
        self.stash.take()
    }

    pub fn put_back(&mut self, stash: Box<Stash>) {
        debug_assert!(
            self.stash.is_none(),
            "input that came meanwhile would be lost"
        );
        self.stash = Some(stash);
    }

    /// Memory of unfinished input: the stash and the incomplete request or message.
    pub fn held_input(&self) -> usize {
        let stash = self
            .stash
            .as_ref()
            .map_or(0, |stash| stash.bytes.capacity());
        stash + self.phase.held_bytes()
    }

    pub fn has_stash(&self) -> bool {
        self.stash.is_some()
    }

    /// Returns chunks to the shared pool; call before dropping.
    pub fn clear(&mut self, pool: &mut ChunkPool) {
        self.outbox.clear(pool);
    }

    /// Queues bytes that no limit may refuse: answers and close frames.
    pub fn push(&mut self, pool: &mut ChunkPool, bytes: Bytes) {
        self.outbox.push(pool, bytes);
    }
}
