//! JSON text as MessagePack, token by token: no tree of values is built, and nothing calls itself.
//!
//! A map or an array of MessagePack begins with how many items it has, so the text is walked twice: first to count, then to
//! write. Members keep their order, and stay when their names repeat.

use super::scan::{ESCAPE_BYTES, code_unit, end_of_string};
use memchr::memchr;
use rmp::encode;
use smallvec::SmallVec;

/// Readers of JSON accept 127 levels, and the envelope takes one.
const MAX_DEPTH: usize = 126;

const INFALLIBLE: &str = "writing to a Vec cannot fail";

/// Appends a JSON text as MessagePack. What MessagePack cannot express (a lone surrogate, a number beyond a double, too
/// many levels) is appended as a string with the JSON text.
pub fn push_json(out: &mut Vec<u8>, json: &str) {
    let begin = out.len();
    if push_value(out, json).is_none() {
        out.truncate(begin);
        push_text(out, json);
    }
}

pub fn push_text(out: &mut Vec<u8>, text: &str) {
    encode::write_str(out, text).expect(INFALLIBLE);
}

pub fn push_number(out: &mut Vec<u8>, number: u64) {
    encode::write_uint(out, number).expect(INFALLIBLE);
}

pub fn begin_map(out: &mut Vec<u8>, members: u32) {
    encode::write_map_len(out, members).expect(INFALLIBLE);
}

pub fn begin_array(out: &mut Vec<u8>, items: u32) {
    encode::write_array_len(out, items).expect(INFALLIBLE);
}

fn push_value(out: &mut Vec<u8>, json: &str) -> Option<()> {
    let counts = count_items(json.as_bytes())?;
    out.reserve(counts.bytes);
    let mut counts = counts.iter();
    let mut at = 0;
    while let Some(byte) = json.as_bytes().get(at) {
        at += match byte {
            b'{' => {
                begin_map(out, counts.next()?);
                1
            }
            b'[' => {
                begin_array(out, counts.next()?);
                1
            }
            b'"' => {
                let end = end_of_string(json.as_bytes(), at + 1)?;
                push_string(out, json.get(at + 1..end)?)?;
                end + 1 - at
            }
            b'-' | b'0'..=b'9' => {
                let rest = &json[at..];
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let length = rest.bytes().take_while(is_part).count();
                push_numeral(out, &rest[..length])?;
                length
            }
            b't' => push_word(out, "true", |out| encode::write_bool(out, true).ok()),
            b'f' => push_word(out, "false", |out| encode::write_bool(out, false).ok()),
            b'n' => push_word(out, "null", |out| encode::write_nil(out).ok()),
            _ => 1,
        };
    }
    Some(())
}

/// The number of items of every array and object, in the order in which they begin: a byte each, more for the few large
/// ones.
#[derive(Default)]
struct Counts {
    small: SmallVec<[u8; 64]>,
    large: Vec<(usize, u32)>,
    /// An estimate of the packed size.
    bytes: usize,
}

impl Counts {
    fn set(&mut self, index: usize, count: u32) {
        self.small[index] = u8::try_from(count).unwrap_or(u8::MAX);
        if count >= u32::from(u8::MAX) {
            self.large.push((index, count));
        }
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let mut large = self.large.iter();
        let counts = self.small.iter();
        counts.map(move |count| match *count {
            u8::MAX => large.next().map_or(0, |(_, count)| *count),
            small => small.into(),
        })
    }
}

fn count_items(json: &[u8]) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut open: SmallVec<[(usize, u32); 16]> = SmallVec::new();
    let (mut at, mut has_just_begun) = (0, false);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                if open.len() >= MAX_DEPTH {
                    return None;
                }
                open.push((counts.small.len(), 1));
                counts.small.push(0);
                counts.bytes += 1;
                has_just_begun = true;
            }
            b'}' | b']' => {
                let (index, count) = open.pop()?;
                let is_empty = std::mem::take(&mut has_just_begun);
                counts.set(index, if is_empty { 0 } else { count });
            }
            b',' => open.last_mut()?.1 += 1,
            b'"' => {
                let end = end_of_string(json, at)? + 1;
                counts.bytes += end - at;
                at = end;
                has_just_begun = false;
            }
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            byte => {
                // A keyword counts by its first letter.
                counts.bytes += usize::from(!byte.is_ascii_lowercase() || b"tfn".contains(byte));
                has_just_begun = false;
            }
        }
    }
    counts.large.sort_unstable();
    Some(counts)
}

fn push_word(
    out: &mut Vec<u8>,
    word: &str,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> usize {
    write(out).expect(INFALLIBLE);
    word.len()
}

fn push_numeral(out: &mut Vec<u8>, numeral: &str) -> Option<()> {
    // Parsers of JSON take "-0" for a float, which has a sign to keep.
    if numeral != "-0" {
        if let Ok(number) = numeral.parse::<u64>() {
            push_number(out, number);
            return Some(());
        }
        if let Ok(number) = numeral.parse::<i64>() {
            encode::write_sint(out, number).expect(INFALLIBLE);
            return Some(());
        }
    }
    let number: f64 = numeral.parse().ok()?;
    encode::write_f64(out, Some(number).filter(|number| number.is_finite())?).expect(INFALLIBLE);
    Some(())
}

/// Appends the content of a JSON string.
fn push_string(out: &mut Vec<u8>, escaped: &str) -> Option<()> {
    if memchr(b'\\', escaped.as_bytes()).is_none() {
        push_text(out, escaped);
        return Some(());
    }
    let mut length = 0;
    unescape(escaped, |part| length += part.len())?;
    encode::write_str_len(out, u32::try_from(length).ok()?).expect(INFALLIBLE);
    unescape(escaped, |part| out.extend_from_slice(part.as_bytes()))
}

/// Passes on the parts of a string with escapes resolved; `None`: an escape stands for no character.
fn unescape(escaped: &str, mut take: impl FnMut(&str)) -> Option<()> {
    let mut rest = escaped;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        take(&rest[..at]);
        let (character, length) = character(rest.get(at..)?.as_bytes())?;
        take(character.encode_utf8(&mut [0; 4]));
        rest = rest.get(at + length..)?;
    }
    take(rest);
    Some(())
}

/// The character of the escape at the beginning, and the escape's length.
fn character(escape: &[u8]) -> Option<(char, usize)> {
    let plain = match escape.get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = code_unit(escape)?;
            if !(0xd800..0xdc00).contains(&first) {
                return Some((char::from_u32(first)?, ESCAPE_BYTES));
            }
            let second = code_unit(escape.get(ESCAPE_BYTES..)?);
            let second = second.filter(|unit| (0xdc00..0xe000).contains(unit))?;
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Some((char::from_u32(code)?, 2 * ESCAPE_BYTES));
        }
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((plain, 2))
}
