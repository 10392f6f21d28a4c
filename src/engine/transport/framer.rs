//! Messages into WebSocket frames: each publication is encoded once for each variant that reads it, and compressed once.
//!
//! A framer serves all connections, so that none owns a compressor. It counts what it encodes, because a turn has a measure.
//! Messages of fewer bytes than `threshold` are not compressed.

use crate::hub::Publication;
use crate::wire::message::{Encoding, Variant};
use crate::wire::websocket::{Deflater, EncodedFrame, Window, encode, encode_compressed};
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

/// The frames of one publication.
#[derive(Debug, Default)]
pub struct Frames([Option<EncodedFrame>; Variant::COUNT]);

impl Framer {
    /// A frame around a message that is encoded in its variant already.
    pub fn frame(&mut self, message: &[u8], variant: Variant, threshold: usize) -> EncodedFrame {
        let plain = self.plain(message, variant.encoding);
        match variant.window {
            None => plain,
            Some(window) => self.compressed(&plain, variant.encoding, window, threshold),
        }
    }

    /// A publication's frame in a variant, which all its readers share.
    pub fn shared<'a>(
        &mut self,
        publication: &Publication<'_>,
        variant: Variant,
        frames: &'a mut Frames,
        threshold: usize,
    ) -> &'a EncodedFrame {
        if frames.0[variant.index()].is_none() {
            let plain = frames.0[variant.plain().index()].take();
            let plain = plain.unwrap_or_else(|| {
                self.plain(&publication.message.encode(variant), variant.encoding)
            });
            if let Some(window) = variant.window {
                let compressed = self.compressed(&plain, variant.encoding, window, threshold);
                frames.0[variant.index()] = Some(compressed);
            }
            frames.0[variant.plain().index()] = Some(plain);
        }
        let frame = frames.0[variant.index()].as_ref();
        frame.expect("it was just made")
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

    fn compressed(
        &mut self,
        plain: &EncodedFrame,
        encoding: Encoding,
        window: Window,
        threshold: usize,
    ) -> EncodedFrame {
        let payload = plain.payload();
        if payload.len() < threshold {
            return plain.clone();
        }
        self.encoded_bytes += payload.len() * DEFLATE_COST;
        encode_compressed(encoding.kind(), self.deflater.compress(window, &payload))
    }
}
