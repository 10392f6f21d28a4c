//! Answers to requests, as bytes on their connection, and whether the connection goes on behind them.

use crate::base::time::Now;
use crate::conn::Ending;
use crate::engine::life::Life;
use crate::engine::refusal::Refusal;
use crate::engine::state::State;
use crate::engine::transport::close;
use crate::engine::transport::peer::Reading;
use crate::engine::transport::reply::Reply;
use crate::hub::ConnectionId;
use crate::wire::http::{Framing, Response};

/// A request that cannot be served, whose body has not been read: the connection ends with the answer.
pub fn refuse(state: &mut State, now: Now, connection: ConnectionId, answer: &Response) {
    let answer = unread_answer(state, now, answer);
    state.peers.push(connection, answer);
    close::end(state, now, connection, Ending::Lingering);
}

/// The bytes of an answer to a request that was not read, after which the connection ends.
pub fn unread_answer(state: &mut State, now: Now, answer: &Response) -> Vec<u8> {
    answer.encode(Framing {
        head_only: false,
        keep_alive: false,
        version_minor: 1,
        date: state.dates.at(now.wall_ms),
    })
}

/// Sends an answer; the connection goes on unless one side wants it closed.
pub fn finish(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    reply: Reply,
    answer: Response,
) {
    let keep_alive = reply.keep_alive() && state.life == Life::Serving;
    let answer = reply.encode(answer, keep_alive, state.dates.at(now.wall_ms));
    state.hub.load().encode(answer.len());
    state.peers.push(connection, answer);
    if !keep_alive {
        close::end(state, now, connection, Ending::Lingering);
    }
}

/// Sends an answer that was held back. What the peer has asked meanwhile is answered when this one is written.
pub fn release(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    reply: Reply,
    answer: Response,
) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    let is_last = peer.reading == Reading::HeldToEnd;
    (peer.reading, peer.alive) = (Reading::Open, true);
    if !peer.connection.is_open() {
        return;
    }
    finish(state, now, connection, reply, answer);
    if is_last {
        close::end(state, now, connection, Ending::Final);
    }
}

/// A request has not arrived in time.
pub fn time_out_request(state: &mut State, now: Now, connection: ConnectionId) {
    let refusal = Refusal::new("request_timeout", "the request did not arrive in time");
    refuse(state, now, connection, &refusal.into());
}
