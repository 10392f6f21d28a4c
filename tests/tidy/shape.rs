//! The shape of a file: its header, its size, the size of its functions, its lines, and comments that are comments.

use crate::Offence;
use crate::source::Source;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARACTERS_MAX: usize = 140;
/// A header line shorter than this says nothing.
const HEADER_CHARACTERS_MIN: usize = 20;

/// Words that begin a line of code which ends in an opening brace.
const BLOCK_WORDS: [&str; 15] = [
    "if", "for", "while", "loop", "match", "fn", "pub", "impl", "struct", "enum", "trait", "mod",
    "unsafe", "else", "}",
];

/// Every rule of shape that `source` breaks.
pub(crate) fn check(source: &Source) -> Vec<Offence> {
    let mut offences = Vec::new();
    offences.extend(check_header(source));
    offences.extend(check_length(source));
    offences.extend(check_functions(source));
    offences.extend(check_lines(source));
    offences.extend(check_comments(source));
    offences
}

fn check_header(source: &Source) -> Option<Offence> {
    let header = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"));
    let says_something = header
        .map(str::trim)
        .any(|line| line.chars().count() >= HEADER_CHARACTERS_MIN);
    let message = "no header; begin the file with a //! line that says what it owns";
    (!says_something).then(|| Offence::new(&source.path, 1, message))
}

fn check_length(source: &Source) -> Option<Offence> {
    let lines = source.text.lines().count();
    let message = format!("{lines} lines; split the file, {FILE_LINES_MAX} are the most");
    (source.is_in("src") && lines > FILE_LINES_MAX)
        .then(|| Offence::new(&source.path, FILE_LINES_MAX + 1, message))
}

fn check_functions(source: &Source) -> Vec<Offence> {
    let functions = source.functions().into_iter();
    let long = functions.filter(|function| function.line_count > FUNCTION_LINES_MAX);
    long.map(|function| {
        let (name, lines) = (function.name, function.line_count);
        let message =
            format!("{name} has {lines} lines; split it, {FUNCTION_LINES_MAX} are the most");
        Offence::new(&source.path, function.line, message)
    })
    .collect()
}

fn check_lines(source: &Source) -> Vec<Offence> {
    let lines = source.text.split('\n').enumerate();
    let faults = lines.flat_map(|(index, line)| {
        line_faults(line)
            .into_iter()
            .map(move |fault| (index + 1, fault))
    });
    faults
        .map(|(line, fault)| Offence::new(&source.path, line, fault))
        .collect()
}

fn line_faults(line: &str) -> Vec<String> {
    let characters = line.chars().count();
    let mut faults = Vec::new();
    if line.contains('\t') {
        faults.push("tab; indent with four spaces, and write \\t in a literal".to_owned());
    }
    if line.trim_end() != line {
        faults.push("blanks at the end of the line; remove them".to_owned());
    }
    if characters > LINE_CHARACTERS_MAX {
        faults.push(format!(
            "{characters} characters; break the line, {LINE_CHARACTERS_MAX} are the most"
        ));
    }
    faults
}

/// Lines that hold nothing but a comment, which holds nothing but code. Documentation may show code and is let be.
fn check_comments(source: &Source) -> Vec<Offence> {
    let lines = source.comment_lines().zip(source.code_lines()).enumerate();
    let suspects =
        lines.filter(|(_, (comment, code))| code.is_empty() && is_code_in_comment(comment));
    let message = "code in a comment; delete it, history keeps it";
    suspects
        .map(|(index, _)| Offence::new(&source.path, index + 1, message))
        .collect()
}

fn is_code_in_comment(comment: &str) -> bool {
    let is_documentation = comment.starts_with("///") || comment.starts_with("//!");
    comment
        .strip_prefix("//")
        .is_some_and(|text| !is_documentation && looks_like_code(text.trim()))
}

/// Errs towards prose: a false alarm costs more than a stale line that the next reader deletes.
fn looks_like_code(text: &str) -> bool {
    let first = text.split([' ', '(']).next().unwrap_or("");
    if text.ends_with('{') {
        return BLOCK_WORDS.contains(&first);
    }
    let Some(statement) = text.strip_suffix(';') else {
        return false;
    };
    match first {
        "let" | "const" | "static" | "type" => statement.contains(" = "),
        "use" => statement.contains("::"),
        "pub" | "break;" | "continue;" | "return;" => true,
        "mod" => statement.split_whitespace().count() == 2,
        "return" => statement.ends_with(')'),
        _ => !statement.contains(';') && is_call_or_assignment(statement),
    }
}

