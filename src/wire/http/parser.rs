//! Requests out of a byte stream, one event at a time.
//!
//! A parser keeps what is incomplete and nothing else: between requests it is one word and a tag. It never takes a
//! byte past the request it reports, so that an upgraded connection's first frame is still in the input. `syntax.rs`
//! decides what counts as a request; the owner decides how long a peer may take.
//!
//! Idle -> Head -> Collecting or Streaming -> Idle. A refused body leads to Draining while its end can still be
//! found, any other refusal to Broken.

use super::body::{Cut, Piece, Source, take_counted};
use super::request::Head;
use super::syntax::{Found, MAX_HEAD_BYTES, ParserLimits, read_head};
use crate::wire::input::Input;
use crate::wire::refusal::{ErrorCode, Refusal};
use std::borrow::Cow;

/// Initial memory of a body, however long its head announces it.
const FIRST_BODY_BYTES: usize = 16 * 1024;

/// An unwanted body is read to its end up to this length, so that the connection may go on.
const MAX_DRAINED_BYTES: usize = 16 * 1024;

/// How the owner wants the body of a request, decided by its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// In one piece, with the head: [`ParserEvent::Request`].
    Collect {
        /// A longer body is refused with 413.
        max_bytes: usize,
    },
    /// In pieces as they arrive, cut behind line feeds: [`ParserEvent::StreamStart`], [`ParserEvent::Chunk`],
    /// [`ParserEvent::StreamEnd`]. No limit applies here: the owner counts.
    Stream,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParserEvent<'a> {
    Request {
        head: Head,
        /// Decoded from its transfer coding; may be empty.
        body: Body<'a>,
    },
    /// A head is complete and its body is not: refuse now or never. See [`Parser::due_head`],
    /// [`Parser::expect_no_body`] and [`Parser::refuse_body`].
    BodyDue,
    /// The client waits for [`CONTINUE`](super::CONTINUE) before it sends the body (RFC 9110 section 10.1.1).
    Continue,
    /// The head of a request whose body is streamed; an empty body is streamed too.
    StreamStart(Head),
    /// At least one byte of a streamed body.
    Chunk(&'a [u8]),
    StreamEnd,
}

/// Lent from the input, or owned when it arrived in pieces.
pub type Body<'a> = Cow<'a, [u8]>;

#[derive(Debug, Default)]
pub struct Parser {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Head(Box<PartialHead>),
    Collecting(Box<Collecting>),
    Streaming(Box<Streaming>),
    /// Bytes left of an unwanted body.
    Draining(u64),
    /// After a refusal: the start of the next request is unknown, so all input is dropped.
    Broken,
}

#[derive(Debug)]
struct PartialHead {
    text: Vec<u8>,
}

#[derive(Debug)]
struct Collecting {
    head: Head,
    body: Vec<u8>,
    max_bytes: usize,
    source: Source,
    is_continue_due: bool,
    /// The owner has seen [`ParserEvent::BodyDue`].
    is_told: bool,
    /// The body is dropped as it arrives; `taken_bytes` of it have arrived.
    is_dropped: bool,
    taken_bytes: usize,
}

#[derive(Debug)]
struct Streaming {
    source: Source,
    is_continue_due: bool,
}

