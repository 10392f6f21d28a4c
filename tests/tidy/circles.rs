//! Imports inside a folder of `src` form no circle: of two files that need each other, neither can be read first.
//!
//! A folder is judged with its subfolders. An import of a name that a `mod.rs` only hands on counts for the file that
//! defines it. What is compiled for tests alone is left out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::Offence;
use crate::paths::{code_paths, module_of, reexports, resolve};
use crate::source::Source;

/// How many re-exports may hand a name on before it counts for the last of them.
const MOST_HANDS: usize = 8;

/// One file names something of another.
#[derive(Debug)]
struct Import {
    from: Module,
    to: Module,
    name: String,
    line: usize,
}

type Module = Vec<String>;

/// Where a name leads that a module makes public and another defines.
type Reexports = BTreeMap<Module, Module>;

/// One offence for each knot of files that reach each other, naming its shortest circle.
pub(crate) fn check(sources: &[Source]) -> Vec<Offence> {
    let graph = Graph::new(sources);
    let mut circles: Vec<Vec<&Import>> = graph
        .imports
        .keys()
        .filter_map(|file| graph.way(file, file))
        .collect();
    circles.sort_by_key(Vec::len);
    let mut knots: Vec<Vec<&Import>> = Vec::new();
    for circle in circles {
        let file = &circle[0].from;
        let is_known = |knot: &Vec<&Import>| {
            let other = &knot[0].from;
            graph.way(file, other).is_some() && graph.way(other, file).is_some()
        };
        if !knots.iter().any(is_known) {
            knots.push(circle);
        }
    }
    knots.iter().map(|circle| graph.offence(circle)).collect()
}

struct Graph {
    paths: BTreeMap<Module, String>,
    imports: BTreeMap<Module, Vec<Import>>,
}

impl Graph {
    fn new(sources: &[Source]) -> Self {
        let files: BTreeMap<Module, &Source> = sources
            .iter()
            .filter(|source| !source.is_test_file)
            .filter_map(|source| Some((module_of(&source.path)?, source)))
            .filter(|(module, _)| !module.is_empty())
            .collect();
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let handed_on: Reexports = files
            .iter()
            .flat_map(|(module, source)| {
                let named = reexports(source).into_iter();
                named.filter_map(|(name, path)| {
                    let from = [module.as_slice(), &[name.to_owned()]].concat();
                    Some((from, resolve(module, &[], &path)?))
                })
            })
            .collect();
        let imports = files
            .iter()
            .map(|(module, source)| {
                (
                    module.clone(),
                    imports_of(source, module, &modules, &handed_on),
                )
            })
            .collect();
        let paths = files
            .into_iter()
            .map(|(module, source)| (module, source.path.clone()))
            .collect();
        Self { paths, imports }
    }

    /// The shortest way along imports, of one import at least.
    fn way(&self, from: &Module, to: &Module) -> Option<Vec<&Import>> {
        let mut came_by: BTreeMap<&Module, &Import> = BTreeMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(file) = next.pop_front() {
            for import in self.imports.get(file).into_iter().flatten() {
                if came_by.contains_key(&import.to) {
                    continue;
                }
                came_by.insert(&import.to, import);
                if import.to == *to {
                    return Some(walk_back(&came_by, from, to));
                }
                next.push_back(&import.to);
            }
        }
        None
    }

    fn offence(&self, circle: &[&Import]) -> Offence {
        let ties: Vec<String> = circle
            .iter()
            .map(|tie| {
                format!(
                    "{} takes {} from {}",
                    self.paths[&tie.from],
                    self.names(tie),
                    self.paths[&tie.to]
                )
            })
            .collect();
        let message = format!(
            "imports run in a circle: {}; move what ties them into a file of its own",
            ties.join(", ")
        );
        Offence::new(&self.paths[&circle[0].from], circle[0].line, message)
    }

    /// All that the file of `tie` takes from the same other file.
    fn names(&self, tie: &Import) -> String {
        let alike = self.imports[&tie.from]
            .iter()
            .filter(|other| other.to == tie.to);
        let names: BTreeSet<&str> = alike.map(|import| import.name.as_str()).collect();
        Vec::from_iter(names).join(" and ")
    }
}

fn walk_back<'a>(
    came_by: &BTreeMap<&Module, &'a Import>,
    from: &Module,
    to: &Module,
) -> Vec<&'a Import> {
    let mut way = vec![came_by[to]];
    while way[way.len() - 1].from != *from {
        way.push(came_by[&way[way.len() - 1].from]);
    }
    way.reverse();
    way
}

/// What a file takes from other files of its own top folder. A `mod.rs` knows each of its children.
fn imports_of(
    source: &Source,
    module: &Module,
    modules: &BTreeSet<Module>,
    handed_on: &Reexports,
) -> Vec<Import> {
    let used = code_paths(source).into_iter().filter_map(|path| {
        let target = resolve(module, &source.inline_modules(path.token), &path)?;
        (!path.is_visibility).then(|| (path.token, definition(target, handed_on)))
    });
    let declared = source
        .find(&["mod"])
        .filter(|token| source.token(token + 2) == ";")
        .map(|token| {
            let child = source.token(token + 1).to_owned();
            (token, [module.as_slice(), &[child]].concat())
        });
    used.chain(declared)
        .filter(|(token, _)| !source.is_test(*token))
        .filter_map(|(token, target)| {
            let file = (1..=target.len())
                .rev()
                .map(|length| &target[..length])
                .find(|file| modules.contains(*file))?;
            let name = target.get(file.len()).or(target.last())?.clone();
            (file != module && file[0] == module[0]).then(|| Import {
                from: module.clone(),
                to: file.to_vec(),
                name,
                line: source.line(token),
            })
        })
        .collect()
}

