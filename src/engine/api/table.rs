//! The table of all calls (contract section 7): admission, 404, 405, `Allow` and `OPTIONS` read it, and nothing else knows a
//! path of the API.

use super::row::{Body, Row};
use super::{clients, events, rooms, server, tasks};
use crate::engine::access::caller::Action;
use crate::wire::http::Method;
use std::borrow::Cow;

/// One row for each call; those that producers make come first, for they are made most often.
pub static TABLE: [Row; 20] = [
    Row {
        method: Method::POST,
        path: &["api", "tasks", "{id}", "{event}"],
        right: Action::UseApi,
        body: Body::Optional,
        needs_store: true,
        answer: events::post_task_event,
        about: "Reports what a task does.",
    },
    Row {
        method: Method::POST,
        path: &["api", "events"],
        right: Action::UseApi,
        body: Body::Lines,
        needs_store: true,
        answer: events::post,
        about: "Reports events: one, an array, or lines of them.",
    },
    Row {
        method: Method::POST,
        path: &["api", "tasks", "{id}", "control"],
        right: Action::UseApi,
        body: Body::Required,
        needs_store: true,
        answer: tasks::control,
        about: "Asks a task's worker to cancel, pause or resume it.",
    },
    Row {
        method: Method::GET,
        path: &["health"],
        right: Action::CheckHealth,
        body: Body::Ignored,
        needs_store: false,
        answer: server::health,
        about: "How the server is.",
    },
    Row {
        method: Method::GET,
        path: &["api", "websocket", "stats"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: false,
        answer: server::websocket_stats,
        about: "What the WebSocket server has done.",
    },
    Row {
        method: Method::GET,
        path: &["api", "broadcaster", "stats"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: false,
        answer: server::broadcaster_stats,
        about: "What the broadcaster has done.",
    },
    Row {
        method: Method::GET,
        path: &["api", "tasks"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: tasks::list,
        about: "Lists tasks, a page at a time.",
    },
    Row {
        method: Method::GET,
        path: &["api", "tasks", "{id}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: tasks::show,
        about: "Shows a task.",
    },
    Row {
        method: Method::DELETE,
        path: &["api", "tasks", "{id}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: tasks::delete,
        about: "Forgets a task.",
    },
    Row {
        method: Method::GET,
        path: &["api", "rooms"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: rooms::list,
        about: "Lists rooms.",
    },
    Row {
        method: Method::GET,
        path: &["api", "rooms", "{room}", "clients"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: rooms::clients,
        about: "Lists the clients in a room.",
    },
    Row {
        method: Method::GET,
        path: &["api", "rooms", "{room}", "history"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: rooms::history,
        about: "Shows a page of a room's log.",
    },
    Row {
        method: Method::POST,
        path: &["api", "rooms", "{room}", "broadcast"],
        right: Action::UseApi,
        body: Body::Required,
        needs_store: true,
        answer: rooms::broadcast,
        about: "Publishes a message to a room.",
    },
    Row {
        method: Method::POST,
        path: &["api", "broadcast"],
        right: Action::UseApi,
        body: Body::Required,
        needs_store: true,
        answer: rooms::broadcast_to_all,
        about: "Sends a message to every client.",
    },
    Row {
        method: Method::GET,
        path: &["api", "clients"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: clients::list,
        about: "Lists clients.",
    },
    Row {
        method: Method::GET,
        path: &["api", "clients", "{id}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: clients::show,
        about: "Shows a client.",
    },
    Row {
        method: Method::DELETE,
        path: &["api", "clients", "{id}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: clients::disconnect,
        about: "Ends a client's connection.",
    },
    Row {
        method: Method::POST,
        path: &["api", "clients", "{id}", "send"],
        right: Action::UseApi,
        body: Body::Required,
        needs_store: true,
        answer: clients::send,
        about: "Sends a message to one client.",
    },
    Row {
        method: Method::PUT,
        path: &["api", "clients", "{id}", "rooms", "{room}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: clients::join,
        about: "Puts a client into a room.",
    },
    Row {
        method: Method::DELETE,
        path: &["api", "clients", "{id}", "rooms", "{room}"],
        right: Action::UseApi,
        body: Body::Ignored,
        needs_store: true,
        answer: clients::leave,
        about: "Takes a client out of a room.",
    },
];

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
