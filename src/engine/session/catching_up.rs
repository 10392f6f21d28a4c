//! Readers that fell behind go on: when their connections have drained, and when a turn has room for them again.

use crate::base::time::{Now, Span};
use crate::engine::access::caller::Caller;
use crate::engine::session::{recovery, workspace_news};
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::hub::ClientKey;

/// How long others have their turn before readers go on whose part of a turn was too much for it.
const PAUSE: Span = Span::from_millis(1);

/// Readers whose part of an earlier turn was too much for it go on, those first that have waited longest.
pub fn resume_postponed(state: &mut State, now: Now) {
    while !state.hub.load().is_spent() {
        let Some(client) = state.hub.poll_postponed() else {
            break;
        };
        let connection = state.hub.directory().client(client).connection;
        // Whose connection is full goes on when it has drained.
        let peer = state.transport.peers.peer(connection);
        if peer.is_some_and(|peer| !peer.backlogged) {
            handle_drained(state, now, client);
        }
    }
}

/// Sets when those go on whose part of this turn was too much for it.
pub fn arm(state: &mut State, now: Now) {
    if state.hub.load().has_postponed() && !std::mem::replace(&mut state.session.is_resuming, true)
    {
        state.wheel.schedule(now.at + PAUSE, Timer::Postponed);
    }
}

/// A client's connection has drained, or its turn has come: it gets what it lacks.
pub fn handle_drained(state: &mut State, now: Now, client: ClientKey) {
    let mut delivery = state.transport.peers.delivery(&state.settings);
    state.hub.handle_backlog(now, client, false, &mut delivery);
    if state.hub.directory().client(client).is_lagging {
        recovery::recover(&mut state.context(Caller::Viewer), client, false);
    }
    let mut delivery = state.transport.peers.delivery(&state.settings);
    if state.hub.directory().client(client).lacks_news()
        && state.hub.send_news(now, client, &mut delivery)
    {
        workspace_news::list_when_kept(state, now, client);
    }
}
