//! What follows when a connection ends: nothing of it stays in the hub, at the application, in the lobby, or with its address.
//!
//! Transport ends connections by their bytes alone and hands out who has departed; here the others learn of it, at once. What
//! decides that a connection ends begins here.

use crate::base::token_bucket::TokenBucket;
use crate::conn::Ending;
use crate::engine::backend::links;
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::engine::refusal::Refusal;
use crate::engine::state::State;
use crate::engine::transport::answer::Reply;
use crate::engine::transport::connections::Departure;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::Response;
use crate::wire::locale::Phrase;
use crate::wire::message::Dialect;
use crate::wire::websocket::CloseCode;

/// Begins the end of a connection; the peer has a while to take what it is owed.
pub fn end(state: &mut State, connection: ConnectionId, ending: Ending) {
    let (transport, mut step) = state.step();
    transport.end(&mut step, connection, ending);
    settle(state);
}

/// Ends a WebSocket connection with a close frame behind what it is still owed.
pub fn close(state: &mut State, connection: ConnectionId, code: CloseCode, reason: &str) {
    let (transport, mut step) = state.step();
    transport.close(&mut step, connection, code, reason);
    settle(state);
}

/// The socket is gone, or must go now.
pub fn remove(state: &mut State, connection: ConnectionId) {
    let (transport, mut step) = state.step();
    transport.remove(&mut step, connection);
    settle(state);
}

/// What is due for a connection once its turn's bytes are written.
pub fn handle_drained(state: &mut State, connection: ConnectionId) {
    let (transport, mut step) = state.step();
    transport.handle_drained(&mut step, connection);
    settle(state);
}

/// Sends an answer; the connection goes on unless one side wants it closed.
pub fn answer(state: &mut State, connection: ConnectionId, reply: Reply, answer: Response) {
    let (transport, mut step) = state.step();
    let bytes = transport.answer(&mut step, connection, reply, answer);
    state.hub.load().encode(bytes);
    settle(state);
}

/// Sends an answer that was held back.
pub fn answer_held(state: &mut State, connection: ConnectionId, reply: Reply, answer: Response) {
    let (transport, mut step) = state.step();
    let bytes = transport.answer_held(&mut step, connection, reply, answer);
    state.hub.load().encode(bytes);
    settle(state);
}

/// Answers a request whose body has not been read: the connection ends with the answer.
pub fn refuse(state: &mut State, connection: ConnectionId, answer: &Response) {
    let (transport, mut step) = state.step();
    transport.refuse(&mut step, connection, answer);
    settle(state);
}

/// A request has not arrived in time.
pub fn time_out_request(state: &mut State, connection: ConnectionId) {
    let refusal = Refusal::new("request_timeout", "the request did not arrive in time");
    refuse(state, connection, &refusal.into());
}

/// Tells the others who has departed, and the shell when nobody is left.
pub fn settle(state: &mut State) {
    while let Some(departure) = state.transport.poll_departure() {
        leave(state, departure);
    }
    if state.life == Life::Draining && state.transport.peers.is_empty() {
        state.life = Life::Stopped;
        log::info!("{}", state.settings.locale.say(Phrase::Stopped));
        state.transport.push_output(Output::Stopped);
    }
}

fn leave(state: &mut State, departure: Departure) {
    let connection = departure.connection;
    state.commit.lobby.leave(connection);
    state.backend.forget_waiting(connection);
    if departure.was_link {
        links::leave(state, connection, departure.address);
    }
    if departure.was_postponed {
        state.session.questions.forget(connection, &mut state.wheel);
    }
    if let Some(address) = departure.address {
        if departure.had_place {
            state.addresses.remove_client(address);
        }
        if departure.was_counted {
            state.addresses.remove_connection(address);
        }
    }
    if let Some(client) = departure.client {
        leave_hub(state, client, departure.messages);
    }
}

fn leave_hub(state: &mut State, client: ClientKey, messages: TokenBucket) {
    let now = state.now;
    let left = state.hub.directory().client(client);
    let (id, dialect) = (left.id, left.dialect);
    if left.has_session && !messages.is_full(now.at) {
        state.addresses_mut(now).keep_messages(now.at, id, messages);
    }
    state.hub.leave(now, client);
    state.backend.orphan(id);
    let client = &id.to_string();
    let phrase = match dialect {
        Dialect::Payload => Phrase::ClientDisconnected {
            client,
            total: state.clients(),
        },
        Dialect::Data => Phrase::DataClientDisconnected,
    };
    log::info!("{}", state.settings.locale.say(phrase));
}
