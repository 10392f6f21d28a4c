//! How connections end: goodbyes, which say why and when to come back (contract section 9), what follows when a connection ends,
//! and the end of all.
//!
//! Transport ends connections by their bytes alone and hands out who has departed; here the others learn of it, at once: nothing of
//! it stays in the hub, at the application, in the lobby, or with its address.

use super::engine::Engine;
use crate::base::time::{Now, Span};
use crate::base::token_bucket::TokenBucket;
use crate::conn::{Ending, Phase};
use crate::engine::access::caller::Caller;
use crate::engine::api::ingest;
use crate::engine::boundary::Output;
use crate::engine::context::Dismissal;
use crate::engine::life::Life;
use crate::engine::timer::Timer;
use crate::engine::transport::connections::Departure;
use crate::engine::transport::peer::Peer;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::Response;
use crate::wire::locale::Phrase;
use crate::wire::message::envelope::to_json;
use crate::wire::message::{Envelope, Variant};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::CloseCode;
use serde::Serialize;

/// Goodbyes.
impl Engine {
    /// Says goodbye to those whose connections a command, or a call, has ended.
    pub(super) fn dismiss_all(&mut self) {
        for Dismissal {
            client,
            code,
            reason,
        } in std::mem::take(&mut self.dismissals)
        {
            // It may have been dismissed twice in one step, or be gone already.
            let directory = self.hub.directory();
            let client = directory.living_client(client);
            let client = client.map(|client| directory.client(client));
            if let Some(client) = client.filter(|client| !client.is_away) {
                self.send_away(client.connection, code, &reason);
            }
        }
    }

    /// Ends a WebSocket with last words. `variant`: the form of its messages, if it is sent any.
    pub(super) fn dismiss(
        &mut self,
        connection: ConnectionId,
        variant: Option<Variant>,
        code: CloseCode,
        reason: &str,
        delay: Span,
    ) {
        if let Some(variant) = variant {
            let notice = disconnected(variant, self.now, code, reason, delay);
            self.context(Caller::Program)
                .send_encoded(connection, &notice, variant);
        }
        self.close(connection, code, reason);
    }

    /// Says goodbye to whoever is on a WebSocket: to a client, or who waits to be one, `disconnected`; to others the code alone.
    pub(super) fn send_away(&mut self, connection: ConnectionId, code: CloseCode, reason: &str) {
        let is_told =
            self.client_of(connection).is_some() || self.lobby.variant(connection).is_some();
        let delay = match is_told {
            true => self.gate().delay(code),
            false => Span::ZERO,
        };
        self.send_away_for(connection, code, reason, delay);
    }

    /// [`Engine::send_away`] where the delay after which to come back is known.
    pub(super) fn send_away_for(
        &mut self,
        connection: ConnectionId,
        code: CloseCode,
        reason: &str,
        delay: Span,
    ) {
        let client = self.client_of(connection);
        if let Some(client) = client.filter(|_| !code.reconnect()) {
            self.hub.end_session(client);
        }
        let variant = match client {
            Some(_) => Some(self.transport.peers.variant(connection)),
            None => self.lobby.variant(connection),
        };
        self.dismiss(connection, variant, code, reason, delay);
    }

    /// Ends a connection that is too far behind to hear a goodbye in order: what has not begun to be sent is dropped.
    pub(super) fn drop_slow(&mut self, connection: ConnectionId) {
        const CODE: CloseCode = CloseCode::TOO_SLOW;
        const REASON: &str = "too slow";
        self.transport.peers.drop_unstarted(connection);
        if let Some(client) = self.client_of(connection) {
            let id = self.hub.directory().client(client).id;
            log::warn!("{id}: {REASON}, closed with {CODE}");
            return self.send_away(connection, CODE, REASON);
        }
        if self.peer(connection).is_some_and(Peer::is_backend) {
            log::warn!(
                "backend: {REASON}, closed with {CODE}; websocket.max_outbox_size bounds what it leaves unread"
            );
            self.close(connection, CODE, REASON);
        }
    }
}

/// The payload of `disconnected`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Goodbye<'a> {
    code: u16,
    reason: &'a str,
    reconnect: bool,
    delay_ms: u64,
}

/// The message that says why a connection ends, and after how long to come back.
fn disconnected(variant: Variant, now: Now, code: CloseCode, reason: &str, delay: Span) -> Vec<u8> {
    let payload = to_json(&Goodbye {
        code: code.0,
        reason,
        reconnect: code.reconnect(),
        delay_ms: delay.as_millis(),
    });
    let envelope = Envelope::alone("disconnected", &payload, now.wall_ms);
    envelope.encode(variant)
}

/// Ends, and what follows from one.
impl Engine {
    /// Begins the end of a connection; the peer has a while to take what it is owed.
    pub(super) fn end(&mut self, connection: ConnectionId, ending: Ending) {
        self.on_transport(|transport, step| transport.end(step, connection, ending));
    }

