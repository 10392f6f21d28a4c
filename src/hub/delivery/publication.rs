//! A message on its way to many: encoded once for each variant, shared by all who read it.

use crate::base::id::MessageId;
use crate::hub::budget::Workload;
use crate::hub::keys::ConnectionId;
use crate::wire::message::{Encoding, Envelope, RoomOffset, Variant};
use crate::wire::websocket::{
    Deflater, EncodedFrame, MessageKind, Window, encode, encode_compressed,
};
use std::borrow::Cow;
use std::cell::OnceCell;

/// Where delivered frames go: implemented by whoever owns the connections.
pub trait Outlet {
    /// So many hear what is delivered next: whoever serves a crowd serves others in between.
    fn expect_readers(&mut self, readers: usize);

    /// Queues a frame for one connection. `false`: it did not take it, because it is closing or too far behind.
    fn deliver(&mut self, connection: ConnectionId, frame: &EncodedFrame, lane: Lane) -> bool;
}

/// What becomes of a message when its reader is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Every message counts: it is queued up to a limit, and the hub sends the rest when the reader has drained.
    Log,
    /// As [`Lane::Log`], but for one reader alone: while its bytes wait, nobody shares them.
    Replay,
    /// Every message counts and is kept nowhere: whoever cannot take it is too slow.
    Once,
    /// Only the newest counts: it is refused early, and the hub sends the newest state when the reader has drained.
    State,
}

/// One message and its encoded forms.
#[derive(Debug)]
pub struct Publication<'a> {
    kind: &'a str,
    payload: Cow<'a, str>,
    timestamp: u64,
    id: MessageId,
    room_offset: Option<RoomOffset<'a>>,
    frames: [OnceCell<EncodedFrame>; Variant::COUNT],
}

impl<'a> Publication<'a> {
    /// A message not yet encoded.
    pub fn new(
        kind: &'a str,
        payload: Cow<'a, str>,
        timestamp: u64,
        id: MessageId,
        room_offset: Option<RoomOffset<'a>>,
    ) -> Self {
        Self {
            kind,
            payload,
            timestamp,
            id,
            room_offset,
            frames: Default::default(),
        }
    }

    /// The message as a frame in `variant`, encoded and compressed when first asked for.
    pub fn frame(&self, variant: Variant, framer: &mut Framer) -> &EncodedFrame {
        let plain = self.frames[variant.plain().index()]
            .get_or_init(|| framer.plain(&self.envelope().encode(variant), variant.encoding));
        match variant.window {
            None => plain,
            Some(window) => self.frames[variant.index()]
                .get_or_init(|| framer.compressed(plain, variant.encoding, window)),
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            kind: self.kind,
            payload: &self.payload,
            timestamp: self.timestamp,
            id: Some(&self.id),
            reply_to: None,
            room_offset: self.room_offset,
        }
    }
}

/// Puts encoded messages into frames, and compresses those that are long enough. There is one for all connections.
#[derive(Debug)]
pub struct Framer {
    deflater: Deflater,
    threshold: usize,
    /// What that costs, and what else a turn does.
    pub load: Workload,
}

/// Compressing a byte costs about as much as encoding so many.
const DEFLATE_COST: usize = 16;

impl Framer {
    /// Messages of fewer than `threshold` bytes stay as they are.
    pub fn new(threshold: usize) -> Self {
        Self {
            deflater: Deflater::default(),
            threshold,
            load: Workload::default(),
        }
    }

    /// A frame in `variant` around a message that is encoded so already.
    pub fn frame(&mut self, message: &[u8], variant: Variant) -> EncodedFrame {
        let plain = self.plain(message, variant.encoding);
        match variant.window {
            None => plain,
            Some(window) => self.compressed(&plain, variant.encoding, window),
        }
    }

    fn plain(&mut self, message: &[u8], encoding: Encoding) -> EncodedFrame {
        self.load.encode(message.len());
        encode(kind_of(encoding), message)
    }

    fn compressed(
        &mut self,
        plain: &EncodedFrame,
        encoding: Encoding,
        window: Window,
    ) -> EncodedFrame {
        let payload = plain.payload();
        if payload.len() < self.threshold {
            return plain.clone();
        }
        self.load.encode(payload.len() * DEFLATE_COST);
        encode_compressed(kind_of(encoding), self.deflater.compress(window, &payload))
    }
}

fn kind_of(encoding: Encoding) -> MessageKind {
    match encoding {
        Encoding::Json => MessageKind::Text,
        Encoding::MessagePack => MessageKind::Binary,
    }
}
