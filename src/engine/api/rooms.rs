//! Calls about rooms, about clients, and about everybody (contract section 7).

use crate::engine::answer::{Answer, Outcome};
use crate::engine::api::call::{Call, expect_json, invalid, parse_limit, whole};
use crate::engine::api::ingest;
use crate::engine::context::Context;
use crate::engine::session::requests::history_page;
use crate::hub::rooms::position::NotAPosition;
use crate::hub::{RoomKey, Since};
use crate::wire::http::{Head, Response};
use crate::wire::message::incoming::{one_of, parse_object, present};
use crate::wire::message::malformed::shortened;
use crate::wire::message::surrogates::replace_lone_surrogates;
use crate::wire::message::{Malformed, check_relayable};
use crate::wire::refusal::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

/// A message as the body of a call: `{type?, payload}`, where `data` stands for `payload` as well.
pub struct MessageBody {
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

impl MessageBody {
    pub fn read(head: &Head, body: &[u8]) -> Result<Self, Refusal> {
        expect_json(head)?;
        let body = ingest::text(body).map_err(Refusal::from)?;
        let read = Self::parse(body).or_else(|fault| match replace_lone_surrogates(body) {
            None => Err(fault),
            Some((mended, repaired)) => Ok(Self {
                repaired,
                ..Self::parse(&mended)?
            }),
        });
        read.map_err(Refusal::from)
    }

    fn parse(body: &str) -> Result<Self, Malformed> {
        let body: Body<'_> = parse_object(body).map_err(|fault| match fault {
            fault if fault.is_about_all() => {
                let reason = format!("{}; expected one with a `payload`", fault.reason);
                Malformed::field("body", reason)
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
        check_relayable(payload.get(), 1).map_err(|fault| fault.under(name))?;
        Ok(Self {
            kind: body.kind,
            payload: payload.get().to_owned(),
            repaired: 0,
        })
    }

    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("room_broadcast")
    }

    /// An answer of these members; it says how much was repaired, if anything was.
    pub fn answer(&self, mut members: serde_json::Value) -> Response {
        if self.repaired > 0 {
            members["repaired"] = self.repaired.into();
        }
        Response::document(200, &members)
    }
}

#[derive(Serialize)]
struct RoomInfo<'a> {
    room: &'a str,
    clients: usize,
    position: String,
}

/// `GET /api/rooms`
pub fn list(context: &mut Context<'_>, _: &Call<'_>) -> Outcome {
    let rooms: Vec<RoomInfo<'_>> = context
        .hub
        .directory()
        .rooms()
        .map(|(_, room)| RoomInfo {
            room: &room.name,
            clients: room.connected_count(),
            position: room.position().to_string(),
        })
        .collect();
    Ok(Answer::Now(Response::document(
        200,
        &json!({ "rooms": rooms }),
    )))
}

/// `GET /api/rooms/{room}/clients`
pub fn clients(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let room = call.name("room");
    find(context, room)?;
    let clients = context.room_clients(room)?;
    let document = json!({ "room": room, "clients": clients });
    Ok(Answer::Now(Response::document(200, &document)))
}

/// `GET /api/rooms/{room}/history?since=&limit=`
pub fn history(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let head = call.head;
    let since = head.query("since").map(|text| text.parse()).transpose();
    let since = since.map_err(|error: NotAPosition| invalid("since", &error.to_string()))?;
    let room = find(context, call.name("room"))?;
    let since = since.unwrap_or(Since::Start);
    let page = history_page(context.hub, room, since, parse_limit(head)?);
    Ok(Answer::Now(Response::new(200).json(page)))
}

fn find(context: &Context<'_>, name: &str) -> Result<RoomKey, Refusal> {
    let found = context.hub.directory().find(name);
    found.ok_or_else(|| {
        let detail = format!("there is no room `{}`", shortened(name));
        Refusal::not_found(detail).at("room")
    })
}

/// `POST /api/rooms/{room}/broadcast`
pub fn broadcast(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let room = call.name("room");
    let message = MessageBody::read(call.head, call.body)?;
    let delivered = context.send_to_room(room, message.kind(), message.payload.clone())?;
    let found = context.hub.directory().find(room);
    let position = found.map(|key| context.hub.directory().room(key).position().to_string());
    let members = json!({ "delivered": delivered, "position": position });
    Ok(Answer::WhenKept(message.answer(members)))
}

/// `POST /api/broadcast`
pub fn broadcast_to_all(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let message = MessageBody::read(call.head, call.body)?;
    let delivered = context.broadcast_to_all(message.kind(), &message.payload)?;
    let members = json!({ "delivered": delivered });
    Ok(Answer::Now(message.answer(members)))
}

/// `GET /api/clients`
pub fn list_clients(context: &mut Context<'_>, _: &Call<'_>) -> Outcome {
    let document = json!({ "clients": context.client_infos()? });
    Ok(Answer::Now(Response::document(200, &document)))
}

/// `GET /api/clients/{id}`
pub fn show_client(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let client = context.find_client(call.name("id"))?;
    Ok(Answer::Now(Response::document(
        200,
        &context.client_info(client),
    )))
}

/// `DELETE /api/clients/{id}?code=&reason=`
pub fn disconnect(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let head = call.head;
    let code = match head.query("code") {
        Some(text) => {
            whole(&text).ok_or_else(|| invalid("code", "expected a close code, as 1000 or 4000"))?
        }
        None => 1000,
    };
    let reason = head.query("reason").unwrap_or_default();
    context.disconnect_client(call.name("id"), code, &reason)?;
    Ok(Answer::Now(Response::new(204)))
}

/// `POST /api/clients/{id}/send`
pub fn send(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let message = MessageBody::read(call.head, call.body)?;
    let delivered = context.send(call.name("id"), message.kind(), &message.payload)?;
    let answer = message.answer(json!({ "delivered": usize::from(delivered) }));
    Ok(match delivered {
        true => Answer::Now(answer),
        // It waits, and what waits outlives the process.
        false => Answer::WhenKept(answer),
    })
}

/// `PUT /api/clients/{id}/rooms/{room}`
pub fn join(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    context.subscribe(call.name("id"), call.name("room"))?;
    Ok(Answer::WhenKept(Response::new(204)))
}

/// `DELETE /api/clients/{id}/rooms/{room}`
pub fn leave(context: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let (id, room) = (call.name("id"), call.name("room"));
    match context.unsubscribe(id, room)? {
        true => Ok(Answer::WhenKept(Response::new(204))),
        false => Err(Refusal::not_found(format!("`{id}` is not in the room `{room}`")).at("room")),
    }
}