    /// Ends a WebSocket connection with a close frame behind what it is still owed.
    pub(super) fn close(&mut self, connection: ConnectionId, code: CloseCode, reason: &str) {
        self.on_transport(|transport, step| transport.close(step, connection, code, reason));
    }

    /// The socket is gone, or must go now.
    pub(super) fn remove(&mut self, connection: ConnectionId) {
        self.on_transport(|transport, step| transport.remove(step, connection));
    }

    /// What is due for a connection once its turn's bytes are written.
    pub(super) fn handle_drained(&mut self, connection: ConnectionId) {
        self.on_transport(|transport, step| transport.handle_drained(step, connection));
    }

    /// Answers a request whose body has not been read: the connection ends with the answer.
    pub(super) fn refuse_unread(&mut self, connection: ConnectionId, refusal: Refusal) {
        let answer = refusal.response(self.settings.locale);
        self.answer_unread(connection, &answer);
    }

    pub(super) fn answer_unread(&mut self, connection: ConnectionId, answer: &Response) {
        self.on_transport(|transport, step| transport.refuse(step, connection, answer));
    }

    pub(super) fn time_out_request(&mut self, connection: ConnectionId) {
        let reason = "the request did not arrive in time";
        let refusal = Refusal::new(ErrorCode::RequestTimeout, reason);
        self.refuse_unread(connection, refusal);
    }

    pub(super) fn handle_departure(&mut self, departure: Departure) {
        let connection = departure.connection;
        self.lobby.leave(connection);
        self.backend.forget_waiting(connection);
        if departure.was_link {
            let locale = self.settings.locale;
            self.backend
                .remove_link(connection, departure.asker.address, locale);
        }
        if departure.was_postponed {
            self.questions.forget(connection, &mut self.wheel);
        }
        if let Some(address) = departure.asker.address {
            if departure.had_place {
                self.addresses.remove_client(address);
            }
            if departure.was_counted {
                self.addresses.remove_connection(address);
            }
        }
        if let Some(client) = departure.client {
            self.leave_hub(client, departure.messages);
        }
    }

    fn leave_hub(&mut self, client: ClientKey, messages: TokenBucket) {
        let Some(left) = self.hub.directory().find_client(client) else {
            return;
        };
        let (id, dialect) = (left.id, left.dialect);
        if left.has_session {
            self.addresses.keep_messages(self.now.at, id, messages);
        }
        self.hub.leave(self.settings.at(self.now), client);
        self.backend.orphan(id);
        self.log_client(id, dialect, false);
    }
}

/// The server's own end (contract section 9, 1001): last words, a while to drain, and then no more.
impl Engine {
    /// Begins the drain; a second call ends the server at once.
    pub fn shut_down(&mut self, now: Now) {
        self.now = now;
        match self.life {
            Life::Serving => self.begin_drain(),
            Life::Draining => self.stop(),
            Life::Stopped => {}
        }
        self.store.handle_delay();
        self.serve_lobby();
    }

    /// Ends what has not drained.
    pub(super) fn stop(&mut self) {
        for connection in self.transport.peers.ids() {
            self.remove(connection);
        }
        self.settle_departures();
    }

    fn begin_drain(&mut self) {
        self.life = Life::Draining;
        self.transport.outputs.push_back(Output::StopListening);
        let peers = self.transport.peers.len();
        log::info!("{}", self.settings.locale.say(Phrase::Draining(peers)));
        let at = self.now.at + self.settings.shutdown_timeout;
        self.wheel.schedule(at, Timer::ShutdownDeadline);
        for connection in self.transport.peers.ids() {
            match self.transport.is_websocket(connection) {
                true => self.send_away(connection, CloseCode::GOING_AWAY, "shutting down"),
                false => self.end_producer(connection),
            }
        }
        self.settle_departures();
    }

    /// A local producer waits for no last words, and may never end by itself. What it has sent in whole lines counts.
    fn end_producer(&mut self, connection: ConnectionId) {
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        if matches!(peer.connection.phase, Phase::Lines) {
            let stash = peer.connection.take_stash();
            let mut stream = peer.stream.take().unwrap_or_default();
            if let Some(mut stash) = stash {
                self.take_lines(&mut stream, stash.rest());
            }
            ingest::warn_of_errors(&stream.tally);
            self.remove(connection);
        }
    }

    /// While others drain, every request is answered, with `Connection: close`, so that a health check on a kept-alive
    /// connection learns of it. Connections that only wait for their next request go when nothing else is left.
    pub(super) fn end_idle(&mut self) {
        if self.life == Life::Draining && self.transport.peers.iter().all(is_idle) {
            self.stop();
        }
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
