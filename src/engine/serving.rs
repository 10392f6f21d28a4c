//! Whoever has come before the store was read is served at last, in the order of their coming.

use crate::base::time::{Now, Span};
use crate::engine::boundary::Output;
use crate::engine::commit::lobby::HeldRequest;
use crate::engine::session::{frames, greeting};
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::engine::transport::shedding;
use crate::engine::{http, reading};

/// So many of those who have waited for the store are let in at once.
const GUESTS_AT_ONCE: usize = 256;

/// How long others have their turn then.
const PAUSE: Span = Span::from_millis(1);

/// Whoever has waited for the store is served, or refused if it takes too long.
pub fn serve_lobby(state: &mut State, now: Now) {
    if state.durability.is_opening() {
        return;
    }
    for HeldRequest {
        connection,
        head,
        body,
    } in state.lobby.take_requests()
    {
        http::handle_held(state, now, connection, head, body.as_deref());
        shedding::note(state, now, connection, true);
        reading::resume_reading(state, now, connection);
    }
    if state.durability.is_unread() {
        return;
    }
    if std::mem::take(&mut state.lobby.has_producers) {
        let links = state.peers.ids().into_iter();
        let peers = &state.peers;
        let producers = links.filter(|connection| {
            peers
                .peer(*connection)
                .is_some_and(|peer| peer.services.ingest())
        });
        state.outputs.extend(producers.map(Output::Read));
    }
    for _ in 0..GUESTS_AT_ONCE {
        let Some((connection, guest)) = state.lobby.poll_guest() else {
            return;
        };
        greeting::enter(state, now, connection, guest.arrival);
        for message in guest.messages {
            frames::handle_kept(state, now, connection, message);
        }
        shedding::note(state, now, connection, true);
        reading::resume_reading(state, now, connection);
    }
    if state.lobby.has_guests() && !std::mem::replace(&mut state.lobby.is_armed, true) {
        state.wheel.schedule(now.at + PAUSE, Timer::Lobby);
    }
}
