//! The pieces that a body is handed on in, and where they end.

use crate::wire::input::Input;

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
