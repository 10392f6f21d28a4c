//! Style as a test: what a review forgets, this does not.
//!
//! Walks the crate's own sources and the list of tracked files, and names every offence at once as
//! `path:line: what is wrong, what would be right`. Each rule is a plain function over a [`Source`] (a path and
//! its text), its limits and word lists are constants at the head of its file, and its unit tests prove that it bites.

mod circles;
mod floors;
mod names;
mod paths;
mod repository;
mod shape;
mod source;
mod statements;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// The folders whose Rust files are read, relative to the crate's root.
const FOLDERS: [&str; 3] = ["src", "tests", "benches"];

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offence {
    path: String,
    line: usize,
    message: String,
}

impl Offence {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

#[test]
fn the_repository_is_tidy() {
    let root = repository_root();
    let sources = read_sources(&root);
    assert!(
        sources.iter().any(|source| source.path == "src/lib.rs"),
        "the walk found no sources"
    );

    let mut offences = check_sources(&sources);
    offences.extend(repository::check(&root));
    offences.sort();
    offences.dedup();
    let report: String = offences
        .iter()
        .map(|offence| format!("{offence}\n"))
        .collect();
    assert!(
        offences.is_empty(),
        "{} offences against DESIGN and STYLE:\n{report}",
        offences.len()
    );
}

/// Asked at run time first: working copies that share a build folder share this binary too, and each means itself.
fn repository_root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Every rule that looks at Rust files.
fn check_sources(sources: &[Source]) -> Vec<Offence> {
    let modules: BTreeSet<Vec<String>> = sources
        .iter()
        .filter_map(|source| paths::module_of(&source.path))
        .collect();
    let mut offences = Vec::new();
    for source in sources {
        offences.extend(shape::check(source));
        offences.extend(names::check(source));
        offences.extend(statements::check(source));
        offences.extend(floors::check(source, &modules));
    }
    offences.extend(circles::check(sources));
    offences
}

fn read_sources(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        read_folder(root, folder, &mut sources);
    }
    mark_test_files(&mut sources);
    sources
}

/// Reads the Rust files below `folder`, which may be missing.
fn read_folder(root: &Path, folder: &str, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in entries {
        let entry = entry.expect("a folder that opened can be listed");
        let name = entry
            .file_name()
            .into_string()
            .expect("file names are UTF-8");
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            read_folder(root, &path, sources);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).expect("a source file is readable UTF-8");
            sources.push(Source::new(path, text));
        }
    }
}

/// Marks the files behind `#[cfg(test)] mod name;`, which are tests from their first line to their last.
fn mark_test_files(sources: &mut [Source]) {
    let roots: Vec<Vec<String>> = sources
        .iter()
        .filter_map(|source| Some((source, paths::module_of(&source.path)?)))
        .flat_map(|(source, module)| {
            let names = source.test_module_files();
            names
                .into_iter()
                .map(move |name| [module.as_slice(), &[name]].concat())
        })
        .collect();
    for source in sources {
        let module = paths::module_of(&source.path);
        if module.is_some_and(|module| roots.iter().any(|root| module.starts_with(root))) {
            source.is_test_file = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offence_reads_as_path_line_message() {
        let offence = Offence::new("src/hub/room.rs", 7, "tab; indent with spaces");
        assert_eq!(
            offence.to_string(),
            "src/hub/room.rs:7: tab; indent with spaces"
        );
    }

    #[test]
    fn files_behind_a_test_module_are_marked() {
        let mut sources = vec![
            Source::new("src/hub/mod.rs", "#[cfg(test)]\nmod tests;\nmod room;"),
            Source::new("src/hub/room.rs", ""),
            Source::new("src/hub/tests.rs", ""),
            Source::new("src/hub/tests/storm.rs", ""),
        ];
        mark_test_files(&mut sources);
        let marks: Vec<bool> = sources.iter().map(|source| source.is_test_file).collect();
        assert_eq!(marks, [false, false, true, true]);
    }
}
