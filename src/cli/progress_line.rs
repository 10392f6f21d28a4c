//! A task's state as one line for a person: time, task, status, bar, percent, counts, stage, remaining time, message.

use crate::base::printable::printable;
use serde_json::{Map, Value};
use std::fmt::Write;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

const BAR_WIDTH: usize = 20;

/// The line for a message about a task, whose whole state is known.
pub(super) fn task_line(message: &Value, state: &Map<String, Value>, zone: UtcOffset) -> String {
    let text = |name: &str| state.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| state.get(name).and_then(Value::as_f64);
    let progress = number("progress").unwrap_or(0.0).clamp(0.0, 100.0);
    let (bar, percent) = match state.get("indeterminate") {
        Some(Value::Bool(true)) => ("~".repeat(BAR_WIDTH), "--".to_owned()),
        _ => (bar(progress), progress.floor().to_string()),
    };
    let mut line = format!(
        "{} {} {:<9} [{bar}] {percent:>3}%",
        clock(message, zone),
        printable(text("taskId")),
        printable(text("status")),
    );
    match (number("current"), number("total")) {
        (Some(current), Some(total)) if total > 0.0 => {
            push(&mut line, &format!("{current}/{total}"))
        }
        (Some(current), _) if current > 0.0 => push(&mut line, &current.to_string()),
        _ => {}
    }
    push(&mut line, &printable(text("stage")));
    if let Some(remaining_ms) = left_ms(message, state) {
        push(&mut line, &format!("ETA {}", duration(remaining_ms)));
    }
    push(&mut line, &printable(text("message")));
    if let Some(error) = state.get("error").filter(|error| !error.is_null()) {
        push(&mut line, &format!("error: {}", plain(error)));
    }
    line
}

/// The remaining time as of this message. A delta need not name it; then the end time is the newer information.
fn left_ms(message: &Value, state: &Map<String, Value>) -> Option<f64> {
    let number = |name: &str| state.get(name).and_then(Value::as_f64);
    let named_ms = message["payload"]["estimatedTimeRemaining"].as_f64();
    let until_end_ms = || {
        let end_ms = number("estimatedEndAt")?;
        Some((end_ms - message["timestamp"].as_f64()?).max(0.0))
    };
    named_ms
        .or_else(until_end_ms)
        .or_else(|| number("estimatedTimeRemaining"))
}

/// The line for another message in a task's room, such as `document_generated`.
pub(super) fn item_line(message: &Value, zone: UtcOffset) -> String {
    let kind = message["type"].as_str().unwrap_or_default();
    let time = clock(message, zone);
    format!("{time} {} {}", printable(kind), plain(&message["payload"]))
}

fn push(line: &mut String, part: &str) {
    if !part.is_empty() {
        let _ = write!(line, "  {part}");
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        value => printable(&value.to_string()).into_owned(),
    }
}

fn bar(progress: f64) -> String {
    let full = (progress / 100.0 * BAR_WIDTH as f64) as usize;
    format!("{}{}", "#".repeat(full), "-".repeat(BAR_WIDTH - full))
}

fn clock(message: &Value, zone: UtcOffset) -> String {
    let seconds = message["timestamp"].as_i64().unwrap_or(0) / 1000;
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let shape = format_description!("[hour]:[minute]:[second]");
    moment
        .checked_to_offset(zone)
        .and_then(|moment| moment.format(shape).ok())
        .unwrap_or_else(|| "--:--:--".to_owned())
}

/// `1h02m`, `2m05s` or `7s`, rounded up: a running task never has nothing left.
fn duration(ms: f64) -> String {
    let seconds = (ms / 1000.0).ceil().max(0.0) as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{:02}s", seconds % 60),
        (hours, minutes) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(state: Value) -> String {
        let message = json!({"type": "task_progress", "timestamp": 49_863_000});
        let Value::Object(state) = state else {
            panic!("no object")
        };
        task_line(&message, &state, UtcOffset::UTC)
    }

    #[test]
    fn a_whole_state_makes_a_whole_line() {
        let state = json!({
            "taskId": "task-123", "status": "running", "progress": 45.9, "current": 45, "total": 100,
            "stage": "rendering", "estimatedTimeRemaining": 124_200, "message": "page 45"
        });
        assert_eq!(
            line(state),
            "13:51:03 task-123 running   [#########-----------]  45%  45/100  rendering  ETA 2m05s  page 45"
        );
    }

    #[test]
    fn without_anything_to_count_by_the_bar_promises_nothing() {
        assert_eq!(
            line(
                json!({"taskId": "t", "status": "running", "progress": 0, "stage": "sorting", "indeterminate": true})
            ),
            "13:51:03 t running   [~~~~~~~~~~~~~~~~~~~~]  --%  sorting"
        );
    }

    #[test]
    fn what_is_left_counts_from_the_message_that_names_it_or_from_the_end() {
        let state =
            json!({"taskId": "t", "estimatedTimeRemaining": 90_000, "estimatedEndAt": 1_100_000});
        let state = state.as_object().expect("an object");
        let left_ms =
            |payload| left_ms(&json!({"timestamp": 1_040_000, "payload": payload}), state);
        assert_eq!(left_ms(json!({"message": "m"})), Some(60_000.0));
        assert_eq!(
            left_ms(json!({"estimatedTimeRemaining": 59_000})),
            Some(59_000.0)
        );
        let paused = json!({"estimatedTimeRemaining": 90_000});
        let message = json!({"timestamp": 1_040_000, "payload": {"message": "m"}});
        let paused = super::left_ms(&message, paused.as_object().expect("an object"));
        assert_eq!(paused, Some(90_000.0));
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        assert_eq!(
            line(
                json!({"taskId": "t", "status": "completed", "progress": 100, "current": 0, "total": 0, "stage": ""})
            ),
            "13:51:03 t completed [####################] 100%"
        );
        assert_eq!(
            line(json!({"taskId": "t", "status": "failed", "error": {"code": 7}})),
            "13:51:03 t failed    [--------------------]   0%  error: {\"code\":7}"
        );
    }

    #[test]
    fn nothing_of_a_producer_reaches_the_terminal_as_a_command() {
        let line = line(
            json!({"taskId": "t", "status": "running", "progress": 1e300, "message": "a\u{1b}[2Jb\nc\u{9b}d"}),
        );
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("100%"), "{line}");
    }

    #[test]
    fn items_show_their_payload() {
        let message = json!({"type": "document_generated", "timestamp": 0, "payload": {"taskId": "t", "name": "x"}});
        assert_eq!(
            item_line(&message, UtcOffset::UTC),
            "00:00:00 document_generated {\"name\":\"x\",\"taskId\":\"t\"}"
        );
    }

    #[test]
    fn durations_are_short() {
        for (ms, expected) in [
            (0.0, "0s"),
            (1.0, "1s"),
            (59_000.0, "59s"),
            (60_000.0, "1m00s"),
            (3_720_000.0, "1h02m"),
            (f64::MAX, "5124095576030431h00m"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }
}
