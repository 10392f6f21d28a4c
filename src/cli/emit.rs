//! `joblight emit`: reports one event of a task, as a worker's script would.

use super::diagnostics::{TROUBLE, tell};
use super::options::{EmitOptions, KEY_VARIABLE};
use crate::base::printable::printable_json;
use crate::client::http;
use crate::client::url::{Purpose, ServerUrl};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Unreserved characters (RFC 3986 section 2.3) without the dot: `..` would change the path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
/// For connecting, sending and the answer.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn emit(options: EmitOptions) -> ExitCode {
    let url = match ServerUrl::parse(&options.url, Purpose::Http) {
        Ok(url) => url,
        Err(error) => {
            tell(&error);
            return ExitCode::from(TROUBLE);
        }
    };
    let task = utf8_percent_encode(&options.task, IN_PATH);
    let path = format!("/api/tasks/{task}/{}", options.event);
    let fields: Map<String, Value> = options.fields.into_iter().collect();
    let json = Value::Object(fields).to_string();
    let key = options.key.or_else(|| std::env::var(KEY_VARIABLE).ok());
    let key = key.as_deref().filter(|key| !key.is_empty());
    match http::post(&url, &path, key, &json, TIMEOUT) {
        Ok(answer) if answer.is_success() => {
            let text = String::from_utf8_lossy(&answer.body);
            // The event counts, whether or not anybody reads the answer.
            let _ = writeln!(io::stdout(), "{}", printable_json(text.trim_end()));
            exit_code(&answer.body, &options.task)
        }
        Ok(answer) => {
            tell(&format_args!("HTTP {}: {}", answer.status, answer.detail()));
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&format_args!("cannot report to {}: {error}", options.url));
            ExitCode::from(TROUBLE)
        }
    }
}

/// A script must learn that its event did not count. A repeat has counted before.
fn exit_code(answer: &[u8], task: &str) -> ExitCode {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let Some(reason) = answer["drops"][0]["reason"].as_str() else {
        return ExitCode::SUCCESS;
    };
    let meaning = match reason {
        "repeat" => "an event that is known already",
        "oldSeq" => "its seq is not above the last",
        "oldAttempt" => "a later attempt has begun",
        "ended" => "the task has ended; `started` with restart=true begins the next attempt",
        _ => "the server says no more",
    };
    tell(&format_args!("{task}: dropped as {reason}: {meaning}"));
    match reason {
        "repeat" => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stays_one_part_of_the_path() {
        let encoded = |task| utf8_percent_encode(task, IN_PATH).to_string();
        assert_eq!(encoded("task-1_a~"), "task-1_a~");
        assert_eq!(encoded("../a b?c#d%"), "%2E%2E%2Fa%20b%3Fc%23d%25");
    }
}
