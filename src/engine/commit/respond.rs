//! An answer goes out at once, or when what it promises is kept.

use crate::base::time::Now;
use crate::engine::commit::store::Held;
use crate::engine::state::State;
use crate::engine::transport::answer;
use crate::engine::transport::reply::Reply;
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Problem, Response};

/// Answers a request, when what it changed is kept if that was promised.
pub fn respond(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    answer: Response,
) {
    let reply = Reply::to(head, &state.settings.access, state.is_local(connection));
    if !state.durability.take_promise() || answer.status() >= 300 {
        return answer::finish(state, now, connection, reply, answer);
    }
    if let Some(reason) = state.durability.fault() {
        let problem = not_kept(reason);
        return answer::finish(state, now, connection, reply, problem);
    }
    match state.durability.seq_to_wait_for(state.hub.has_records()) {
        None => answer::finish(state, now, connection, reply, answer),
        Some(seq) => {
            if let Some(peer) = state.peers.peer_mut(connection) {
                peer.is_held = true;
            }
            let held = Held::Answer {
                connection,
                reply,
                answer,
            };
            state.durability.hold(seq, held);
        }
    }
}

pub fn not_kept(reason: &str) -> Response {
    let detail = format!("taken and delivered, but not kept: {reason}");
    Problem::new(503, "storage_unavailable", detail)
        .retry_after_s(1)
        .into()
}