impl Parser {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle | State::Draining(_))
    }

    /// Memory of an incomplete request; of a streamed one only the owner knows.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Head(partial) => size_of::<PartialHead>() + partial.text.capacity(),
            State::Collecting(collecting) => {
                let Collecting { head, body, .. } = &**collecting;
                size_of::<Collecting>() + head.len_bytes() + body.capacity()
            }
            _ => 0,
        }
    }

    /// The head behind [`ParserEvent::BodyDue`].
    pub fn due_head(&self) -> Option<&Head> {
        match &self.state {
            State::Collecting(collecting) => Some(&collecting.head),
            _ => None,
        }
    }

    /// The body that is due means nothing: it is dropped as it arrives, and refused with 413 if it is long.
    pub fn expect_no_body(&mut self) {
        if let State::Collecting(collecting) = &mut self.state {
            collecting.is_dropped = true;
            collecting.max_bytes = collecting.max_bytes.min(MAX_DRAINED_BYTES);
        }
    }

    /// Gives up on the body that is due. Returns its head, and whether the connection may go on: it may if the rest of
    /// the body is short and on its way.
    pub fn refuse_body(&mut self) -> Option<(Head, bool)> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Collecting(collecting) => {
                let rest = collecting.source.known_bytes();
                let rest = rest.filter(|rest| *rest <= MAX_DRAINED_BYTES as u64);
                if let Some(rest) = rest.filter(|_| !collecting.is_continue_due) {
                    self.state = State::Draining(rest);
                }
                Some((collecting.head, matches!(self.state, State::Draining(_))))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The next event in `input`; `None` once all of it is taken.
    ///
    /// `decide` is called once per request, as soon as its head is complete. After a refusal the connection must be
    /// closed; until then the parser drops all input.
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &ParserLimits,
        decide: impl FnOnce(&Head) -> BodyMode,
    ) -> Result<Option<ParserEvent<'a>>, Refusal> {
        // Every path that succeeds sets the state again; a refusal leaves it broken.
        let found = match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle => self.begin_head(input, limits)?,
            State::Head(partial) => self.resume_head(partial, input, limits)?,
            State::Collecting(collecting) => return self.collect(collecting, input, limits),
            State::Streaming(streaming) => return self.stream(streaming, input, limits),
            State::Draining(rest) => self.drain(rest, input, limits)?,
            State::Broken => {
                input.take_all();
                return Ok(None);
            }
        };
        let Some(found) = found else { return Ok(None) };
        match decide(&found.head) {
            BodyMode::Collect { max_bytes } => {
                self.begin_collecting(found, max_bytes, input, limits)
            }
            BodyMode::Stream => Ok(Some(self.begin_streaming(found))),
        }
    }

    /// Parses in place, without a copy: most heads arrive whole.
    fn begin_head(
        &mut self,
        input: &mut Input<'_>,
        limits: &ParserLimits,
    ) -> Result<Option<Found>, Refusal> {
        // RFC 9112 section 2.2: empty lines before a request line are ignored.
        while input.peek().starts_with(b"\r\n") {
            input.take(2);
        }
        if input.is_empty() {
            self.state = State::Idle;
            return Ok(None);
        }
        let found = read_head(input.peek(), limits)?;
        match &found {
            Some(found) => drop(input.take(found.bytes)),
            None => {
                self.state = State::Head(Box::new(PartialHead {
                    text: input.take_all().to_vec(),
                }))
            }
        }
        Ok(found)
    }

    /// Skips the rest of an unwanted body.
    fn drain(
        &mut self,
        mut rest: u64,
        input: &mut Input<'_>,
        limits: &ParserLimits,
    ) -> Result<Option<Found>, Refusal> {
        take_counted(input, &mut rest, Cut::Never);
        if rest == 0 {
            return self.begin_head(input, limits);
        }
        self.state = State::Draining(rest);
        Ok(None)
    }

    fn resume_head(
        &mut self,
        mut partial: Box<PartialHead>,
        input: &mut Input<'_>,
        limits: &ParserLimits,
    ) -> Result<Option<Found>, Refusal> {
        while !input.is_empty() {
            let has_new_line = partial.absorb(input, limits);
            if partial.text == b"\r\n" {
                return self.begin_head(input, limits);
            }
            // Parsing again only at line ends bounds the work that a slow sender can cause.
            if !has_new_line && !partial.is_full(limits) {
                continue;
            }
            if let Some(found) = read_head(&partial.text, limits)? {
                return Ok(Some(found));
            }
        }
        self.state = State::Head(partial);
        Ok(None)
    }

    fn begin_collecting<'a>(
        &mut self,
        found: Found,
        max_bytes: usize,
        input: &mut Input<'a>,
        limits: &ParserLimits,
    ) -> Result<Option<ParserEvent<'a>>, Refusal> {
        let Found { head, source, .. } = found;
        let known_bytes = source
            .known_bytes()
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if let Some(bytes) = known_bytes
            && bytes <= input.len()
            && bytes <= max_bytes
        {
            self.state = State::Idle;
            return Ok(Some(ParserEvent::Request {
                head,
                body: Cow::Borrowed(input.take(bytes)),
            }));
        }
        let is_continue_due = head.expects_continue();
        let collecting = Box::new(Collecting {
            head,
            body: Vec::new(),
            max_bytes,
            source,
            is_continue_due,
            is_told: known_bytes.is_some(),
            is_dropped: false,
            taken_bytes: 0,
        });
        if known_bytes.is_some() {
            self.state = State::Collecting(collecting);
            return Ok(Some(ParserEvent::BodyDue));
        }
        // A chunked body may end in the bytes that are already here.
        self.collect(collecting, input, limits)
    }

    fn collect<'a>(
        &mut self,
        mut collecting: Box<Collecting>,
        input: &mut Input<'a>,
        limits: &ParserLimits,
    ) -> Result<Option<ParserEvent<'a>>, Refusal> {
        collecting.check_announced()?;
        if collecting.is_told && must_continue(&mut collecting.is_continue_due, input) {
            self.state = State::Collecting(collecting);
            return Ok(Some(ParserEvent::Continue));
        }
        loop {
            let source = &mut collecting.source;
            match source.poll_piece(input, limits.max_head_bytes, Cut::Never)? {
                Piece::Bytes(bytes) => collecting.add(bytes)?,
                Piece::End => break,
                Piece::Pending => {
                    let is_told = std::mem::replace(&mut collecting.is_told, true);
                    self.state = State::Collecting(collecting);
                    return Ok((!is_told).then_some(ParserEvent::BodyDue));
                }
            }
        }
        self.state = State::Idle;
        let Collecting { head, body, .. } = *collecting;
        Ok(Some(ParserEvent::Request {
            head,
            body: Cow::Owned(body),
        }))
    }

    fn begin_streaming<'a>(&mut self, found: Found) -> ParserEvent<'a> {
        let Found { head, source, .. } = found;
        let is_continue_due = head.expects_continue() && source.known_bytes() != Some(0);
        self.state = State::Streaming(Box::new(Streaming {
            source,
            is_continue_due,
        }));
        ParserEvent::StreamStart(head)
    }

    fn stream<'a>(
        &mut self,
        mut streaming: Box<Streaming>,
        input: &mut Input<'a>,
        limits: &ParserLimits,
    ) -> Result<Option<ParserEvent<'a>>, Refusal> {
        let event = if must_continue(&mut streaming.is_continue_due, input) {
            Some(ParserEvent::Continue)
        } else {
            let source = &mut streaming.source;
            match source.poll_piece(input, limits.max_head_bytes, Cut::AtLineEnds)? {
                Piece::Bytes(bytes) => Some(ParserEvent::Chunk(bytes)),
                Piece::Pending => None,
                Piece::End => {
                    self.state = State::Idle;
                    return Ok(Some(ParserEvent::StreamEnd));
                }
            }
        };
        self.state = State::Streaming(streaming);
        Ok(event)
    }
}

