//! A request body as it arrives, in pieces, whichever way its end is marked (RFC 9112 section 6) and however the bytes are split.

use super::grammar::is_token;
use crate::wire::input::Input;
use crate::wire::refusal::{ErrorCode, Refusal};

/// Bounds the extensions, which nobody uses.
const MAX_SIZE_LINE_BYTES: usize = 256;
/// Lines per piece: each piece has its overhead.
const LINES_AT_ONCE: usize = 16;

#[derive(Debug)]
pub(super) enum Source {
    /// `Content-Length`; 0 when there is no body.
    Sized {
        remaining: u64,
    },
    Chunked(Chunked),
}

impl Source {
    /// The remaining length, where the head announced one.
    pub(super) fn known_bytes(&self) -> Option<u64> {
        match self {
            Self::Sized { remaining } => Some(*remaining),
            Self::Chunked(_) => None,
        }
    }

    pub(super) fn poll_piece<'a>(
        &mut self,
        input: &mut Input<'a>,
        max_trailer_bytes: usize,
        cut: Cut,
    ) -> Result<Piece<'a>, Refusal> {
        match self {
            Self::Sized { remaining: 0 } => Ok(Piece::End),
            Self::Sized { .. } if input.is_empty() => Ok(Piece::Pending),
            Self::Sized { remaining } => Ok(Piece::Bytes(take_counted(input, remaining, cut))),
            Self::Chunked(chunked) => chunked.poll_piece(input, max_trailer_bytes, cut),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// At least one byte.
    Bytes(&'a [u8]),
    /// The body is complete.
    End,
    /// All input is taken and the body is not complete.
    Pending,
}

/// Where pieces end besides the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Never,
    /// Behind line feeds, so that a reader of lines may pause between two of them.
    AtLineEnds,
}

/// How many bytes of `text` make one piece of lines.
pub fn lines_at_once(text: &[u8]) -> usize {
    let last = memchr::memchr_iter(b'\n', text).nth(LINES_AT_ONCE - 1);
    last.map_or(text.len(), |index| index + 1)
}

/// Takes up to `remaining` bytes, up to the cut, and counts them off.
pub(super) fn take_counted<'a>(input: &mut Input<'a>, remaining: &mut u64, cut: Cut) -> &'a [u8] {
    let count = usize::try_from(*remaining).unwrap_or(usize::MAX);
    let count = match cut {
        Cut::Never => count,
        Cut::AtLineEnds => count.min(lines_at_once(input.peek())),
    };
    let taken = input.take(count);
    *remaining -= taken.len() as u64;
    taken
}

/// The chunked transfer coding (RFC 9112 section 7.1): a phase and two counters, never bytes. Extensions and trailers are checked,
/// bounded and dropped. Every line must end in CRLF: a lone line feed in an extension is how requests are smuggled past proxies.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    phase: Phase,
    /// The size while it is read, then the rest of the chunk.
    remaining: u64,
    /// Bytes of this size line, or of the whole trailer section.
    line_bytes: usize,
}

/// What the next byte belongs to, in the order of a body: `check_line` compares phases.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    SizeStart,
    Size,
    SizeSpace,
    Extension,
    SizeLineFeed,
    Bytes,
    BytesReturn,
    BytesLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
}

/// Decodes a body of which no more will come; `None` when it was cut short. The last chunk completes a body even when
/// the trailers are missing (RFC 9112 section 8).
pub fn decode_chunked(
    coded: &mut [u8],
    max_trailer_bytes: usize,
) -> Result<Option<Vec<u8>>, Refusal> {
    let mut chunked = Chunked::default();
    let (mut input, mut body) = (Input::new(coded), Vec::new());
    while let Piece::Bytes(bytes) = chunked.poll_piece(&mut input, max_trailer_bytes, Cut::Never)? {
        body.extend_from_slice(bytes);
    }
    Ok((chunked.phase >= Phase::TrailerStart).then_some(body))
}

impl Chunked {
    fn poll_piece<'a>(
        &mut self,
        input: &mut Input<'a>,
        max_trailer_bytes: usize,
        cut: Cut,
    ) -> Result<Piece<'a>, Refusal> {
        loop {
            if self.phase == Phase::Done {
                return Ok(Piece::End);
            }
            if input.is_empty() {
                return Ok(Piece::Pending);
            }
            if self.phase == Phase::Bytes {
                let bytes = take_counted(input, &mut self.remaining, cut);
                if self.remaining == 0 {
                    self.phase = Phase::BytesReturn;
                }
                return Ok(Piece::Bytes(bytes));
            }
            self.step(input.take(1)[0])?;
            self.check_line(max_trailer_bytes)?;
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), Refusal> {
        use Phase::*;
        self.line_bytes += 1;
        self.phase = match (self.phase, byte) {
            (SizeStart | Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.add_digit(byte)?,
            (Size | SizeSpace, b' ' | b'\t') => SizeSpace,
            (Size | SizeSpace, b';') => Extension,
            (Size | SizeSpace | Extension, b'\r') => SizeLineFeed,
            (Extension, _) if is_text(byte) => Extension,
            (SizeLineFeed, b'\n') => self.end_size_line(),
            (BytesReturn, b'\r') => BytesLineFeed,
            (BytesLineFeed, b'\n') => self.next_chunk(),
            (TrailerStart, b'\r') => LastLineFeed,
            (TrailerStart | TrailerName, _) if is_token(byte) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLineFeed,
            (TrailerValue, _) if is_text(byte) => TrailerValue,
            (TrailerLineFeed, b'\n') => TrailerStart,
            (LastLineFeed, b'\n') => Done,
            (phase, _) => return Err(bad_coding(ErrorCode::BadRequest, phase.complaint())),
        };
        Ok(())
    }

    fn add_digit(&mut self, byte: u8) -> Result<Phase, Refusal> {
        let digit = u64::from(char::from(byte).to_digit(16).unwrap_or_default());
        let size = self.remaining.checked_mul(16);
        let size =
            size.ok_or_else(|| bad_coding(ErrorCode::BadRequest, "a chunk size is too large"))?;
        self.remaining = size + digit;
        Ok(Phase::Size)
    }

    fn end_size_line(&mut self) -> Phase {
        self.line_bytes = 0;
        match self.remaining {
            0 => Phase::TrailerStart,
            _ => Phase::Bytes,
        }
    }

    fn next_chunk(&mut self) -> Phase {
        self.line_bytes = 0;
        Phase::SizeStart
    }

    fn check_line(&self, max_trailer_bytes: usize) -> Result<(), Refusal> {
        let (code, what, max) = match self.phase >= Phase::TrailerStart {
            true => (ErrorCode::HeadTooLarge, "trailers", max_trailer_bytes),
            false => (ErrorCode::BadRequest, "a size line", MAX_SIZE_LINE_BYTES),
        };
        match self.line_bytes > max {
            true => Err(bad_coding(code, &format!("{what} longer than {max} bytes"))),
            false => Ok(()),
        }
    }
}

