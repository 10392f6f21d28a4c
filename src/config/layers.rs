//! The values so far, each with its location, and the mistakes found on the way.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::keys::{self, Key};
use super::location::{Location, Mistake, Warning};
use super::settings::Config;
use super::value;

#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, Placed>,
    /// Values given under old names of single keys, from the source that counts for each.
    old: BTreeMap<&'static str, Placed>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

#[derive(Debug)]
struct Placed {
    value: Value,
    location: Location,
    /// The name by which it was set: the key's, or an alias's.
    path: String,
}

impl Layers {
    /// Lays a value, given as `path`, over the last one of each of these keys, or records what is wrong with it.
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
                // Rivals within one source are refused elsewhere.
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

    /// Lays a text over the keys that a path sets. `given` spells a rival, if the same source names it.
    pub(super) fn put_text(
        &mut self,
        path: &str,
        text: &str,
        location: Location,
        given: impl Fn(&'static str) -> Option<String>,
    ) {
        if keys::alias(path).is_some() {
            for rival in keys::rivals(path).into_iter().filter_map(given) {
                self.mistake(location.clone(), keys::sets_the_same(&rival));
            }
        }
        let keys = keys::set_by(path);
        if let Some(key) = keys.first() {
            self.put(path, &keys, location, value::from_text(key, text));
        }
    }

    /// Refuses two old names of one key that differ, each in a source of its own: neither can be what both listeners
    /// should have. A source above both may set the key itself.
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

    /// Records what is wrong with the value that counts for a key.
    pub(super) fn mistake_at(&mut self, path: &str, what: String) {
        self.mistake(self.location_of(path), what);
    }

    pub(super) fn warn(&mut self, location: Location, what: String) {
        self.warnings.push(Warning { location, what });
    }

    /// Where the effective value was given.
    pub(super) fn location_of(&self, path: &str) -> Location {
        match self.values.get(path) {
            Some(placed) => placed.location.clone(),
            None => Location::BuiltIn {
                key: path.to_owned(),
            },
        }
    }

    /// The location of whichever of `paths` an operator set last; checks that relate keys blame it.
    pub(super) fn location_of_any(&self, paths: &[&str]) -> Location {
        let locations = paths.iter().rev().map(|path| self.location_of(path));
        locations
            .max_by_key(rank)
            .unwrap_or_else(|| Location::BuiltIn { key: String::new() })
    }

    /// A key with a mistake keeps the value of the layer below.
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

    pub(super) fn into_result(
        self,
        config: Config,
    ) -> Result<(Config, Vec<Warning>), Vec<Mistake>> {
        if self.mistakes.is_empty() {
            Ok((config, self.warnings))
        } else {
            Err(self.mistakes)
        }
    }
}

/// The precedence of the source that a location is in.
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
