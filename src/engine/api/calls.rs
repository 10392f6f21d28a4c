//! From a request to a row of the table and its answer: which call is meant, who may make it, what is read of it.

use super::answers::command_refusal;
use super::event_key;
use super::row::{Body, Call, Row};
use super::table::{allow, rows_at};
use crate::engine::access::caller::Caller;
use crate::engine::answer::Answer;
use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::engine::settings::Settings;
use crate::wire::http::{Head, Method, Response};
use std::borrow::Cow;

/// What follows a head that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A body that is read.
    Body,
    /// A body that has no meaning, if any.
    NoBody,
}

/// Answers a request.
pub fn answer(context: &mut Context<'_>, head: &Head, body: &[u8]) -> Answer<Response> {
    let segments = head.segments().map_err(Refusal::from);
    let answered = segments.and_then(|segments| match head.method() {
        Method::OPTIONS => preflight(head, &segments).map(Answer::Now),
        _ => serve(context, head, &segments, body),
    });
    answered.unwrap_or_else(|refusal| Answer::Now(refusal.into()))
}

/// Whether a request is about what the store holds.
pub fn needs_store(head: &Head) -> bool {
    head.method() != Method::OPTIONS
        && head
            .segments()
            .is_ok_and(|segments| rows_at(&segments).any(|row| row.needs_store))
}

/// Judges a request by its head, and tells whether its body will be read. `is_opening`: it may wait for the store.
pub fn admit_head(
    context: &Context<'_>,
    head: &Head,
    is_opening: bool,
) -> Result<Admitted, Refusal> {
    let segments = head.segments()?;
    if head.method() == Method::OPTIONS {
        return preflight(head, &segments).map(|_| Admitted::NoBody);
    }
    let row = admit_call(context.settings, head, &segments)?;
    if row.needs_store && !is_opening {
        context.check_read().map_err(command_refusal)?;
    }
    Ok(match row.body {
        Body::Ignored => Admitted::NoBody,
        Body::Optional | Body::Required | Body::Lines => Admitted::Body,
    })
}

/// Checks a request whose body is handled as it comes: only events are. Answers its `Idempotency-Key`.
pub fn admit_stream(context: &Context<'_>, head: &Head) -> Result<Option<String>, Refusal> {
    let segments = head.segments()?;
    let row = admit_call(context.settings, head, &segments)?;
    if row.body == Body::Lines {
        context.check_read().map_err(command_refusal)?;
        return event_key::key_of(head);
    }
    let refusal = Refusal::new(
        "unsupported_media_type",
        "newline-delimited JSON is for /api/events; expected application/json",
    );
    Err(refusal.at("content-type"))
}

/// The row that a head means, if its caller may call it.
fn admit_call(
    settings: &Settings,
    head: &Head,
    segments: &[Cow<'_, str>],
) -> Result<&'static Row, Refusal> {
    let rows = rows_at(segments);
    let mut fitting = rows.clone().filter(|row| row.takes(head.method()));
    let Some(row) = fitting.next() else {
        return Err(match allow(rows) {
            methods if methods.is_empty() => unknown_path(head),
            methods => wrong_method(head, methods),
        });
    };
    Caller::Request(head).may(row.right, settings)?;
    Ok(row)
}

fn serve(
    context: &mut Context<'_>,
    head: &Head,
    segments: &[Cow<'_, str>],
    body: &[u8],
) -> Result<Answer<Response>, Refusal> {
    let row = admit_call(context.settings, head, segments)?;
    if matches!(row.body, Body::Required | Body::Lines) {
        check_length(head)?;
    }
    if row.needs_store {
        context.check_read().map_err(command_refusal)?;
    }
    let call = Call {
        row,
        head,
        segments,
        body,
    };
    (row.answer)(context, &call)
}

fn unknown_path(head: &Head) -> Refusal {
    Refusal::not_found(format!("there is nothing at `{}`", head.path())).at("path")
}

fn wrong_method(head: &Head, methods: String) -> Refusal {
    let detail = format!(
        "{} is not possible at `{}`; expected {methods}",
        head.method_text(),
        head.path()
    );
    Refusal::new("method_not_allowed", detail).allow(methods)
}

/// A body whose end nobody knows cannot be read (RFC 9110 section 15.5.12).
fn check_length(head: &Head) -> Result<(), Refusal> {
    if head.header("content-length").is_some() || head.header("transfer-encoding").is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        "length_required",
        "expected a body, with `Content-Length` or chunked",
    )
    .at("content-length"))
}

/// `OPTIONS`: what a page may do here (WHATWG Fetch, CORS preflight).
fn preflight(head: &Head, segments: &[Cow<'_, str>]) -> Result<Response, Refusal> {
    let methods = match head.path() {
        "*" => "GET, HEAD, POST, PUT, DELETE, OPTIONS".to_owned(),
        _ => allow(rows_at(segments)),
    };
    if methods.is_empty() {
        return Err(unknown_path(head));
    }
    let answer = Response::new(204).header("Allow", methods.clone());
    if head.header("access-control-request-method").is_none() {
        return Ok(answer);
    }
    let headers = head
        .header("access-control-request-headers")
        .unwrap_or("Authorization, Content-Type, Idempotency-Key")
        .to_owned();
    Ok(answer
        .header("Access-Control-Allow-Methods", methods)
        .header("Access-Control-Allow-Headers", headers)
        .header("Access-Control-Max-Age", "86400"))
}