impl PartialHead {
    /// Takes input up to the end of the head, the end of the input or the limit. Returns whether a line ended.
    fn absorb(&mut self, input: &mut Input<'_>, limits: &ParserLimits) -> bool {
        let mut has_new_line = false;
        while !input.is_empty() && !self.is_full(limits) {
            let room = max_head_bytes(limits) - self.text.len();
            let window = &input.peek()[..input.len().min(room)];
            let line_feed = window.iter().position(|byte| *byte == b'\n');
            let count = line_feed.map_or(window.len(), |index| index + 1);
            self.text.extend_from_slice(input.take(count));
            has_new_line |= line_feed.is_some();
            if line_feed.is_some() && self.ends_in_blank_line() {
                break;
            }
        }
        has_new_line
    }

    fn is_full(&self, limits: &ParserLimits) -> bool {
        self.text.len() >= max_head_bytes(limits)
    }

    fn ends_in_blank_line(&self) -> bool {
        self.text == b"\r\n" || self.text.ends_with(b"\n\r\n") || self.text.ends_with(b"\n\n")
    }
}

impl Collecting {
    /// Refuses a body that is announced as too long.
    fn check_announced(&self) -> Result<(), Refusal> {
        let rest = self.source.known_bytes().unwrap_or(0);
        match rest > self.max_bytes.saturating_sub(self.taken_bytes) as u64 {
            true => Err(too_large(self.max_bytes).at("content-length")),
            false => Ok(()),
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if bytes.len() > self.max_bytes.saturating_sub(self.taken_bytes) {
            return Err(too_large(self.max_bytes).at("body"));
        }
        self.taken_bytes += bytes.len();
        if self.is_dropped {
            self.body = Vec::new();
            return Ok(());
        }
        if self.body.capacity() == 0 {
            let rest = self.source.known_bytes().unwrap_or(0) as usize;
            let expected = bytes.len().saturating_add(rest);
            self.body.reserve(expected.min(FIRST_BODY_BYTES));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }
}

fn max_head_bytes(limits: &ParserLimits) -> usize {
    limits.max_head_bytes.min(MAX_HEAD_BYTES)
}

/// Whether the client still waits: one that has begun to send its body does not (RFC 9110 section 10.1.1).
fn must_continue(is_due: &mut bool, input: &Input<'_>) -> bool {
    std::mem::take(is_due) && input.is_empty()
}

fn too_large(max_bytes: usize) -> Refusal {
    let detail = format!("body: longer than {max_bytes} bytes");
    Refusal::new(ErrorCode::BodyTooLarge, detail)
}
