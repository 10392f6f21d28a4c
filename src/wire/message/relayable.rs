//! Whether JSON that is relayed unchanged can be read again, by viewers and as MessagePack.
//!
//! Text that a parser only skips may hold what no parser can turn into a value: a lone surrogate, a number beyond a
//! double, endless nesting. Nearly all text can hold none of that, as a quick pass shows; only the rest is parsed.

use super::malformed::Malformed;
use super::syntax_error::find_syntax_error;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Most levels of arrays and objects in one field.
pub const MAX_DEPTH: usize = 64;

/// Bytes that the quick pass handles at once.
const BLOCK_BYTES: usize = 64;

/// serde takes a member of this name for JSON within JSON.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Refuses JSON that could not be read again. `around` of its levels enclose the fields.
pub fn check_relayable(text: &str, around: usize) -> Result<(), Malformed> {
    match is_plain(text.as_bytes()) {
        true => Ok(()),
        false => check_by_parsing(text, around),
    }
}

fn check_by_parsing(text: &str, around: usize) -> Result<(), Malformed> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Relayable {
        levels: MAX_DEPTH + around,
    };
    seed.deserialize(&mut deserializer).map_err(|error| {
        find_syntax_error(text).unwrap_or_else(|| Malformed::syntax(error.to_string()))
    })
}

/// Whether JSON certainly has no escaped surrogates, no numbers beyond a double, and at most [`MAX_DEPTH`] levels.
fn is_plain(text: &[u8]) -> bool {
    let mut seen = Seen::default();
    text.chunks(BLOCK_BYTES).for_each(|block| seen.add(block));
    let is_escape = |pair: &[u8]| pair == b"\\u" || pair == b"$s";
    let has_escape = seen.has_escapes && text.windows(2).any(is_escape);
    let is_suspect = seen.openings > MAX_DEPTH || seen.has_long_number || has_escape;
    !is_suspect && !has_large_exponent(text)
}

/// What the quick pass has met.
#[derive(Default)]
struct Seen {
    openings: usize,
    has_escapes: bool,
    has_long_number: bool,
}

impl Seen {
    #[inline]
    fn add(&mut self, block: &[u8]) {
        let (mut digits, mut opened) = (0_u8, 0_u8);
        for byte in block {
            digits += u8::from(byte.is_ascii_digit());
            opened += u8::from(byte | 0x20 == b'{');
            self.has_escapes |= matches!(byte, b'\\' | b'$');
        }
        self.openings += usize::from(opened);
        self.has_long_number |= usize::from(digits) == BLOCK_BYTES;
    }
}

/// Whether something looks like a number with an exponent of three or more digits: with a shorter one, a number of less
/// than two blocks of digits fits a double.
fn has_large_exponent(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.iter().skip(1));
    let candidate = |(digit, e): (&u8, &u8)| digit.is_ascii_digit() & (e | 0x20 == b'e');
    let has_any = pairs.clone().fold(false, |any, pair| any | candidate(pair));
    let mut candidates = pairs.enumerate().filter(|(_, pair)| candidate(*pair));
    has_any && candidates.any(|(at, _)| begins_large_exponent(&text[at + 2..]))
}

fn begins_large_exponent(text: &[u8]) -> bool {
    let exponent = text.strip_prefix(b"+").unwrap_or(text);
    let digits = exponent.iter().take_while(|byte| byte.is_ascii_digit());
    let digits = digits.count();
    // In a text it may be part of a word, which goes on or ends with a quote.
    let is_number = |after: &u8| matches!(after, b',' | b'}' | b']') || after.is_ascii_whitespace();
    digits >= 3 && exponent.get(digits).is_none_or(is_number)
}

/// Reads a value and keeps nothing of it.
struct Relayable {
    /// How many more levels may be nested.
    levels: usize,
}

