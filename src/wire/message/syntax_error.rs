//! Why a text is not JSON, told with the field at fault: `NaN` and the like, numbers beyond a double, lone surrogates.
//!
//! Parsers report a line and a column, which mean nothing to whoever sends messages. This walks the text once more
//! after a parser has given up. It is lenient, does not recurse, and finds nothing but these.

use super::malformed::{Malformed, shortened};
use super::scan::{Step, end_of_string, path};
use super::surrogates::next_lone_surrogate;

pub fn find_syntax_error(text: &str) -> Option<Malformed> {
    let mut walk = Walk {
        text,
        at: 0,
        path: Vec::new(),
        is_name_next: false,
    };
    loop {
        if let Some(reason) = walk.step()? {
            let field = path(walk.path.into_iter());
            return Some(Malformed::text(field, reason));
        }
    }
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    path: Vec<Step<'a>>,
    /// The next string is the name of a member.
    is_name_next: bool,
}

impl<'a> Walk<'a> {
    /// Passes one token, and returns what is wrong with it; `None` at the end, or where the text makes no sense.
    fn step(&mut self) -> Option<Option<String>> {
        match self.text.as_bytes().get(self.at)? {
            b'"' => return self.pass_string(),
            b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
            b'{' => {
                self.path.push(Step::Member(""));
                self.is_name_next = true;
            }
            b'[' => self.path.push(Step::Item(0)),
            b'}' | b']' => {
                self.path.pop();
                self.is_name_next = false;
            }
            b',' => match self.path.last_mut()? {
                Step::Item(index) => *index += 1,
                Step::Member(_) => self.is_name_next = true,
            },
            _ => return self.pass_word(),
        }
        self.at += 1;
        Some(None)
    }

    fn pass_string(&mut self) -> Option<Option<String>> {
        let begin = self.at + 1;
        let end = end_of_string(self.text.as_bytes(), begin)?;
        let string = self.text.get(begin..end)?;
        self.at = end + 1;
        if std::mem::take(&mut self.is_name_next) {
            *self.path.last_mut()? = Step::Member(string);
        }
        let half = next_lone_surrogate(string, 0).map(|half| &string[half]);
        Some(half.map(|half| {
            format!("`{half}` is half of a surrogate pair; expected both, as in `\\ud83d\\ude00`")
        }))
    }

    fn pass_word(&mut self) -> Option<Option<String>> {
        let rest = &self.text[self.at..];
        let is_end = |found: char| found.is_ascii_whitespace() || ",:[]{}\"".contains(found);
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += word.len();
        let is_number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
        if is_number(word.strip_prefix('-').unwrap_or(word)) {
            let is_beyond = word.parse::<f64>().is_ok_and(f64::is_infinite);
            return Some(is_beyond.then(|| {
                let word = shortened(word);
                format!("the number `{word}` is out of range; expected one that a double can hold")
            }));
        }
        match word {
            "true" | "false" | "null" => Some(None),
            _ if self.is_name_next => None,
            _ => {
                let expected = expected_for(word)?;
                Some(Some(format!(
                    "`{}` is not JSON; expected {expected}",
                    shortened(word)
                )))
            }
        }
    }
}

/// What should replace a bare word, as other languages print their values.
fn expected_for(word: &str) -> Option<&'static str> {
    let plain = word.strip_prefix(['-', '+']).unwrap_or(word);
    let plain = plain.to_ascii_lowercase();
    Some(match plain.as_str() {
        "nan" | "inf" | "infinity" => "a number, or `null` where none is known",
        "none" | "undefined" | "nil" | "null" => "`null`",
        "true" => "`true`",
        "false" => "`false`",
        _ if plain.starts_with(char::is_alphabetic) => "a JSON value; texts stand in double quotes",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str) -> String {
        find_syntax_error(text).map_or("nothing".to_owned(), |fault| fault.to_string())
    }

    #[test]
    fn a_syntax_error_names_its_path() {
        for (text, expected) in [
            (
                r#"{"a":{"b":[1,{"c d":NaN}]}}"#,
                "a.b[1].c d: `NaN` is not JSON; expected a number, or",
            ),
            (r#"[{"a":1},-Infinity]"#, "[1]: `-Infinity` is not JSON"),
            (r#"{"a":None}"#, "a: `None` is not JSON; expected `null`"),
            (r#"{"a":True}"#, "a: `True` is not JSON; expected `true`"),
            (
                r#"{"a":hello}"#,
                "a: `hello` is not JSON; expected a JSON value",
            ),
            (
                r#"{"a":"1e400","b":-1e400}"#,
                "b: the number `-1e400` is out of range",
            ),
            (
                r#"{"a":"\ud83d\ude00","b":["\ud83d"]}"#,
                r"b[0]: `\ud83d` is half",
            ),
            (r#"{"a":[],"\udc00":1}"#, r"\udc00: `\udc00` is half"),
            ("NaN", "`NaN` is not JSON"),
        ] {
            assert!(told(text).starts_with(expected), "{text}: {}", told(text));
        }
        for text in [
            "",
            "{",
            "{a:1}",
            r#"{"a":1e300,"b":[true,null]}"#,
            "\"",
            "\"\\",
            "}}]",
            r#"{"a":01,}"#,
        ] {
            assert_eq!(told(text), "nothing", "{text}");
        }
    }

    #[test]
    fn path_stays_short() {
        let deep = format!("{}NaN", "[".repeat(100_000));
        assert!(told(&deep).len() < 200);
        let long = format!("{{\"{}\":NaN}}", "é".repeat(1000));
        assert!(told(&long).len() < 200);
    }

    proptest! {
        #[test]
        fn any_text_is_walked_to_its_end(text in "[\\[\\]{}:,\"\\\\ a-fu0-9Né-]{0,40}") {
            find_syntax_error(&text);
        }
    }
}
