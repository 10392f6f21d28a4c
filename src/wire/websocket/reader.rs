//! Frames from a client, turned into events (RFC 6455 sections 5 to 8).
//!
//! A reader owns the incomplete frame or message and nothing else: an idle one is a null pointer. A message that lies
//! whole in the input is unmasked there and lent out, not copied. Every rule is enforced at the first byte that breaks
//! it, text included. A reader never writes. After a [`Violation`] or a [`ReaderEvent::Close`] nothing that follows
//! means anything (RFC 6455 sections 5.5.1 and 7.1.7), so stop polling.

use super::close::{CloseCode, Violation};
use super::frame::{MAX_CONTROL_PAYLOAD, MessageKind};
use super::payload::{Mask, PartialText};
use crate::wire::input::Input;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Two bytes, a 64-bit length, a masking key (RFC 6455 section 5.2).
const MAX_HEADER_BYTES: usize = 14;

/// Lent from the input, or owned when it arrived in parts.
pub type Payload<'a> = Cow<'a, [u8]>;

/// Lent from the input, or owned when it arrived in parts.
pub type Text<'a> = Cow<'a, str>;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Text(Text<'a>),
    Binary(Payload<'a>),
    /// Either, yet to be inflated. Whether text is valid UTF-8 is known only then (RFC 7692 section 6.2).
    Compressed {
        kind: MessageKind,
        payload: Payload<'a>,
    },
}

impl Message<'_> {
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(text.into_owned().into()),
            Self::Binary(payload) => Message::Binary(payload.into_owned().into()),
            Self::Compressed { kind, payload } => Message::Compressed {
                kind,
                payload: payload.into_owned().into(),
            },
        }
    }

    /// The memory that it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Binary(bytes) | Self::Compressed { payload: bytes, .. } => bytes.len(),
            }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderEvent<'a> {
    Message(Message<'a>),
    /// To be answered by a pong with the same payload (RFC 6455 section 5.5.2).
    Ping(Payload<'a>),
    /// Solicited or not (RFC 6455 section 5.5.3).
    Pong(Payload<'a>),
    /// With a code that is allowed on the wire. The reason is checked and dropped.
    Close(Option<CloseCode>),
    /// A complete frame of an incomplete message: no content yet, but work to be counted.
    Fragment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// The most bytes of a message, over all its frames (RFC 6455 section 10.4); 0: no limit. Compressed bytes count as
    /// they are; the inflater bounds what they inflate to.
    pub max_message_size: usize,
    /// Whether messages may be compressed, as the handshake agreed (RFC 7692 section 6).
    pub compression: bool,
}

impl FrameLimits {
    /// Without compression.
    pub fn new(max_message_size: usize) -> Self {
        Self {
            max_message_size,
            compression: false,
        }
    }
}

/// Holds nothing between messages.
#[derive(Debug, Default)]
pub struct Reader {
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Reader>() == size_of::<usize>());

impl Reader {
    /// The next event of `input`; `None` once all of it is taken (RFC 6455 section 6.2).
    pub fn poll_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &FrameLimits,
    ) -> Result<Option<ReaderEvent<'a>>, Violation> {
        match input.is_empty() {
            true => Ok(None),
            false => self.read_frame(input, limits),
        }
    }

    fn read_frame<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &FrameLimits,
    ) -> Result<Option<ReaderEvent<'a>>, Violation> {
        let frame = self.next_frame(input, limits);
        let outcome = frame.and_then(|frame| match frame {
            Some(frame) => self.receive(frame, input),
            None => Ok(None),
        });
        let is_idle = |partial: &Partial| partial.is_empty();
        if outcome.is_err() || self.partial.as_deref().is_some_and(is_idle) {
            self.partial = None;
        }
        outcome
    }

    /// Whether a data message is incomplete (RFC 6455 section 5.4).
    fn is_mid_message(&self) -> bool {
        let partial = self.partial.as_ref();
        partial.is_some_and(|partial| partial.message.is_some())
    }

    /// Memory of the incomplete frame and message.
    pub fn held_bytes(&self) -> usize {
        self.partial.as_deref().map_or(0, Partial::held_bytes)
    }

    /// The frame whose payload comes next in `input`: an incomplete one, or a new one.
    fn next_frame(
        &mut self,
        input: &mut Input<'_>,
        limits: &FrameLimits,
    ) -> Result<Option<Frame>, Violation> {
        let partial = self.partial.as_mut();
        if let Some(frame) = partial.and_then(|partial| partial.frame.take()) {
            return Ok(Some(frame));
        }
        let frame = self.read_header(input, limits)?;
        if let Some(Frame {
            opcode: OpCode::Data(data),
            remaining,
            ..
        }) = frame
        {
            self.admit_data(data, remaining, limits)?;
        }
        Ok(frame)
    }

    /// Parses a frame header from kept bytes and those of `input`; keeps them if it is cut short.
    fn read_header(
        &mut self,
        input: &mut Input<'_>,
        limits: &FrameLimits,
    ) -> Result<Option<Frame>, Violation> {
        let partial = self.partial.as_mut();
        let mut header =
            partial.map_or_else(SmallVec::new, |partial| std::mem::take(&mut partial.header));
        let kept = header.len();
        let more = input.len().min(MAX_HEADER_BYTES - kept);
        header.extend_from_slice(&input.peek()[..more]);
        match Frame::parse(&header, limits)? {
            Some((frame, header_len)) => {
                input.take(header_len - kept);
                Ok(Some(frame))
            }
            None => {
                input.take(more);
                self.partial().header = header;
                Ok(None)
            }
        }
    }

    /// Checks a data frame against the incomplete message (RFC 6455 section 5.4) and the size limit.
    fn admit_data(
        &self,
        data: Data,
        frame_len: u64,
        limits: &FrameLimits,
    ) -> Result<(), Violation> {
        let partial = self.partial.as_ref();
        let message = partial.and_then(|partial| partial.message.as_ref());
        match (data, message) {
            (Data::Continue, None) => return Err(CONTINUES_NOTHING),
            (Data::Text | Data::Binary, Some(_)) => return Err(INTERRUPTS_MESSAGE),
            _ => {}
        }
        let message_len = message.map_or(0, PartialMessage::len) as u64;
        let max_message_size = limits.max_message_size as u64;
        if max_message_size > 0 && message_len.saturating_add(frame_len) > max_message_size {
            return Err(Violation::MESSAGE_TOO_BIG);
        }
        Ok(())
    }

    /// Takes what there is of the frame's payload; an event if that completes the frame.
    fn receive<'a>(
        &mut self,
        mut frame: Frame,
        input: &mut Input<'a>,
    ) -> Result<Option<ReaderEvent<'a>>, Violation> {
        let payload = input.take(usize::try_from(frame.remaining).unwrap_or(usize::MAX));
        frame.mask.apply(payload);
        frame.remaining -= payload.len() as u64;
        let event = match frame.opcode {
            OpCode::Data(data) => self
                .receive_data(&frame, data, payload)?
                .map(ReaderEvent::Message),
            OpCode::Control(control) => self.receive_control(&frame, control, payload)?,
        };
        if frame.remaining > 0 {
            self.partial().frame = Some(frame);
            return Ok(None);
        }
        Ok(Some(event.unwrap_or(ReaderEvent::Fragment)))
    }

    fn receive_data<'a>(
        &mut self,
        frame: &Frame,
        data: Data,
        payload: &'a [u8],
    ) -> Result<Option<Message<'a>>, Violation> {
        let ends_message = frame.is_final && frame.remaining == 0;
        if ends_message && !self.is_mid_message() {
            return whole_message(frame, data, payload).map(Some);
        }
        let begun = self.partial().message.take();
        let mut message = begun.unwrap_or_else(|| PartialMessage::begin(frame, data));
        message.push(payload)?;
        if ends_message {
            return message.finish().map(Some);
        }
        self.partial().message = Some(message);
        Ok(None)
    }

    fn receive_control<'a>(
        &mut self,
        frame: &Frame,
        control: Control,
        payload: &'a [u8],
    ) -> Result<Option<ReaderEvent<'a>>, Violation> {
        let kept = self
            .partial
            .as_mut()
            .map(|partial| std::mem::take(&mut partial.control));
        let mut kept = kept.unwrap_or_default();
        if frame.remaining == 0 && kept.is_empty() {
            return control_event(control, Cow::Borrowed(payload)).map(Some);
        }
        kept.extend_from_slice(payload);
        if frame.remaining == 0 {
            return control_event(control, Cow::Owned(kept)).map(Some);
        }
        self.partial().control = kept;
        Ok(None)
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }
}

