//! What no line may do: give up with a bare unwrap, leave work for later, skip a test, wait by sleeping, be unsafe in silence.

use crate::Offence;
use crate::source::{Source, is_word};

/// Macros of unfinished work.
const UNFINISHED_MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Notes of unfinished work, in comments and in code.
const UNFINISHED_WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Functions that wait for time to pass instead of for something to happen.
const SLEEPS: [&str; 3] = ["sleep", "sleep_ms", "sleep_until"];

/// What the comment above `unsafe` says.
const SAFETY: &str = "// SAFETY:";

/// Every rule of statements that `source` breaks.
pub(crate) fn check(source: &Source) -> Vec<Offence> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for token in 0..source.token_count() {
        let fault = token_fault(source, token);
        found.extend(fault.map(|fault| (source.line(token), fault)));
    }
    for (index, (comment, code)) in source.comment_lines().zip(source.code_lines()).enumerate() {
        found.extend(
            unfinished_word(comment)
                .or_else(|| unfinished_word(code))
                .map(|fault| (index + 1, fault)),
        );
    }
    found
        .into_iter()
        .map(|(line, fault)| Offence::new(&source.path, line, fault))
        .collect()
}

fn token_fault(source: &Source, token: usize) -> Option<String> {
    match source.token(token) {
        "unwrap" => unwrap_fault(source, token),
        "unsafe" => unsafe_fault(source, token),
        "ignore" => ignore_fault(source, token),
        word if UNFINISHED_MACROS.contains(&word) => macro_fault(source, token),
        word if SLEEPS.contains(&word) => sleep_fault(source, token),
        _ => None,
    }
}

fn unwrap_fault(source: &Source, token: usize) -> Option<String> {
    let is_use = [".", "::"].contains(&source.token_before(token));
    let message = "bare unwrap; return the error, or argue with expect why there is none";
    (is_use && source.is_in("src") && !source.is_test(token)).then(|| message.to_owned())
}

fn unsafe_fault(source: &Source, token: usize) -> Option<String> {
    let message =
        format!("unsafe without its reason; write {SAFETY} on the line above, or do without");
    (source.is_in("src") && !has_safety_comment(source, source.line(token))).then_some(message)
}

/// Looks at the comment right above a line, past its attributes.
fn has_safety_comment(source: &Source, line: usize) -> bool {
    let lines: Vec<&str> = source.text.lines().take(line - 1).map(str::trim).collect();
    let above = lines.iter().rev().skip_while(|line| line.starts_with("#["));
    let mut comment = above.take_while(|line| line.starts_with("//"));
    comment.any(|line| line.starts_with(SAFETY))
}

/// `#[ignore]`, `#[ignore = …]`, and the same inside `cfg_attr`.
fn ignore_fault(source: &Source, token: usize) -> Option<String> {
    let opens = source
        .find(&["#", "["])
        .filter(|start| (*start..token).contains(&(start + 1)));
    let inside = opens
        .filter(|start| source.partner(start + 1).is_some_and(|end| end > token))
        .last()?;
    let is_it = token == inside + 2 || source.token(inside + 2) == "cfg_attr";
    is_it.then(|| "ignored test; mend it, or delete it".to_owned())
}

fn macro_fault(source: &Source, token: usize) -> Option<String> {
    let name = source.token(token);
    let is_call = source.token(token + 1) == "!" && source.token(token + 2) != "=";
    is_call.then(|| format!("{name}! is unfinished work; finish it before it is committed"))
}

fn sleep_fault(source: &Source, token: usize) -> Option<String> {
    let is_call = source.token(token + 1) == "(" && source.token_before(token) != "fn";
    let is_import =
        source.token_before(token) == "::" && token >= 2 && source.token(token - 2) == "thread";
    let message =
        "sleep in a test; wait for the event itself, with a deadline, or move virtual time";
    (source.is_test(token) && (is_call || is_import)).then(|| message.to_owned())
}

