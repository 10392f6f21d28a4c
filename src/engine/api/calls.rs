//! The HTTP API (contract section 7): which call is meant, who may make it, and what it answers.

use crate::base::time::Now;
use crate::engine::access::keys;
use crate::engine::api::answers::{command_problem, json};
use crate::engine::api::route::Route;
use crate::engine::api::{clients, event_key, events, rooms, tasks};
use crate::engine::state::{Life, State};
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Method, Problem, Response};
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
pub fn answer(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    body: &[u8],
) -> Response {
    let answered = match head.method() {
        Method::OPTIONS => preflight(head),
        _ => serve(state, now, connection, head, body),
    };
    answered.unwrap_or_else(Response::from)
}

/// Whether a request is about what the store holds.
pub fn needs_store(head: &Head) -> bool {
    let segments = head.segments();
    let route = segments
        .as_ref()
        .ok()
        .and_then(|segments| Route::resolve(segments));
    head.method() != Method::OPTIONS && route.is_some_and(Route::needs_store)
}

/// Judges a request by its head, and tells whether its body will be read.
pub fn admit_head(state: &State, head: &Head) -> Result<Admitted, Problem> {
    if head.method() == Method::OPTIONS {
        return preflight(head).map(|_| Admitted::NoBody);
    }
    let segments = head.segments()?;
    let route = admit_call(state, &segments, head)?;
    if route.needs_store() && !state.is_opening() {
        state.check_read().map_err(command_problem)?;
    }
    Ok(match route.takes_body() {
        true => Admitted::Body,
        false => Admitted::NoBody,
    })
}

/// The call that a head means, if it may be made.
fn admit_call<'a>(
    state: &State,
    segments: &'a [Cow<'_, str>],
    head: &Head,
) -> Result<Route<'a>, Problem> {
    let route = Route::resolve(segments).ok_or_else(|| unknown_path(head))?;
    check_method(&route, head)?;
    check_key(state, &route, head)?;
    Ok(route)
}

/// Checks a request whose body is handled as it comes: only events are. Answers its `Idempotency-Key`.
pub fn admit_stream(state: &State, head: &Head) -> Result<Option<String>, Problem> {
    let segments = head.segments()?;
    let route = admit_call(state, &segments, head)?;
    if route == Route::Events {
        state.check_read().map_err(command_problem)?;
        return event_key::key_of(head);
    }
    Err(Problem::new(
        415,
        "unsupported_media_type",
        "newline-delimited JSON is for /api/events; expected application/json",
    )
    .at("content-type"))
}

fn serve(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    body: &[u8],
) -> Result<Response, Problem> {
    let segments = head.segments()?;
    let route = admit_call(state, &segments, head)?;
    if route.needs_body() {
        check_length(head)?;
    }
    if route.needs_store() {
        state.check_read().map_err(command_problem)?;
    }
    match route {
        Route::Health => Ok(health(state, now)),
        Route::WebSocketStats => Ok(json(200, &state.websocket_stats(now))),
        Route::BroadcasterStats => Ok(json(200, &state.broadcaster_stats(now))),
        Route::Events => events::post(state, now, head, body),
        Route::TaskEvent { task, verb } => {
            events::post_task_event(state, now, head, task, verb, body)
        }
        Route::TaskControl(id) => tasks::control(state, now, head, id, body),
        Route::Tasks => tasks::list(state, now, head),
        Route::Task(id) if head.method() == Method::DELETE => tasks::delete(state, now, id),
        Route::Task(id) => tasks::show(state, now, id),
        Route::Rooms => Ok(rooms::list(state)),
        Route::RoomClients(room) => rooms::clients(state, room),
        Route::RoomHistory(room) => rooms::history(state, head, room),
        Route::RoomBroadcast(room) => rooms::broadcast(state, now, head, room, body),
        Route::Broadcast => rooms::broadcast_to_all(state, now, head, body),
        Route::Clients => clients::list(state),
        Route::Client(id) if head.method() == Method::DELETE => {
            clients::disconnect(state, now, head, id)
        }
        Route::Client(id) => clients::show(state, id),
        Route::ClientSend(id) => clients::send(state, now, head, id, body),
        Route::ClientRoom { client, room } if head.method() == Method::DELETE => {
            clients::leave(state, client, room)
        }
        Route::ClientRoom { client, room } => clients::join(state, now, client, room),
    }
    .inspect(|_| {
        debug_assert!(
            state.peers.peer(connection).is_some(),
            "an answer has somebody who asked"
        )
    })
}

fn health(state: &State, now: Now) -> Response {
    let status = if state.life == Life::Serving {
        200
    } else {
        503
    };
    json(status, &state.health(now))
}

fn unknown_path(head: &Head) -> Problem {
    Problem::new(
        404,
        "not_found",
        format!("there is nothing at `{}`", head.path()),
    )
    .at("path")
}

fn check_method(route: &Route<'_>, head: &Head) -> Result<(), Problem> {
    let allow = route.methods();
    if allow.split(", ").any(|method| method == head.method_text()) {
        return Ok(());
    }
    let detail = format!(
        "{} is not possible at `{}`; expected {allow}",
        head.method_text(),
        head.path()
    );
    Err(Problem::new(405, "method_not_allowed", detail).allow(allow))
}

/// A body whose end nobody knows cannot be read (RFC 9110 section 15.5.12).
fn check_length(head: &Head) -> Result<(), Problem> {
    if head.header("content-length").is_some() || head.header("transfer-encoding").is_some() {
        return Ok(());
    }
    Err(Problem::new(
        411,
        "length_required",
        "expected a body, with `Content-Length` or chunked",
    )
    .at("content-length"))
}

/// With `http.api_key`, all but the health check needs it.
fn check_key(state: &State, route: &Route<'_>, head: &Head) -> Result<(), Problem> {
    match route {
        Route::Health => Ok(()),
        _ => keys::authorize(&state.settings.http.api_key, head),
    }
}

fn preflight(head: &Head) -> Result<Response, Problem> {
    let allow = if head.path() == "*" {
        "GET, HEAD, POST, PUT, DELETE, OPTIONS"
    } else {
        Route::resolve(&head.segments()?)
            .ok_or_else(|| unknown_path(head))?
            .methods()
    };
    let answer = Response::new(204).header("Allow", allow);
    if head.header("access-control-request-method").is_none() {
        return Ok(answer);
    }
    let headers = head
        .header("access-control-request-headers")
        .unwrap_or("Authorization, Content-Type, Idempotency-Key")
        .to_owned();
    Ok(answer
        .header("Access-Control-Allow-Methods", allow)
        .header("Access-Control-Allow-Headers", headers)
        .header("Access-Control-Max-Age", "86400"))
}
