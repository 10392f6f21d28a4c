//! Calls by which producers report (contract section 7): all or nothing for each request, unless it is lines.

use crate::engine::answer::Outcome;
use crate::engine::api::call::{Call, expect_json, expect_json_type, invalid};
use crate::engine::api::{fitting, ingest};
use crate::engine::context::Context;
use crate::wire::http::{Head, is_percent_encoded, unquote};
use crate::wire::message::cloud_event::{
    Attribute, CloudEvent, EMPTY, check_json_type, missing_attribute,
};
use crate::wire::message::event::{KEY_HEADER, numbered_id};
use crate::wire::message::incoming::parse;
use crate::wire::message::name::MAX_NAME_BYTES;
use crate::wire::message::{Event, Malformed, Report, TaskEvent};
use crate::wire::refusal::{ErrorCode, Refusal};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// `POST /api/events`
pub fn post(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let body = ingest::text(call.body)?;
    let reports = read(call.head, body)?;
    take_all(context, reports)
}

/// `POST /api/tasks/{id}/{event}`
pub fn post_task_event(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let head = call.head;
    let verb = TaskEvent::from_verb(call.name("event")).expect("the row's path has events only");
    refuse_cloud_event(head)?;
    if !call.body.is_empty() {
        expect_json(head)?;
    }
    let body = ingest::text(call.body)?;
    let mut report = Report::for_task(call.name("id"), verb, body)?;
    if let Some(restart) = parse_restart(head, verb)?
        && let Event::Task { patch, .. } = &mut report.event
    {
        patch.restart = restart;
    }
    if let Some(key) = key_of(head)? {
        report = report.named_by(key)?;
    }
    take_all(context, vec![report])
}

/// `?restart=` of `POST /api/tasks/{id}/started`.
fn parse_restart(head: &Head, verb: TaskEvent) -> Result<Option<bool>, Refusal> {
    let Some(text) = head.query("restart") else {
        return Ok(None);
    };
    match (&*text, verb) {
        (_, verb) if verb != TaskEvent::Started => {
            Err(invalid("restart", "only `started` begins the next attempt"))
        }
        ("1" | "true" | "", _) => Ok(Some(true)),
        ("0" | "false", _) => Ok(Some(false)),
        _ => Err(invalid("restart", "expected 1 or 0")),
    }
}

fn read<'a>(head: &Head, body: &'a str) -> Result<Vec<Report<'a>>, Refusal> {
    let structured = |text: &'a str| {
        Report::read_repairing(text, "id", |text| CloudEvent::parse(text)?.report())
    };
    let kind = head.content_type().unwrap_or("application/json");
    let is = |essence: &str| kind.eq_ignore_ascii_case(essence);
    if is("application/cloudevents-batch+json") {
        check_charset(head)?;
        return read_array(body, |_, text| structured(text)).map_err(Refusal::from);
    }
    if is("application/cloudevents+json") {
        check_charset(head)?;
        let report = structured(body)?;
        return Ok(vec![report]);
    }
    expect_json_type(kind)?;
    if binary_mode_header(head).is_some() {
        // A form is what curl says unasked.
        if !is("application/x-www-form-urlencoded") {
            check_charset(head)?;
        }
        let report = Report::read_repairing(body, "id", |body| read_binary_cloud_event(head, body));
        return Ok(vec![report?]);
    }
    let key = key_of(head)?;
    let named = |report: Report<'a>, id: Option<String>| match id {
        Some(id) => report.named_by(id),
        None => Ok(report),
    };
    if body.trim_start().starts_with('[') {
        let id = |index| key.as_ref().map(|key| numbered_id(key, index));
        return read_array(body, |index, text| named(Report::parse(text)?, id(index)))
            .map_err(Refusal::from);
    }
    let report = Report::parse(body).and_then(|report| named(report, key));
    Ok(vec![report?])
}

/// The header by which a request is a CloudEvent in binary mode.
fn binary_mode_header(head: &Head) -> Option<&'static str> {
    let mut names = ["ce-specversion", "ce-type"].into_iter();
    names.find(|name| head.header(name).is_some())
}

/// Refuses CloudEvents where the path names the event: its envelope would be taken for fields of the task.
pub fn refuse_cloud_event(head: &Head) -> Result<(), Refusal> {
    let kind = head.content_type().unwrap_or_default();
    let is_structured = kind
        .to_ascii_lowercase()
        .starts_with("application/cloudevents");
    let field = match is_structured {
        true => Some("content-type"),
        false => binary_mode_header(head),
    };
    let Some(field) = field else {
        return Ok(());
    };
    let detail = format!(
        "{field}: says that this is a CloudEvent, which this call does not read; expected it at /api/events"
    );
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, detail).at(field))
}

