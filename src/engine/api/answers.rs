//! Answers in JSON, and refusals that several calls share.

use crate::engine::commands::CommandError;
use crate::engine::refusal::Refusal;
use crate::hub::TooLarge;
use crate::wire::http::{Head, Response};
use crate::wire::message::incoming::parse;
use crate::wire::message::number::Whole;
use serde::Serialize;
use std::str::FromStr;

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

/// How a call is told that a command was refused.
pub fn command_refusal(error: CommandError) -> Refusal {
    let detail = error.to_string();
    match error {
        CommandError::UnknownClient(_) => Refusal::new("not_found", detail).at("id"),
        CommandError::Invalid { field, .. } => Refusal::new("invalid_message", detail).at(field),
        CommandError::LimitExceeded(_) => Refusal::new("limit_exceeded", detail).retry_after_s(60),
        CommandError::Stopped => Refusal::new("draining", detail).retry_after_s(1),
        CommandError::Unread(_) => Refusal::new("storage_unavailable", detail).retry_after_s(1),
    }
}

/// Refuses bodies that are no JSON. Without a type a body counts as JSON, and so does what curl sends unasked.
pub fn expect_json(head: &Head) -> Result<(), Refusal> {
    head.content_type().map_or(Ok(()), expect_json_type)
}

/// The same of a media type without its parameters.
pub fn expect_json_type(essence: &str) -> Result<(), Refusal> {
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("text/json")
        || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || essence.eq_ignore_ascii_case("text/plain")
        || essence.to_ascii_lowercase().ends_with("+json");
    if is_json {
        return Ok(());
    }
    let detail = format!("`{essence}` is not understood here; expected application/json");
    Err(Refusal::new("unsupported_media_type", detail).at("content-type"))
}

/// `limit` of a query, if it is there.
pub fn parse_limit(head: &Head) -> Result<Option<usize>, Refusal> {
    let wrong = || invalid("limit", "expected a whole number");
    let limit = head.query("limit");
    limit.map(|text| whole(&text).ok_or_else(wrong)).transpose()
}

/// A whole number as JSON may spell it.
pub fn whole<T: FromStr + TryFrom<u64>>(text: &str) -> Option<T> {
    text.parse().ok().or_else(|| {
        let Whole(number) = parse(text).ok()?;
        number.try_into().ok()
    })
}

/// A task would become too large.
pub fn too_large(fault: &TooLarge) -> Refusal {
    Refusal::new("task_too_large", fault.to_string()).at(&*fault.field)
}

/// A query parameter is wrong.
pub fn invalid(field: &str, reason: &str) -> Refusal {
    Refusal::new("invalid_message", format!("{field}: {reason}")).at(field)
}

/// There is no room for so many more tasks.
pub fn too_many(new: usize) -> Refusal {
    let detail = format!(
        "{new} more tasks would be over broadcaster.max_tasks, and too few have ended; nothing was taken"
    );
    Refusal::new("limit_exceeded", detail).retry_after_s(60)
}
