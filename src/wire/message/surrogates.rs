//! Lone surrogates in JSON (`\ud83d` without its partner), which `JSON.stringify` and `json.dumps` write for a text
//! that was cut inside an emoji: where they are, and the same JSON without them.
//!
//! A producer's are replaced, because they must not cost an event. Text that was read without a fault is not searched.

use super::scan::{ESCAPE_BYTES, code_unit};
use memchr::memchr;
use std::ops::Range;

/// U+FFFD, the replacement character.
const REPLACEMENT: &str = "\\ufffd";
/// A second replacement: a text that differs between the two held a lone surrogate there, not U+FFFD from the start.
pub(super) const OTHER: &str = "\\ufffc";

/// The repaired JSON and the number of replacements; `None` when there is no lone surrogate.
pub fn replace_lone_surrogates(json: &str) -> Option<(String, u32)> {
    replace_lone_surrogates_by(json, REPLACEMENT)
}

pub(super) fn replace_lone_surrogates_by(json: &str, replacement: &str) -> Option<(String, u32)> {
    let (mut repaired, mut count, mut done) = (String::new(), 0, 0);
    while let Some(half) = next_lone_surrogate(json, done) {
        if count == 0 {
            // A replacement is as long as what it replaces.
            repaired.reserve_exact(json.len());
        }
        repaired.push_str(&json[done..half.start]);
        repaired.push_str(replacement);
        done = half.end;
        count += 1;
    }
    if count == 0 {
        return None;
    }
    repaired.push_str(&json[done..]);
    Some((repaired, count))
}

/// The first lone surrogate at or after `from`, which must not be inside an escape.
pub(super) fn next_lone_surrogate(json: &str, from: usize) -> Option<Range<usize>> {
    let text = json.as_bytes();
    let unit = |at: usize| code_unit(text.get(at..)?);
    let mut at = from;
    loop {
        at += memchr(b'\\', text.get(at..)?)?;
        match unit(at) {
            None => at += 2,
            Some(0xd800..=0xdbff) => match unit(at + ESCAPE_BYTES) {
                Some(0xdc00..=0xdfff) => at += 2 * ESCAPE_BYTES,
                _ => return Some(at..at + ESCAPE_BYTES),
            },
            Some(0xdc00..=0xdfff) => return Some(at..at + ESCAPE_BYTES),
            Some(_) => at += ESCAPE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lone_surrogates_are_replaced_and_pairs_stay() {
        for (json, repaired, count) in [
            (r#""a\ud83d""#, r#""a\ufffd""#, 1),
            (r#"["\uDE00\ud83d",1]"#, r#"["\ufffd\ufffd",1]"#, 2),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#, 1),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#, 2),
            (r#"{"\ud800é":"\\ud800"}"#, r#"{"\ufffdé":"\\ud800"}"#, 1),
        ] {
            assert_eq!(
                replace_lone_surrogates(json),
                Some((repaired.to_owned(), count)),
                "{json}"
            );
        }
        for json in [
            "",
            "\\",
            r#""\\\\ud83d""#,
            r#""\ud83d\ude00""#,
            r#""\u00e9\uffff""#,
            r#""\ud8""#,
        ] {
            assert_eq!(replace_lone_surrogates(json), None, "{json}");
        }
    }

    proptest! {
        #[test]
        fn repaired_json_is_read_as_a_lossy_decoder_reads_it(units in prop::collection::vec(
            prop_oneof![0xd7f0_u16..0xe010, 0x20_u16..0x7f], 0..12
        )) {
            let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{escapes}\"");
            let repaired = replace_lone_surrogates(&json).map_or(json.clone(), |(repaired, _)| repaired);
            let text: String = serde_json::from_str(&repaired).unwrap();
            prop_assert_eq!(text, String::from_utf16_lossy(&units));
        }
    }
}
