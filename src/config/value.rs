//! One value against its key: the type, the range, and the words when it does not fit.

use toml::Value;
use toml::de::{DeInteger, DeValue};

use super::keys::{Key, Kind};
use crate::base::auto;
use crate::base::network::Network;
use crate::base::pattern::MAX_PATTERN_BYTES;
use crate::engine::access::{Host, UNIX};
use crate::wire::http::{is_token, list_items};

/// A socket's path must fit `sockaddr_un` with its closing zero; 104 bytes is the least of the systems in use.
const MAX_SOCKET_PATH_LENGTH: usize = 103;

/// Checks a value of a file.
pub(super) fn from_toml(key: &Key, found: &DeValue<'_>) -> Result<Value, String> {
    let value = match found {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(switch) => Some(Value::Boolean(*switch)),
        DeValue::Integer(number) => whole(number).map(Value::Integer),
        DeValue::Float(number) => number.as_str().parse().ok().map(Value::Float),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(Value::from))
            .collect::<Option<_>>()
            .map(Value::Array),
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    };
    value
        .and_then(|value| fit(&key.kind, value))
        .ok_or_else(|| complaint(&key.kind, &written(found)))
}

/// Checks a value of the environment or of a flag, where everything is text and lists are separated by commas.
pub(super) fn from_text(key: &Key, text: &str) -> Result<Value, String> {
    let is_list = matches!(
        key.kind,
        Kind::Origins | Kind::Hosts | Kind::Networks | Kind::Patterns
    );
    if is_list && text.trim_start().starts_with('[') {
        return Err(format!(
            "{text:?} is not a possible value; expected a list with commas, as a,b"
        ));
    }
    let value = match &key.kind {
        Kind::Switch => switch(text).map(Value::Boolean),
        Kind::Whole { .. } => text.parse().ok().map(Value::Integer),
        Kind::AutoWhole { .. } if text == auto::WORD => Some(Value::from(text)),
        Kind::AutoWhole { .. } => text.parse().ok().map(Value::Integer),
        Kind::Fraction { .. } => text.parse().ok().map(Value::Float),
        _ if is_list => Some(Value::Array(
            list_items(text).map(str::trim).map(Value::from).collect(),
        )),
        _ => Some(Value::from(text)),
    };
    value
        .and_then(|value| fit(&key.kind, value))
        .ok_or_else(|| complaint(&key.kind, &format!("{text:?}")))
}

