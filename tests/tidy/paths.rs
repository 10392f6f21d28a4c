//! Paths in code (`crate::hub::Room`, `use super::{a, b::*}`) and what they lead to.
//!
//! Only paths with a root that says where they start are seen: `crate`, `self`, `super`, `std`, `joblight`.
//! Names that were imported first need no second look, as their import had one.

use crate::source::{Source, is_word};

const ROOTS: [&str; 5] = ["crate", "self", "super", "std", "joblight"];

/// One path, taken out of its group: `use std::{fs, io::Read}` is two.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CodePath<'a> {
    pub(crate) segments: Vec<&'a str>,
    /// The token at which the path, or its part inside a group, begins.
    pub(crate) token: usize,
    /// The name it goes by after `as`.
    alias: Option<&'a str>,
    /// It stands in `pub(in …)`, where it names a border and imports nothing.
    pub(crate) is_visibility: bool,
}

impl CodePath<'_> {
    pub(crate) fn root(&self) -> &str {
        self.segments[0]
    }

    /// The path as it is written, without groups.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// The module that a file is: `src/wire/http/mod.rs` and `src/wire/http.rs` are both `[wire, http]`, `src/lib.rs` is `[]`.
pub(crate) fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inside == "main" {
        return None;
    }
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if inside == "lib" || module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    Some(module)
}

/// Every rooted path of a file, in order.
pub(crate) fn code_paths(source: &Source) -> Vec<CodePath<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < source.token_count() {
        if is_root(source, at) {
            let is_visibility =
                at >= 2 && source.token(at - 1) == "in" && source.token(at - 2) == "(";
            at = read_tree(source, at, &[], &mut found);
            if let Some(last) = found.last_mut() {
                last.is_visibility = is_visibility;
            }
        } else {
            at += 1;
        }
    }
    found
}

/// What a module hands on by `pub use`: each name, and the path that it stands for.
pub(crate) fn reexports<'a>(source: &'a Source) -> Vec<(&'a str, CodePath<'a>)> {
    let mut found = Vec::new();
    for at in source.find(&["use"]).filter(|at| is_public(source, *at)) {
        let root: &[&str] = if ROOTS.contains(&source.token(at + 1)) {
            &[]
        } else {
            &["self"]
        };
        read_tree(source, at + 1, root, &mut found);
    }
    let named = |path: CodePath<'a>| Some((path.alias.or(path.segments.last().copied())?, path));
    found.into_iter().filter_map(named).collect()
}

/// Whether `pub` or `pub(…)` stands before the keyword at `at`.
fn is_public(source: &Source, at: usize) -> bool {
    let before = match source.token_before(at) {
        ")" => source.partner(at - 1),
        _ => Some(at),
    };
    before.is_some_and(|at| source.token_before(at) == "pub")
}

fn is_root(source: &Source, at: usize) -> bool {
    let is_continued = source.token_before(at) == "::" && at >= 2 && {
        let before = source.token(at - 2);
        (is_word(before) && !["use", "return", "in", "as"].contains(&before)) || before == ">"
    };
    ROOTS.contains(&source.token(at)) && source.token(at + 1) == "::" && !is_continued
}

/// Reads one branch of an import tree, or a plain path, from `at`; returns where reading goes on.
fn read_tree<'a>(
    source: &'a Source,
    mut at: usize,
    prefix: &[&'a str],
    found: &mut Vec<CodePath<'a>>,
) -> usize {
    let token = at;
    let mut segments = prefix.to_vec();
    loop {
        match source.token(at) {
            "{" => return read_group(source, at, &segments, found),
            "*" => segments.push("*"),
            word if is_word(word) => {
                segments.push(word);
                if source.token(at + 1) == "::" && continues(source.token(at + 2)) {
                    at += 2;
                    continue;
                }
            }
            _ => return at + 1,
        }
        found.push(CodePath {
            segments,
            token,
            alias: (source.token(at + 1) == "as").then(|| source.token(at + 2)),
            is_visibility: false,
        });
        return at + 1;
    }
}

fn continues(token: &str) -> bool {
    is_word(token) || token == "{" || token == "*"
}

