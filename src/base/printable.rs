//! Foreign text on its way to a log or a terminal: made one line that cannot control the terminal.
//!
//! Escapes are JSON's, so that a line of JSON stays the same JSON.

use std::borrow::Cow;
use std::fmt::Write;

/// Longer text is cut.
pub const MAX_CHARACTERS: usize = 4096;

/// Escapes control characters, line ends, and marks that reorder or hide their neighbours.
pub fn printable(text: &str) -> Cow<'_, str> {
    // A character takes at least one byte, so a text of this many bytes is short enough.
    if text.len() <= MAX_CHARACTERS && !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(2 * MAX_CHARACTERS));
    for (count, (offset, character)) in text.char_indices().enumerate() {
        if count == MAX_CHARACTERS {
            let _ = write!(out, "… ({} bytes more)", text.len() - offset);
            break;
        }
        push(&mut out, character);
    }
    Cow::Owned(out)
}

/// The same JSON on one line: line ends stand only between tokens, where a space means the same.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            character => push(&mut out, character),
        }
    }
    Cow::Owned(out)
}

fn push(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        character if is_unprintable(character) => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        character => out.push(character),
    }
}

/// Whether a character moves the cursor, ends the line, or changes or hides its neighbours. The joiners U+200C and
/// U+200D are printable: scripts and emoji need them.
fn is_unprintable(character: char) -> bool {
    match character {
        ' '..='~' => false,
        character if character.is_control() => true,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{e0000}'..='\u{e007f}' => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C0, DEL and C1, the ends of lines and paragraphs, and everything that sets a direction or cannot be seen.
    fn dangerous() -> impl Iterator<Item = char> {
        let ranges = [
            ('\0', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{200e}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{fff9}', '\u{fffb}'),
            ('\u{e0000}', '\u{e007f}'),
        ];
        let single = ['\u{61c}', '\u{200b}', '\u{feff}', '\u{ad}', '\u{180e}'];
        ranges.into_iter().flat_map(|(a, z)| a..=z).chain(single)
    }

    #[test]
    fn whatever_does_something_is_escaped() {
        for character in dangerous() {
            let text = format!("a{character}b");
            let shown = printable(&text);
            assert!(!shown.contains(character), "{character:?} in {shown:?}");
            assert!(
                shown.starts_with("a\\") && shown.ends_with('b'),
                "{shown:?}"
            );
            let meant: String = serde_json::from_str(&format!("\"{shown}\"")).expect("JSON");
            assert_eq!(meant, text);
        }
    }

    #[test]
    fn ordinary_text_is_not_touched() {
        for text in ["", "task-1", "🚀 任务 état نص \\n \"x\"", "👩\u{200d}💻"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let shown = printable(&"é".repeat(MAX_CHARACTERS + 3)).into_owned();
        assert!(shown.ends_with("é… (6 bytes more)"), "{shown}");
        let whole = "é".repeat(MAX_CHARACTERS);
        assert_eq!(printable(&whole), whole);
    }

    #[test]
    fn json_stays_what_it_was() {
        let text = "{\n\t\"a\": \"\u{9b}2J\u{202e}\u{e0041}\"\r\n}";
        let shown = printable_json(text);
        assert!(!dangerous().any(|character| shown.contains(character)));
        let value = |text| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(value(&shown), value(text));
        let long = format!("\"{}\"", "x".repeat(2 * MAX_CHARACTERS));
        assert_eq!(printable_json(&long), long);
    }
}
