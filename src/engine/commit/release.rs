//! What has waited for a batch is said, once it is kept or surely is not.

use super::held::{Held, Released};
use super::respond::not_kept;
use crate::base::time::Now;
use crate::engine::backend::outbound;
use crate::engine::session::workspace_news;
use crate::engine::state::State;
use crate::engine::transport::answer;

/// Says what need not wait any more.
pub fn say_released(state: &mut State, now: Now) {
    while let Some(Released { held, fault }) = state.durability.poll_released() {
        match held {
            Held::Answer {
                connection,
                reply,
                answer,
            } => {
                let answer = fault.as_deref().map_or(answer, not_kept);
                answer::release(state, now, connection, reply, answer);
            }
            Held::Change { sender, change } => {
                workspace_news::publish(state, now, &change);
                if let Some(reason) = &fault {
                    workspace_news::tell_not_kept(state, sender, reason);
                }
            }
            Held::List { client } => {
                workspace_news::list(state, now, client);
                if let Some(connection) = state.connection_of(client) {
                    outbound::end_wait(state, now, connection);
                }
            }
        }
    }
}
