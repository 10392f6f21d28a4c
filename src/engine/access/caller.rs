//! Who acts, and what they may do. Two questions are asked: [`Caller::may`] where somebody acts, and [`Caller::sees`] where a client
//! asks for a room.
//!
//! The first answers by `http.api_key`, `websocket.publish` and `websocket.control`; the second says yes to every room so far. They
//! decide and change nothing.

use crate::engine::refusal::Refusal;
use crate::engine::settings::{Permission, Settings};
use crate::wire::http::Head;

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
        let key = &settings.http.api_key;
        let websocket = &settings.websocket;
        match (self, action) {
            (Self::Application | Self::Program, _) | (_, Action::CheckHealth) => Ok(()),
            (Self::Request(_), Action::Control { .. })
                if key.is_empty() && websocket.control != Permission::Anybody =>
            {
                Err(Refusal::new(
                    "not_allowed",
                    "without http.api_key, only websocket.control = \"any\" allows control requests over HTTP",
                ))
            }
            (Self::Request(head), _) => authorize(key, head),
            (Self::Viewer, Action::Publish { is_member }) => {
                permitted(websocket.publish, is_member, "websocket.publish")
            }
            (Self::Viewer, Action::Control { is_member }) => {
                permitted(websocket.control, is_member, "websocket.control")
            }
            (Self::Viewer, _) => Err(Refusal::new("not_allowed", "the HTTP API")),
        }
    }

    /// Whether a client may be in a room, and hear what is published there.
    pub fn sees(self, _room: &str) -> bool {
        true
    }
}

fn permitted(permission: Permission, is_member: bool, key: &str) -> Result<(), Refusal> {
    match permission {
        Permission::Anybody => Ok(()),
        Permission::Members if is_member => Ok(()),
        Permission::Members | Permission::Nobody => Err(Refusal::new("not_allowed", key)),
    }
}

/// Checks that a request brings `http.api_key`, if there is one.
fn authorize(key: &str, head: &Head) -> Result<(), Refusal> {
    if key.is_empty() {
        return Ok(());
    }
    let given = head
        .header("authorization")
        .and_then(|value| value.split_once(' '));
    let token = given
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    if token.is_some_and(|token| same_secret(token, key)) {
        return Ok(());
    }
    Err(Refusal::new(
        "unauthorized",
        "expected `Authorization: Bearer <http.api_key>`",
    )
    .at("authorization"))
}

/// Compares in a time that does not depend on where the texts differ.
fn same_secret(one: &str, other: &str) -> bool {
    let difference = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}