#[derive(Debug, Default)]
struct Partial {
    /// Of a frame whose header is incomplete.
    header: SmallVec<[u8; MAX_HEADER_BYTES]>,
    frame: Option<Frame>,
    message: Option<PartialMessage>,
    /// Of the incomplete control frame, which may stand between the frames of a message.
    control: Vec<u8>,
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, PartialMessage::held_bytes);
        size_of::<Self>() + message + self.control.capacity()
    }
}

/// A frame with a valid header.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// The first frame of a compressed message.
    is_compressed: bool,
    mask: Mask,
    /// Payload bytes still to come.
    remaining: u64,
}

impl Frame {
    /// The frame that begins with `bytes` and the length of its header; `None` if the header is incomplete.
    fn parse(bytes: &[u8], limits: &FrameLimits) -> Result<Option<(Self, usize)>, Violation> {
        let mut cursor = Cursor::new(bytes);
        // Reading from a slice cannot fail: the only error left is the opcode's.
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| RESERVED_OPCODE)?;
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        let header_len = cursor.position() as usize;
        let may_be_compressed = limits.compression && begins_message(header.opcode);
        if header.rsv2 || header.rsv3 || (header.rsv1 && !may_be_compressed) {
            return Err(RESERVED_BIT);
        }
        if length > i64::MAX as u64 || header.len(length) != header_len {
            return Err(LENGTH_FORM);
        }
        if matches!(header.opcode, OpCode::Control(_)) {
            check_control(&header, length)?;
        }
        let mask = Mask::new(header.mask.ok_or(UNMASKED)?);
        let frame = Self {
            opcode: header.opcode,
            is_final: header.is_final,
            is_compressed: header.rsv1,
            mask,
            remaining: length,
        };
        Ok(Some((frame, header_len)))
    }
}

