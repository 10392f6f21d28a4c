//! The table of all calls (contract section 7), and the way from a request to its row: which call is meant, who may make it, what is
//! read of it. Nothing else knows a path of the API: admission, 404, 405, `Allow` and `OPTIONS` read the table.

use super::call::{Body, Call, Row};
use super::{events, rooms, statistics, tasks};
use crate::engine::access::caller::Action;
use crate::engine::answer::{Answer, Outcome};
use crate::engine::context::Context;
use crate::wire::http::{Head, Method, Response};
use crate::wire::refusal::{ErrorCode, Refusal};
use std::borrow::Cow;

/// Rows as they are read: method, path, right, body, whether it needs the store, function, what it does.
macro_rules! table {
    ($($method:ident $path:tt, $right:expr, $body:ident, $needs_store:literal, $answer:path, $about:literal;)*) => {
        [$(Row {
            method: Method::$method,
            path: &$path,
            right: $right,
            body: Body::$body,
            needs_store: $needs_store,
            answer: $answer,
            about: $about,
        }),*]
    };
}

const HEALTH: Action = Action::CheckHealth;
const USE: Action = Action::UseApi;
const CONTROL: Action = Action::Control { is_member: false };

/// One row for each call; those that producers make come first, for they are made most often.
static TABLE: [Row; 20] = table! {
    POST ["api", "tasks", "{id}", "{event}"], USE, Optional, true, events::post_task_event, "Reports what a task does.";
    POST ["api", "events"], USE, Lines, true, events::post, "Reports events: one, an array, or lines of them.";
    POST ["api", "tasks", "{id}", "control"], CONTROL, Required, true, tasks::control, "Asks a task's worker to cancel, pause or resume.";
    GET ["health"], HEALTH, Ignored, false, statistics::health, "How the server is.";
    GET ["api", "websocket", "stats"], USE, Ignored, false, statistics::websocket_stats, "What the WebSocket server has done.";
    GET ["api", "broadcaster", "stats"], USE, Ignored, false, statistics::broadcaster_stats, "What the broadcaster has done.";
    GET ["api", "tasks"], USE, Ignored, true, tasks::list, "Lists tasks, a page at a time.";
    GET ["api", "tasks", "{id}"], USE, Ignored, true, tasks::show, "Shows a task.";
    DELETE ["api", "tasks", "{id}"], USE, Ignored, true, tasks::delete, "Forgets a task.";
    GET ["api", "rooms"], USE, Ignored, true, rooms::list, "Lists rooms.";
    GET ["api", "rooms", "{room}", "clients"], USE, Ignored, true, rooms::clients, "Lists the clients in a room.";
    GET ["api", "rooms", "{room}", "history"], USE, Ignored, true, rooms::history, "Shows a page of a room's log.";
    POST ["api", "rooms", "{room}", "broadcast"], USE, Required, true, rooms::broadcast, "Publishes a message to a room.";
    POST ["api", "broadcast"], USE, Required, true, rooms::broadcast_to_all, "Sends a message to every client.";
    GET ["api", "clients"], USE, Ignored, true, rooms::list_clients, "Lists clients.";
    GET ["api", "clients", "{id}"], USE, Ignored, true, rooms::show_client, "Shows a client.";
    DELETE ["api", "clients", "{id}"], USE, Ignored, true, rooms::disconnect, "Ends a client's connection.";
    POST ["api", "clients", "{id}", "send"], USE, Required, true, rooms::send, "Sends a message to one client.";
    PUT ["api", "clients", "{id}", "rooms", "{room}"], USE, Ignored, true, rooms::join, "Puts a client into a room.";
    DELETE ["api", "clients", "{id}", "rooms", "{room}"], USE, Ignored, true, rooms::leave, "Takes a client out of a room.";
};

