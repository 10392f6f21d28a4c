//! The protocols a peer may speak, and the events in what it sends.

use crate::wire::http::{self, Body, BodyMode, Head, Method, Reject};
use crate::wire::input::Input;
use crate::wire::websocket::{self, CloseCode, MessageKind, Payload, Reader, Text, Violation};

/// The protocol of a connection at this moment.
#[derive(Debug)]
pub enum Phase {
    /// HTTP/1.1 requests, one after the other.
    Http(http::Parser),
    /// WebSocket frames.
    WebSocket(Reader),
    /// Newline-delimited JSON from a local producer.
    Lines,
}

/// What bounds a peer's input.
#[derive(Debug, Clone, Copy)]
pub struct InputLimits {
    /// Of request heads.
    pub http: http::ParserLimits,
    /// Of a request body, in bytes (0: none).
    pub max_body_bytes: usize,
    /// Of WebSocket messages.
    pub websocket: websocket::FrameLimits,
}

/// Something a peer did.
#[derive(Debug)]
pub enum PeerEvent<'a> {
    /// A whole request.
    Request {
        /// Its head.
        head: Head,
        /// Its body.
        body: Body<'a>,
    },
    /// A head is complete and its body is not: what is wrong with it is to be said now.
    BodyDue,
    /// The peer waits for leave to send a body.
    Continue,
    /// A request whose body is handled as it comes.
    StreamStart(Head),
    /// A part of that body, or of a producer's lines: of one line, or with its end.
    Chunk(&'a [u8]),
    /// That body has ended.
    StreamEnd,
    /// A text message.
    Text(Text<'a>),
    /// A binary message.
    Binary(Payload<'a>),
    /// A message that is yet to be inflated.
    Compressed {
        /// What it holds then.
        kind: MessageKind,
        /// Its payload, as sent.
        payload: Payload<'a>,
    },
    /// A ping, to be answered.
    Ping(Payload<'a>),
    /// An answer to a ping.
    Pong(Payload<'a>),
    /// The peer says goodbye.
    Close(Option<CloseCode>),
    /// A frame of a message that goes on.
    Fragment,
}

/// What a peer did wrong: its connection ends.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A request that cannot be understood.
    Http(Reject),
    /// A frame that breaks RFC 6455, or a limit.
    WebSocket(Violation),
}

/// A body without a limit of its own still has one: what an index can count.
const UNLIMITED: usize = usize::MAX;

impl Phase {
    /// The next event in `input`; `None` when all of it has been taken.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &InputLimits,
    ) -> Result<Option<PeerEvent<'a>>, Fault> {
        match self {
            Self::Http(parser) => {
                let event = parser.poll_event(input, &limits.http, |head| {
                    body_mode(head, limits.max_body_bytes)
                });
                event
                    .map(|event| event.map(PeerEvent::from))
                    .map_err(Fault::Http)
            }
            Self::WebSocket(reader) => {
                let event = reader.poll_event(input, &limits.websocket);
                event
                    .map(|event| event.map(PeerEvent::from))
                    .map_err(Fault::WebSocket)
            }
            Self::Lines if input.is_empty() => Ok(None),
            Self::Lines => {
                let count = http::lines_at_once(input.peek());
                Ok(Some(PeerEvent::Chunk(input.take(count))))
            }
        }
    }

    /// Whether more may come to light without more input: a request goes on.
    pub fn is_mid_request(&self) -> bool {
        matches!(self, Self::Http(parser) if !parser.is_idle())
    }

    /// The memory that what has begun and not ended takes.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Http(parser) => parser.held_bytes(),
            Self::WebSocket(reader) => reader.held_bytes(),
            Self::Lines => 0,
        }
    }

    /// Drops that: nothing more is understood.
    pub fn forget_input(&mut self) {
        match self {
            Self::Http(parser) => *parser = http::Parser::new(),
            Self::WebSocket(reader) => *reader = Reader::default(),
            Self::Lines => {}
        }
    }
}

/// Whether a media type means newline-delimited JSON.
pub fn is_line_delimited(head: &Head) -> bool {
    let names = [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
    ];
    let found = head.content_type();
    found.is_some_and(|found| names.iter().any(|name| found.eq_ignore_ascii_case(name)))
}

/// Lines are events as soon as they are complete, so their body is never gathered.
fn body_mode(head: &Head, max_bytes: usize) -> BodyMode {
    if head.method() == Method::POST && is_line_delimited(head) {
        return BodyMode::Stream;
    }
    BodyMode::Collect {
        max_bytes: if max_bytes == 0 { UNLIMITED } else { max_bytes },
    }
}

impl<'a> From<http::ParserEvent<'a>> for PeerEvent<'a> {
    fn from(event: http::ParserEvent<'a>) -> Self {
        match event {
            http::ParserEvent::Request { head, body } => Self::Request { head, body },
            http::ParserEvent::BodyDue => Self::BodyDue,
            http::ParserEvent::Continue => Self::Continue,
            http::ParserEvent::StreamStart(head) => Self::StreamStart(head),
            http::ParserEvent::Chunk(chunk) => Self::Chunk(chunk),
            http::ParserEvent::StreamEnd => Self::StreamEnd,
        }
    }
}

impl<'a> From<websocket::ReaderEvent<'a>> for PeerEvent<'a> {
    fn from(event: websocket::ReaderEvent<'a>) -> Self {
        match event {
            websocket::ReaderEvent::Text(text) => Self::Text(text),
            websocket::ReaderEvent::Binary(payload) => Self::Binary(payload),
            websocket::ReaderEvent::Compressed { kind, payload } => {
                Self::Compressed { kind, payload }
            }
            websocket::ReaderEvent::Ping(payload) => Self::Ping(payload),
            websocket::ReaderEvent::Pong(payload) => Self::Pong(payload),
            websocket::ReaderEvent::Close { code, .. } => Self::Close(code),
            websocket::ReaderEvent::Fragment => Self::Fragment,
        }
    }
}
