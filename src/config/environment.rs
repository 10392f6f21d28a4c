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
        let names = [Some(key.variable()), key.seed_variable.map(str::to_owned)];
        for variable in names.into_iter().flatten() {
            let Some(text) = text_of(&variable) else {
                continue;
            };
            let location = Location::Environment { variable };
            if key.kind == Kind::Port && has_scheme(text) {
                layers.warn(location, service_warning(key, text));
                continue;
            }
            lay_key(key, location, text, layers);
            break;
        }
    }
    for alias in keys::aliases() {
        let variable = alias.variable();
        if let Some(text) = text_of(&variable) {
            let location = Location::Environment { variable };
            layers.put_text(alias.path(), text, location, |rival| {
                let rival = keys::variable(rival);
                text_of(&rival).map(|_| rival)
            });
        }
    }
    warn_of_unknown(environment, layers);
}

fn lay_key(key: &'static Key, location: Location, text: &str, layers: &mut Layers) {
    match value::from_text(key, text) {
        // It belongs to every program on the machine: a value unknown to us stops nobody.
        Err(what)
            if location
                == Location::Environment {
                    variable: "NODE_ENV".to_owned(),
                } =>
        {
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
fn service_warning(key: &Key, text: &str) -> String {
    format!(
        "{text:?} is an address, as Kubernetes sets it for a Service of that name, and no port; passed over. \
         Set {} in the file or by its flag, or enableServiceLinks: false for the pod",
        key.path()
    )
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
