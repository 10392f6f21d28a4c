//! Messages into WebSocket frames: each publication is encoded once for each variant that reads it, and compressed once.
//!
//! A framer serves all connections, so that none owns a compressor. It counts what it encodes, because a turn has a measure.
//! Messages of fewer bytes than `threshold` are not compressed.

use crate::hub::Publication;
use crate::wire::message::{Encoding, Variant};
use crate::wire::websocket::{Deflater, EncodedFrame, encode, encode_compressed};
use hashbrown::HashMap;

/// Compressing a byte costs about as much as encoding so many.
const DEFLATE_COST: usize = 16;

/// Encodes and compresses for all connections.
#[derive(Debug, Default)]
pub struct Framer {
    deflater: Deflater,
    encoded_bytes: usize,
    /// Log entries that readers who were behind have been sent in this turn, by serial and variant.
    entries: HashMap<(u64, usize), EncodedFrame>,
}

/// The frames of one publication, by variant.
#[derive(Debug, Default)]
pub struct Frames {
    sent: [Option<EncodedFrame>; Variant::COUNT],
    /// What the compressed ones are made from.
    plain: [Option<EncodedFrame>; Variant::COUNT_PLAIN],
}

impl Framer {
    /// A frame around a message that is encoded in its variant already.
    pub fn frame(&mut self, message: &[u8], variant: Variant, threshold: usize) -> EncodedFrame {
        let plain = self.plain(message, variant.encoding);
        self.compressed(&plain, variant, threshold)
    }

    /// A publication's frame in a variant, which all its readers share.
    pub fn shared<'a>(
        &mut self,
        publication: &Publication<'_>,
        variant: Variant,
        frames: &'a mut Frames,
        threshold: usize,
    ) -> &'a EncodedFrame {
        let Frames { sent, plain } = frames;
        sent[variant.index()].get_or_insert_with(|| {
            let plain = &mut plain[variant.plain().index()];
            let plain = plain.get_or_insert_with(|| {
                self.plain(&publication.message.encode(variant), variant.encoding)
            });
            self.compressed(plain, variant, threshold)
        })
    }

    /// A log entry's frame in a variant, which all that are due it in this turn share.
    pub fn entry(
        &mut self,
        serial: u64,
        publication: &Publication<'_>,
        variant: Variant,
        threshold: usize,
    ) -> EncodedFrame {
        if let Some(known) = self.entries.get(&(serial, variant.index())) {
            return known.clone();
        }
        let frame = self.frame(&publication.message.encode(variant), variant, threshold);
        self.entries
            .insert((serial, variant.index()), frame.clone());
        frame
    }

    /// What was encoded since the last call, compressed bytes counted for what they cost.
    pub fn take_encoded_bytes(&mut self) -> usize {
        std::mem::take(&mut self.encoded_bytes)
    }

    /// Nobody shares what was sent in the turn that is over.
    pub fn handle_turn_end(&mut self) {
        self.entries = HashMap::new();
    }

    fn plain(&mut self, message: &[u8], encoding: Encoding) -> EncodedFrame {
        self.encoded_bytes += message.len();
        encode(encoding.kind(), message)
    }

    /// A compressed frame, or the plain one again if it is not to be compressed.
    fn compressed(
        &mut self,
        plain: &EncodedFrame,
        variant: Variant,
        threshold: usize,
    ) -> EncodedFrame {
        match variant.window {
            Some(window) if plain.payload().len() >= threshold => {
                let (kind, payload) = (variant.encoding.kind(), plain.payload());
                self.encoded_bytes += payload.len() * DEFLATE_COST;
                encode_compressed(kind, self.deflater.compress(window, &payload))
            }
            _ => plain.clone(),
        }
    }
}
