//! A Rust file, taken apart just far enough to be judged: code without comments and literals, comments without
//! code, tokens, matching brackets, and which stretches are tests. Not a parser: it knows brackets and words.

use std::ops::Range;

/// One file and its views. Views have the text's length and lines, so that an offset means the same in each.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the crate's root, with `/` between components.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The whole file is compiled for tests only.
    pub(crate) is_test_file: bool,
    code: String,
    comments: String,
    tokens: Vec<Range<usize>>,
    partners: Vec<Option<usize>>,
    test_spans: Vec<Range<usize>>,
    line_starts: Vec<usize>,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// From the line of `fn` to the line of the closing brace.
    pub(crate) line_count: usize,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let (path, text) = (path.into(), text.into());
        let (code, comments) = split(&text);
        let tokens = tokenize(&code);
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let mut source = Self {
            is_test_file: !path.starts_with("src/"),
            partners: Vec::new(),
            test_spans: Vec::new(),
            path,
            text,
            code,
            comments,
            tokens,
            line_starts,
        };
        source.partners = source.match_brackets();
        source.test_spans = source.find_test_spans();
        let is_inner_test = source
            .find(&["#", "!", "[", "cfg", "(", "test", ")"])
            .next()
            .is_some();
        source.is_test_file |= is_inner_test;
        source
    }

    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    pub(crate) fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// The token at `index`, or nothing beyond the end.
    pub(crate) fn token(&self, index: usize) -> &str {
        self.tokens
            .get(index)
            .map_or("", |range| &self.code[range.clone()])
    }

    /// The token before `index`, or nothing at the start.
    pub(crate) fn token_before(&self, index: usize) -> &str {
        index.checked_sub(1).map_or("", |before| self.token(before))
    }

    /// The line of a token, counted from one.
    pub(crate) fn line(&self, token: usize) -> usize {
        let at = self
            .tokens
            .get(token)
            .map_or(self.text.len(), |range| range.start);
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// Where `pattern` occurs as consecutive tokens: the index of its first.
    pub(crate) fn find(&self, pattern: &[&str]) -> impl Iterator<Item = usize> {
        (0..self.tokens.len()).filter(move |start| self.matches(*start, pattern))
    }

    fn matches(&self, start: usize, pattern: &[&str]) -> bool {
        pattern
            .iter()
            .enumerate()
            .all(|(offset, expected)| self.token(start + offset) == *expected)
    }

    /// Whether a token is compiled for tests only.
    pub(crate) fn is_test(&self, token: usize) -> bool {
        self.is_test_file || self.test_spans.iter().any(|span| span.contains(&token))
    }

    /// The bracket that closes or opens the one at `token`.
    pub(crate) fn partner(&self, token: usize) -> Option<usize> {
        self.partners.get(token).copied().flatten()
    }

    /// The comments of each line, with nothing for code.
    pub(crate) fn comment_lines(&self) -> impl Iterator<Item = &str> {
        self.comments.split('\n').map(str::trim)
    }

    /// The code of each line, with nothing for comments and literals.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = &str> {
        self.code.split('\n').map(str::trim)
    }

    /// The names in `mod name {`, outermost first, around a token.
    pub(crate) fn inline_modules(&self, token: usize) -> Vec<&str> {
        let is_around = |start: &usize| {
            self.partner(start + 2)
                .is_some_and(|end| (*start..end).contains(&token))
        };
        let starts = self
            .find(&["mod"])
            .filter(|start| self.token(start + 2) == "{");
        starts
            .filter(is_around)
            .map(|start| self.token(start + 1))
            .collect()
    }

    /// The names in `mod name;` that are compiled for tests only.
    pub(crate) fn test_module_files(&self) -> Vec<String> {
        let starts = self
            .find(&["mod"])
            .filter(|start| self.token(start + 2) == ";");
        starts
            .filter(|start| self.is_test(*start))
            .map(|start| self.token(start + 1).to_owned())
            .collect()
    }

    pub(crate) fn functions(&self) -> Vec<Function<'_>> {
        self.find(&["fn"])
            .filter_map(|start| self.function(start))
            .collect()
    }

    fn function(&self, start: usize) -> Option<Function<'_>> {
        let name = self.token(start + 1);
        let open = is_word(name).then(|| self.body_or_end(start))??;
        let close = (self.token(open) == "{").then(|| self.partner(open))??;
        let line = self.line(start);
        Some(Function {
            name,
            line,
            line_count: self.line(close) - line + 1,
        })
    }

    /// The first `{` or `;` of an item that is not inside other brackets; a field or a variant has none.
    fn body_or_end(&self, start: usize) -> Option<usize> {
        let mut at = start;
        while at < self.tokens.len() {
            match self.token(at) {
                "{" | ";" => return Some(at),
                "(" | "[" => at = self.partner(at)? + 1,
                ")" | "]" | "}" => return None,
                _ => at += 1,
            }
        }
        None
    }

    fn match_brackets(&self) -> Vec<Option<usize>> {
        let mut partners = vec![None; self.tokens.len()];
        let mut open = Vec::new();
        for index in 0..self.tokens.len() {
            match self.token(index) {
                "(" | "[" | "{" => open.push(index),
                ")" | "]" | "}" => {
                    if let Some(start) = open.pop() {
                        partners[start] = Some(index);
                        partners[index] = Some(start);
                    }
                }
                _ => {}
            }
        }
        partners
    }

    fn find_test_spans(&self) -> Vec<Range<usize>> {
        let attributes = self.find(&["#", "[", "cfg", "("]);
        attributes
            .filter(|start| self.is_test_attribute(*start))
            .filter_map(|start| self.item_after(start))
            .collect()
    }

    /// `cfg(test)`, or `cfg(all(test, …))`.
    fn is_test_attribute(&self, start: usize) -> bool {
        self.matches(start + 4, &["test", ")"]) || self.matches(start + 4, &["all", "(", "test"])
    }

    /// From an attribute to the end of the item that it stands on.
    fn item_after(&self, attribute: usize) -> Option<Range<usize>> {
        let mut at = attribute;
        while self.token(at) == "#" {
            at = self.partner(at + 1)? + 1;
        }
        let end = self.body_or_end(at)?;
        Some(attribute..self.partner(end).unwrap_or(end) + 1)
    }
}

