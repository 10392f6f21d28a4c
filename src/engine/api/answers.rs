//! Answers in JSON, and the problems that bad input amounts to.

use crate::engine::commands::CommandError;
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::Malformed;
use serde::Serialize;

/// A JSON answer.
pub fn json(status: u16, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).expect("documents of our own always serialise");
    Response::new(status).json(body)
}

/// A JSON answer that is text already.
pub fn json_text(status: u16, text: String) -> Response {
    Response::new(status).json(text.into_bytes())
}

/// An answer of one member.
pub fn list_of(name: &str, value: &impl Serialize) -> Response {
    json(200, &serde_json::json!({ name: value }))
}

/// The problem that a refused command amounts to.
pub fn command_problem(error: CommandError) -> Problem {
    let detail = error.to_string();
    match error {
        CommandError::UnknownClient(_) => Problem::new(404, "not_found", detail).at("id"),
        CommandError::Invalid { field, .. } => {
            Problem::new(400, "invalid_message", detail).at(field)
        }
        CommandError::LimitExceeded(_) => {
            Problem::new(503, "limit_exceeded", detail).retry_after_s(60)
        }
        CommandError::Unread(_) => {
            Problem::new(503, "storage_unavailable", detail).retry_after_s(1)
        }
        CommandError::Stopped => Problem::new(503, "draining", detail),
    }
}

/// A problem that names the field at fault.
pub fn malformed(malformed: Malformed) -> Problem {
    match malformed {
        Malformed::Json(reason) => Problem::new(400, "invalid_json", reason).at("body"),
        Malformed::Field { field, reason } => {
            let detail = Malformed::field(&*field, reason).to_string();
            Problem::new(400, "invalid_message", detail).at(field)
        }
    }
}

/// Refuses bodies that are no JSON. Without a type a body counts as JSON, and so does what curl sends unasked.
pub fn expect_json(head: &Head) -> Result<(), Problem> {
    let Some(essence) = head.content_type() else {
        return Ok(());
    };
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || essence.eq_ignore_ascii_case("text/plain")
        || essence.to_ascii_lowercase().ends_with("+json");
    if is_json {
        return Ok(());
    }
    let detail = format!("`{essence}` is not understood here; expected application/json");
    Err(Problem::new(415, "unsupported_media_type", detail).at("content-type"))
}

/// `limit` of a query, if it is there.
pub fn parse_limit(head: &Head) -> Result<Option<usize>, Problem> {
    let limit = head.query("limit").map(|text| text.parse());
    limit
        .transpose()
        .map_err(|_| invalid("limit", "expected a whole number"))
}

/// A query parameter is wrong.
pub fn invalid(field: &str, reason: &str) -> Problem {
    Problem::new(400, "invalid_message", format!("{field}: {reason}")).at(field)
}
