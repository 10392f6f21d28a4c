//! The floors of the house: who may use whom, who may do I/O, and which way knowledge runs inside a folder.

use std::collections::BTreeSet;

use crate::Offence;
use crate::paths::{CodePath, code_paths, module_of, resolve};
use crate::source::Source;

/// Folders of `src` and their floors. A file may use its own folder and strictly lower floors. No exceptions:
/// what a lower floor must know of a higher one, it declares itself and is given.
const FLOORS: [(&str, u8); 10] = [
    ("base", 0),
    ("wire", 1),
    ("assets", 1),
    ("hub", 2),
    ("conn", 2),
    ("engine", 3),
    ("config", 4),
    ("shell", 5),
    ("client", 5),
    ("cli", 6),
];

/// What a folder may not use although it lies lower: the hub speaks in messages, never in frames or requests.
const STRANGERS: [(&str, [&str; 2]); 2] =
    [("hub", ["wire", "websocket"]), ("hub", ["wire", "http"])];

/// The only folder that `src/main.rs` uses.
const DOOR: &str = "cli";

/// Folders that decide and never act: time, bytes, settings and randomness are given to them.
const PURE: [&str; 7] = ["base", "wire", "assets", "hub", "conn", "engine", "config"];

/// Modules of `std` that act on the machine.
const ACTING_MODULES: [&str; 5] = ["net", "fs", "env", "thread", "process"];

/// Names that act on the machine or read its clock, wherever they come from.
const ACTING_NAMES: [&str; 6] = [
    "mio",
    "socket2",
    "signal_hook",
    "signal_hook_mio",
    "Instant",
    "SystemTime",
];

/// Every rule of floors that `source` breaks; `modules` are all modules of the library.
pub(crate) fn check(source: &Source, modules: &BTreeSet<Vec<String>>) -> Vec<Offence> {
    if source.path == "src/main.rs" {
        return check_main(source);
    }
    match module_of(&source.path) {
        Some(module) if !module.is_empty() => check_module(source, &module, modules),
        _ => Vec::new(),
    }
}

fn check_main(source: &Source) -> Vec<Offence> {
    let is_door = |path: &CodePath<'_>| path.segments.get(1) == Some(&DOOR);
    let uses = code_paths(source)
        .into_iter()
        .filter(|path| match path.root() {
            "joblight" => !is_door(path),
            root => root != "std",
        });
    let uses = uses.map(|path| (path.token, format!("main.rs uses {}", path.text())));
    let modules = source
        .find(&["mod"])
        .map(|token| (token, "main.rs declares a module".to_owned()));
    let right = format!("use joblight::{DOOR} alone");
    uses.chain(modules)
        .map(|(token, wrong)| {
            Offence::new(
                &source.path,
                source.line(token),
                format!("{wrong}; {right}"),
            )
        })
        .collect()
}

fn check_module(
    source: &Source,
    module: &[String],
    modules: &BTreeSet<Vec<String>>,
) -> Vec<Offence> {
    let folder = module[0].as_str();
    let Some(floor) = floor_of(folder) else {
        let message = format!("{folder} is on no floor; move it into a folder that DESIGN lists");
        return vec![Offence::new(&source.path, 1, message)];
    };
    let paths = code_paths(source);
    let mut found = Vec::new();
    for path in &paths {
        let target = resolve(module, &source.inline_modules(path.token), path);
        let message = target.and_then(|target| {
            wrong_floor(folder, floor, &target)
                .or_else(|| wrong_way(source, module, modules, path, &target))
        });
        found.extend(message.map(|message| (path.token, message)));
    }
    if PURE.contains(&folder) {
        found.extend(acting_paths(folder, &paths));
        found.extend(acting_names(folder, source));
    }
    found
        .into_iter()
        .map(|(token, message)| Offence::new(&source.path, source.line(token), message))
        .collect()
}

fn floor_of(folder: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == folder)
        .map(|(_, floor)| *floor)
}