/// Follows re-exports to the module that defines what `target` names.
fn definition(mut target: Module, handed_on: &Reexports) -> Module {
    for _ in 0..MOST_HANDS {
        let hand =
            (1..=target.len()).find_map(|length| Some((length, handed_on.get(&target[..length])?)));
        match hand {
            Some((length, origin)) => target = [origin.as_slice(), &target[length..]].concat(),
            None => break,
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, code)| Source::new(*path, *code))
            .collect();
        check(&sources).iter().map(Offence::to_string).collect()
    }

    #[track_caller]
    fn clean(files: &[(&str, &str)]) {
        assert_eq!(messages(files), [""; 0]);
    }

    #[track_caller]
    fn offends(files: &[(&str, &str)], part: &str) {
        let found = messages(files);
        assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
    }

    #[test]
    fn two_files_may_not_import_each_other() {
        offends(
            &[
                (
                    "src/wire/head.rs",
                    "use std::fmt;\nuse super::body::{Body, Length};",
                ),
                ("src/wire/body.rs", "fn a() { crate::wire::head::parse(); }"),
            ],
            "src/wire/body.rs:1: imports run in a circle: src/wire/body.rs takes parse from src/wire/head.rs, \
             src/wire/head.rs takes Body and Length from src/wire/body.rs; move",
        );
        clean(&[
            ("src/wire/head.rs", "use super::body::Body;"),
            ("src/wire/body.rs", "use super::text::Text;"),
        ]);
    }

    #[test]
    fn the_shortest_circle_of_a_knot_is_reported_and_no_other() {
        offends(
            &[
                ("src/wire/a.rs", "use super::b::B;"),
                ("src/wire/b.rs", "use super::c::C;"),
                ("src/wire/c.rs", "use super::{a::A, d::D};"),
                ("src/wire/d.rs", "use super::c::E;"),
            ],
            "circle: src/wire/c.rs takes D from src/wire/d.rs, src/wire/d.rs takes E from src/wire/c.rs;",
        );
        let two = [
            ("src/wire/a.rs", "use super::b::B;"),
            ("src/wire/b.rs", "use super::a::A;"),
            ("src/wire/c.rs", "use super::{a::A, d::D};"),
            ("src/wire/d.rs", "use super::c::C;"),
        ];
        assert_eq!(messages(&two).len(), 2);
    }

    #[test]
    fn circles_run_through_subfolders() {
        offends(
            &[
                ("src/wire/mod.rs", "pub mod http; pub mod text;"),
                ("src/wire/text.rs", "use super::http::parser::Parser;"),
                ("src/wire/http/mod.rs", "pub mod parser;"),
                ("src/wire/http/parser.rs", "use crate::wire::text::Text;"),
            ],
            "takes Text from src/wire/text.rs",
        );
    }

    #[test]
    fn a_name_counts_for_the_file_that_defines_it() {
        let text = ("src/wire/text.rs", "use crate::wire::http::{Limit, Outer};");
        let face = (
            "src/wire/http/mod.rs",
            "mod limit; mod parser; pub use limit::{Inner as Outer, Limit}; pub use parser::Parser;",
        );
        let parser = ("src/wire/http/parser.rs", "use crate::wire::text::Text;");
        clean(&[text, face, parser, ("src/wire/http/limit.rs", "")]);
        offends(
            &[
                ("src/wire/text.rs", "use super::http::Parser;"),
                face,
                parser,
            ],
            "src/wire/text.rs takes Parser from src/wire/http/parser.rs",
        );
    }

    #[test]
    fn a_mod_knows_its_children_and_is_known_from_elsewhere() {
        let face = ("src/wire/http/mod.rs", "mod parser; pub struct Http;");
        let parser = ("src/wire/http/parser.rs", "use crate::wire::text::Text;");
        clean(&[
            face,
            parser,
            ("src/wire/text.rs", ""),
            ("src/wire/stream.rs", "use super::http::Http;"),
        ]);
        offends(
            &[face, parser, ("src/wire/text.rs", "use super::http::Http;")],
            "takes Http from src/wire/http/mod.rs",
        );
    }

    #[test]
    fn borders_tests_and_other_folders_tie_nothing() {
        clean(&[
            (
                "src/wire/a.rs",
                "pub(in crate::wire::b) fn a() {}\n#[cfg(test)] mod tests { use super::super::b::B; }",
            ),
            (
                "src/wire/b.rs",
                "use super::a::A; use crate::base::time::Time;",
            ),
            ("src/wire/tests.rs", "#![cfg(test)] use super::b::B;"),
            ("src/base/time.rs", "use crate::wire::b::B;"),
        ]);
    }
}
