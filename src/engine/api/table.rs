//! The table of all calls (contract section 7): admission, 404, 405, `Allow` and `OPTIONS` read it, and nothing else knows a
//! path of the API.

use super::row::{Body, CallFn, Row};
use super::{clients, events, rooms, server, tasks};
use crate::engine::access::caller::Action;
use crate::wire::http::Method;
use std::borrow::Cow;

/// One row for each call; those that producers make come first, for they are made most often.
pub static TABLE: [Row; 20] = [
    row(
        Method::POST,
        &["api", "tasks", "{id}", "{event}"],
        Body::Optional,
        events::post_task_event,
        "Reports what a task does.",
    ),
    row(
        Method::POST,
        &["api", "events"],
        Body::Lines,
        events::post,
        "Reports events: one, an array, or lines of them.",
    ),
    row(
        Method::POST,
        &["api", "tasks", "{id}", "control"],
        Body::Required,
        tasks::control,
        "Asks a task's worker to cancel, pause or resume it.",
    ),
    about_server(
        &["health"],
        Action::CheckHealth,
        server::health,
        "How the server is.",
    ),
    about_server(
        &["api", "websocket", "stats"],
        Action::UseApi,
        server::websocket_stats,
        "What the WebSocket server has done.",
    ),
    about_server(
        &["api", "broadcaster", "stats"],
        Action::UseApi,
        server::broadcaster_stats,
        "What the broadcaster has done.",
    ),
    row(
        Method::GET,
        &["api", "tasks"],
        Body::Ignored,
        tasks::list,
        "Lists tasks, a page at a time.",
    ),
    row(
        Method::GET,
        &["api", "tasks", "{id}"],
        Body::Ignored,
        tasks::show,
        "Shows a task.",
    ),
    row(
        Method::DELETE,
        &["api", "tasks", "{id}"],
        Body::Ignored,
        tasks::delete,
        "Forgets a task.",
    ),
    row(
        Method::GET,
        &["api", "rooms"],
        Body::Ignored,
        rooms::list,
        "Lists rooms.",
    ),
    row(
        Method::GET,
        &["api", "rooms", "{room}", "clients"],
        Body::Ignored,
        rooms::clients,
        "Lists the clients in a room.",
    ),
    row(
        Method::GET,
        &["api", "rooms", "{room}", "history"],
        Body::Ignored,
        rooms::history,
        "Shows a page of a room's log.",
    ),
    row(
        Method::POST,
        &["api", "rooms", "{room}", "broadcast"],
        Body::Required,
        rooms::broadcast,
        "Publishes a message to a room.",
    ),
    row(
        Method::POST,
        &["api", "broadcast"],
        Body::Required,
        rooms::broadcast_to_all,
        "Sends a message to every client.",
    ),
    row(
        Method::GET,
        &["api", "clients"],
        Body::Ignored,
        clients::list,
        "Lists clients.",
    ),
    row(
        Method::GET,
        &["api", "clients", "{id}"],
        Body::Ignored,
        clients::show,
        "Shows a client.",
    ),
    row(
        Method::DELETE,
        &["api", "clients", "{id}"],
        Body::Ignored,
        clients::disconnect,
        "Ends a client's connection.",
    ),
    row(
        Method::POST,
        &["api", "clients", "{id}", "send"],
        Body::Required,
        clients::send,
        "Sends a message to one client.",
    ),
    row(
        Method::PUT,
        &["api", "clients", "{id}", "rooms", "{room}"],
        Body::Ignored,
        clients::join,
        "Puts a client into a room.",
    ),
    row(
        Method::DELETE,
        &["api", "clients", "{id}", "rooms", "{room}"],
        Body::Ignored,
        clients::leave,
        "Takes a client out of a room.",
    ),
];

/// A call that needs the key and what the store holds.
const fn row(
    method: Method,
    path: &'static [&'static str],
    body: Body,
    answer: CallFn,
    about: &'static str,
) -> Row {
    Row {
        method,
        path,
        right: Action::UseApi,
        body,
        needs_store: true,
        answer,
        about,
    }
}

/// A call about the server itself, which is answered before the store is read.
const fn about_server(
    path: &'static [&'static str],
    right: Action,
    answer: CallFn,
    about: &'static str,
) -> Row {
    Row {
        method: Method::GET,
        path,
        right,
        body: Body::Ignored,
        needs_store: false,
        answer,
        about,
    }
}

/// The rows of a path: one for each method, none where nothing is.
pub fn rows_at(segments: &[Cow<'_, str>]) -> impl Iterator<Item = &'static Row> + Clone {
    TABLE.iter().filter(|row| row.matches(segments))
}

/// The methods of some rows, as an `Allow` header lists them (RFC 9110 section 10.2.1); empty: there are no rows.
pub fn allow(rows: impl Iterator<Item = &'static Row>) -> String {
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