/// What is wrong when a file of `folder` uses `target`.
fn wrong_floor(folder: &str, floor: u8, target: &[String]) -> Option<String> {
    let used = target.first().map_or("", String::as_str);
    let is_stranger = |(of, path): &&(&str, [&str; 2])| {
        *of == folder && target.iter().map(String::as_str).take(2).eq(*path)
    };
    if let Some((_, [floor, room])) = STRANGERS.iter().find(is_stranger) {
        return Some(format!(
            "{folder} uses {floor}/{room}; hand a message over, and let the engine frame it"
        ));
    }
    match floor_of(used) {
        Some(below) if below < floor || used == folder => None,
        Some(other) => Some(format!(
            "{folder} (floor {floor}) uses {used} (floor {other}); use lower floors only, or take it as an input"
        )),
        None => Some(format!(
            "crate::{used} is no floor; name the folder that holds it, as crate::folder::file::Name"
        )),
    }
}

/// What is wrong when a file takes something out of the `mod.rs` above it.
fn wrong_way(
    source: &Source,
    module: &[String],
    modules: &BTreeSet<Vec<String>>,
    path: &CodePath<'_>,
    target: &[String],
) -> Option<String> {
    let length = (1..=target.len())
        .rev()
        .find(|length| modules.contains(&target[..*length]))?;
    let home = &target[..length];
    let is_above = module.len() > length && module.starts_with(home);
    let is_own_test = source.is_test_file && module.len() == length + 1;
    let home = home.join("/");
    (is_above && !is_own_test && !path.is_visibility).then(|| {
        format!(
            "{} comes from {home}/mod.rs above; put it into a sibling file and name that",
            path.text()
        )
    })
}

fn acting_paths(folder: &str, paths: &[CodePath<'_>]) -> Vec<(usize, String)> {
    let acts = |path: &&CodePath<'_>| {
        path.root() == "std"
            && path
                .segments
                .get(1)
                .is_some_and(|module| ACTING_MODULES.contains(module))
    };
    paths
        .iter()
        .filter(acts)
        .map(|path| (path.token, acting_message(folder, &path.text())))
        .collect()
}

fn acting_names(folder: &str, source: &Source) -> Vec<(usize, String)> {
    let tokens =
        (0..source.token_count()).filter(|token| ACTING_NAMES.contains(&source.token(*token)));
    tokens
        .map(|token| (token, acting_message(folder, source.token(token))))
        .collect()
}

