//! The options of each command, as values.

use std::path::PathBuf;

use serde_json::Value;

/// Of `serve` and `check`: where the configuration comes from.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) flags: Vec<(String, String)>,
}

#[derive(Debug, PartialEq)]
pub(super) struct WatchOptions {
    pub(super) url: String,
    pub(super) json: bool,
    pub(super) tasks: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct EmitOptions {
    pub(super) url: String,
    pub(super) key: Option<String>,
    pub(super) event: String,
    pub(super) task: String,
    pub(super) fields: Vec<(String, Value)>,
}

/// Holds the key where a flag would show it to everybody on the machine.
pub(super) const KEY_VARIABLE: &str = "JOBLIGHT_HTTP_API_KEY";

/// Reads `field=value`; a value that is JSON stands for itself, any other text is a string.
pub(super) fn parse_field(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            Ok((name.to_owned(), value))
        }
        _ => Err("expected FIELD=VALUE, such as progress=50".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (text, name, value) in [
            ("progress=50", "progress", json!(50)),
            ("stage=rendering", "stage", json!("rendering")),
            ("stage=\"50\"", "stage", json!("50")),
            ("message=", "message", json!("")),
            ("message=a=b", "message", json!("a=b")),
            ("eta=null", "eta", json!(null)),
            ("result={\"files\":2}", "result", json!({"files": 2})),
            ("total=1e999", "total", json!("1e999")),
        ] {
            assert_eq!(parse_field(text).unwrap(), (name.to_owned(), value));
        }
        for text in ["", "=", "=5", "progress"] {
            assert!(parse_field(text).is_err(), "{text}");
        }
    }
}
