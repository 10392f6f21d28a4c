//! The resolved configuration as TOML that loads to the same configuration, secrets aside.

use toml::{Table, Value};

use super::derived::comes_to;
use super::keys::{Kind, keys};
use super::settings::Config;
use crate::base::auto;

/// Every key with the value that counts. A secret that is set stands as a comment, so that nobody loads its mask.
pub fn print_resolved(config: &Config) -> String {
    let root =
        Table::try_from(config).expect("plain fields with string keys are all that TOML needs");
    let mut out = String::new();
    let mut current = "";
    for key in keys() {
        let (section, name) = key.path().rsplit_once('.').unwrap_or(("", key.path()));
        if section != current {
            out.push_str(&format!("\n[{section}]\n"));
            current = section;
        }
        let value = value_at(&root, key.path())
            .expect("the key table and the fields have the same paths, as tested");
        let is_masked = key.kind == Kind::Secret && value.as_str() != Some("");
        let derived = comes_to(config, key.path()).filter(|_| value.as_str() == Some(auto::WORD));
        let line = match derived {
            _ if is_masked => format!("# {name} = \"***\" (set, not shown)\n"),
            Some(number) => format!("{name} = {value} # {number}\n"),
            None => format!("{name} = {value}\n"),
        };
        out.push_str(&line);
    }
    out
}

/// The value at a dotted path.
pub(super) fn value_at<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, rest)) => value_at(table.get(section)?.as_table()?, rest),
    }
}
