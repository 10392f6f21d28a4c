//! The options of each command, as values.

use std::path::PathBuf;

use serde_json::Value;

/// Of `serve` and `check`: where the configuration comes from.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) flags: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, clap::Args)]
pub(super) struct WatchOptions {
    /// The server's WebSocket listener; a Unix socket is ws+unix:/path/to.sock:/ws
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:3001/ws")]
    pub(super) url: String,
    /// Print the tasks' messages as the server sends them, one JSON object a line
    #[arg(long)]
    pub(super) json: bool,
    /// Tasks to watch, by their ids; they need not exist yet
    #[arg(value_name = "TASK", required = true, num_args(1..))]
    pub(super) tasks: Vec<String>,
}

#[derive(Debug, PartialEq, clap::Args)]
pub(super) struct EmitOptions {
    /// The server's HTTP listener; a Unix socket is http+unix:/path/to.sock
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub(super) url: String,
    #[arg(long, value_name = "KEY", help = format!(
        "The server's http.api_key [default: the variable {KEY_VARIABLE}, which no process list shows]"
    ))]
    pub(super) key: Option<String>,
    /// What has happened to the task
    #[arg(value_name = "EVENT", value_parser = EVENTS)]
    pub(super) event: String,
    /// The task, by its id
    #[arg(value_name = "TASK")]
    pub(super) task: String,
    /// Fields of the event, such as current=3 total=10 stage=rendering; a value that is JSON means that
    #[arg(value_name = "FIELD=VALUE", num_args(0..), value_parser = parse_field)]
    pub(super) fields: Vec<(String, Value)>,
}

/// Contract section 7.
const EVENTS: [&str; 6] = [
    "started",
    "progress",
    "completed",
    "failed",
    "paused",
    "cancelled",
];

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
