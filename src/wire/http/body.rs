//! A request body as it arrives, whichever way its end is marked (RFC 9112 section 6).

use super::chunked::Chunked;
use super::reject::Reject;
use crate::wire::input::Input;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Source {
    /// `Content-Length`, or no body at all.
    Sized { remaining: u64 },
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunked),
}

/// The next thing known about a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Some of its bytes, at least one.
    Bytes(&'a [u8]),
    /// It is complete.
    End,
    /// All input is used up and it is not complete.
    Pending,
}

/// Where pieces end, but for the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nowhere.
    Never,
    /// Behind some line feeds, so that whoever reads lines may stop between two of them.
    AtLineEnds,
}

/// Lines that come in one piece: each piece has its price.
const LINES_AT_ONCE: usize = 16;

/// How many bytes of `text` make a piece of lines.
pub fn lines_at_once(text: &[u8]) -> usize {
    let last = memchr::memchr_iter(b'\n', text).nth(LINES_AT_ONCE - 1);
    last.map_or(text.len(), |index| index + 1)
}

impl Source {
    pub(super) fn sized(remaining: u64) -> Self {
        Self::Sized { remaining }
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    /// Whether nothing is to come.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Sized { remaining: 0 })
    }

    /// The body's whole length, where the head said it.
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
    ) -> Result<Piece<'a>, Reject> {
        match self {
            Self::Sized { remaining: 0 } => Ok(Piece::End),
            Self::Sized { .. } if input.is_empty() => Ok(Piece::Pending),
            Self::Sized { remaining } => Ok(Piece::Bytes(take_counted(input, remaining, cut))),
            Self::Chunked(chunked) => chunked.poll_piece(input, max_trailer_bytes, cut),
        }
    }
}

/// Takes as much as there is of `remaining` bytes, up to where it is cut, and counts it off.
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
