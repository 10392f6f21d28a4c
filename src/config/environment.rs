//! The environment layer: the seeds' variables, and above them `JOBLIGHT_<SECTION>_<KEY>`.

use super::keys::{self, Alias, Key, Kind, keys};
use super::layers::Layers;
use super::location::Location;
use super::nearest::nearest;
use super::value;

const PREFIX: &str = "JOBLIGHT_";

/// Variables with our prefix that our tests use.
const PASSED_OVER: &[&str] = &["JOBLIGHT_TEST_ALL"];

/// Lays our variables over the layers below, and warns of those that only look like ours.
pub(super) fn lay(environment: &[(String, String)], layers: &mut Layers) {
    let text_of = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, text)| text.as_str())
    };
    for key in keys() {
        let own = key.variable();
        let mut value_of = |name: &str| {
            let text = text_of(name)?;
            let is_of_service = key.kind == Kind::Port && has_scheme(text);
            if is_of_service {
                warn_of_service(key, name, text, layers);
            }
            (!is_of_service).then_some(text)
        };
        if let Some(text) = value_of(&own) {
            layers.put(
                key.path(),
                &[key],
                Location::Environment { variable: own },
                value::from_text(key, text),
            );
        } else if let Some((variable, text)) = key
            .seed_variable
            .and_then(|name| Some((name, value_of(name)?)))
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
    let location = Location::Environment { variable };
    let keys = keys::set_by(alias.path());
    for rival in keys::rivals(alias.path()).into_iter().map(keys::variable) {
        if text_of(&rival).is_some() {
            layers.mistake(location.clone(), keys::sets_the_same(&rival));
        }
    }
    if let Some(key) = keys.first() {
        layers.put(alias.path(), &keys, location, value::from_text(key, text));
    }
}

fn lay_seed(key: &'static Key, variable: &str, text: &str, layers: &mut Layers) {
    let location = Location::Environment {
        variable: variable.to_owned(),
    };
    match value::from_text(key, text) {
        // NODE_ENV belongs to every program on the machine: a value unknown to us stops nobody.
        Err(what) if variable == "NODE_ENV" => {
            layers.warn(location, format!("{what}; passed over"))
        }
        checked => layers.put(key.path(), &[key], location, checked),
    }
}

/// Whether a value begins with a URL's scheme (RFC 3986 section 3.1); neither a port nor a path does.
fn has_scheme(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(is_allowed)
    })
}

/// Kubernetes puts the address of each Service into every pod, under the Service's name (as Docker did for links).
fn warn_of_service(key: &Key, variable: &str, text: &str, layers: &mut Layers) {
    let what = format!(
        "{text:?} is an address, as Kubernetes sets it for a Service of that name, and no port; passed over. \
         Set {} in the file or by its flag, or enableServiceLinks: false for the pod",
        key.path()
    );
    let variable = variable.to_owned();
    layers.warn(Location::Environment { variable }, what);
}

/// Whether Kubernetes sets a variable of that name and value beside the port of a Service: such a value is nobody's
/// mistake.
fn is_beside_service(variable: &str, text: &str) -> bool {
    let rest = variable.strip_prefix(PREFIX).unwrap_or(variable);
    let parts: Vec<&str> = rest.split('_').collect();
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    let is_protocol = |part: &str| matches!(part, "TCP" | "UDP" | "SCTP");
    let is_part = |part: &str| matches!(part, "PROTO" | "PORT" | "ADDR");
    let is_service = parts
        .windows(2)
        .any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]));
    let is_port = match parts[..] {
        [.., "PORT", number, protocol] => is_number(number) && is_protocol(protocol),
        [.., "PORT", number, protocol, part] => {
            is_number(number) && is_protocol(protocol) && is_part(part)
        }
        _ => false,
    };
    is_service || is_port || rest.ends_with("PORT") && has_scheme(text)
}

fn warn_of_unknown(environment: &[(String, String)], layers: &mut Layers) {
    let aliases = keys::aliases().iter().map(Alias::variable);
    let known: Vec<String> = keys().iter().map(Key::variable).chain(aliases).collect();
    for (variable, text) in environment {
        let is_known = known.contains(variable) || PASSED_OVER.contains(&variable.as_str());
        if !variable.starts_with(PREFIX) || is_known || is_beside_service(variable, text) {
            continue;
        }
        let what = match nearest(variable, known.iter().map(String::as_str)) {
            Some(meant) => format!("unknown variable; did you mean {meant}?"),
            None => "unknown variable".to_owned(),
        };
        layers.warn(
            Location::Environment {
                variable: variable.clone(),
            },
            what,
        );
    }
}