/// Only such a frame may say that the message is compressed (RFC 7692 section 6).
fn begins_message(opcode: OpCode) -> bool {
    matches!(opcode, OpCode::Data(Data::Text | Data::Binary))
}

/// RFC 6455 section 5.5.
fn check_control(header: &FrameHeader, length: u64) -> Result<(), Violation> {
    if !header.is_final {
        return Err(CONTROL_FRAGMENTED);
    }
    if length > MAX_CONTROL_PAYLOAD as u64 {
        return Err(CONTROL_TOO_LONG);
    }
    Ok(())
}

#[derive(Debug)]
enum PartialMessage {
    Text(PartialText),
    Binary(Vec<u8>),
    Compressed(MessageKind, Vec<u8>),
}

impl PartialMessage {
    fn begin(frame: &Frame, data: Data) -> Self {
        if frame.is_compressed {
            return Self::Compressed(kind_of(data), Vec::new());
        }
        match data {
            Data::Text => Self::Text(PartialText::default()),
            _ => Self::Binary(Vec::new()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.len(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.capacity(),
        }
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Violation> {
        match self {
            Self::Text(text) => text.push(part)?,
            Self::Binary(bytes) | Self::Compressed(_, bytes) => bytes.extend_from_slice(part),
        }
        Ok(())
    }

    fn finish(self) -> Result<Message<'static>, Violation> {
        Ok(match self {
            Self::Text(text) => Message::Text(text.finish()?.into()),
            Self::Binary(bytes) => Message::Binary(bytes.into()),
            Self::Compressed(kind, bytes) => Message::Compressed {
                kind,
                payload: bytes.into(),
            },
        })
    }
}

fn kind_of(data: Data) -> MessageKind {
    match data {
        Data::Text => MessageKind::Text,
        _ => MessageKind::Binary,
    }
}

fn whole_message<'a>(
    frame: &Frame,
    data: Data,
    payload: &'a [u8],
) -> Result<Message<'a>, Violation> {
    if frame.is_compressed {
        return Ok(Message::Compressed {
            kind: kind_of(data),
            payload: payload.into(),
        });
    }
    if data == Data::Text {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| Violation::NOT_UTF8)?;
        return Ok(Message::Text(text.into()));
    }
    Ok(Message::Binary(payload.into()))
}

fn control_event(control: Control, payload: Payload<'_>) -> Result<ReaderEvent<'_>, Violation> {
    match control {
        Control::Ping => Ok(ReaderEvent::Ping(payload)),
        Control::Pong => Ok(ReaderEvent::Pong(payload)),
        Control::Close => close_event(&payload),
        Control::Reserved(_) => Err(RESERVED_OPCODE),
    }
}

/// RFC 6455 sections 5.5.1 and 7.4.
fn close_event<'a>(payload: &[u8]) -> Result<ReaderEvent<'a>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload.is_empty() {
            true => Ok(ReaderEvent::Close(None)),
            false => Err(CLOSE_CODE_CUT),
        };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_allowed_on_wire() {
        return Err(CLOSE_CODE_INVALID);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NOT_UTF8)?;
    Ok(ReaderEvent::Close(Some(code)))
}

const RESERVED_OPCODE: Violation = Violation::protocol_error("reserved opcode");
const RESERVED_BIT: Violation =
    Violation::protocol_error("reserved bit set where no extension allows it");
const LENGTH_FORM: Violation = Violation::protocol_error("payload length not in its shortest form");
const UNMASKED: Violation = Violation::protocol_error("client frame not masked");
const CONTROL_FRAGMENTED: Violation = Violation::protocol_error("fragmented control frame");
const CONTROL_TOO_LONG: Violation =
    Violation::protocol_error("control frame longer than 125 bytes");
const CONTINUES_NOTHING: Violation =
    Violation::protocol_error("continuation without a message to continue");
const INTERRUPTS_MESSAGE: Violation =
    Violation::protocol_error("new message inside a fragmented one");
const CLOSE_CODE_CUT: Violation = Violation::protocol_error("close frame with half a code");
const CLOSE_CODE_INVALID: Violation =
    Violation::protocol_error("close code not allowed on the wire");

#[cfg(test)]
mod tests;
