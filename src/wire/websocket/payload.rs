//! Payloads of clients as they arrive in parts: unmasked in place (RFC 6455 section 5.3), and text rejected at the earliest byte that
//! makes it invalid (section 8.1).

use super::close::Violation;

/// Wide enough for the compiler to use vector registers.
const BLOCK: usize = 32;

/// The masking key, rotated to the next byte of the payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next part of the payload.
    pub(super) fn apply(&mut self, payload: &mut [u8]) {
        let key: [u8; BLOCK] = std::array::from_fn(|index| self.0[index % 4]);
        let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
        blocks.iter_mut().for_each(|block| unmask(block, &key));
        unmask(rest, &key);
        self.0.rotate_left(payload.len() % 4);
    }
}

#[inline]
fn unmask(bytes: &mut [u8], key: &[u8; BLOCK]) {
    let pairs = bytes.iter_mut().zip(key);
    pairs.for_each(|(byte, key)| *byte ^= key);
}

/// The text so far, and the one to three bytes of a character that the last part cut. Each part is validated once.
#[derive(Debug, Default)]
pub(super) struct PartialText {
    text: String,
    cut: [u8; 4],
    cut_len: usize,
}

impl PartialText {
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.cut_len
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Appends the next part, wherever it was cut.
    pub(super) fn push(&mut self, part: &[u8]) -> Result<(), Violation> {
        let part = self.complete_cut(part)?;
        let (whole, cut) = part.split_at(part.len() - cut_suffix_len(part));
        self.text
            .push_str(simdutf8::basic::from_utf8(whole).map_err(|_| Violation::NOT_UTF8)?);
        if may_continue(cut) {
            self.cut[..cut.len()].copy_from_slice(cut);
            self.cut_len += cut.len();
            Ok(())
        } else {
            Err(Violation::NOT_UTF8)
        }
    }

    /// Fails if the text ends inside a character.
    pub(super) fn finish(self) -> Result<String, Violation> {
        if self.cut_len == 0 {
            Ok(self.text)
        } else {
            Err(Violation::NOT_UTF8)
        }
    }

    /// Completes the cut character, and returns the rest of the part.
    fn complete_cut<'a>(&mut self, mut part: &'a [u8]) -> Result<&'a [u8], Violation> {
        while self.cut_len > 0
            && let Some((&byte, rest)) = part.split_first()
        {
            part = rest;
            self.cut[self.cut_len] = byte;
            self.cut_len += 1;
            let cut = &self.cut[..self.cut_len];
            if let Ok(character) = std::str::from_utf8(cut) {
                self.text.push_str(character);
                self.cut_len = 0;
            } else if !may_continue(cut) {
                return Err(Violation::NOT_UTF8);
            }
        }
        Ok(part)
    }
}

/// How many bytes at the end are an incomplete character, by its lead byte.
fn cut_suffix_len(bytes: &[u8]) -> usize {
    for (index, &byte) in bytes.iter().rev().take(3).enumerate() {
        let announced = match byte {
            0x80..=0xbf => continue,
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
        };
        let present = index + 1;
        return if present < announced { present } else { 0 };
    }
    0
}

/// Whether some continuation makes these few bytes valid.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn bytewise(payload: &[u8]) -> Vec<u8> {
        payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ KEY[index % 4])
            .collect()
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        for length in 0..200u8 {
            let plain: Vec<u8> = (0..length).collect();
            let mut payload = plain.clone();
            Mask::new(KEY).apply(&mut payload);
            assert_eq!(payload, bytewise(&plain), "{length}");
        }
    }

    #[test]
    fn every_split_continues_the_key() {
        let plain: Vec<u8> = (0..100).collect();
        for split in 0..plain.len() {
            let mut payload = plain.clone();
            let (head, tail) = payload.split_at_mut(split);
            let mut mask = Mask::new(KEY);
            mask.apply(head);
            mask.apply(tail);
            assert_eq!(payload, bytewise(&plain), "{split}");
        }
    }

    /// Feeds byte by byte; how many bytes were taken before the verdict, and the text if there is one.
    fn feed_bytes(bytes: &[u8]) -> (usize, Option<String>) {
        let mut text = PartialText::default();
        for (index, byte) in bytes.iter().enumerate() {
            if text.push(&[*byte]).is_err() {
                return (index, None);
            }
        }
        (bytes.len(), text.finish().ok())
    }

    #[test]
    fn fails_at_the_earliest_byte() {
        let cases: &[(&[u8], usize)] = &[
            (b"\xff", 0),
            (b"\xc0\x80", 0),
            (b"a\x80", 1),
            (b"\xe0\x80\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf0\x9f\x98a", 3),
            (b"\xf5", 0),
        ];
        for (bytes, earliest) in cases {
            assert_eq!(feed_bytes(bytes), (*earliest, None), "{bytes:x?}");
        }
    }

    #[test]
    fn a_text_may_not_end_inside_a_character() {
        let mut text = PartialText::default();
        text.push("κό".as_bytes()).unwrap();
        text.push(b"\xe2\x82").unwrap();
        assert_eq!(text.len(), 6);
        assert_eq!(text.finish(), Err(Violation::NOT_UTF8));
    }

    /// Bytes that are valid now and then, and nearly valid often.
    fn nearly_utf8() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
            2 => "[a-z]{0,20}".prop_map(String::into_bytes),
            1 => prop::collection::vec(0x80u8.., 0..2),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_split_agrees_with_the_standard_library(bytes in nearly_utf8()) {
            let expected = std::str::from_utf8(&bytes).map(str::to_owned);
            for split in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(split);
                let mut text = PartialText::default();
                let head_passes = text.push(head).is_ok();
                prop_assert_eq!(head_passes, may_continue(head));
                if head_passes {
                    let outcome = text.push(tail).and_then(|()| text.finish());
                    prop_assert_eq!(outcome.ok(), expected.clone().ok());
                }
            }
        }

        #[test]
        fn byte_by_byte_stops_where_the_standard_library_does(bytes in nearly_utf8()) {
            let (taken, text) = feed_bytes(&bytes);
            prop_assert!(may_continue(&bytes[..taken]));
            prop_assert!(taken == bytes.len() || !may_continue(&bytes[..=taken]));
            prop_assert_eq!(text, String::from_utf8(bytes).ok());
        }
    }
}
