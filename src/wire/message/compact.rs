//! White space between JSON tokens is removed from what is relayed, once, on the way in. Everything else stays to the
//! letter, so that a number keeps its spelling.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// Borrowed when there is nothing to remove. `json` must be valid.
pub fn compact(json: &str) -> Cow<'_, str> {
    let json = json.trim_ascii();
    // Only arrays and objects have anything between tokens.
    if !json.starts_with(['{', '[']) || !may_have_gaps(json.as_bytes()) {
        return Cow::Borrowed(json);
    }
    let mut spans = Spans {
        json,
        at: 0,
        in_string: false,
    };
    let Some(first) = spans.next().filter(|first| first.len() < json.len()) else {
        return Cow::Borrowed(json);
    };
    let mut compact = String::with_capacity(json.len());
    compact.push_str(first);
    compact.extend(spans);
    Cow::Owned(compact)
}

pub fn into_compact(json: String) -> String {
    match compact(&json) {
        Cow::Borrowed(same) if same.len() == json.len() => json,
        compact => compact.into_owned(),
    }
}

pub fn compact_value(value: &RawValue) -> Box<RawValue> {
    match compact(value.get()) {
        Cow::Borrowed(_) => value.to_owned(),
        Cow::Owned(compact) => RawValue::from_string(compact)
            .expect("JSON stays JSON without the white space between its tokens"),
    }
}

/// Whether there may be white space between tokens: it would be next to a bracket, a comma or a colon, since no two
/// values are neighbours. Texts contain such white space too, but rarely.
fn may_have_gaps(json: &[u8]) -> bool {
    let is_space = |byte: u8| byte <= b' ';
    let is_mark =
        |byte: u8| (byte | 0x20 == b'{') | (byte | 0x20 == b'}') | (byte == b',') | (byte == b':');
    let pairs = json.iter().zip(json.iter().skip(1));
    pairs.fold(false, |any, (one, next)| {
        any | (is_space(*one) & is_mark(*next)) | (is_mark(*one) & is_space(*next))
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Iterates over the stretches without white space outside strings.
struct Spans<'a> {
    json: &'a str,
    at: usize,
    in_string: bool,
}

impl<'a> Iterator for Spans<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.json.as_bytes();
        self.at += bytes[self.at..].iter().position(|byte| !is_space(*byte))?;
        let begin = self.at;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                // The escaped byte is part of the string, whatever it is.
                b'\\' => self.at += 1,
                b'"' => self.in_string = !self.in_string,
                byte if is_space(*byte) && !self.in_string => break,
                _ => {}
            }
            self.at += 1;
        }
        // JSON that was parsed before has a whole escape after each backslash.
        self.at = self.at.min(bytes.len());
        self.json.get(begin..self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn white_space_between_tokens_goes_and_all_else_stays() {
        for (json, expected) in [
            (
                "{\n  \"a b\": [ 1.50,\t-0.0E+1 ] ,\r\n\"c\" : \" \\\" { \" }",
                r#"{"a b":[1.50,-0.0E+1],"c":" \" { "}"#,
            ),
            (" [ ] ", "[]"),
            (" \" a \" ", "\" a \""),
            ("\t5\n", "5"),
            (r#"["\\", "\\\""]"#, r#"["\\","\\\""]"#),
        ] {
            assert_eq!(compact(json), expected);
        }
    }

    #[test]
    fn compact_json_is_not_copied() {
        for json in [r#"{"a":" b c ","d":[1,2]}"#, "[]", "\"a  b\"", "null"] {
            assert!(matches!(compact(json), Cow::Borrowed(same) if same == json));
        }
    }

    /// JSON with white space wherever it may stand.
    fn spaced() -> impl Strategy<Value = String> {
        let space = "[ \\n\\r\\t]{0,2}";
        let string = "(\\\\[\"\\\\nu]|[a-z \\[\\]{}:,é]){0,6}"
            .prop_map(|text: String| format!("\"{}\"", text.replace("\\u", "\\u0020")));
        let leaf = prop_oneof![
            string.clone(),
            "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9])?",
            Just("null".to_owned()),
        ];
        let padded = move |inner: BoxedStrategy<String>| {
            (space, inner, space).prop_map(|(a, b, c)| a + &b + &c)
        };
        leaf.boxed().prop_recursive(4, 24, 4, move |inner| {
            let value = padded(inner.boxed()).boxed();
            let name = padded(string.clone().boxed());
            let member = (name, value.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
            prop_oneof![
                prop::collection::vec(value, 1..4)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(member, 1..4)
                    .prop_map(|items| format!("{{{}}}", items.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_json_means_the_same_and_is_as_short_as_it_can_be(json in spaced()) {
            let short = compact(&json).into_owned();
            let (before, after): (Value, Value) = (serde_json::from_str(&json).unwrap(), serde_json::from_str(&short).unwrap());
            prop_assert_eq!(before, after);
            prop_assert!(matches!(compact(&short), Cow::Borrowed(same) if same == short));
            let mut in_string = false;
            let mut escaped = false;
            let between: String = short.chars().filter(|found| {
                let is_between = !in_string && *found != '"';
                in_string ^= *found == '"' && !escaped;
                escaped = *found == '\\' && !escaped;
                is_between
            }).collect();
            prop_assert!(!between.contains([' ', '\n', '\r', '\t']), "{}", short);
            let letters = |text: &str| text.chars().filter(|found| !found.is_ascii_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&json), letters(&short));
        }
    }
}
