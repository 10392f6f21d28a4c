//! The server's own end (contract section 9): last words, a while to drain, and then no more.

use crate::base::time::Now;
use crate::conn::Phase;
use crate::engine::api::ingest;
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::engine::session::farewell;
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::timer::Timer;
use crate::engine::transport::peer::Peer;
use crate::hub::ConnectionId;
use crate::wire::locale::Phrase;
use crate::wire::websocket::CloseCode;

/// Begins the server's end (contract section 9, 1001). A second call ends it at once.
pub fn shut_down(state: &mut State, now: Now) {
    match state.life {
        Life::Serving => begin_drain(state, now),
        Life::Draining => stop(state),
        Life::Stopped => {}
    }
}

/// Ends what has not drained.
pub fn stop(state: &mut State) {
    for connection in state.transport.peers.ids() {
        teardown::remove(state, connection);
    }
    teardown::settle(state);
}

fn begin_drain(state: &mut State, now: Now) {
    state.life = Life::Draining;
    state.transport.push_output(Output::StopListening);
    log::info!(
        "{}",
        state
            .settings
            .locale
            .say(Phrase::Draining(state.transport.peers.len()))
    );
    state.wheel.schedule(
        now.at + state.settings.shutdown_timeout,
        Timer::ShutdownDeadline,
    );
    for connection in state.transport.peers.ids() {
        match state.transport.is_websocket(connection) {
            true => farewell::send_away(
                state,
                now,
                connection,
                CloseCode::GOING_AWAY,
                "shutting down",
            ),
            false => end_producer(state, now, connection),
        }
    }
    teardown::settle(state);
}

/// A local producer waits for no last words, and may never end by itself. What it has sent in whole lines counts.
fn end_producer(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    if matches!(peer.connection.phase, Phase::Lines) {
        let stash = peer.connection.take_stash();
        let mut stream = peer.stream.take().unwrap_or_default();
        if let Some(mut stash) = stash {
            let State {
                hub,
                transport,
                settings,
                ..
            } = state;
            ingest::take_lines(
                hub,
                &mut transport.peers.delivery(settings),
                now,
                &mut stream,
                stash.rest(),
                &settings.http,
            );
        }
        ingest::warn_of_errors(&stream.tally);
        teardown::remove(state, connection);
    }
}

/// While others drain, every request is answered, with `Connection: close`, so that a health check on a kept-alive
/// connection learns of it. Connections that only wait for their next request go when nothing else is left.
pub fn end_idle(state: &mut State) {
    if state.life == Life::Draining && state.transport.peers.iter().all(is_idle) {
        state
            .transport
            .peers
            .ids()
            .into_iter()
            .for_each(|connection| teardown::remove(state, connection));
    }
}

fn is_idle(peer: &Peer) -> bool {
    let connection = &peer.connection;
    let is_between_requests = matches!(&connection.phase, Phase::Http(parser) if parser.is_idle() && !connection.has_stash());
    is_between_requests
        && connection.is_open()
        && connection.outbox.is_empty()
        && !peer.reading.is_held()
}
