//! Lines of a body that arrives in pieces: newline-delimited JSON, one value per line.
//!
//! A splitter owns the line that the last piece cut, nothing else. What lines hold is the owner's business.

use std::borrow::Cow;

#[derive(Debug, Default)]
pub struct LineSplitter {
    partial: Vec<u8>,
    ended_lines: u64,
    /// The current line was refused; its rest is dropped.
    is_skipping: bool,
}

/// A line that is not blank, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1, blank lines counted.
    pub number: u64,
    /// Borrowed when the line lay in one piece.
    pub bytes: Cow<'a, [u8]>,
}

/// The rest of the line is skipped; the lines after it are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line_number} is too long")]
pub struct TooLong {
    pub line_number: u64,
}

impl LineSplitter {
    /// Memory of an incomplete line.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Refuses the current line, drops its rest, and returns its number.
    pub fn skip_line(&mut self) -> u64 {
        (self.partial, self.is_skipping) = (Vec::new(), true);
        self.ended_lines + 1
    }

    /// Takes the next line that ends in `input`; `None` once all input is taken. Lines end in `\n` or `\r\n`; blank
    /// ones are skipped.
    pub fn poll_line<'a>(
        &mut self,
        input: &mut &'a [u8],
        max_line_bytes: usize,
    ) -> Result<Option<Line<'a>>, TooLong> {
        while let Some(line_feed) = memchr::memchr(b'\n', input) {
            let piece = &input[..line_feed];
            *input = &input[line_feed + 1..];
            self.ended_lines += 1;
            if std::mem::take(&mut self.is_skipping) {
                continue;
            }
            let line = join(std::mem::take(&mut self.partial), piece);
            if line.len() > max_line_bytes {
                return Err(TooLong {
                    line_number: self.ended_lines,
                });
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Line {
                    number: self.ended_lines,
                    bytes: line,
                }));
            }
        }
        self.keep(std::mem::take(input), max_line_bytes)?;
        Ok(None)
    }

    /// The last line, when the stream ended without a line end. The splitter is as new afterwards.
    pub fn finish(&mut self) -> Option<Line<'static>> {
        let Self {
            partial,
            ended_lines,
            ..
        } = std::mem::take(self);
        let bytes = join(partial, &[]).into_owned();
        let is_blank = bytes.trim_ascii().is_empty();
        (!is_blank).then_some(Line {
            number: ended_lines + 1,
            bytes: Cow::Owned(bytes),
        })
    }

    fn keep(&mut self, piece: &[u8], max_line_bytes: usize) -> Result<(), TooLong> {
        if self.is_skipping || piece.is_empty() {
            return Ok(());
        }
        // The last byte may be half of a line end, which does not count.
        let half_end = usize::from(piece.ends_with(b"\r"));
        if self.partial.len() + piece.len() - half_end > max_line_bytes {
            self.partial = Vec::new();
            self.is_skipping = true;
            return Err(TooLong {
                line_number: self.ended_lines + 1,
            });
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }
}

/// A kept beginning and the piece that ends it, without the carriage return.
fn join(mut kept: Vec<u8>, piece: &[u8]) -> Cow<'_, [u8]> {
    if kept.is_empty() {
        return Cow::Borrowed(piece.strip_suffix(b"\r").unwrap_or(piece));
    }
    kept.extend_from_slice(piece);
    if kept.ends_with(b"\r") {
        kept.pop();
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX_LINE_BYTES: usize = 8;

    type SplitLine = Result<Line<'static>, TooLong>;

    fn split<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Vec<SplitLine> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for mut piece in pieces {
            loop {
                match splitter.poll_line(&mut piece, MAX_LINE_BYTES) {
                    Ok(Some(line)) => lines.push(Ok(owned(line))),
                    Ok(None) => break,
                    Err(too_long) => lines.push(Err(too_long)),
                }
            }
            assert!(piece.is_empty() && splitter.partial.len() <= MAX_LINE_BYTES + 1);
        }
        lines.extend(splitter.finish().map(Ok));
        lines
    }

    fn owned(line: Line<'_>) -> Line<'static> {
        Line {
            number: line.number,
            bytes: Cow::Owned(line.bytes.into_owned()),
        }
    }

    fn line(number: u64, text: &str) -> SplitLine {
        Ok(Line {
            number,
            bytes: Cow::Owned(text.as_bytes().to_vec()),
        })
    }

    #[test]
    fn lines_are_numbered_trimmed_and_bounded_however_they_are_split() {
        let text: &[u8] = b"a\r\n\n  \t\r\n12345678\r\n123456789\nb\n\rc\r\r\n1234567890\r\nlast";
        let too_long = |line_number| Err(TooLong { line_number });
        let expected = [
            line(1, "a"),
            line(4, "12345678"),
            too_long(5),
            line(6, "b"),
            line(7, "\rc\r"),
            too_long(8),
            line(9, "last"),
        ];
        for step in 1..=text.len() {
            assert_eq!(split(text.chunks(step)), expected, "by {step}");
        }
    }

    #[test]
    fn a_line_in_one_piece_is_borrowed_and_none_costs_no_heap() {
        let mut splitter = LineSplitter::default();
        let mut input: &[u8] = b"one\ntwo\n";
        while let Some(line) = splitter.poll_line(&mut input, 10).unwrap() {
            assert!(matches!(line.bytes, Cow::Borrowed(_)));
        }
        assert_eq!(splitter.partial.capacity(), 0);
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn finishing_a_line_that_was_refused_gives_nothing() {
        assert_eq!(
            split([b"123456789".as_slice(), b"0"].into_iter()),
            [Err(TooLong { line_number: 1 })]
        );
    }

    proptest! {
        #[test]
        fn splits_make_no_difference(text in "[a\r\n ]{0,60}", cuts in proptest::collection::vec(1_usize..6, 60)) {
            let mut rest = text.as_bytes();
            let pieces = cuts.iter().map(|cut| {
                let (piece, left) = rest.split_at((*cut).min(rest.len()));
                rest = left;
                piece
            });
            prop_assert_eq!(split(pieces.collect::<Vec<_>>().into_iter()), split(std::iter::once(text.as_bytes())));
        }
    }
}