/// Whether a token is a name, a keyword or a number.
pub(crate) fn is_word(token: &str) -> bool {
    token.bytes().next().is_some_and(is_word_byte)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Words whole, `::` whole, everything else byte by byte.
fn tokenize(code: &str) -> Vec<Range<usize>> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = match bytes[at] {
            byte if is_word_byte(byte) => word_length(&bytes[at..]),
            b':' if bytes.get(at + 1) == Some(&b':') => 2,
            _ => 1,
        };
        if !bytes[at].is_ascii_whitespace() {
            tokens.push(at..at + length);
        }
        at += length;
    }
    tokens
}

fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_word_byte(**byte)).count()
}

#[derive(Clone, Copy)]
enum Piece {
    Code,
    Comment,
    Literal,
}

/// The code and the comments of `text`, each with spaces for all else.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let blank = |byte: &u8| if *byte == b'\n' { b'\n' } else { b' ' };
    let mut code: Vec<u8> = bytes.iter().map(blank).collect();
    let mut comments = code.clone();
    let mut at = 0;
    while at < bytes.len() {
        let (piece, length) = first_piece(&bytes[at..]);
        let end = (at + length).min(bytes.len());
        match piece {
            Piece::Code => code[at..end].copy_from_slice(&bytes[at..end]),
            Piece::Comment => comments[at..end].copy_from_slice(&bytes[at..end]),
            Piece::Literal => {}
        }
        at = end;
    }
    let whole = "pieces end between characters";
    (
        String::from_utf8(code).expect(whole),
        String::from_utf8(comments).expect(whole),
    )
}

fn first_piece(bytes: &[u8]) -> (Piece, usize) {
    if bytes.starts_with(b"//") {
        return (
            Piece::Comment,
            position(bytes, b"\n").unwrap_or(bytes.len()),
        );
    }
    if bytes.starts_with(b"/*") {
        return (Piece::Comment, block_comment_length(bytes));
    }
    if let Some(length) = string_length(bytes).or_else(|| character_length(bytes)) {
        return (Piece::Literal, length);
    }
    (Piece::Code, word_length(bytes).max(1))
}