fn read_group<'a>(
    source: &'a Source,
    open: usize,
    prefix: &[&'a str],
    found: &mut Vec<CodePath<'a>>,
) -> usize {
    let end = source.partner(open).unwrap_or(source.token_count());
    let mut at = open + 1;
    while at < end {
        at = read_tree(source, at, prefix, found);
        while at < end && source.token(at) != "," {
            at += 1;
        }
        at += 1;
    }
    end + 1
}

/// Where a path of this crate leads, as segments below the crate's root; `self` and `*` at its end mean the module.
pub(crate) fn resolve(
    module: &[String],
    inline: &[&str],
    path: &CodePath<'_>,
) -> Option<Vec<String>> {
    let mut target: Vec<String> = match path.root() {
        "crate" => Vec::new(),
        "self" | "super" => module
            .iter()
            .cloned()
            .chain(inline.iter().map(|name| (*name).to_owned()))
            .collect(),
        _ => return None,
    };
    for segment in &path.segments {
        match *segment {
            "crate" | "self" | "*" => {}
            "super" => drop(target.pop()?),
            name => target.push(name.to_owned()),
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str) -> Vec<String> {
        code_paths(&Source::new("src/hub/room.rs", code))
            .iter()
            .map(CodePath::text)
            .collect()
    }

    fn lead(path: &str, code: &str) -> Vec<String> {
        let source = Source::new(path, code);
        let found = code_paths(&source);
        let module = module_of(path).expect("samples are files of the library");
        let targets = found
            .iter()
            .map(|each| resolve(&module, &source.inline_modules(each.token), each));
        targets
            .map(|target| target.expect("samples stay inside the crate").join("::"))
            .collect()
    }

    #[test]
    fn a_file_is_a_module() {
        let module = |path| module_of(path).map(|module| module.join("::"));
        assert_eq!(
            module("src/wire/http/mod.rs").as_deref(),
            Some("wire::http")
        );
        assert_eq!(module("src/wire/http.rs").as_deref(), Some("wire::http"));
        assert_eq!(module("src/lib.rs").as_deref(), Some(""));
        assert_eq!(module("src/main.rs"), None);
        assert_eq!(module("tests/sim.rs"), None);
    }

    #[test]
    fn paths_are_taken_out_of_groups() {
        assert_eq!(
            texts("use crate::{a::B, c::{self, D as E}, f::*};"),
            [
                "crate::a::B",
                "crate::c::self",
                "crate::c::D",
                "crate::f::*"
            ]
        );
        assert_eq!(
            texts("use {std::fs, ::std::net::IpAddr};"),
            ["std::fs", "std::net::IpAddr"]
        );
        assert_eq!(
            texts("use super::{super::x::Y, z};"),
            ["super::super::x::Y", "super::z"]
        );
    }

    #[test]
    fn paths_are_found_inside_code() {
        assert_eq!(
            texts("let a = crate::hub::Room { b: 1 };"),
            ["crate::hub::Room"]
        );
        assert_eq!(
            texts("crate::Map::<std::fs::File>::new()"),
            ["crate::Map", "std::fs::File"]
        );
        assert_eq!(
            texts("self.a(); pub(super) fn b() {} pub(crate) fn c() {} other::std::d();"),
            [""; 0]
        );
    }

    #[test]
    fn a_border_is_told_from_an_import() {
        let source = Source::new(
            "src/hub/room.rs",
            "pub(in crate::hub) fn a() { for b in crate::hub::C {} }",
        );
        let borders: Vec<bool> = code_paths(&source)
            .iter()
            .map(|path| path.is_visibility)
            .collect();
        assert_eq!(borders, [true, false]);
    }

    #[test]
    fn paths_lead_somewhere() {
        assert_eq!(
            lead("src/wire/http/parse.rs", "use super::super::input::Input;"),
            ["wire::input::Input"]
        );
        assert_eq!(
            lead(
                "src/wire/http/mod.rs",
                "use super::input::Input; use self::parse::A;"
            ),
            ["wire::input::Input", "wire::http::parse::A"]
        );
        assert_eq!(
            lead(
                "src/wire/input.rs",
                "mod tests { use super::*; use super::super::sse; }"
            ),
            ["wire::input", "wire::sse"]
        );
    }
}
