//! The values so far, each with its place, and what was found wrong on the way.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::keys::Key;
use super::place::{Mistake, Place, Warning};
use super::settings::Config;

/// What the sources said, later layers over earlier ones.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, Placed>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Placed {
    value: Value,
    place: Place,
}

impl Layers {
    /// Lays a checked value over the last one of each of these keys, or notes what is wrong with it.
    pub(super) fn put(
        &mut self,
        keys: &[&'static Key],
        place: Place,
        checked: Result<Value, String>,
    ) {
        let value = match checked {
            Ok(value) => value,
            Err(what) => return self.mistake(place, what),
        };
        for key in keys {
            let (value, place) = (value.clone(), place.clone());
            self.values.insert(key.path(), Placed { value, place });
        }
    }

    pub(super) fn mistake(&mut self, place: Place, what: String) {
        self.mistakes.push(Mistake { place, what });
    }

    pub(super) fn warn(&mut self, place: Place, what: String) {
        self.warnings.push(Warning { place, what });
    }

    /// Where the value that counts was given.
    pub(super) fn place_of(&self, path: &str) -> Place {
        match self.values.get(path) {
            Some(placed) => placed.place.clone(),
            None => Place::BuiltIn {
                key: path.to_owned(),
            },
        }
    }

    /// The place of the one among `paths` that an operator set last; a check that relates keys blames it.
    pub(super) fn place_of_any(&self, paths: &[&str]) -> Place {
        let rank = |place: &Place| match place {
            Place::BuiltIn { .. } => 0,
            Place::File { .. } => 1,
            Place::Environment { .. } => 2,
            Place::Flag { .. } => 3,
        };
        let places = paths.iter().rev().map(|path| self.place_of(path));
        places
            .max_by_key(rank)
            .unwrap_or_else(|| Place::BuiltIn { key: String::new() })
    }

    /// The typed configuration; keys with a mistake keep what the layer below said.
    pub(super) fn resolve(&self) -> Config {
        let mut root = Table::new();
        for (path, placed) in &self.values {
            insert(&mut root, path, placed.value.clone());
        }
        Value::Table(root).try_into().expect(
            "config.toml gives every key a value and the key table checked the type and range of each: \
             the tests hold the three against each other",
        )
    }

    /// The configuration, unless something is wrong with it.
    pub(super) fn verdict(self, config: Config) -> Result<(Config, Vec<Warning>), Vec<Mistake>> {
        if self.mistakes.is_empty() {
            Ok((config, self.warnings))
        } else {
            Err(self.mistakes)
        }
    }
}

fn insert(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let below = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                insert(below, rest, value);
            }
        }
    }
}
