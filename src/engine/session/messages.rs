//! One message of a client, from its text to what is said: now, when it is kept, or by the application.

use crate::base::time::Now;
use crate::engine::access::caller::Caller;
use crate::engine::answer::Answer;
use crate::engine::backend::outbound;
use crate::engine::refusal::Refusal;
use crate::engine::session::said::Said;
use crate::engine::session::{requests, workspace_news};
use crate::engine::state::State;
use crate::hub::ClientKey;
use crate::wire::message::{ErrorCode, Incoming};

/// Understands one message and does what it asks.
pub fn handle(state: &mut State, now: Now, client: ClientKey, text: &str) {
    let message = match Incoming::parse(text) {
        Ok(message) => message,
        Err(malformed) => return state.refuse(client, &Refusal::from(malformed), None),
    };
    let mut context = state.context(Caller::Viewer);
    match requests::carry_out(&mut context, client, &message) {
        Ok(answer) => {
            let waits = matches!(answer, Answer::WhenKept(_));
            let (Answer::Now(said) | Answer::WhenKept(said)) = answer;
            // Which of them can wait, `say` knows: a message for the sender alone has nothing to hold it back.
            debug_assert!(
                !(waits && matches!(said, Said::Message { .. })),
                "a message for one client goes out at once"
            );
            say(state, now, client, &message, said);
        }
        Err(refusal) if is_for_application(state, &refusal, &message) => {
            outbound::forward(state, now, client, &message);
        }
        Err(refusal) => {
            // Beside flat fields an `id` names the workspace, not the message.
            let is_name = !refusal.is_of_workspaces() || message.nested;
            state.refuse(client, &refusal, message.id.filter(|_| is_name));
        }
    }
}

fn is_for_application(state: &State, refusal: &Refusal, message: &Incoming<'_>) -> bool {
    refusal.code() == ErrorCode::UnknownType.as_str() && outbound::takes(state, &message.kind)
}

fn say(state: &mut State, now: Now, client: ClientKey, message: &Incoming<'_>, said: Said<'_>) {
    match said {
        Said::Nothing => {}
        Said::Message { kind, payload } => {
            let mut context = state.context(Caller::Viewer);
            context.answer(client, kind, &payload, message.id);
        }
        Said::Change(change) => workspace_news::publish_when_kept(state, now, client, change),
        Said::WorkspaceList => workspace_news::list_when_kept(state, now, client),
    }
}
