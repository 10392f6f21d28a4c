//! Calls about single clients (contract section 7).

use crate::base::time::Now;
use crate::engine::api::answers::{command_problem, invalid, json, list_of, whole};
use crate::engine::api::rooms::Message;
use crate::engine::commands::ClientInfo;
use crate::engine::state::State;
use crate::wire::http::{Head, Problem, Response};
use serde_json::json;

/// `GET /api/clients`
pub fn list(state: &State) -> Result<Response, Problem> {
    let clients = state.client_infos().map_err(command_problem)?;
    let clients: Vec<_> = clients.iter().map(document).collect();
    Ok(list_of("clients", &clients))
}

/// `GET /api/clients/{id}`
pub fn show(state: &State, id: &str) -> Result<Response, Problem> {
    let client = state.find_client(id).map_err(command_problem)?;
    Ok(json(200, &document(&state.client_info(client))))
}

/// `DELETE /api/clients/{id}?code=&reason=`
pub fn disconnect(state: &mut State, now: Now, head: &Head, id: &str) -> Result<Response, Problem> {
    let code = match head.query("code") {
        Some(text) => {
            whole(&text).ok_or_else(|| invalid("code", "expected a close code, as 1000 or 4000"))?
        }
        None => 1000,
    };
    let reason = head.query("reason").unwrap_or_default();
    state
        .disconnect_client(now, id, code, &reason)
        .map_err(command_problem)?;
    Ok(Response::new(204))
}

/// `POST /api/clients/{id}/send`
pub fn send(
    state: &mut State,
    now: Now,
    head: &Head,
    id: &str,
    body: &[u8],
) -> Result<Response, Problem> {
    let message = Message::read(head, body)?;
    let delivered = state
        .send(now, id, message.kind(), &message.payload)
        .map_err(command_problem)?;
    if !delivered {
        // It waits, and what waits outlives the process.
        state.durability.promise();
    }
    Ok(message.answer(json!({ "delivered": usize::from(delivered) })))
}

/// `PUT /api/clients/{id}/rooms/{room}`
pub fn join(state: &mut State, now: Now, id: &str, room: &str) -> Result<Response, Problem> {
    state.subscribe(now, id, room).map_err(command_problem)?;
    state.durability.promise();
    Ok(Response::new(204))
}

/// `DELETE /api/clients/{id}/rooms/{room}`
pub fn leave(state: &mut State, id: &str, room: &str) -> Result<Response, Problem> {
    match state.unsubscribe(id, room).map_err(command_problem)? {
        true => {
            state.durability.promise();
            Ok(Response::new(204))
        }
        false => Err(Problem::new(
            404,
            "not_found",
            format!("`{id}` is not in the room `{room}`"),
        )
        .at("room")),
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
