//! JSON text that is known to be valid, or to have been refused, read piece by piece and without a parser: where a string ends, what
//! an escape stands for, and where in a message one has come to.

use super::malformed::shortened;
use memchr::memchr2;

/// `\u` and four digits.
pub(super) const ESCAPE_BYTES: usize = 6;
/// Longer paths are cut.
const MAX_SHOWN_STEPS: usize = 12;

/// A step on the way to a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    /// The name of the member, as it is spelt; empty: not read yet.
    Member(&'a str),
    Item(usize),
}

/// A path such as `payload.taskIds[0]`.
pub(super) fn path<'a>(mut steps: impl Iterator<Item = Step<'a>>) -> String {
    let mut path = String::new();
    for step in steps.by_ref().take(MAX_SHOWN_STEPS) {
        match step {
            Step::Item(index) => path.push_str(&format!("[{index}]")),
            Step::Member(name) => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(&shortened(name));
            }
        }
    }
    if steps.next().is_some() {
        path.push('…');
    }
    path
}

/// The closing quote of the string that begins at `at`.
pub(super) fn end_of_string(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// The UTF-16 code unit of the escape that `text` begins with.
pub(super) fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}
