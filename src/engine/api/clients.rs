//! Calls about single clients (contract section 7).

use crate::engine::answer::Answer;
use crate::engine::api::answers::{command_refusal, invalid, json, list_of, whole};
use crate::engine::api::call::Call;
use crate::engine::api::rooms::Message;
use crate::engine::commands::ClientInfo;
use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::wire::http::Response;
use serde_json::json;

/// `GET /api/clients`
pub fn list(context: &mut Context<'_>, _: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let clients = context.client_infos().map_err(command_refusal)?;
    let clients: Vec<_> = clients.iter().map(document).collect();
    Ok(Answer::Now(list_of("clients", &clients)))
}

/// `GET /api/clients/{id}`
pub fn show(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let client = context
        .find_client(call.name("id"))
        .map_err(command_refusal)?;
    let document = document(&context.client_info(client));
    Ok(Answer::Now(json(200, &document)))
}

/// `DELETE /api/clients/{id}?code=&reason=`
pub fn disconnect(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let head = call.head;
    let code = match head.query("code") {
        Some(text) => {
            whole(&text).ok_or_else(|| invalid("code", "expected a close code, as 1000 or 4000"))?
        }
        None => 1000,
    };
    let reason = head.query("reason").unwrap_or_default();
    context
        .disconnect_client(call.name("id"), code, &reason)
        .map_err(command_refusal)?;
    Ok(Answer::Now(Response::new(204)))
}

/// `POST /api/clients/{id}/send`
pub fn send(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let message = Message::read(call.head, call.body)?;
    let delivered = context
        .send(call.name("id"), message.kind(), &message.payload)
        .map_err(command_refusal)?;
    let answer = message.answer(json!({ "delivered": usize::from(delivered) }));
    Ok(match delivered {
        true => Answer::Now(answer),
        // It waits, and what waits outlives the process.
        false => Answer::WhenKept(answer),
    })
}

/// `PUT /api/clients/{id}/rooms/{room}`
pub fn join(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    context
        .subscribe(call.name("id"), call.name("room"))
        .map_err(command_refusal)?;
    Ok(Answer::WhenKept(Response::new(204)))
}

/// `DELETE /api/clients/{id}/rooms/{room}`
pub fn leave(context: &mut Context<'_>, call: &Call<'_>) -> Result<Answer<Response>, Refusal> {
    let (id, room) = (call.name("id"), call.name("room"));
    match context.unsubscribe(id, room).map_err(command_refusal)? {
        true => Ok(Answer::WhenKept(Response::new(204))),
        false => {
            Err(Refusal::new("not_found", format!("`{id}` is not in the room `{room}`")).at("room"))
        }
    }
}

fn document(client: &ClientInfo) -> serde_json::Value {
    json!({
        "clientId": client.client_id,
        "connectedAt": client.connected_at,
        "address": client.address,
        "rooms": client.rooms,
        "dialect": client.dialect,
        "messagesReceived": client.messages_received,
        "messagesSent": client.messages_sent,
        "unsentBytes": client.unsent_bytes,
    })
}
