//! Payloads of compressed messages, both ways (RFC 7692 section 7.2). One compressor and one inflater per process, none
//! per connection.
//!
//! They own zlib's streams, made at first use, and the output buffer of the last message. No message refers to
//! another (no context takeover), so any message may be shared or read in any order.

use super::close::Violation;
use super::handshake::Window;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// Level 3 compresses as well as level 6 (1024 bytes of JSON to 336, both) and is faster the larger the message.
const LEVEL: u32 = 3;

/// The end of every flushed message, which never goes on the wire (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty final block. It ends the stream of a whole message; a message that was cut short does not end there, and is
/// found out.
const FINAL_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// With less room than this zlib would repeat the tail when it ends a flush.
const MIN_ROOM: usize = 64;

/// A larger output buffer is freed.
const MAX_KEPT_BUFFER: usize = 256 * 1024;

const MIN_INFLATED_ROOM: usize = 1024;

#[derive(Debug, Default)]
pub struct Deflater {
    wide: Option<Compress>,
    narrow: Option<Compress>,
    output: Vec<u8>,
}

impl Deflater {
    /// The compressed payload (RFC 7692 section 7.2.1), valid until the next call.
    pub fn compress(&mut self, window: Window, payload: &[u8]) -> &[u8] {
        if self.output.capacity() > MAX_KEPT_BUFFER {
            self.output = Vec::new();
        }
        self.output.clear();
        let (stream, window_bits) = match window {
            Window::Bits9 => (&mut self.narrow, 9),
            Window::Bits15 => (&mut self.wide, 15),
        };
        let stream = stream.get_or_insert_with(|| {
            Compress::new_with_window_bits(flate2::Compression::new(LEVEL), false, window_bits)
        });
        stream.reset();
        flush_into(stream, payload, &mut self.output);
        debug_assert!(self.output.ends_with(&TAIL), "every flush ends alike");
        self.output.truncate(self.output.len() - TAIL.len());
        &self.output
    }
}

/// Leaves room to spare at every step; see [`MIN_ROOM`].
fn flush_into(stream: &mut Compress, payload: &[u8], output: &mut Vec<u8>) {
    loop {
        let rest = &payload[stream.total_in() as usize..];
        output.reserve(rest.len() / 2 + MIN_ROOM);
        stream
            .compress_vec(rest, output, FlushCompress::Sync)
            .expect("zlib refuses only a stream that was never set up");
        let is_consumed = stream.total_in() == payload.len() as u64;
        if is_consumed && output.len() < output.capacity() {
            return;
        }
    }
}

#[derive(Debug, Default)]
pub struct Inflater {
    stream: Option<Decompress>,
}

impl Inflater {
    /// Inflates a message (RFC 7692 section 7.2.2) up to `max_message_size` bytes (0: no limit). Stops at the first
    /// byte over the limit and reserves no more memory, whatever the message claims.
    pub fn inflate(
        &mut self,
        payload: &[u8],
        max_message_size: usize,
    ) -> Result<Vec<u8>, Violation> {
        if payload.is_empty() {
            // Not even an empty block: wrong (RFC 7692 section 7.2.3.6), but unambiguous.
            return Ok(Vec::new());
        }
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        let mut inflated = Inflated::new(max_message_size, payload.len());
        for part in [payload, &TAIL, &FINAL_BLOCK] {
            if inflated.extend(stream, part)? == Status::StreamEnd {
                return Ok(inflated.bytes);
            }
        }
        Err(Violation::NOT_DEFLATED)
    }
}

/// Output of the inflater, at most one byte over its limit.
struct Inflated {
    bytes: Vec<u8>,
    /// One byte more than is allowed: when that is there, the message is too big.
    max_len: usize,
}

impl Inflated {
    fn new(max_message_size: usize, compressed_len: usize) -> Self {
        let max_len = match max_message_size {
            0 => usize::MAX,
            max => max.saturating_add(1),
        };
        let room = compressed_len.saturating_mul(4).max(MIN_INFLATED_ROOM);
        Self {
            bytes: Vec::with_capacity(room.min(max_len)),
            max_len,
        }
    }

    /// Inflates all of `part`. [`Status::StreamEnd`]: a final block ended with it. A final block that ends inside it
    /// is followed by more blocks, which begin anew (RFC 7692 section 7.2.1).
    fn extend(&mut self, stream: &mut Decompress, mut part: &[u8]) -> Result<Status, Violation> {
        loop {
            self.make_room();
            let consumed_before = stream.total_in();
            let status = stream
                .decompress_vec(part, &mut self.bytes, FlushDecompress::None)
                .map_err(|_| Violation::NOT_DEFLATED)?;
            part = &part[(stream.total_in() - consumed_before) as usize..];
            if self.bytes.len() >= self.max_len {
                return Err(Violation::MESSAGE_TOO_BIG);
            }
            let is_full = self.bytes.len() == self.bytes.capacity();
            match (status, part.is_empty()) {
                (Status::StreamEnd, false) => stream.reset(false),
                (Status::StreamEnd, true) => return Ok(status),
                (_, _) if is_full => {}
                (_, true) => return Ok(status),
                // No room is wanted and no input is taken: nothing would ever change.
                (_, false) => return Err(Violation::NOT_DEFLATED),
            }
        }
    }

    /// Doubles a full buffer, within the limit.
    fn make_room(&mut self) {
        let len = self.bytes.len();
        if len == self.bytes.capacity() {
            self.bytes.reserve_exact(len.min(self.max_len - len));
        }
    }
}

#[cfg(test)]
mod tests;