impl Relayable {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Self { levels }),
            None => Err(E::custom(format_args!(
                "nested too deep; expected at most {MAX_DEPTH} levels of arrays and objects"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Relayable {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Relayable {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.inner()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let value = || self.inner();
        value()?;
        while members.next_key_seed(Name)?.is_some() {
            members.next_value_seed(value()?)?;
        }
        Ok(())
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        match name == RAW_VALUE {
            true => Err(E::custom("a member of this name cannot be relayed")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{Envelope, encode_batch};
    use super::super::variant::{Encoding, Variant};
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    fn reason(text: &str) -> String {
        check_relayable(text, 1).unwrap_err().to_string()
    }

    fn nested(levels: usize) -> String {
        format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_cannot_be_read_again_is_refused_with_the_reason() {
        assert!(
            reason(r#"{"a":["cut \ud83d"]}"#).starts_with(r"a[0]: `\ud83d` is half of a surrogate")
        );
        assert!(reason(r#"{"\udc00":1}"#).contains("surrogate"));
        for number in ["1e400", "-2E+999 ", &"9".repeat(400)] {
            let reason = reason(&format!("{{\"a\":[{number}]}}"));
            assert!(
                reason.starts_with("a[0]: ") && reason.contains("out of range"),
                "{reason}"
            );
        }
        assert!(reason(&nested(65)).contains("at most 64 levels"));
        assert!(reason(&nested(100_000)).contains("at most 64 levels"));
        assert!(reason(r#"{"a":{"$serde_json::private::RawValue":"x"}}"#).contains("relayed"));
    }

    #[test]
    fn what_can_be_read_is_taken() {
        for text in [
            r#"{"a":"\ud83d\ude00 \u4e2d \\ud83d","b":[1e300,1E-400,"1e400"]}"#,
            r#"{"id":"3e999-1e400","a":12345678901234567890}"#,
            &format!("{{\"a\":[{}1]}}", "[],{},".repeat(100)),
            &format!("{{\"a\":\"{}\"}}", "[".repeat(100)),
            &nested(64),
        ] {
            assert_eq!(check_relayable(text, 1), Ok(()), "{text}");
        }
    }

    /// JSON texts, most of them with something odd in them.
    fn texts() -> impl Strategy<Value = String> {
        let string = "(\\\\u(d8|dc|D8|00|4e)[0-9a-f]{2}|\\\\n|[a-z0-9\\[{}$ ]){0,6}";
        let number = "-?[1-9][0-9]{0,5}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,4})?";
        let digits = (60_usize..400).prop_map(|count| "7".repeat(count));
        let leaf = prop_oneof![
            string.prop_map(|text| format!("\"{text}\"")),
            number,
            digits,
            Just("null".to_owned()),
        ];
        let tree = leaf.prop_recursive(4, 24, 4, move |inner| {
            let members = proptest::collection::vec((string, inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(" ,"))),
                members.prop_map(|members| {
                    let members = members
                        .iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        });
        (tree, prop_oneof![Just(0_usize), 0..130_usize]).prop_map(|(text, levels)| {
            format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels))
        })
    }

    fn batch_of(payload: &str, encoding: Encoding) -> Vec<u8> {
        let variant = Variant {
            encoding,
            ..Variant::default()
        };
        let envelope = Envelope {
            kind: "x",
            payload,
            timestamp: 1,
            id: None,
            reply_to: None,
            room_offset: None,
        };
        let message = envelope.encode(variant);
        encode_batch(encoding, [&message[..]].into_iter())
    }

    proptest! {
        #[test]
        fn whatever_is_taken_can_be_read_as_json_and_as_message_pack(text in texts()) {
            prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
            match check_relayable(&text, 1) {
                Ok(()) => {
                    let batch = batch_of(&text, Encoding::Json);
                    let from_json: Value = serde_json::from_slice(&batch).unwrap();
                    let batch = batch_of(&text, Encoding::MessagePack);
                    let from_pack: Value = rmp_serde::from_slice(&batch).unwrap();
                    prop_assert_eq!(from_json, from_pack);
                }
                Err(_) => {
                    let is_readable = serde_json::from_str::<Value>(&text).is_ok();
                    prop_assert!(!is_readable || super::super::merge::depth(&text) > MAX_DEPTH);
                }
            }
        }
    }
}