fn unfinished_word(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| !is_word(c.encode_utf8(&mut [0; 4])));
    let word = words.find(|word| UNFINISHED_WORDS.contains(word))?;
    Some(format!(
        "{word} is unfinished work; do it, or open an issue"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, code: &str) -> Vec<String> {
        check(&Source::new(path, code))
            .into_iter()
            .map(|offence| offence.message)
            .collect()
    }

    #[track_caller]
    fn clean(path: &str, code: &str) {
        assert_eq!(messages(path, code), [""; 0]);
    }

    #[track_caller]
    fn offends(path: &str, code: &str, part: &str) {
        let found = messages(path, code);
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{code}: {found:?}"
        );
    }

    #[test]
    fn the_product_does_not_unwrap() {
        offends("src/a.rs", "fn a() { b().unwrap(); }", "bare unwrap");
        offends("src/a.rs", "fn a() { b()\n    .unwrap(); }", "bare unwrap");
        offends(
            "src/a.rs",
            "fn a() { b().map(Option::unwrap); }",
            "bare unwrap",
        );
        clean(
            "src/a.rs",
            "/// a().unwrap();\nfn a() { b().unwrap_or(0); c().expect(\"d\"); }",
        );
        clean(
            "src/a.rs",
            "#[cfg(test)]\nmod tests { fn a() { b().unwrap(); } }",
        );
        clean("tests/a.rs", "fn a() { b().unwrap(); }");
    }

    #[test]
    fn unsafe_gives_its_reason() {
        offends(
            "src/a.rs",
            "fn a() { unsafe { b() } }",
            "unsafe without its reason",
        );
        offends(
            "src/a.rs",
            "// SAFETY: too far away.\n\nunsafe { b() }",
            "unsafe without its reason",
        );
        clean("src/a.rs", "// SAFETY: b has no demands.\nunsafe { b() }");
        clean(
            "src/a.rs",
            "// SAFETY: b has\n// no demands.\n#[allow(unsafe_code)]\nunsafe { b() }",
        );
        clean("src/a.rs", "// unsafe\n#![deny(unsafe_code)]");
    }

    #[test]
    fn unfinished_work_is_found() {
        offends("src/a.rs", "fn a() { todo!() }", "todo! is unfinished");
        offends("tests/a.rs", "fn a() { dbg!(b); }", "dbg! is unfinished");
        offends(
            "benches/a.rs",
            "fn a() { unimplemented!(\"b\"); }",
            "unimplemented! is unfinished",
        );
        offends("src/a.rs", "// TODO: later", "TODO is unfinished");
        offends("src/a.rs", "/* FIXME */", "FIXME is unfinished");
        offends("src/a.rs", "//! XXX(me) why?", "XXX is unfinished");
        clean(
            "src/a.rs",
            "fn todo() -> bool { todo != dbg } // A todo list. \nconst A: &str = \"TODO\";",
        );
    }

    #[test]
    fn no_test_is_skipped() {
        offends(
            "tests/a.rs",
            "#[test]\n#[ignore]\nfn a() {}",
            "ignored test",
        );
        offends(
            "src/a.rs",
            "#[ignore = \"slow\"]\nfn a() {}",
            "ignored test",
        );
        offends(
            "tests/a.rs",
            "#[cfg_attr(windows, ignore)]\nfn a() {}",
            "ignored test",
        );
        clean(
            "tests/a.rs",
            "#[arg(ignore = true)]\nfn ignore() { a.ignore(); }",
        );
    }

    #[test]
    fn no_test_sleeps() {
        offends(
            "tests/a.rs",
            "fn a() { std::thread::sleep(B); }",
            "sleep in a test",
        );
        offends("tests/a.rs", "use std::thread::sleep;", "sleep in a test");
        offends("benches/a.rs", "fn a() { sleep(B); }", "sleep in a test");
        offends(
            "src/a.rs",
            "#[cfg(test)] mod tests { fn a() { thread::sleep(B); } }",
            "sleep in a test",
        );
        clean("src/client/a.rs", "fn a() { thread::sleep(B); }");
        clean(
            "tests/a.rs",
            "// sleep(1)\nfn a() { let sleep = 1; sleeper(sleep); }",
        );
    }
}
