//! The repository around the sources: what lies at its top, and what no tracked text may mention.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Offence;

/// What may lie at the top of the repository.
const TOP: [&str; 12] = [
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "config.toml",
    "docs",
    "src",
    "tests",
];

/// Paths of somebody's machine. Written in two halves so that this file does not offend.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt-"),
    concat!("/ro", "ot/"),
];

/// Hosts that serve packages, likewise in two halves.
const REGISTRY_HOSTS: [&str; 8] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("rubygems", ".org"),
    concat!("deb.debian", ".org"),
];

/// The lock file names one registry, and this is the one.
const LOCK_FILE: &str = "Cargo.lock";
const LOCK_SOURCE: &str = concat!(
    "source = \"registry+https://github.com/rust-lang/crates",
    ".io-index\""
);

/// Every rule of the repository that is broken at `root`. A tree without git, such as a published crate, has no list to judge.
pub(crate) fn check(root: &Path) -> Vec<Offence> {
    if !root.join(".git").exists() {
        return Vec::new();
    }
    let paths = tracked_files(root);
    let mut offences = check_top(&paths);
    for path in &paths {
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            offences.extend(check_text(path, &text));
        }
    }
    offences
}

fn tracked_files(root: &Path) -> Vec<String> {
    let mut git = Command::new("git");
    git.current_dir(root)
        .args(["-c", "safe.directory=*", "ls-files", "-z"]);
    let output = git
        .output()
        .expect("git is installed where its repository is tested");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git ls-files failed: {problem}");
    let names = String::from_utf8(output.stdout).expect("file names are UTF-8");
    names.split_terminator('\0').map(str::to_owned).collect()
}

fn check_top(paths: &[String]) -> Vec<Offence> {
    let entries: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.split('/').next())
        .collect();
    let strangers = entries.into_iter().filter(|entry| !TOP.contains(entry));
    let message = format!(
        "does not belong at the top; only these do: {}",
        TOP.join(", ")
    );
    strangers
        .map(|entry| Offence::new(entry, 1, message.as_str()))
        .collect()
}

fn check_text(path: &str, text: &str) -> Vec<Offence> {
    let fault = if path == LOCK_FILE {
        lock_fault
    } else {
        line_fault
    };
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| Some(Offence::new(path, index + 1, fault(line)?)))
        .collect()
}

fn line_fault(line: &str) -> Option<String> {
    if let Some(path) = MACHINE_PATHS.iter().find(|path| has_absolute(line, path)) {
        return Some(format!(
            "{path} exists on one machine only; write a path relative to the repository"
        ));
    }
    let host = REGISTRY_HOSTS.iter().find(|host| line.contains(**host))?;
    Some(format!(
        "{host} is a package registry; leave the choice of registry to who installs"
    ))
}

fn lock_fault(line: &str) -> Option<String> {
    let is_strange = line.starts_with("source = ") && line != LOCK_SOURCE;
    is_strange.then(|| "locked to an unusual source; lock against the default registry".to_owned())
}

/// Whether `path` stands in `line` from its root on, rather than inside a longer path.
fn has_absolute(line: &str, path: &str) -> bool {
    let is_longer = |before: char| before.is_alphanumeric() || "._-~}*".contains(before);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(is_longer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_at_the_top_are_found() {
        let paths = [
            "src/lib.rs",
            "Cargo.toml",
            ".ci/run",
            "notes/a.md",
            "notes/b.md",
            "rustfmt.toml",
        ]
        .map(str::to_owned);
        let found: Vec<String> = check_top(&paths)
            .into_iter()
            .map(|offence| offence.path)
            .collect();
        assert_eq!(found, ["notes", "rustfmt.toml"]);
        assert_eq!(check_top(&paths[..3]), []);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for path in MACHINE_PATHS {
            let offences = check_text("README.md", &format!("first\nsee `{path}main`\n"));
            assert!(offences.len() == 1 && offences[0].line == 2, "{path}");
        }
        assert_eq!(
            check_text(
                "README.md",
                concat!("see net", "/wo", "rk/a and ${HOME}", "/ro", "ot/b\n")
            ),
            []
        );
    }

    #[test]
    fn registries_are_found() {
        for host in REGISTRY_HOSTS {
            assert_eq!(
                check_text("README.md", &format!("see https://{host}/joblight")).len(),
                1,
                "{host}"
            );
        }
        assert_eq!(check_text("README.md", "cargo install joblight"), []);
    }

    #[test]
    fn the_lock_names_the_default_registry() {
        assert_eq!(
            check_text(LOCK_FILE, &format!("name = \"a\"\n{LOCK_SOURCE}\n")),
            []
        );
        assert_eq!(
            check_text(LOCK_FILE, "source = \"sparse+https://mirror.example/\"\n").len(),
            1
        );
    }
}