fn whole(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Converts a possible value into the form that its key's field takes.
fn fit(kind: &Kind, value: Value) -> Option<Value> {
    let all = |items: &[Value], is_possible: fn(&str) -> bool| {
        let mut items = items.iter();
        items.all(|item| item.as_str().is_some_and(is_possible))
    };
    let is_possible = match (kind, &value) {
        (Kind::Switch, Value::Boolean(_)) => true,
        (Kind::Whole { least, most } | Kind::AutoWhole { least, most }, Value::Integer(number)) => {
            u64::try_from(*number).is_ok_and(|number| (*least..=*most).contains(&number))
        }
        (Kind::Fraction { least, most }, Value::Float(number)) => (least..=most).contains(&number),
        (Kind::Fraction { .. }, Value::Integer(number)) => {
            return fit(kind, Value::Float(*number as f64));
        }
        (Kind::Port, Value::Integer(number)) => u16::try_from(*number).is_ok(),
        (Kind::Port, Value::String(text)) => match text.parse::<u16>() {
            Ok(number) => return Some(Value::Integer(number.into())),
            Err(_) => is_socket_path(text),
        },
        (Kind::Origins, Value::Array(items)) => all(items, is_origin),
        (Kind::Hosts, Value::Array(items)) => all(items, is_host_name),
        (Kind::Networks, Value::Array(items)) => all(items, is_network),
        (Kind::Patterns, Value::Array(items)) => all(items, is_pattern),
        (_, Value::String(text)) => is_possible_text(kind, text),
        _ => false,
    };
    is_possible.then_some(value)
}

fn is_possible_text(kind: &Kind, text: &str) -> bool {
    match kind {
        Kind::AutoWhole { .. } => text == auto::WORD,
        Kind::Choice(names) => names.contains(&text),
        Kind::Text => !text.contains('\0'),
        Kind::Secret => true,
        Kind::Host => is_host(text),
        Kind::HeaderName => text.bytes().all(is_token),
        Kind::UrlPath => is_url_path(text),
        Kind::MaybeUrlPath => text.is_empty() || is_url_path(text),
        Kind::SocketPath => text.is_empty() || is_socket_path(text),
        _ => false,
    }
}

fn is_url_path(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
    text.starts_with('/') && text.bytes().all(is_allowed)
}

fn is_socket_path(text: &str) -> bool {
    text.contains('/')
        && !text.ends_with('/')
        && !text.contains('\0')
        && !text.contains("://")
        && text.len() <= MAX_SOCKET_PATH_LENGTH
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// A name or an address that can be compared with a `Host` field.
fn is_host_name(text: &str) -> bool {
    Host::parse(text).is_some()
}

fn is_origin(text: &str) -> bool {
    let has_host = |(scheme, host): (&str, &str)| !scheme.is_empty() && is_host_name(host);
    ["*", "auto", "null"].contains(&text) || text.split_once("://").is_some_and(has_host)
}

fn is_network(text: &str) -> bool {
    text == UNIX || Network::parse(text).is_some()
}

fn is_pattern(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_PATTERN_BYTES && !text.chars().any(char::is_control)
}

fn complaint(kind: &Kind, found: &str) -> String {
    let found = if *kind == Kind::Secret { "this" } else { found };
    let noun = if *kind == Kind::Port {
        "a port"
    } else {
        "a possible value"
    };
    format!("{found} is not {noun}; expected {}", expected(kind))
}

fn expected(kind: &Kind) -> String {
    match kind {
        Kind::Switch => "true or false".to_owned(),
        Kind::Whole { least, most } => format!("a whole number from {least} to {most}"),
        Kind::AutoWhole { least, most } => {
            format!("a whole number from {least} to {most}, or \"auto\"")
        }
        Kind::Fraction { least, most } => format!("a number from {least} to {most}"),
        Kind::Choice(names) => format!("one of {}", names.join(", ")),
        Kind::Text | Kind::Secret => "a string".to_owned(),
        Kind::Host => "a host name or an address".to_owned(),
        Kind::UrlPath => "a URL path that begins with \"/\", such as \"/ws\"".to_owned(),
        Kind::MaybeUrlPath => "a URL path that begins with \"/\", or \"\" for none".to_owned(),
        Kind::SocketPath => format!(
            "a Unix socket path with a \"/\" and at most {MAX_SOCKET_PATH_LENGTH} bytes, or \"\" for none"
        ),
        Kind::Port => "0 to 65535 or a Unix socket path".to_owned(),
        Kind::Origins => {
            "a list of \"auto\", origins such as \"https://example.com\" (no \"/\" at the end), or \"*\""
                .to_owned()
        }
        Kind::Patterns => {
            format!("a list of message types of 1 to {MAX_PATTERN_BYTES} bytes, such as \"chat.*\"")
        }
        Kind::Networks => {
            "a list of networks such as \"10.0.0.0/8\", addresses, or \"unix\"".to_owned()
        }
        Kind::HeaderName => "a header's name such as \"X-Forwarded-For\", or \"\" for none".to_owned(),
        Kind::Hosts => {
            "a list of host names such as \"jobs.example.com\", without \"https://\"".to_owned()
        }
    }
}

/// The value roughly as the file spells it, so that it can be found again.
fn written(found: &DeValue<'_>) -> String {
    match found {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "a section".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::find;

    fn text(path: &str, text: &str) -> Result<Value, String> {
        from_text(find(path).unwrap(), text)
    }

    fn toml(path: &str, text: &str) -> Result<Value, String> {
        from_toml(find(path).unwrap(), DeValue::parse(text).unwrap().get_ref())
    }

    #[test]
    fn a_port_is_a_number_or_a_socket_path() {
        assert_eq!(toml("http.port", "0"), Ok(Value::Integer(0)));
        assert_eq!(
            toml("http.port", "\"/run/joblight.sock\""),
            Ok(Value::from("/run/joblight.sock"))
        );
        assert_eq!(text("http.port", "65535"), Ok(Value::Integer(65535)));
        let url = "\"tcp://10.3.240.7:80\"";
        for impossible in [
            "65536", "-1", "true", "\"abc\"", "\"\"", url, "3000.0", "[3000]",
        ] {
            let found = toml("http.port", impossible);
            assert_eq!(
                found,
                Err(format!(
                    "{impossible} is not a port; expected 0 to 65535 or a Unix socket path"
                ))
            );
        }
        assert!(text("http.port", &format!("/{}", "x".repeat(103))).is_err());
    }

    #[test]
    fn numbers_stay_in_their_range() {
        assert!(toml("server.shutdown_timeout", "31536000000").is_ok());
        for impossible in ["31536000001", "-1", "1.5", "\"10\"", "99999999999999999999"] {
            assert!(
                toml("server.shutdown_timeout", impossible).is_err(),
                "{impossible}"
            );
        }
        assert_eq!(
            toml("broadcaster.min_change_threshold", "1"),
            Ok(Value::Float(1.0))
        );
        assert_eq!(
            text("broadcaster.min_change_threshold", "0.25"),
            Ok(Value::Float(0.25))
        );
        for impossible in ["nan", "inf", "-0.1", "100.1"] {
            assert!(
                toml("broadcaster.min_change_threshold", impossible).is_err(),
                "{impossible}"
            );
        }
        assert!(text("broadcaster.max_slowdown", "0").is_err());
    }

    #[test]
    fn lists_are_separated_by_commas_in_text() {
        let list = |items: &[&str]| {
            Ok(Value::Array(
                items.iter().copied().map(Value::from).collect(),
            ))
        };
        assert_eq!(
            text("server.allowed_hosts", "a.example, b.example"),
            list(&["a.example", "b.example"])
        );
        assert_eq!(text("server.allowed_hosts", ""), list(&[]));
        for impossible in ["*", "https://a.example", "*.a.example", "a b", "a:port"] {
            assert!(
                text("server.allowed_hosts", impossible).is_err(),
                "{impossible}"
            );
        }
        assert!(toml("server.allowed_origins", "[\"https://*.example.com\"]").is_err());
        assert_eq!(
            text("server.trusted_proxies", "unix, 10.0.0.0/8,::1"),
            list(&["unix", "10.0.0.0/8", "::1"])
        );
        for impossible in ["localhost", "10.0.0.0/33", "unix:", "10.0.0", "/8"] {
            let complaint = text("server.trusted_proxies", impossible).unwrap_err();
            assert!(complaint.contains("\"10.0.0.0/8\""), "{complaint}");
        }
        assert!(text("server.client_address_header", "").is_ok());
        assert!(text("server.client_address_header", "X-A, X-B").is_err());
        assert!(toml("server.allowed_origins", "[\"example.com\"]").is_err());
        assert!(toml("server.allowed_origins", "[\"https://example.com/\"]").is_err());
        assert_eq!(text("routes.types", "chat.*,a"), list(&["chat.*", "a"]));
        assert!(toml("routes.types", "[\"\"]").is_err());
        let complaint = text("routes.types", "[\"a.*\"]").unwrap_err();
        assert!(
            complaint.ends_with("expected a list with commas, as a,b"),
            "{complaint}"
        );
        assert!(toml("server.allowed_origins", "[1]").is_err());
        assert!(toml("server.allowed_origins", "\"*\"").is_err());
    }

    #[test]
    fn a_secret_is_not_told() {
        let complaint = toml("http.api_key", "123456").unwrap_err();
        assert_eq!(complaint, "this is not a possible value; expected a string");
    }
}
