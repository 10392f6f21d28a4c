//! What a client lacks, and when it is sent: after it has come back, and after its connection has drained.

use crate::base::time::{Now, Span};
use crate::engine::session::{acknowledgement, workspaces};
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::hub::ClientKey;

/// Sends a lagging client what it lacks. It is told first when something is lost, and, having come back, in any case.
pub fn recover(state: &mut State, now: Now, client: ClientKey, has_come_back: bool) {
    if !has_come_back && state.hub.load().is_spent() {
        return state.hub.postpone(client);
    }
    let denied = match has_come_back {
        true => state.hub.rejoin(client),
        false => Vec::new(),
    };
    let rooms = state.hub.directory().client(client).memberships().len();
    state.hub.load().visit(rooms);
    let plan_recovery = state.hub.plan_recovery(client);
    let is_lossy = plan_recovery.iter().any(|room| !room.recovered);
    if has_come_back || is_lossy {
        acknowledgement::acknowledge_recovery(state, now, client, denied, &plan_recovery);
    }
    if is_lossy {
        rewind_confirmed(state, client);
    }
    state
        .hub
        .recover(now, client, &plan_recovery, &mut state.peers);
}

/// Readers whose share of an earlier turn was too much for it go on, those first that have waited longest.
pub fn go_on(state: &mut State, now: Now) {
    while !state.hub.load().is_spent() {
        let Some(client) = state.hub.poll_postponed() else {
            break;
        };
        let connection = state.hub.directory().client(client).connection;
        // Whose connection is full goes on when it has drained.
        if state
            .peers
            .peer(connection)
            .is_some_and(|peer| !peer.backlogged)
        {
            handle_drained(state, now, client);
        }
    }
}

/// Sets when readers go on whose share of this turn was too much for it.
pub fn arm_postponed(state: &mut State, now: Now) {
    if state.hub.load().has_postponed() && !std::mem::replace(&mut state.is_going_on, true) {
        state
            .wheel
            .schedule(now.at + Span::from_millis(1), Timer::Postponed);
    }
}

/// A client's connection has drained, or its turn has come: it gets what it lacks.
pub fn handle_drained(state: &mut State, now: Now, client: ClientKey) {
    state
        .hub
        .handle_backlog(now, client, false, &mut state.peers);
    if state.hub.directory().client(client).is_lagging {
        recover(state, now, client, false);
    }
    if state.hub.directory().client(client).lacks_news() {
        workspaces::catch_up(state, now, client);
    }
}

/// A client is told of a loss, or is sent older messages: an answer to what it was asked before says nothing of that.
pub fn rewind_confirmed(state: &mut State, client: ClientKey) {
    let connection = state.hub.directory().client(client).connection;
    state.peers.ask_anew(connection);
}
