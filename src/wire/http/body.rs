//! A request body as it arrives, whichever way its end is marked (RFC 9112 section 6).

use super::chunked::Chunked;
use super::piece::{Cut, Piece, take_counted};
use super::reject::Reject;
use crate::wire::input::Input;

#[derive(Debug)]
pub(super) enum Source {
    /// `Content-Length`; 0 when there is no body.
    Sized {
        remaining: u64,
    },
    Chunked(Chunked),
}

impl Source {
    pub(super) fn sized(remaining: u64) -> Self {
        Self::Sized { remaining }
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Sized { remaining: 0 })
    }

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
    ) -> Result<Piece<'a>, Reject> {
        match self {
            Self::Sized { remaining: 0 } => Ok(Piece::End),
            Self::Sized { .. } if input.is_empty() => Ok(Piece::Pending),
            Self::Sized { remaining } => Ok(Piece::Bytes(take_counted(input, remaining, cut))),
            Self::Chunked(chunked) => chunked.poll_piece(input, max_trailer_bytes, cut),
        }
    }
}
