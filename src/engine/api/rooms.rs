//! Calls about rooms and about everybody (contract section 7).

use super::answers::{
    command_problem, expect_json, invalid, json, json_text, malformed, parse_limit,
};
use crate::base::time::Now;
use crate::engine::ingest;
use crate::engine::messages::history_page;
use crate::engine::state::State;
use crate::hub::rooms::position::NotAPosition;
use crate::hub::{RoomKey, Since};
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::halves::mend;
use crate::wire::message::incoming::{one_of, parse_object, present};
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Malformed, check_readable};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A message as the body of a call: `{type?, payload}`, where `data` stands for `payload` as well.
pub struct Message {
    kind: Option<String>,
    /// The payload, as JSON.
    pub payload: String,
    /// How many halves of surrogate pairs were replaced in the body.
    pub repaired: u32,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

impl Message {
    /// Reads a message from a request.
    pub fn read(head: &Head, body: &[u8]) -> Result<Self, Problem> {
        expect_json(head)?;
        let body = ingest::text(body).map_err(malformed)?;
        let read = Self::parse(body).or_else(|fault| match mend(body) {
            None => Err(fault),
            Some((mended, repaired)) => Ok(Self {
                repaired,
                ..Self::parse(&mended)?
            }),
        });
        read.map_err(malformed)
    }

    fn parse(body: &str) -> Result<Self, Malformed> {
        let body: Body<'_> = parse_object(body).map_err(|fault| match fault {
            Malformed::Field { field, reason } if field.is_empty() => {
                Malformed::field("body", format!("{reason}; expected one with a `payload`"))
            }
            fault => fault,
        })?;
        let payload = one_of(body.payload, body.data)?.ok_or_else(|| {
            let reason = "missing; expected any JSON value (or as `data`, which means the same)";
            Malformed::field("payload", reason)
        })?;
        let name = if body.payload.is_some() {
            "payload"
        } else {
            "data"
        };
        check_readable(payload.get(), 1).map_err(|fault| fault.under(name))?;
        Ok(Self {
            kind: body.kind,
            payload: payload.get().to_owned(),
            repaired: 0,
        })
    }

    /// The message type.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("room_broadcast")
    }

    /// An answer of these members; it says how much was repaired, if anything was.
    pub fn answer(&self, mut members: serde_json::Value) -> Response {
        if self.repaired > 0 {
            members["repaired"] = self.repaired.into();
        }
        json(200, &members)
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
    let clients = state.room_clients(room).map_err(command_problem)?;
    let document = serde_json::json!({ "room": room, "clients": clients });
    Ok(json(200, &document))
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
    let delivered = state
        .send_to_room(now, room, message.kind(), message.payload.clone())
        .map_err(command_problem)?;
    state.durability.promise();
    let found = state.hub.directory().find(room);
    let position = found.map(|key| state.hub.directory().room(key).position().to_string());
    Ok(message.answer(serde_json::json!({ "delivered": delivered, "position": position })))
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
        .broadcast_to_all(now, message.kind(), &message.payload)
        .map_err(command_problem)?;
    Ok(message.answer(serde_json::json!({ "delivered": delivered })))
}
