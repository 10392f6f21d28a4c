//! Calls about tasks: list, state, forget (contract section 7).

use crate::engine::answer::{Answer, Outcome};
use crate::engine::api::call::{Call, expect_json, invalid, parse_limit};
use crate::engine::api::events::refuse_cloud_event;
use crate::engine::api::ingest;
use crate::engine::context::Context;
use crate::engine::session::requests::request_control;
use crate::hub::Removal;
use crate::wire::http::Response;
use crate::wire::message::incoming::{object_or_none, parse_object};
use crate::wire::message::{Control, Malformed, Status};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde::Deserialize;

/// How many tasks a page has when the caller does not say.
const DEFAULT_LIMIT: usize = 100;
/// Who asks, when a call does.
const BY_CALL: &str = "api";
/// The most tasks on a page.
const MAX_LIMIT: usize = 1000;
/// The most tasks that are looked at for a page: where few have the wanted status, the next page goes on behind them.
const MAX_SEEN: usize = 50_000;
/// Bytes beyond which a page has no further task.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// `GET /api/tasks?status=&limit=&cursor=`: `{tasks, cursor}`, where a `cursor` other than `null` asks for the next page.
pub fn list(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let (head, now) = (call.head, context.now);
    let status = head
        .query("status")
        .map(|word| parse_status(&word))
        .transpose()?;
    let limit = match parse_limit(head)?.unwrap_or(DEFAULT_LIMIT) {
        0 => MAX_LIMIT,
        limit => limit.min(MAX_LIMIT),
    };
    let cursor = match head.query("cursor") {
        Some(text) => text
            .parse()
            .map_err(|_| invalid("cursor", "expected the `cursor` of the page before"))?,
        None => 0,
    };
    let tasks = context.hub.broadcaster().tasks().iter_from(cursor);
    let mut out = String::from("{\"tasks\":[");
    let (mut shown, mut next) = (0, None);
    for (seen, (slot, task)) in tasks.enumerate() {
        if seen == MAX_SEEN {
            next = Some(slot);
            break;
        }
        if status.is_some_and(|status| task.view.status != status) {
            continue;
        }
        if shown == limit || out.len() >= MAX_PAGE_BYTES {
            next = Some(slot);
            break;
        }
        if shown > 0 {
            out.push(',');
        }
        out.push_str(&task.whole_at(false, now));
        shown += 1;
    }
    match next {
        Some(slot) => out.push_str(&format!("],\"cursor\":\"{slot}\"}}")),
        None => out.push_str("],\"cursor\":null}"),
    }
    Ok(Answer::Now(Response::new(200).json(out)))
}

/// `GET /api/tasks/{id}`
pub fn show(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let id = call.name("id");
    let cache = context.hub.broadcaster().tasks();
    let task = cache
        .find(id)
        .and_then(|key| cache.task(key))
        .ok_or_else(|| unknown(id))?;
    let task = task.whole_at(false, context.now);
    Ok(Answer::Now(Response::new(200).json(task)))
}

/// `DELETE /api/tasks/{id}`
pub fn delete(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let (id, moment) = (call.name("id"), context.settings.at(context.now));
    match context
        .hub
        .forget(moment, id, Removal::Deleted, &mut context.out)
    {
        true => Ok(Answer::WhenKept(Response::new(204))),
        false => Err(unknown(id)),
    }
}

/// What `POST /api/tasks/{id}/control` asks.
#[derive(Deserialize)]
struct ControlRequest {
    action: Option<Control>,
}

/// `POST /api/tasks/{id}/control`: with a key, whoever brings it may; without one, `websocket.control = "any"` must allow it.
pub fn control(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let (id, head) = (call.name("id"), call.head);
    refuse_cloud_event(head)?;
    expect_json(head)?;
    let body = ingest::text(call.body)?;
    let request: ControlRequest = parse_object(object_or_none(body))?;
    let action = request.action.ok_or_else(|| {
        let reason = "missing; expected `cancel`, `pause` or `resume`";
        Refusal::from(Malformed::field("action", reason))
    })?;
    let requested = request_control(context, id, action, BY_CALL);
    let payload = requested.map_err(|refusal| match refusal.code() {
        ErrorCode::NotFound => unknown(id),
        ErrorCode::InvalidMessage => refusal.at("action"),
        // The call is right, and comes at the wrong time.
        _ => refusal.with_status(409),
    })?;
    Ok(Answer::WhenKept(Response::new(200).json(payload)))
}

fn parse_status(word: &str) -> Result<Status, Refusal> {
    let expected = "expected pending, running, paused, completed, failed or cancelled";
    Status::from_word(word).ok_or_else(|| invalid("status", expected))
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found(format!("there is no task `{id}`")).at("id")
}
