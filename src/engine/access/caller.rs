//! Who acts, and what they may do. Two questions are asked: [`Caller::may`] where somebody acts, and [`Caller::sees`] where a client
//! asks for a room.
//!
//! The first answers by `http.api_key`, `websocket.publish` and `websocket.control`; the second says yes to every room so far. They
//! decide and change nothing.

use crate::engine::settings::{Permission, Settings, WebSocketConfig};
use crate::wire::http::Head;
use crate::wire::refusal::{ErrorCode, Refusal};

#[derive(Debug, Clone, Copy)]
pub enum Caller<'a> {
    /// A viewer, by a message.
    Viewer,
    /// Whoever sent this request.
    Request(&'a Head),
    /// The application, on its link: its key was checked when that was opened.
    Application,
    /// The program that joblight is a part of.
    Program,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ask how the server is.
    CheckHealth,
    /// Call the API, or open the application's link.
    UseApi,
    /// Publish to a room; whether as one of its members.
    Publish {
        /// Whether the viewer is in the room.
        is_member: bool,
    },
    /// Ask something of a task's worker; whether as a member of the task's room.
    Control {
        /// Whether the viewer is in that room.
        is_member: bool,
    },
}

impl Caller<'_> {
    pub fn may(self, action: Action, settings: &Settings) -> Result<(), Refusal> {
        match (self, action) {
            (Self::Application | Self::Program, _) | (_, Action::CheckHealth) => Ok(()),
            (Self::Request(head), _) => request_may(head, action, settings),
            (Self::Viewer, _) => viewer_may(action, &settings.websocket),
        }
    }

    /// Whether a client may be in a room, and hear what is published there.
    pub fn sees(self, _room: &str) -> bool {
        true
    }
}

fn request_may(head: &Head, action: Action, settings: &Settings) -> Result<(), Refusal> {
    let key = &settings.http.api_key;
    let is_open = !key.is_empty() || settings.websocket.control == Permission::Anybody;
    match matches!(action, Action::Control { .. }) && !is_open {
        true => Err(Refusal::new(ErrorCode::NotAllowed, CONTROL_NEEDS_KEY)),
        false if key.is_empty() || brings(key, head) => Ok(()),
        false => Err(Refusal::new(ErrorCode::Unauthorized, KEY_EXPECTED).at("authorization")),
    }
}

const CONTROL_NEEDS_KEY: &str =
    "without http.api_key, only websocket.control = \"any\" allows control requests over HTTP";
const KEY_EXPECTED: &str = "expected `Authorization: Bearer <http.api_key>`";

fn viewer_may(action: Action, websocket: &WebSocketConfig) -> Result<(), Refusal> {
    let (permission, is_member, key) = match action {
        Action::Publish { is_member } => (websocket.publish, is_member, "websocket.publish"),
        Action::Control { is_member } => (websocket.control, is_member, "websocket.control"),
        _ => (Permission::Nobody, false, "the HTTP API"),
    };
    match permission {
        Permission::Anybody => Ok(()),
        Permission::Members if is_member => Ok(()),
        Permission::Members | Permission::Nobody => Err(Refusal::new(ErrorCode::NotAllowed, key)),
    }
}

/// Whether a request brings `http.api_key`.
fn brings(key: &str, head: &Head) -> bool {
    let given = head.header("authorization");
    let given = given.and_then(|value| value.split_once(' '));
    given.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && same_secret(token.trim(), key)
    })
}

/// Compares in a time that does not depend on where the texts differ.
fn same_secret(one: &str, other: &str) -> bool {
    let difference = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}
