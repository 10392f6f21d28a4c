//! The protocols that a peer may speak, and one set of events for all of them.

use crate::wire::http::{self, Body, BodyMode, Head, Method, Reject};
use crate::wire::input::Input;
use crate::wire::websocket::{self, CloseCode, MessageKind, Payload, Reader, Text, Violation};

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
    /// Bytes of a request body; 0: no limit.
    pub max_body_bytes: usize,
    pub websocket: websocket::FrameLimits,
}

#[derive(Debug)]
pub enum PeerEvent<'a> {
    Request {
        head: Head,
        body: Body<'a>,
    },
    /// The head of a request is complete and its body is not: refuse now or never.
    BodyDue,
    /// The peer waits for `100 Continue` before it sends a body.
    Continue,
    /// A request whose body is handled as it arrives.
    StreamStart(Head),
    /// Part of a streamed body or of a producer's lines: within one line, or up to a line end.
    Chunk(&'a [u8]),
    StreamEnd,
    Text(Text<'a>),
    Binary(Payload<'a>),
    /// A message that the owner has to inflate.
    Compressed {
        kind: MessageKind,
        payload: Payload<'a>,
    },
    Ping(Payload<'a>),
    Pong(Payload<'a>),
    Close(Option<CloseCode>),
    /// A frame of an unfinished message: no content yet, but work to be counted.
    Fragment,
}

/// Why a connection has to be closed.
#[derive(Debug, Clone)]
pub enum Fault {
    Http(Reject),
    /// A frame that breaks RFC 6455 or exceeds a limit.
    WebSocket(Violation),
}

const UNLIMITED: usize = usize::MAX;

impl Phase {
    /// `None` once all input is taken.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &InputLimits,
    ) -> Result<Option<PeerEvent<'a>>, Fault> {
        let polled = match self {
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
        };
        debug_assert!(
            !matches!(polled, Ok(None)) || input.is_empty(),
            "without an event all input is taken"
        );
        polled
    }

    /// Whether polling may yield more without further input.
    pub fn is_mid_request(&self) -> bool {
        matches!(self, Self::Http(parser) if !parser.is_idle())
    }

    /// Memory of an incomplete request or message.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Http(parser) => parser.held_bytes(),
            Self::WebSocket(reader) => reader.held_bytes(),
            Self::Lines => 0,
        }
    }

    /// Drops an incomplete request or message.
    pub fn forget_input(&mut self) {
        match self {
            Self::Http(parser) => *parser = http::Parser::new(),
            Self::WebSocket(reader) => *reader = Reader::default(),
            Self::Lines => {}
        }
    }
}

/// Whether the body is newline-delimited JSON, by its media type.
pub fn is_line_delimited(head: &Head) -> bool {
    let names = [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
    ];
    let found = head.content_type();
    found.is_some_and(|found| names.iter().any(|name| found.eq_ignore_ascii_case(name)))
}

/// Lines are events as soon as they are complete, so a body of lines is never collected.
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
