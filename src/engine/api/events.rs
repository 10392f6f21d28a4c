//! Calls by which producers report (contract section 7): all or nothing for each request, unless it is lines.

use super::answers::{expect_json, invalid, json_text, malformed, too_large};
use super::sizes;
use super::tasks;
use crate::base::time::Now;
use crate::engine::ingest::{self, Numbering, Tally};
use crate::engine::state::State;
use crate::hub::Refused;
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::cloud_event::CloudEvent;
use crate::wire::message::incoming::parse;
use crate::wire::message::{Event, Malformed, Report, TaskEvent};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;

/// `POST /api/events`
pub fn post(state: &mut State, now: Now, head: &Head, body: &[u8]) -> Result<Response, Problem> {
    let body = ingest::text(body).map_err(malformed)?;
    let reports = read(head, body)?;
    take_all(state, now, reports)
}

/// `POST /api/tasks/{id}/{event}`
pub fn post_task_event(
    state: &mut State,
    now: Now,
    head: &Head,
    task: &str,
    verb: TaskEvent,
    body: &[u8],
) -> Result<Response, Problem> {
    if !body.is_empty() {
        expect_json(head)?;
    }
    let body = ingest::text(body).map_err(malformed)?;
    let mut report = Report::for_task(task, verb, body).map_err(malformed)?;
    if let Some(restart) = parse_restart(head, verb)?
        && let Event::Task { patch, .. } = &mut report.event
    {
        patch.restart = restart;
    }
    take_all(state, now, vec![report])
}

/// `?restart=` of `POST /api/tasks/{id}/started`.
fn parse_restart(head: &Head, verb: TaskEvent) -> Result<Option<bool>, Problem> {
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

/// The answer to lines: what became of each, and 400 only when none was an event.
pub fn answer_lines(state: &mut State, tally: Tally) -> Response {
    if tally.is_all_wrong() {
        let first = tally.first_error().unwrap_or_default();
        let detail = format!("none of {} lines is an event; {first}", tally.rejected());
        return Problem::new(400, "invalid_message", detail)
            .at("body")
            .into();
    }
    state.durability.promise();
    json_text(200, tally.answer(state))
}

fn read(head: &Head, body: &str) -> Result<Vec<Report>, Problem> {
    if head.content_type_is("application/cloudevents-batch+json") {
        return read_array(body, |text| CloudEvent::parse(text)?.report()).map_err(malformed);
    }
    if head.content_type_is("application/cloudevents+json") {
        let report = CloudEvent::parse(body).and_then(|event| event.report());
        return report.map(|report| vec![report]).map_err(malformed);
    }
    expect_json(head)?;
    if head.header("ce-specversion").is_some() {
        return read_binary_cloud_event(head, body)
            .map(|report| vec![report])
            .map_err(malformed);
    }
    match body.trim_start().starts_with('[') {
        true => read_array(body, Report::parse).map_err(malformed),
        false => Report::parse(body)
            .map(|report| vec![report])
            .map_err(malformed),
    }
}

fn read_array(
    body: &str,
    read: impl Fn(&str) -> Result<Report, Malformed>,
) -> Result<Vec<Report>, Malformed> {
    let items: Vec<&RawValue> = parse(body)?;
    let numbered = items.iter().enumerate();
    numbered
        .map(|(index, item)| read(item.get()).map_err(|fault| fault.under(&format!("[{index}]"))))
        .collect()
}

/// CloudEvents' binary HTTP mode: the attributes are headers, the body is the data.
fn read_binary_cloud_event(head: &Head, body: &str) -> Result<Report, Malformed> {
    // What a header cannot hold comes percent-encoded (HTTP Protocol Binding for CloudEvents, section 3.1.3.2).
    let optional = |name: &'static str| {
        let value = percent_decode_str(head.header(name)?);
        Some(value.decode_utf8_lossy().into_owned())
    };
    let attribute = |name: &'static str| {
        optional(name).ok_or_else(|| Malformed::field(name, "missing; a CloudEvent needs it"))
    };
    let data: Option<&RawValue> = if body.trim().is_empty() {
        None
    } else {
        Some(parse(body)?)
    };
    let event = CloudEvent {
        specversion: attribute("ce-specversion")?,
        kind: attribute("ce-type")?,
        source: attribute("ce-source")?,
        id: attribute("ce-id")?,
        subject: optional("ce-subject"),
        room: optional("ce-room"),
        data,
    };
    event.report()
}

/// Takes all events, or none when the limits would refuse one.
fn take_all(state: &mut State, now: Now, reports: Vec<Report>) -> Result<Response, Problem> {
    check_room_for(state, &reports)?;
    sizes::check(state, &reports)?;
    let mut tally = Tally::new(Numbering::Places);
    for (index, report) in reports.into_iter().enumerate() {
        ingest::take(state, now, &mut tally, index as u64, Ok(report));
    }
    if tally.rejected() > 0 {
        if let Some(Refused::TooLarge(fault)) = tally.first_refusal() {
            return Err(too_large(fault));
        }
        let first = tally.first_error().unwrap_or_default();
        return Err(Problem::new(503, "limit_exceeded", first).retry_after_s(60));
    }
    state.durability.promise();
    Ok(json_text(200, tally.answer(state)))
}

fn check_room_for(state: &State, reports: &[Report]) -> Result<(), Problem> {
    let (tasks, directory) = (state.hub.broadcaster().tasks(), state.hub.directory());
    let mut new_tasks = HashSet::new();
    let mut new_rooms = HashSet::new();
    for report in reports {
        match &report.event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => {
                if tasks.find(task_id).is_none() {
                    new_tasks.insert(&**task_id);
                }
            }
            Event::Room { .. } => {}
        }
        let room = match &report.event {
            Event::Task { .. } => continue,
            Event::Item { task_id, .. } => Cow::Owned(format!("task:{task_id}")),
            Event::Room { room, .. } => Cow::Borrowed(&**room),
        };
        if directory.find(&room).is_none() {
            new_rooms.insert(room);
        }
    }
    if !tasks.has_room_for(new_tasks.len()) {
        return Err(tasks::too_many(new_tasks.len()));
    }
    let max_rooms = state.settings.hub.max_rooms;
    if max_rooms > 0
        && directory.rooms().len() + new_rooms.len() > max_rooms
        && !new_rooms.is_empty()
    {
        let detail = format!(
            "{} more rooms would be over websocket.max_rooms; nothing was taken",
            new_rooms.len()
        );
        return Err(Problem::new(503, "limit_exceeded", detail).retry_after_s(60));
    }
    Ok(())
}