/// The rows of a path: one for each method, none where nothing is.
fn rows_at(segments: &[Cow<'_, str>]) -> impl Iterator<Item = &'static Row> + Clone {
    TABLE.iter().filter(|row| row.matches(segments))
}

/// The methods of some rows, as an `Allow` header lists them (RFC 9110 section 10.2.1); empty: there are no rows.
fn allow(rows: impl Iterator<Item = &'static Row>) -> String {
    let mut out = String::new();
    for row in rows {
        out.push_str(match row.method {
            Method::GET => "GET, HEAD, ",
            Method::POST => "POST, ",
            Method::PUT => "PUT, ",
            _ => "DELETE, ",
        });
    }
    if !out.is_empty() {
        out.push_str("OPTIONS");
    }
    out
}

/// What follows a head that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A body that is read.
    Body,
    /// A body that has no meaning, if any.
    NoBody,
}

/// Answers a request.
pub fn answer(context: &mut Context<'_>, head: &Head, body: &[u8]) -> Outcome {
    let segments = &head.segments()?;
    if head.method() == Method::OPTIONS {
        return preflight(head, segments).map(Answer::Now);
    }
    let row = admit(context, head, segments)?;
    if matches!(row.body, Body::Required | Body::Lines) {
        check_length(head)?;
    }
    if row.needs_store {
        context.check_read()?;
    }
    let call = Call {
        row,
        head,
        segments,
        body,
    };
    (row.answer)(context, &call)
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
    let row = admit(context, head, &segments)?;
    if row.needs_store && !is_opening {
        context.check_read()?;
    }
    Ok(match row.body {
        Body::Ignored => Admitted::NoBody,
        Body::Optional | Body::Required | Body::Lines => Admitted::Body,
    })
}

/// Checks a request whose body is handled as it comes: only events are. Answers its `Idempotency-Key`.
pub fn admit_stream(context: &Context<'_>, head: &Head) -> Result<Option<String>, Refusal> {
    let segments = head.segments()?;
    let row = admit(context, head, &segments)?;
    if row.body == Body::Lines {
        context.check_read()?;
        return events::key_of(head);
    }
    let refusal = Refusal::new(
        ErrorCode::UnsupportedMediaType,
        "newline-delimited JSON is for /api/events; expected application/json",
    );
    Err(refusal.at("content-type"))
}

/// The row that a head means, if its caller may call it.
fn admit(
    context: &Context<'_>,
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
    context.caller.may(row.right, context.settings)?;
    Ok(row)
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
    Refusal::new(ErrorCode::MethodNotAllowed, detail).allow(methods)
}

/// A body whose end nobody knows cannot be read (RFC 9110 section 15.5.12).
fn check_length(head: &Head) -> Result<(), Refusal> {
    if head.header("content-length").is_some() || head.header("transfer-encoding").is_some() {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::LengthRequired,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<Cow<'_, str>> {
        path.split('/').skip(1).map(Cow::Borrowed).collect()
    }

    #[test]
    fn no_two_rows_answer_the_same_request() {
        for (index, row) in TABLE.iter().enumerate() {
            let earlier = &TABLE[..index];
            let is_same = |other: &Row| other.method == row.method && other.path == row.path;
            assert!(!earlier.iter().any(is_same), "{:?}", row.path);
            assert_eq!(row.method == Method::POST, row.body != Body::Ignored);
        }
    }

    #[test]
    fn a_path_lists_the_methods_of_its_rows() {
        let listed = |path: &str| allow(rows_at(&segments(path)));
        assert_eq!(listed("/api/tasks/a"), "GET, HEAD, DELETE, OPTIONS");
        assert_eq!(listed("/api/clients/a/rooms/b"), "PUT, DELETE, OPTIONS");
        assert_eq!(listed("/api/tasks/a/progress"), "POST, OPTIONS");
        assert_eq!(listed("/api/tasks/a/control"), "POST, OPTIONS");
        assert_eq!(listed("/api/tasks/a/eat"), "");
    }
}
