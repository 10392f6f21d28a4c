//! An answer goes out at once, or when what it promises is kept.

use crate::engine::answer::Answer;
use crate::engine::commit::held::Held;
use crate::engine::refusal::Refusal;
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::transport::answer::Reply;
use crate::engine::transport::peer::Reading;
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Response};

/// Answers a request: at once, or when what its answer promises is kept.
pub fn respond(state: &mut State, connection: ConnectionId, head: &Head, answer: Answer<Response>) {
    let reply = Reply::to(
        head,
        &state.settings.access,
        state.transport.is_local(connection),
    );
    let answer = match answer {
        Answer::Now(answer) => return teardown::answer(state, connection, reply, answer),
        Answer::WhenKept(answer) => answer,
    };
    if let Some(reason) = state.commit.durability.fault() {
        let problem = not_kept(reason);
        return teardown::answer(state, connection, reply, problem);
    }
    match state
        .commit
        .durability
        .seq_to_wait_for(state.hub.has_records())
    {
        None => teardown::answer(state, connection, reply, answer),
        Some(seq) => {
            if let Some(peer) = state.transport.peers.peer_mut(connection) {
                peer.reading = Reading::Held;
            }
            let held = Held::Answer {
                connection,
                reply,
                answer,
            };
            state.commit.durability.hold(seq, held);
        }
    }
}

/// What was changed will not outlive the process.
pub fn not_kept(reason: &str) -> Response {
    let detail = format!("taken and delivered, but not kept: {reason}");
    let refusal = Refusal::new("storage_unavailable", detail);
    refusal.retry_after_s(1).into()
}
