//! The environment layer: the seeds' variables, above them `JOBLIGHT_<SECTION>_<KEY>`.

use super::keys::{self, Alias, Key, keys};
use super::layers::Layers;
use super::nearest::nearest;
use super::place::Place;
use super::value;

const PREFIX: &str = "JOBLIGHT_";

/// Variables with our prefix that mean something to our tests and nothing here.
const PASSED_OVER: &[&str] = &["JOBLIGHT_TEST_ALL"];

/// Lays the variables that are ours and warns of those that only look so.
pub(super) fn lay(environment: &[(String, String)], layers: &mut Layers) {
    let text_of = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, text)| text.as_str())
    };
    for key in keys() {
        let own = key.variable();
        if let Some(text) = text_of(&own) {
            layers.put(
                key.path(),
                &[key],
                Place::Environment { variable: own },
                value::from_text(key, text),
            );
        } else if let Some((variable, text)) = key
            .seed_variable
            .and_then(|name| Some((name, text_of(name)?)))
        {
            lay_seed(key, variable, text, layers);
        }
    }
    for alias in keys::aliases() {
        if let Some(text) = text_of(&alias.variable()) {
            lay_alias(alias, text, text_of, layers);
        }
    }
    warn_of_unknown(environment, layers);
}

fn lay_alias<'a>(
    alias: &Alias,
    text: &str,
    text_of: impl Fn(&str) -> Option<&'a str>,
    layers: &mut Layers,
) {
    let variable = alias.variable();
    let place = Place::Environment { variable };
    let keys = keys::set_by(alias.path());
    for rival in keys.iter().map(|key| key.variable()) {
        if text_of(&rival).is_some() {
            layers.mistake(place.clone(), keys::sets_the_same(&rival));
        }
    }
    if let Some(key) = keys.first() {
        layers.put(alias.path(), &keys, place, value::from_text(key, text));
    }
}

fn lay_seed(key: &'static Key, variable: &str, text: &str, layers: &mut Layers) {
    let place = Place::Environment {
        variable: variable.to_owned(),
    };
    match value::from_text(key, text) {
        // NODE_ENV belongs to every program on the machine, so a value that is strange to us stops nobody.
        Err(what) if variable == "NODE_ENV" => layers.warn(place, format!("{what}; passed over")),
        checked => layers.put(key.path(), &[key], place, checked),
    }
}

fn warn_of_unknown(environment: &[(String, String)], layers: &mut Layers) {
    let aliases = keys::aliases().iter().map(Alias::variable);
    let known: Vec<String> = keys().iter().map(Key::variable).chain(aliases).collect();
    for (variable, _) in environment {
        let is_known = known.contains(variable) || PASSED_OVER.contains(&variable.as_str());
        if !variable.starts_with(PREFIX) || is_known {
            continue;
        }
        let what = match nearest(variable, known.iter().map(String::as_str)) {
            Some(meant) => format!("unknown variable; did you mean {meant}?"),
            None => "unknown variable".to_owned(),
        };
        layers.warn(
            Place::Environment {
                variable: variable.clone(),
            },
            what,
        );
    }
}