/// `name(…)`, `a.b(…)?`, `a.b = c`: no blank before the bracket, and a dot or a star in what is assigned to.
fn is_call_or_assignment(statement: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || "_.:*&!".contains(c);
    let Some(end) = statement.find(|c| !is_name(c)).filter(|end| *end > 0) else {
        return false;
    };
    let (head, rest) = statement.split_at(end);
    let is_call = rest.starts_with('(') && (rest.ends_with(')') || rest.ends_with(")?"));
    let is_assignment =
        (rest.starts_with(" = ") || rest.starts_with(" += ")) && head.contains(['.', '*']);
    is_call || is_assignment
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! What this file owns and never touches.\n";

    fn messages(path: &str, body: &str) -> Vec<String> {
        let source = Source::new(path, format!("{HEADER}{body}"));
        check(&source)
            .into_iter()
            .map(|offence| offence.message)
            .collect()
    }

    #[track_caller]
    fn offends(path: &str, body: &str, part: &str) {
        let found = messages(path, body);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn a_plain_file_is_clean() {
        assert_eq!(
            messages(
                "src/base/time.rs",
                "\nfn a() {\n    // Why, not what.\n    b();\n}\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_file_begins_with_a_header() {
        for text in [
            "",
            "fn a() {}",
            "//! Short.\n",
            "\n//! A header that begins too late.\n",
            "// Not a header at all, this.\n",
        ] {
            let offences = check(&Source::new("tests/a.rs", text));
            assert!(
                offences.len() == 1 && offences[0].message.contains("no header"),
                "{text}"
            );
        }
        assert_eq!(
            check(&Source::new(
                "benches/a.rs",
                "//! Short.\n//!\n//! And then what it is about.\n"
            )),
            []
        );
    }

    #[test]
    fn a_file_ends_in_time() {
        let lines = |count: usize| "const A: u8 = 0;\n".repeat(count - 1);
        offends("src/hub/room.rs", &lines(601), "601 lines");
        assert_eq!(messages("src/hub/room.rs", &lines(600)), [""; 0]);
        assert_eq!(messages("tests/sim.rs", &lines(601)), [""; 0]);
    }

    #[test]
    fn a_function_ends_in_time() {
        let function =
            |count: usize| format!("fn a() {{\n{}}}\n", "    b(\"}\");\n".repeat(count - 2));
        offends("tests/sim.rs", &function(71), "a has 71 lines");
        assert_eq!(messages("src/hub/room.rs", &function(70)), [""; 0]);
    }

    #[test]
    fn lines_are_plain() {
        offends("src/a.rs", "\tfn a() {}\n", "tab");
        offends("src/a.rs", "fn a() {} \n", "blanks");
        offends("src/a.rs", "fn a() {}\r\n", "blanks");
        offends(
            "src/a.rs",
            &format!("// {}\n", "ü".repeat(138)),
            "141 characters",
        );
        assert_eq!(
            messages("src/a.rs", &format!("// {}\n", "ü".repeat(137))),
            [""; 0]
        );
    }

    #[test]
    fn code_in_comments_is_found() {
        for line in [
            "let a = b;",
            "use crate::a::B;",
            "self.room.append(entry)?;",
            "assert_eq!(a, b);",
            "self.count += 1;",
            "return Err(a);",
            "if a == b {",
            "} else {",
            "pub(crate) fn a() {",
            "continue;",
        ] {
            offends("src/a.rs", &format!("    // {line}\n"), "code in a comment");
        }
    }

    #[test]
    fn prose_in_comments_is_left_alone() {
        for line in [
            "// let it wait;",
            "// the peer reads (see below);",
            "// poll(); then write();",
            "// return early;",
            "// n = 4;",
            "// an object begins with {",
            "/// let a = b;",
            "//! self.a();",
            "const A: &str = \"// self.a();\";",
        ] {
            assert_eq!(messages("src/a.rs", &format!("{line}\n")), [""; 0]);
        }
    }
}
