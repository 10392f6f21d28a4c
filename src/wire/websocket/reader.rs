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

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Text(Cow<'a, str>),
    Binary(Payload<'a>),
    /// Either, yet to be inflated. Whether text is valid UTF-8 is known only then (RFC 7692 section 6.2).
    Compressed {
        kind: MessageKind,
        payload: Payload<'a>,
    },
}

impl<'a> Message<'a> {
    /// What a payload says that is not compressed, or not any more.
    pub fn plain(kind: MessageKind, payload: &'a [u8]) -> Result<Self, Violation> {
        match kind {
            MessageKind::Binary => Ok(Self::Binary(payload.into())),
            MessageKind::Text => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => Ok(Self::Text(text.into())),
                Err(_) => Err(Violation::NOT_UTF8),
            },
        }
    }

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
        if input.is_empty() {
            return Ok(None);
        }
        let outcome = match self.next_frame(input, limits) {
            Ok(Some(frame)) => self.receive(frame, input),
            Ok(None) => Ok(None),
            Err(violation) => Err(violation),
        };
        if outcome.is_err() || self.partial.as_deref().is_some_and(Partial::is_empty) {
            self.partial = None;
        }
        outcome
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
        if let Some(frame) = &frame
            && let OpCode::Data(data) = frame.opcode
        {
            self.admit_data(data, frame.remaining, limits)?;
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
        let message = self.message();
        let sequence = match (data, message) {
            (Data::Continue, None) => Err("continuation without a message to continue"),
            (Data::Text | Data::Binary, Some(_)) => Err("new message inside a fragmented one"),
            _ => Ok(()),
        };
        sequence.map_err(Violation::protocol_error)?;
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
            OpCode::Control(control) => frame.receive_control(control, payload)?,
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
        if ends_message && self.message().is_none() {
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

    /// The data message that is incomplete (RFC 6455 section 5.4).
    fn message(&self) -> Option<&PartialMessage> {
        self.partial.as_ref()?.message.as_ref()
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
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && self.message.is_none()
    }

    fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, PartialMessage::held_bytes);
        let control = self
            .frame
            .as_ref()
            .map_or(0, |frame| frame.control.capacity());
        size_of::<Self>() + message + control
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
    /// Those that have come of a control frame, which may stand between the frames of a message.
    control: Vec<u8>,
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
        check_header(&header, length, header_len, limits).map_err(Violation::protocol_error)?;
        let unmasked = || Violation::protocol_error("client frame not masked");
        let frame = Self {
            opcode: header.opcode,
            is_final: header.is_final,
            is_compressed: header.rsv1,
            mask: Mask::new(header.mask.ok_or_else(unmasked)?),
            remaining: length,
            control: Vec::new(),
        };
        Ok(Some((frame, header_len)))
    }

    /// Takes a part of a control frame's payload; an event if it is the last.
    fn receive_control<'a>(
        &mut self,
        control: Control,
        part: &'a [u8],
    ) -> Result<Option<ReaderEvent<'a>>, Violation> {
        let is_last = self.remaining == 0;
        if is_last && self.control.is_empty() {
            return control_event(control, part.into()).map(Some);
        }
        self.control.extend_from_slice(part);
        match is_last {
            true => control_event(control, std::mem::take(&mut self.control).into()).map(Some),
            false => Ok(None),
        }
    }
}

/// What is wrong with a header (RFC 6455 sections 5.2 and 5.5).
fn check_header(
    header: &FrameHeader,
    length: u64,
    header_len: usize,
    limits: &FrameLimits,
) -> Result<(), &'static str> {
    let is_control = matches!(header.opcode, OpCode::Control(_));
    // Only the first frame of a message may say that it is compressed (RFC 7692 section 6).
    let begins_message = !is_control && header.opcode != OpCode::Data(Data::Continue);
    if header.rsv2 || header.rsv3 || (header.rsv1 && !(limits.compression && begins_message)) {
        return Err("reserved bit set where no extension allows it");
    }
    if length > i64::MAX as u64 || header.len(length) != header_len {
        return Err("payload length not in its shortest form");
    }
    match is_control {
        true if !header.is_final => Err("fragmented control frame"),
        true if length > MAX_CONTROL_PAYLOAD as u64 => Err("control frame longer than 125 bytes"),
        _ => Ok(()),
    }
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
    match frame.is_compressed {
        true => Ok(Message::Compressed {
            kind: kind_of(data),
            payload: payload.into(),
        }),
        false => Message::plain(kind_of(data), payload),
    }
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
            false => Err(Violation::protocol_error("close frame with half a code")),
        };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_allowed_on_wire() {
        return Err(Violation::protocol_error(
            "close code not allowed on the wire",
        ));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NOT_UTF8)?;
    Ok(ReaderEvent::Close(Some(code)))
}

const RESERVED_OPCODE: Violation = Violation::protocol_error("reserved opcode");

#[cfg(test)]
mod tests;
