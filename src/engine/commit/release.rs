//! What waited for a batch is said, once it is kept or surely is not.

use crate::base::time::Now;
use crate::engine::backend::outbound;
use crate::engine::commit::respond::not_kept;
use crate::engine::commit::store::Held;
use crate::engine::session::workspaces;
use crate::engine::state::State;
use crate::engine::transport::answer;

/// Lets go what waited for a batch, or for an earlier one.
pub fn release(state: &mut State, now: Now, seq: u64, fault: Option<&str>) {
    while let Some(held) = state.durability.poll_kept(seq) {
        match held {
            Held::Answer {
                connection,
                reply,
                answer,
            } => {
                let answer = fault.map_or(answer, not_kept);
                answer::release(state, now, connection, reply, answer);
            }
            Held::Change { sender, change } => {
                workspaces::publish(state, now, &change);
                if let Some(reason) = fault {
                    workspaces::tell_not_kept(state, now, sender, reason);
                }
            }
            Held::List { client } => {
                workspaces::list(state, now, client);
                if let Some(connection) = state.connection_of(client) {
                    outbound::end_wait(state, now, connection);
                }
            }
        }
    }
}
