//! The file layer: TOML text, walked with its line numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Key, canonical};
use super::layers::Layers;
use super::location::Location;
use super::nearest::nearest;
use super::value;

/// `name` is `None` for the file inside the binary.
pub(super) fn lay(name: Option<&str>, text: &str, layers: &mut Layers) {
    let name = name.map(Arc::from);
    let source = Source { name, text };
    match DeTable::parse(text) {
        Ok(root) => lay_table(&source, "", root.get_ref(), layers),
        Err(error) => {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let what = error.message().trim_end().replace('\n', ", ");
            layers.mistake(source.location(offset, None), format!("not TOML: {what}"));
        }
    }
}

/// The complaint about an unknown key, with the one that was probably meant.
pub(super) fn unknown_key(path: &str) -> String {
    match nearest_key(path) {
        Some(known) => format!("unknown key; did you mean {known}?"),
        None => "unknown key".to_owned(),
    }
}

fn nearest_key(path: &str) -> Option<&'static str> {
    let path: Vec<String> = path.split('.').map(canonical).collect();
    let name = path.last().map_or("", String::as_str);
    let same_name = |key: &&Key| key.path().rsplit('.').next() == Some(name);
    let paths = || keys::keys().iter().map(Key::path);
    let sections = || {
        paths()
            .filter_map(|path| path.rsplit_once('.'))
            .map(|(section, _)| section)
    };
    nearest(&path.join("."), paths().chain(sections()))
        .or_else(|| keys::keys().iter().find(same_name).map(Key::path))
        .or_else(|| paths().find(|known| nearest(name, known.rsplit('.').take(1)).is_some()))
}

struct Source<'a> {
    /// `None` for the file inside the binary.
    name: Option<Arc<str>>,
    text: &'a str,
}

impl Source<'_> {
    fn line_at(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn location(&self, offset: usize, key: Option<&str>) -> Location {
        match &self.name {
            None => Location::BuiltIn {
                key: key.unwrap_or_default().to_owned(),
            },
            Some(name) => {
                let (name, line) = (name.clone(), self.line_at(offset));
                Location::File {
                    name,
                    line,
                    key: key.map(str::to_owned),
                }
            }
        }
    }
}

fn lay_table(source: &Source<'_>, section: &str, table: &DeTable<'_>, layers: &mut Layers) {
    let mut in_order: Vec<_> = table.iter().collect();
    in_order.sort_by_key(|(name, _)| name.span().start);
    let mut seen: BTreeMap<String, &Spanned<_>> = BTreeMap::new();
    for (name, value) in in_order {
        let path = join(section, &canonical(name.get_ref()));
        let location = |key: &str| source.location(name.span().start, Some(key));
        if let Some(first) = seen.insert(path.clone(), name) {
            let (line, first) = (source.line_at(first.span().start), first.get_ref());
            let what = format!(
                "given twice: as {first} on line {line} and again as {}",
                name.get_ref()
            );
            layers.mistake(location(&path), what);
            continue;
        }
        for rival in keys::rivals(&path) {
            if let Some(first) = seen.get(rival) {
                let line = source.line_at(first.span().start);
                let what = format!("{} (given on line {line})", keys::sets_the_same(rival));
                layers.mistake(location(&path), what);
            }
        }
        let keys = keys::set_by(&path);
        match (keys.first(), value.get_ref()) {
            (Some(key), value) => {
                let checked = value::from_toml(key, value);
                layers.put(&path, &keys, location(&path), checked);
            }
            (None, DeValue::Table(below)) if keys::is_section(&path) => {
                lay_table(source, &path, below, layers);
            }
            (None, _) if keys::is_section(&path) => {
                let what = format!("this is a section; expected [{path}]");
                layers.mistake(location(&path), what);
            }
            (None, _) => {
                let spelled = join(section, &name.get_ref().escape_debug().to_string());
                layers.mistake(location(&spelled), unknown_key(&spelled));
            }
        }
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}
