//! Whether a peer is still there: handshakes that take too long, pings without a sign of life, outboxes that nobody empties.
//!
//! It finds out and sets the next look; what is said to a peer that is not there any more is decided by whoever asked.

use super::close::LINGER;
use super::connections::{Step, Transport};
use super::peer::Ping;
use crate::base::time::Span;
use crate::conn::Phase;
use crate::hub::ConnectionId;

/// What a look at a connection has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is due.
    Fine,
    /// It is to be sent a ping.
    PingDue,
    /// It gave no sign of life.
    Silent,
    /// It takes nothing of what waits for it.
    Slow,
    /// It keeps a connection and makes no request.
    Idle,
    /// Its request did not arrive in time.
    Late,
    /// It has had its time to hear our last words.
    Over,
}

impl Transport {
    /// A connection's time has come: is it alive?
    pub fn look(&mut self, step: &mut Step<'_>, connection: ConnectionId) -> Finding {
        let is_spared = self.is_spared(connection);
        let Some(peer) = self.peers.peer_mut(connection) else {
            return Finding::Fine;
        };
        peer.timer = None;
        if is_spared {
            self.look_at(step, connection, Span::ZERO);
            return Finding::Fine;
        }
        if !peer.connection.is_open() {
            // Whoever reads a long answer slowly still reads it.
            let is_reading = std::mem::take(&mut peer.alive) && !peer.connection.outbox.is_empty();
            if is_reading && matches!(peer.connection.phase, Phase::Http(_)) {
                self.look_at(step, connection, LINGER);
                return Finding::Fine;
            }
            return Finding::Over;
        }
        match &peer.connection.phase {
            Phase::WebSocket(_) if peer.backlogged => self.look_at_backlog(step, connection),
            Phase::WebSocket(_) => self.look_at_heartbeat(step, connection),
            Phase::Http(_) => self.look_at_request(step, connection),
            Phase::Lines => Finding::Fine,
        }
    }

    /// Sets the first look at a connection that has just been accepted.
    pub fn watch_handshake(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let timeout = step.settings.websocket.connection_timeout;
        if !timeout.is_zero() {
            self.look_at(step, connection, timeout);
        }
    }

    /// Sets the first look at a connection that has just become a WebSocket.
    pub fn watch_heartbeat(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        let settings = &step.settings.websocket;
        let (heartbeat, timeout) = (settings.heartbeat_interval, settings.connection_timeout);
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        peer.alive = false;
        peer.ping.look();
        match heartbeat.is_zero() {
            false => self.look_again(step, connection, heartbeat),
            true => self.look_again(step, connection, timeout),
        }
    }

    /// Sets when to look whether a connection that has unsent bytes takes any of them. Until they are gone it is sent no
    /// pings: it would not read them before the rest.
    pub fn watch_backlog(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        if !self.is_open_websocket(connection) {
            return;
        }
        if let Some(peer) = self.peers.peer_mut(connection) {
            peer.alive = false;
        }
        let max_age = step.settings.websocket.max_backlog_age;
        self.look_again(step, connection, max_age);
    }

    /// Sets the next look; zero: there is none.
    fn look_again(&mut self, step: &mut Step<'_>, connection: ConnectionId, after: Span) {
        if !after.is_zero() {
            return self.look_at(step, connection, after);
        }
        let peer = self.peers.peer_mut(connection);
        if let Some(timer) = peer.and_then(|peer| peer.timer.take()) {
            step.wheel.cancel(timer);
        }
    }

    /// Who takes what waits for it, however slowly, is behind but alive.
    fn look_at_backlog(&mut self, step: &mut Step<'_>, connection: ConnectionId) -> Finding {
        let peer = self.peers.peer_mut(connection);
        if peer.is_some_and(|peer| std::mem::take(&mut peer.alive)) {
            self.watch_backlog(step, connection);
            return Finding::Fine;
        }
        Finding::Slow
    }

    /// A ping each interval, and whoever gave no sign of life by the next one is gone.
    fn look_at_heartbeat(&mut self, step: &mut Step<'_>, connection: ConnectionId) -> Finding {
        let settings = &step.settings.websocket;
        let (heartbeat, timeout) = (settings.heartbeat_interval, settings.connection_timeout);
        let Some(peer) = self.peers.peer_mut(connection) else {
            return Finding::Fine;
        };
        // Whose bytes are left where they are cannot be heard.
        let heard = std::mem::take(&mut peer.alive) || peer.connection.has_stash();
        let pinged = peer.ping.look();
        let answer_time = match timeout.is_zero() {
            true => heartbeat,
            false => heartbeat.min(timeout),
        };
        if !heard && (pinged || heartbeat.is_zero()) {
            return Finding::Silent;
        }
        if heartbeat.is_zero() {
            self.look_at(step, connection, timeout);
            return Finding::Fine;
        }
        if pinged && answer_time < heartbeat {
            self.look_at(step, connection, heartbeat - answer_time);
            return Finding::Fine;
        }
        peer.ping = Ping::Sent;
        self.look_at(step, connection, answer_time);
        Finding::PingDue
    }

    fn look_at_request(&mut self, step: &mut Step<'_>, connection: ConnectionId) -> Finding {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return Finding::Fine;
        };
        // Whose answer waits for the store does not have to say anything.
        let is_alive = std::mem::take(&mut peer.alive) || peer.reading.is_held();
        let is_idle = matches!(&peer.connection.phase, Phase::Http(parser) if parser.is_idle());
        if !is_alive && is_idle {
            return Finding::Idle;
        }
        // What is unfinished is ended when that has taken too long, which is another moment.
        if is_alive || self.unfinished.since(connection).is_some() {
            self.watch_handshake(step, connection);
            return Finding::Fine;
        }
        Finding::Late
    }
}
