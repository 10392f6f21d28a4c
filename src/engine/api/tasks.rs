//! Calls about tasks: list, state, forget (contract section 7).

use crate::base::time::Now;
use crate::engine::access::permission::Permission;
use crate::engine::api::answers::{expect_json, invalid, json_text, malformed, parse_limit};
use crate::engine::api::events::refuse_cloud_event;
use crate::engine::api::ingest;
use crate::engine::session::controls;
use crate::engine::state::State;
use crate::hub::Removal;
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::incoming::{object_or_none, parse_object};
use crate::wire::message::{Control, ErrorCode, Malformed, Status};
use serde::Deserialize;

/// How many tasks a page has when the caller does not say.
const DEFAULT_LIMIT: usize = 100;
/// Who asks, when a call does.
const BY_CALL: &str = "api";
/// The most tasks on a page.
const MAX_LIMIT: usize = 1000;
/// Bytes beyond which a page has no further task.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// `GET /api/tasks?status=&limit=&cursor=`: `{tasks, cursor}`, where a `cursor` other than `null` asks for the next page.
pub fn list(state: &State, now: Now, head: &Head) -> Result<Response, Problem> {
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
    let tasks = state
        .hub
        .broadcaster()
        .tasks()
        .iter()
        .skip_while(|(slot, _)| *slot < cursor);
    let mut matching =
        tasks.filter(|(_, task)| status.is_none_or(|status| task.view.status == status));
    let mut out = String::from("{\"tasks\":[");
    let mut shown = 0;
    while shown < limit && out.len() < MAX_PAGE_BYTES {
        let Some((_, task)) = matching.next() else {
            break;
        };
        if shown > 0 {
            out.push(',');
        }
        out.push_str(&task.whole_at(false, now));
        shown += 1;
    }
    match matching.next() {
        Some((slot, _)) => out.push_str(&format!("],\"cursor\":\"{slot}\"}}")),
        None => out.push_str("],\"cursor\":null}"),
    }
    Ok(json_text(200, out))
}

/// `GET /api/tasks/{id}`
pub fn show(state: &State, now: Now, id: &str) -> Result<Response, Problem> {
    let cache = state.hub.broadcaster().tasks();
    let task = cache
        .find(id)
        .and_then(|key| cache.task(key))
        .ok_or_else(|| unknown(id))?;
    Ok(json_text(200, task.whole_at(false, now)))
}

/// `DELETE /api/tasks/{id}`
pub fn delete(state: &mut State, now: Now, id: &str) -> Result<Response, Problem> {
    match state
        .hub
        .forget(now, id, Removal::Deleted, &mut state.peers)
    {
        true => {
            state.durability.promise();
            Ok(Response::new(204))
        }
        false => Err(unknown(id)),
    }
}

/// What `POST /api/tasks/{id}/control` asks.
#[derive(Deserialize)]
struct Wish {
    action: Option<Control>,
}

/// `POST /api/tasks/{id}/control`: with a key, whoever brings it may; without one, `websocket.control = "any"` must allow it.
pub fn control(
    state: &mut State,
    now: Now,
    head: &Head,
    id: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let settings = &state.settings;
    if settings.http.api_key.is_empty() && settings.websocket.control != Permission::Anybody {
        let detail = "without http.api_key, only websocket.control = \"any\" allows control requests over HTTP";
        return Err(Problem::new(403, "not_allowed", detail));
    }
    refuse_cloud_event(head)?;
    expect_json(head)?;
    let body = ingest::text(body).map_err(malformed)?;
    let wish: Wish = parse_object(object_or_none(body)).map_err(malformed)?;
    let action = wish.action.ok_or_else(|| {
        let reason = "missing; expected `cancel`, `pause` or `resume`";
        malformed(Malformed::field("action", reason))
    })?;
    let payload = controls::request(state, now, id, action, BY_CALL);
    let payload = payload.map_err(|fault| match fault.code {
        ErrorCode::NotFound => unknown(id),
        ErrorCode::InvalidMessage => {
            Problem::new(400, "invalid_message", fault.reason).at("action")
        }
        code => Problem::new(409, code.as_str(), fault.reason),
    })?;
    state.durability.promise();
    Ok(json_text(200, payload))
}

fn parse_status(word: &str) -> Result<Status, Problem> {
    let expected = "expected pending, running, paused, completed, failed or cancelled";
    Status::from_word(word).ok_or_else(|| invalid("status", expected))
}

fn unknown(id: &str) -> Problem {
    Problem::new(404, "not_found", format!("there is no task `{id}`")).at("id")
}