fn acting_message(folder: &str, name: &str) -> String {
    format!(
        "{folder} is below the shell and names {name}; take it as an input, or let the shell do it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 7] = [
        "src/hub/mod.rs",
        "src/hub/room.rs",
        "src/hub/session.rs",
        "src/wire/mod.rs",
        "src/wire/input.rs",
        "src/wire/http/mod.rs",
        "src/wire/http/parse.rs",
    ];

    fn messages(path: &str, code: &str) -> Vec<String> {
        let modules = FILES.iter().filter_map(|file| module_of(file)).collect();
        check(&Source::new(path, code), &modules)
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
    fn lower_floors_and_the_own_folder_may_be_used() {
        clean(
            "src/hub/room.rs",
            "use crate::base::time::Time; use super::session::Session;",
        );
        clean(
            "src/hub/room.rs",
            "use crate::{base::Ids, wire::{input::Input, sse}}; use std::io::Read;",
        );
        clean(
            "src/cli/serve.rs",
            "use crate::{shell::Loop, client::Client, config::Config, engine::Engine};",
        );
        clean(
            "src/lib.rs",
            "pub use crate::shell::serve; pub use cli::run;",
        );
    }

    #[test]
    fn the_hub_knows_no_frame_and_no_request() {
        offends(
            "src/hub/room.rs",
            "use crate::wire::websocket::EncodedFrame;",
            "hub uses wire/websocket",
        );
        offends(
            "src/hub/room.rs",
            "use crate::wire::{http::Head, input::Input};",
            "hub uses wire/http",
        );
        clean("src/engine/mod.rs", "use crate::wire::http::Head;");
    }

    #[test]
    fn equal_and_higher_floors_may_not() {
        offends(
            "src/hub/room.rs",
            "use crate::conn::Peer;",
            "uses conn (floor 2)",
        );
        offends(
            "src/engine/mod.rs",
            "use crate::config::Config;",
            "uses config (floor 4)",
        );
        offends(
            "src/client/mod.rs",
            "use crate::shell::Loop;",
            "uses shell (floor 5)",
        );
        offends(
            "src/base/time.rs",
            "use super::super::wire::Input;",
            "uses wire (floor 1)",
        );
        offends(
            "src/wire/http/parse.rs",
            "use crate::{base::Ids, hub::{Room as R}};",
            "uses hub (floor 2)",
        );
        offends(
            "src/wire/input.rs",
            "fn a() { let b = crate::hub::Room { c: 1 }; }",
            "uses hub (floor 2)",
        );
        offends(
            "src/wire/input.rs",
            "#[cfg(test)] mod tests { use crate::engine::Engine; }",
            "uses engine (floor 3)",
        );
    }

    #[test]
    fn comments_and_strings_use_nothing() {
        clean(
            "src/base/time.rs",
            "// crate::hub::Room, std::fs, Instant\nconst A: &str = \"mio crate::hub\";",
        );
    }

    #[test]
    fn the_root_of_the_crate_is_no_floor() {
        offends(
            "src/hub/room.rs",
            "use crate::Room;",
            "crate::Room is no floor",
        );
        offends("src/hub/room.rs", "use crate::*;", "is no floor");
        offends("src/helpers.rs", "", "helpers is on no floor");
    }

    #[test]
    fn main_uses_the_command_line_alone() {
        clean(
            "src/main.rs",
            "use std::process::ExitCode; fn main() -> ExitCode { joblight::cli::run() }",
        );
        offends(
            "src/main.rs",
            "use joblight::shell::serve;",
            "main.rs uses joblight::shell::serve",
        );
        offends("src/main.rs", "mod extra;", "declares a module");
    }

    #[test]
    fn children_do_not_know_their_mod() {
        offends(
            "src/hub/room.rs",
            "use super::Hub;",
            "super::Hub comes from hub/mod.rs",
        );
        offends(
            "src/hub/room.rs",
            "use crate::hub::{Hub, session::Session};",
            "crate::hub::Hub comes from",
        );
        offends(
            "src/hub/room.rs",
            "fn a() { super::helper(); }",
            "super::helper comes from",
        );
        offends("src/hub/room.rs", "use super::*;", "comes from hub/mod.rs");
        offends(
            "src/wire/http/parse.rs",
            "use super::super::Limits;",
            "comes from wire/mod.rs",
        );
        offends(
            "src/wire/http/parse.rs",
            "use super::Request;",
            "comes from wire/http/mod.rs",
        );
        clean(
            "src/wire/http/parse.rs",
            "use super::super::input::Input; use crate::wire::input;",
        );
        clean(
            "src/hub/mod.rs",
            "use self::room::Room; use crate::hub::session::Session;",
        );
        clean(
            "src/hub/room.rs",
            "pub(in crate::hub) fn a() {} pub(super) fn b() {}",
        );
    }

    #[test]
    fn tests_know_what_they_test() {
        clean(
            "src/hub/room.rs",
            "#[cfg(test)] mod tests { use super::*; use super::Room; }",
        );
        clean("src/hub/tests.rs", "#![cfg(test)] use super::*;");
    }

    #[test]
    fn nothing_below_the_shell_acts() {
        for folder in PURE {
            offends(
                &format!("src/{folder}/a.rs"),
                "use std::{fmt, fs};",
                "names std::fs",
            );
        }
        offends(
            "src/config/mod.rs",
            "fn a() { std::env::args(); }",
            "names std::env::args",
        );
        offends(
            "src/conn/peer.rs",
            "use std::net::IpAddr;",
            "names std::net::IpAddr",
        );
        offends(
            "src/conn/peer.rs",
            "use std::time::{Duration, Instant};",
            "names Instant",
        );
        offends("src/hub/room.rs", "use ::std::thread;", "names std::thread");
        offends("src/engine/mod.rs", "fn a(b: mio::Token) {}", "names mio");
    }

    #[test]
    fn what_only_looks_like_acting_is_clean() {
        clean(
            "src/conn/peer.rs",
            "use core::net::IpAddr; use std::time::Duration; struct InstantMessage;",
        );
        clean(
            "src/config/mod.rs",
            "const A: &str = include_str!(\"../../config.toml\"); const B: &str = env!(\"C\");",
        );
        clean(
            "src/shell/mod.rs",
            "use std::{fs, net, thread}; use std::time::Instant; use mio::Poll;",
        );
    }
}