fn read_array<'a>(
    body: &'a str,
    read: impl Fn(u64, &'a str) -> Result<Report<'a>, Malformed>,
) -> Result<Vec<Report<'a>>, Malformed> {
    let items: Vec<&RawValue> = parse(body)?;
    let numbered = (0..).zip(items);
    numbered
        .map(|(index, item)| {
            read(index, item.get()).map_err(|fault| fault.under(&format!("[{index}]")))
        })
        .collect()
}

/// Refuses CloudEvents whose type is no JSON, or no JSON in UTF-8.
fn check_charset(head: &Head) -> Result<(), Refusal> {
    let checked = head.header("content-type").map_or(Ok(()), check_json_type);
    checked
        .map_err(|reason| Refusal::new(ErrorCode::UnsupportedMediaType, reason).at("content-type"))
}

/// CloudEvents' binary HTTP mode: the attributes are headers, the body is the data.
fn read_binary_cloud_event(head: &Head, body: &str) -> Result<Report<'static>, Malformed> {
    let optional = |name: &'static str| attribute(head, name);
    let needed = |name| optional(name)?.ok_or_else(|| missing_attribute(name));
    let data: Option<&RawValue> = if body.trim().is_empty() {
        None
    } else {
        Some(parse(body)?)
    };
    let event = CloudEvent {
        specversion: needed("ce-specversion")?,
        kind: needed("ce-type")?,
        source: needed("ce-source")?,
        id: needed("ce-id")?,
        subject: optional("ce-subject")?,
        room: optional("ce-room")?,
        datacontenttype: None,
        data,
        data_base64: None,
    };
    event.report()
}

/// An attribute out of its header, without quotes and percent-encoding (HTTP Protocol Binding for CloudEvents, section
/// 3.1.3.2). What cannot be decoded without loss is refused: different tasks would become one.
fn attribute(head: &Head, name: &'static str) -> Result<Option<Attribute>, Malformed> {
    let wrong = |reason: &str| Malformed::field(name, reason);
    let mut values = head.headers(name);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != value) {
        return Err(wrong("is there twice, with different values; expected one"));
    }
    if head.is_garbled(name) {
        return Err(wrong(
            "holds bytes that are not UTF-8; expected percent-encoding",
        ));
    }
    let plain = match value.starts_with('"') {
        true => match unquote(value, |_| true) {
            Some((plain, "")) => Cow::Owned(plain),
            _ => return Err(wrong("begins with a quote; expected the other at its end")),
        },
        false => Cow::Borrowed(value),
    };
    if !is_percent_encoded(&plain) {
        return Err(wrong(
            "has a `%` without two hexadecimal digits; expected `%25`",
        ));
    }
    let decoded = percent_decode_str(&plain).decode_utf8();
    let decoded =
        decoded.map_err(|_| wrong("does not decode to UTF-8; expected percent-encoded UTF-8"))?;
    let attribute = Attribute::new(decoded.into_owned());
    attribute.map(Some).ok_or_else(|| wrong(EMPTY))
}

/// Takes all events, or none when the limits would refuse one.
fn take_all(context: &mut Context<'_>, reports: Vec<Report<'_>>) -> Outcome {
    fitting::check(context, &reports)?;
    let moment = context.settings.at(context.now);
    ingest::take_all(context.hub, &mut context.out, moment, reports)
}

/// The `Idempotency-Key` of a request (an IETF draft, used by Stripe and others), by which it may be sent again whole: a string
/// of RFC 9651, or the same without quotes.
pub fn key_of(head: &Head) -> Result<Option<String>, Refusal> {
    let mut values = head.headers(KEY_HEADER);
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if head.is_garbled(KEY_HEADER) {
        return Err(key_refused("holds bytes that are not UTF-8"));
    }
    let key = read_key(first)?;
    for other in values {
        if read_key(other)? != key {
            return Err(key_refused("is there twice, with different values"));
        }
    }
    Ok(Some(key))
}

fn read_key(value: &str) -> Result<String, Refusal> {
    let key = match value.starts_with('"') {
        true => {
            let (key, rest) = unquote(value, |escaped| matches!(escaped, '"' | '\\'))
                .ok_or_else(|| key_refused("is no string"))?;
            // Parameters may follow; none means anything here.
            if !(rest.is_empty() || rest.trim_start().starts_with(';')) {
                return Err(key_refused("goes on after the closing quote"));
            }
            key
        }
        false if value.contains(['"', ',', ' ', '\t']) => return Err(key_refused("is no token")),
        false => value.to_owned(),
    };
    if !key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Err(key_refused("holds characters beyond ASCII"));
    }
    if key.is_empty() || key.len() > MAX_NAME_BYTES {
        let found = format!("has {} bytes", key.len());
        return Err(key_refused(&found));
    }
    Ok(key)
}

fn key_refused(found: &str) -> Refusal {
    let detail = format!(
        "{KEY_HEADER}: {found}; expected one string of 1 to {MAX_NAME_BYTES} bytes in double quotes, as \"6650f1-3\""
    );
    Refusal::new(ErrorCode::InvalidMessage, detail).at(KEY_HEADER)
}
