//! Header values in double quotes: quoted strings (RFC 9110 section 5.6.4) and strings of structured fields (RFC 9651
//! section 3.3.3), which differ in what a backslash may stand before.

/// The content of the quoted string that `value` begins with, and what follows it; `None` when the string is not
/// closed, or a backslash stands before a character that `may_be_escaped` rejects.
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
