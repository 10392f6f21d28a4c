//! Small grammars that parts of a head share: lists, quoted strings, tokens, percent-encoding.

/// The items of a list without surrounding white space; empty items are skipped (RFC 9110 section 5.6.1). Commas in
/// quoted strings separate too: fields that may hold those have their own reader.
pub fn list_items(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.split(',')
        .map(str::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// What methods and field names are made of (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The content of the quoted string (RFC 9110 section 5.6.4) that `value` begins with, and what follows it; `None` when it is not
/// closed, or a backslash stands before a character that `may_be_escaped` rejects: strings of structured fields (RFC 9651 section
/// 3.3.3) differ in that.
pub fn unquote(value: &str, may_be_escaped: impl Fn(char) -> bool) -> Option<(String, &str)> {
    let mut rest = value.strip_prefix('"')?.chars();
    let mut said = String::with_capacity(value.len());
    loop {
        match rest.next()? {
            '"' => return Some((said, rest.as_str())),
            '\\' => said.push(rest.next().filter(|escaped| may_be_escaped(*escaped))?),
            plain => said.push(plain),
        }
    }
}

/// Whether every `%` begins an octet (RFC 3986 section 2.1).
pub fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%').skip(1).map(str::as_bytes);
    parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_escapes_are_undone() {
        let any = |value| unquote(value, |_| true);
        assert_eq!(any(r#""a b""#), Some(("a b".to_owned(), "")));
        assert_eq!(any(r#""q\"b\\" ;x"#), Some((r#"q"b\"#.to_owned(), " ;x")));
        for open in ["", "a", "\"", "\"a", r#""a\""#] {
            assert_eq!(any(open), None, "{open}");
        }
        let strict = |value| unquote(value, |escaped| matches!(escaped, '"' | '\\'));
        assert_eq!(strict(r#""a\n""#), None);
        assert_eq!(strict(r#""""#), Some((String::new(), "")));
    }
}
