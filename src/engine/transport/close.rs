//! How connections end: last words, a while to take them, and the closed socket.

use super::connections::{Departure, Step, Transport};
use super::standing::Standing;
use crate::base::time::Span;
use crate::conn::Ending;
use crate::engine::boundary::Output;
use crate::engine::life::Life;
use crate::hub::ConnectionId;
use crate::wire::websocket::{CloseCode, encode_close};

/// How long a peer may take to answer our last words.
pub(super) const LINGER: Span = Span::from_secs(5);

impl Transport {
    /// Ends a WebSocket connection with a close frame behind what it is still owed.
    pub fn close(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) {
        if self.is_websocket(connection) {
            self.peers.push(connection, encode_close(code, reason));
        }
        self.end(step, connection, Ending::Lingering);
    }

    /// Begins the end of a connection; the peer has a while to take what it is owed.
    pub fn end(&mut self, step: &mut Step<'_>, connection: ConnectionId, ending: Ending) {
        self.depart(connection);
        self.forget_unfinished(step, connection);
        let grace = match step.life {
            Life::Draining => step.settings.shutdown_timeout,
            Life::Serving | Life::Stopped => LINGER,
        };
        if let Some(peer) = self.peers.peer_mut(connection) {
            peer.connection.end(ending);
            peer.stream = None;
            self.look_at(step, connection, grace);
            self.peers.mark(connection);
        }
    }

    /// The socket is gone, or must go now: nothing is kept of its connection.
    pub fn remove(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        self.depart(connection);
        self.forget_unfinished(step, connection);
        let Some(peer) = self.peers.remove(connection, step.wheel) else {
            return;
        };
        self.departures.push_back(Departure {
            connection,
            client: None,
            messages: peer.allowance.messages,
            address: peer.address,
            was_link: false,
            had_place: false,
            was_counted: peer.standing.has(Standing::COUNTED),
            was_postponed: peer.confirmation.is_some_and(|own| own.is_postponed()),
        });
        self.outputs.push_back(Output::Close(connection));
    }

    /// What is due for a connection once its turn's bytes are written: half-close, close, or nothing.
    pub fn handle_drained(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        match peer.connection.ending() {
            Ending::Open | Ending::HalfClosed => {}
            Ending::Lingering => {
                peer.connection.end(Ending::HalfClosed);
                self.outputs.push_back(Output::HalfClose(connection));
            }
            Ending::Final => self.remove(step, connection),
        }
    }
}
