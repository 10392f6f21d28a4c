//! Floor 2: one peer, from its first byte to its last. It knows no room, and not what an event means.
//!
//! A [`Connection`] turns bytes into events and keeps the outbox. An idle one owns no heap: partial input, held batches
//! and unsent chunks exist only while they are needed. It is open, then closing ([`Ending`]); a closing connection
//! drops its input and still sends its outbox.
//!
//! - `outbox`: unsent bytes, batches, limits

mod outbox;

pub use outbox::Outbox;

use crate::wire::http::{self, BodyMode, Head, Method, ParserEvent};
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::websocket::{self, Reader, ReaderEvent, Violation};

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

    /// The next event of an open connection; `None` once all input is taken.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &InputLimits,
    ) -> Result<Option<PeerEvent<'a>>, Fault> {
        debug_assert!(self.is_open(), "closing connections drop their input");
        let event = match &mut self.phase {
            Phase::Http(parser) => {
                let decide = |head: &Head| body_mode(head, limits.max_body_bytes);
                let event = parser.poll_event(input, &limits.http, decide);
                event.map_err(Fault::Http)?.map(PeerEvent::Http)
            }
            Phase::WebSocket(reader) => {
                let event = reader.poll_event(input, &limits.websocket);
                event.map_err(Fault::WebSocket)?.map(PeerEvent::WebSocket)
            }
            Phase::Lines => poll_lines(input),
        };
        debug_assert!(event.is_some() || input.is_empty(), "all is taken");
        Ok(event)
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
}

/// The protocol spoken now.
#[derive(Debug)]
pub enum Phase {
    Http(http::Parser),
    WebSocket(Reader),
    /// Newline-delimited JSON from a local producer.
    Lines,
}

#[derive(Debug, Clone, Copy)]
pub struct InputLimits {
    pub http: http::ParserLimits,
    /// Bytes of a request body.
    pub max_body_bytes: usize,
    pub websocket: websocket::FrameLimits,
}

#[derive(Debug)]
pub enum PeerEvent<'a> {
    /// Also the lines of a producer: each [`ParserEvent::Chunk`] is within one line, or up to a line end.
    Http(ParserEvent<'a>),
    WebSocket(ReaderEvent<'a>),
}

/// Why a connection has to be closed.
#[derive(Debug, Clone)]
pub enum Fault {
    Http(Refusal),
    /// A frame that breaks RFC 6455 or exceeds a limit.
    WebSocket(Violation),
}

impl Phase {
    /// Whether polling may yield more without further input.
    fn is_mid_request(&self) -> bool {
        matches!(self, Self::Http(parser) if !parser.is_idle())
    }

    /// Memory of an incomplete request or message.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Http(parser) => parser.held_bytes(),
            Self::WebSocket(reader) => reader.held_bytes(),
            Self::Lines => 0,
        }
    }

    /// Drops an incomplete request or message.
    fn forget_input(&mut self) {
        match self {
            Self::Http(parser) => *parser = http::Parser::new(),
            Self::WebSocket(reader) => *reader = Reader::default(),
            Self::Lines => {}
        }
    }
}

fn poll_lines<'a>(input: &mut Input<'a>) -> Option<PeerEvent<'a>> {
    let count = http::lines_at_once(input.peek());
    (count > 0).then(|| PeerEvent::Http(ParserEvent::Chunk(input.take(count))))
}

/// Media types of newline-delimited JSON.
const LINES: [&str; 3] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
];

/// A body of lines is handled as it arrives.
fn body_mode(head: &Head, max_bytes: usize) -> BodyMode {
    let is_named = |found: &str| LINES.iter().any(|name| found.eq_ignore_ascii_case(name));
    match head.method() == Method::POST && head.content_type().is_some_and(is_named) {
        true => BodyMode::Stream,
        false => BodyMode::Collect { max_bytes },
    }
}
