//! The values so far, each with its location, and what was found wrong on the way.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::keys::{self, Key};
use super::location::{Location, Mistake, Warning};
use super::settings::Config;

/// What the sources said, later layers over earlier ones.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, Placed>,
    /// What old names of single keys were given, in whichever source counts for them.
    old: BTreeMap<&'static str, Placed>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Placed {
    value: Value,
    location: Location,
    /// The name by which it was set: that of the key, or one that stands for it.
    path: String,
}

impl Layers {
    /// Lays a checked value, given as `path`, over the last one of each of these keys, or notes what is wrong with it.
    pub(super) fn put(
        &mut self,
        path: &str,
        keys: &[&'static Key],
        location: Location,
        checked: Result<Value, String>,
    ) {
        let value = match checked {
            Ok(value) => value,
            Err(what) => return self.mistake(location, what),
        };
        for key in keys {
            let before = self.values.get(key.path());
            let rival = before.filter(|before| {
                // What may not stand beside the other at all is refused elsewhere.
                before.path != path
                    && keys::rivals(path).is_empty()
                    && rank(&before.location) == rank(&location)
                    && before.value != value
            });
            if let Some(rival) = rival.map(|rival| rival.location.clone()) {
                self.mistake(location.clone(), says_otherwise(key.path(), &rival));
            }
            let placed = || Placed {
                value: value.clone(),
                location: location.clone(),
                path: path.to_owned(),
            };
            if let (Some(old), [_]) = (keys::alias(path), keys) {
                self.old.insert(old.path(), placed());
            }
            self.values.insert(key.path(), placed());
        }
    }

    /// Two old names of one key that differ, each in a source of its own: neither can be what both listeners are meant to
    /// have. Above both of them the key itself decides.
    pub(super) fn refuse_old_rivals(&mut self) {
        let mut mistakes = Vec::new();
        for (path, placed) in &self.old {
            for key in keys::set_by(path) {
                let counts = self.values.get(key.path());
                let counts =
                    counts.filter(|counts| rank(&counts.location) != rank(&placed.location));
                let rival = counts.filter(|counts| {
                    counts.path != key.path()
                        && counts.path != *path
                        && counts.value != placed.value
                });
                if let Some(rival) = rival {
                    mistakes.push((
                        rival.location.clone(),
                        says_otherwise(key.path(), &placed.location),
                    ));
                }
            }
        }
        for (location, what) in mistakes {
            self.mistake(location, what);
        }
    }

    pub(super) fn mistake(&mut self, location: Location, what: String) {
        self.mistakes.push(Mistake { location, what });
    }

    pub(super) fn warn(&mut self, location: Location, what: String) {
        self.warnings.push(Warning { location, what });
    }

    /// Where the value that counts was given.
    pub(super) fn location_of(&self, path: &str) -> Location {
        match self.values.get(path) {
            Some(placed) => placed.location.clone(),
            None => Location::BuiltIn {
                key: path.to_owned(),
            },
        }
    }

    /// The location of the one among `paths` that an operator set last; a check that relates keys blames it.
    pub(super) fn location_of_any(&self, paths: &[&str]) -> Location {
        let locations = paths.iter().rev().map(|path| self.location_of(path));
        locations
            .max_by_key(rank)
            .unwrap_or_else(|| Location::BuiltIn { key: String::new() })
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

/// Which source a location is in; the higher one counts.
fn rank(location: &Location) -> u8 {
    match location {
        Location::BuiltIn { .. } => 0,
        Location::File { .. } => 1,
        Location::Environment { .. } => 2,
        Location::Flag { .. } => 3,
    }
}

fn says_otherwise(key: &str, rival: &Location) -> String {
    format!(
        "sets {key} to something else than {rival} does; expected {key} alone, or the same in both"
    )
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
