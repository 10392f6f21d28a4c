//! Calls about rooms and about everybody (contract section 7).

use super::answers::{
    command_problem, expect_json, invalid, json, json_text, list_of, malformed, parse_limit,
};
use crate::base::time::Now;
use crate::engine::ingest;
use crate::engine::messages::history_page;
use crate::engine::state::State;
use crate::hub::position::NotAPosition;
use crate::hub::{RoomKey, Since};
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::Malformed;
use crate::wire::message::incoming::{parse, shortened};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message as the body of a call: `{type?, payload}`.
#[derive(Deserialize)]
pub struct Message<'a> {
    /// The message type, `room_broadcast` when it is left out.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The payload.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}

impl<'a> Message<'a> {
    /// Reads a message from a request.
    pub fn read(head: &Head, body: &'a [u8]) -> Result<Self, Problem> {
        expect_json(head)?;
        let body = ingest::text(body).map_err(malformed)?;
        if !body.trim_start().starts_with('{') {
            return Err(malformed(Malformed::field(
                "body",
                "expected a JSON object with a `payload`",
            )));
        }
        parse(body).map_err(malformed)
    }

    /// The message type.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("room_broadcast")
    }
}

#[derive(Serialize)]
struct RoomInfo<'a> {
    room: &'a str,
    clients: usize,
    position: String,
}

/// `GET /api/rooms`
pub fn list(state: &State) -> Response {
    let rooms: Vec<RoomInfo<'_>> = state
        .hub
        .directory()
        .rooms()
        .map(|(_, room)| RoomInfo {
            room: &room.name,
            clients: room.watchers(),
            position: room.position().to_string(),
        })
        .collect();
    json(200, &serde_json::json!({ "rooms": rooms }))
}

/// `GET /api/rooms/{room}/clients`
pub fn clients(state: &State, room: &str) -> Result<Response, Problem> {
    find(state, room)?;
    Ok(json(
        200,
        &serde_json::json!({ "room": room, "clients": state.room_clients(room) }),
    ))
}

/// `GET /api/rooms/{room}/history?since=&limit=`
pub fn history(state: &State, head: &Head, name: &str) -> Result<Response, Problem> {
    let since = head.query("since").map(|text| text.parse()).transpose();
    let since = since.map_err(|error: NotAPosition| invalid("since", &error.to_string()))?;
    let room = find(state, name)?;
    let since = since.unwrap_or(Since::Start);
    Ok(json_text(
        200,
        history_page(state, room, since, parse_limit(head)?),
    ))
}

fn find(state: &State, name: &str) -> Result<RoomKey, Problem> {
    let found = state.hub.directory().find(name);
    found.ok_or_else(|| {
        let detail = format!("there is no room `{}`", shortened(name));
        Problem::new(404, "not_found", detail).at("room")
    })
}

/// `POST /api/rooms/{room}/broadcast`
pub fn broadcast(
    state: &mut State,
    now: Now,
    head: &Head,
    room: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let message = Message::read(head, body)?;
    let payload = message.payload.get().to_owned();
    let delivered = state
        .send_to_room(now, room, message.kind(), payload)
        .map_err(command_problem)?;
    state.durability.promise();
    let found = state.hub.directory().find(room);
    let position = found.map(|key| state.hub.directory().room(key).position().to_string());
    Ok(json(
        200,
        &serde_json::json!({ "delivered": delivered, "position": position }),
    ))
}

/// `POST /api/broadcast`
pub fn broadcast_to_all(
    state: &mut State,
    now: Now,
    head: &Head,
    body: &[u8],
) -> Result<Response, Problem> {
    let message = Message::read(head, body)?;
    let delivered = state
        .broadcast_to_all(now, message.kind(), message.payload.get())
        .map_err(command_problem)?;
    Ok(list_of("delivered", &delivered))
}
