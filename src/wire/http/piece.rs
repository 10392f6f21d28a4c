//! Pieces of a body, and where they are cut.

use crate::wire::input::Input;

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

/// Lines per piece: each piece has its overhead.
const LINES_AT_ONCE: usize = 16;

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
