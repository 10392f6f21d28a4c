//! A message on its way to many: encoded once for each variant, shared by all who read it.

use crate::base::id::MessageId;
use crate::wire::message::{Encoding, Envelope, Place, Variant};
use crate::wire::websocket::{EncodedFrame, MessageKind, encode};
use std::borrow::Cow;
use std::cell::OnceCell;

/// Where delivered frames go: implemented by whoever owns the connections.
pub trait Outlet {
    /// Queues a frame for one connection. `false`: it did not take it, because it is closing or too far behind.
    fn deliver(&mut self, link: Link, frame: &EncodedFrame) -> bool;

    /// The same for a state, of which only the newest matters: a connection that has no room for it is not too far
    /// behind, but backlogged, and is told anew once it has drained.
    fn deliver_state(&mut self, link: Link, frame: &EncodedFrame) -> bool;
}

/// The owner's name for a connection; opaque to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// The connection's slot.
    pub index: u32,
    /// Which of the connections that had this slot.
    pub generation: u32,
}

/// One message and its encoded forms.
#[derive(Debug)]
pub struct Publication<'a> {
    kind: &'a str,
    payload: Cow<'a, str>,
    timestamp: u64,
    id: MessageId,
    place: Option<Place<'a>>,
    frames: [OnceCell<EncodedFrame>; Variant::COUNT],
}

impl<'a> Publication<'a> {
    /// A message not yet encoded.
    pub fn new(
        kind: &'a str,
        payload: Cow<'a, str>,
        timestamp: u64,
        id: MessageId,
        place: Option<Place<'a>>,
    ) -> Self {
        Self {
            kind,
            payload,
            timestamp,
            id,
            place,
            frames: Default::default(),
        }
    }

    /// The message as a frame in `variant`, encoded when first asked for.
    pub fn frame(&self, variant: Variant) -> &EncodedFrame {
        self.frames[variant.index()]
            .get_or_init(|| frame_of(&self.envelope().encode(variant), variant.encoding))
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            kind: self.kind,
            payload: &self.payload,
            timestamp: self.timestamp,
            id: Some(&self.id),
            reply_to: None,
            place: self.place,
        }
    }
}

/// Puts an encoded message into the frame that its encoding calls for.
pub fn frame_of(message: &[u8], encoding: Encoding) -> EncodedFrame {
    match encoding {
        Encoding::Json => encode(MessageKind::Text, message),
        Encoding::MessagePack => encode(MessageKind::Binary, message),
    }
}