/// Block comments nest.
fn block_comment_length(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of the string literal that `bytes` begin with, its prefix included.
fn string_length(bytes: &[u8]) -> Option<usize> {
    for prefix in ["br", "cr", "r"] {
        if let Some(rest) = bytes.strip_prefix(prefix.as_bytes()) {
            let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
            let body = rest[hashes..].strip_prefix(b"\"");
            let end = [b"\"".as_slice(), &rest[..hashes]].concat();
            let length = |body: &[u8]| position(body, &end).map_or(body.len(), |at| at + end.len());
            return body.map(|body| prefix.len() + hashes + 1 + length(body));
        }
    }
    let prefix = usize::from(bytes.starts_with(b"b\"") || bytes.starts_with(b"c\""));
    let body = bytes[prefix..].strip_prefix(b"\"")?;
    let mut at = 0;
    while at < body.len() && body[at] != b'"' {
        at += if body[at] == b'\\' { 2 } else { 1 };
    }
    Some(prefix + 1 + at + 1)
}

/// The length of the character literal that `bytes` begin with; a lifetime is none.
fn character_length(bytes: &[u8]) -> Option<usize> {
    let prefix = usize::from(bytes.starts_with(b"b'"));
    let body = bytes[prefix..].strip_prefix(b"'")?;
    let end = match body {
        [b'\\', _, rest @ ..] => 2 + position(rest, b"'")?,
        [first, ..] => {
            1 + body[1..]
                .iter()
                .take_while(|byte| *first >= 0x80 && (**byte & 0xC0) == 0x80)
                .count()
        }
        [] => return None,
    };
    (body.get(end) == Some(&b'\'')).then_some(prefix + 1 + end + 1)
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let source = Source::new("src/base/sample.rs", text);
        (0..source.token_count())
            .map(|index| source.token(index).to_owned())
            .collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(
            words(r##"a("b \" c", r#"d " e"#, b"f", br"g\", 'h', '\'', b'i', '\u{1F}', 'ü') j"##)
                .join(" "),
            { "a ( , , , , , , , , ) j" }
        );
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(
            words("<'a, 'b>(r#type)").join(" "),
            "< ' a , ' b > ( r # type )"
        );
        assert_eq!(words("crate::hub").join(" "), "crate :: hub");
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for text in ["\"a", "\"a\\", "r#\"a\"", "/* a", "'\\", "b'", "'"] {
            let _ = Source::new("src/base/sample.rs", text);
        }
    }

    #[test]
    fn a_function_spans_from_fn_to_its_closing_brace() {
        let source = Source::new(
            "src/a.rs",
            "trait T { fn none(x: [u8; 2]); }\n\nfn one(f: fn(u8)) -> [u8; 2] {\n    {}\n}\n",
        );
        let spans: Vec<_> = source
            .functions()
            .iter()
            .map(|f| (f.name.to_owned(), f.line, f.line_count))
            .collect();
        assert_eq!(spans, [("one".to_owned(), 3, 3)]);
    }

    #[test]
    fn test_items_are_told_from_others() {
        let source = Source::new(
            "src/a.rs",
            "fn a() {} #[cfg(test)] #[rustfmt::skip] mod tests { fn b() {} } fn c() {}",
        );
        let is_test = |name| {
            source.is_test(
                source
                    .find(&["fn", name])
                    .next()
                    .expect("the sample has it"),
            )
        };
        assert_eq!(
            [is_test("a"), is_test("b"), is_test("c")],
            [false, true, false]
        );
        assert!(!Source::new("src/a.rs", "#[cfg(not(test))] mod a {}").is_test(6));
        assert!(!Source::new("src/a.rs", "struct A { #[cfg(test)] b: u8, } fn c() {}").is_test(14));
        assert!(Source::new("src/a.rs", "#![cfg(test)] mod a {}").is_test(9));
        assert!(Source::new("tests/a.rs", "fn a() {}").is_test(0));
    }

    #[test]
    fn inline_modules_are_listed_outermost_first() {
        let source = Source::new("src/a.rs", "mod one { mod two { here } } mod three {}");
        let here = source.find(&["here"]).next().expect("the sample has it");
        assert_eq!(source.inline_modules(here), ["one", "two"]);
    }
}