fn bad_coding(code: ErrorCode, what: &str) -> Refusal {
    Refusal::new(code, format!("chunked body: {what}")).at("body")
}

impl Phase {
    fn complaint(self) -> &'static str {
        match self {
            Self::SizeStart | Self::Size | Self::SizeSpace => {
                "a chunk size is not a hexadecimal number"
            }
            Self::Extension => "a chunk extension has a control character",
            Self::Bytes | Self::BytesReturn | Self::BytesLineFeed => {
                "a chunk is longer than its size"
            }
            Self::TrailerStart | Self::TrailerName | Self::TrailerValue => {
                "a trailer is not a header field"
            }
            Self::SizeLineFeed | Self::TrailerLineFeed | Self::LastLineFeed | Self::Done => {
                "a carriage return without a line feed"
            }
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_TRAILER_BYTES: usize = 64;

    struct Decoded {
        body: Vec<u8>,
        is_complete: bool,
        left: usize,
    }

    fn decode(text: &[u8], step: usize) -> Result<Decoded, Refusal> {
        let mut bytes = text.to_vec();
        let mut chunked = Chunked::default();
        let mut decoded = Decoded {
            body: Vec::new(),
            is_complete: false,
            left: bytes.len(),
        };
        for part in bytes.chunks_mut(step) {
            let mut input = Input::new(part);
            while !decoded.is_complete {
                let before = input.len();
                match chunked.poll_piece(&mut input, MAX_TRAILER_BYTES, Cut::Never)? {
                    Piece::Bytes(piece) => decoded.body.extend_from_slice(piece),
                    Piece::End => decoded.is_complete = true,
                    Piece::Pending => {
                        decoded.left -= before - input.len();
                        break;
                    }
                }
                decoded.left -= before - input.len();
            }
        }
        Ok(decoded)
    }

    #[test]
    fn good_bodies_at_every_step() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"0\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (
                b"0003\r\nabc\r\n00A \t;x=\"y;z\"\r\n0123456789\r\n0;last\r\n\r\n",
                b"abc0123456789",
            ),
            (b"1\r\n\n\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n", b"\n"),
            (b"2;ext\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
            (b"1;\xe9\r\nz\r\n0\r\nA: \xe9\r\n\r\n", b"z"),
        ];
        for (text, body) in cases {
            for step in 1..=text.len() {
                let decoded = decode(text, step).unwrap();
                assert!(
                    decoded.is_complete && decoded.body == body && decoded.left == 0,
                    "{text:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn nothing_past_the_end_is_taken() {
        let decoded = decode(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1", 100).unwrap();
        assert!(decoded.is_complete && decoded.left == b"GET / HTTP/1.1".len());
    }

    #[test]
    fn bad_bodies_at_every_step() {
        let long_extension = [b"1;".as_slice(), &[b'x'; 300]].concat();
        let long_trailer = [b"0\r\nx:".as_slice(), &[b'x'; 100]].concat();
        let cases: [(&[u8], u16); 18] = [
            (b"\r\n", 400),
            (b"x\r\n", 400),
            (b"-1\r\n", 400),
            (b"+1\r\n", 400),
            (b" 1\r\n", 400),
            (b"0x1\r\n", 400),
            (b"1 1\r\n", 400),
            (b"1\n", 400),
            (b"1\rx", 400),
            (b"1;a\nb\r\n", 400),
            (b"10000000000000000\r\n", 400),
            (b"1\r\nxy", 400),
            (b"1\r\nx\n", 400),
            (b"0\r\n folded: x\r\n", 400),
            (b"0\r\nGET / HTTP/1.1\r\n", 400),
            (b"0\r\nx: y\n", 400),
            (&long_extension, 400),
            (&long_trailer, 431),
        ];
        for (text, status) in cases {
            for step in [1, 2, 3, text.len()] {
                let reject = decode(text, step).err();
                assert_eq!(
                    reject.map(|reject| reject.code().status()),
                    Some(status),
                    "{text:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn the_largest_size_is_counted_without_overflow() {
        let decoded = decode(b"ffffffffffffffff\r\nabc", 1).unwrap();
        assert!(!decoded.is_complete && decoded.body == b"abc");
    }
}
