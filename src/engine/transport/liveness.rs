//! Whether a peer is still there, and whether what it has begun takes too long or is too much: handshakes, pings without a sign of
//! life, outboxes that nobody empties, requests and messages that do not end.
//!
//! It finds out and sets the next look; what is said to a peer that is not there any more is decided by whoever asked.

use super::connections::{LINGER, Step, Transport};
use super::peer::{Peer, Ping, Reading};
use super::unfinished::{ENTRY_COST, Entry};
use crate::base::time::Span;
use crate::conn::Phase;
use crate::engine::settings::{Settings, WebSocketConfig};
use crate::hub::ConnectionId;

/// What a look at a connection has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is due.
    Fine,
    /// A ping is due.
    PingDue,
    /// The peer gave no sign of life.
    Silent,
    /// The peer takes nothing of what waits for it.
    Slow,
    /// The peer keeps a connection and makes no request.
    Idle,
    /// A request did not arrive in time.
    Late,
    /// The peer has had its time to hear our last words.
    Over,
}

impl Transport {
    /// A connection's time has come: is it alive?
    pub fn look(&mut self, step: &mut Step<'_>, connection: ConnectionId) -> Finding {
        let is_spared = self.is_spared(connection);
        let Some(peer) = self.peers.peer_mut(connection) else {
            return Finding::Fine;
        };
        peer.timer.handle_expiry();
        let settings = &step.settings.websocket;
        let (finding, next) = match &peer.connection.phase {
            _ if is_spared => (Finding::Fine, Some(Span::ZERO)),
            _ if !peer.connection.is_open() => look_at_ending(peer),
            // Who takes what waits for it, however slowly, is behind but alive.
            Phase::WebSocket(_) if peer.backlogged => match std::mem::take(&mut peer.alive) {
                true => (Finding::Fine, some(settings.max_backlog_age)),
                false => (Finding::Slow, None),
            },
            Phase::WebSocket(_) => look_at_heartbeat(peer, settings),
            Phase::Http(parser) => {
                let is_idle = parser.is_idle();
                // Whose answer waits for the store does not have to say anything.
                let is_alive = std::mem::take(&mut peer.alive) || peer.reading.is_held();
                match () {
                    () if !is_alive && is_idle => (Finding::Idle, None),
                    // What is unfinished is ended when that has taken too long, which is another moment.
                    () if is_alive || self.unfinished.since(connection).is_some() => {
                        (Finding::Fine, some(settings.connection_timeout))
                    }
                    () => (Finding::Late, None),
                }
            }
            Phase::Lines => (Finding::Fine, None),
        };
        if let Some(after) = next {
            self.look_at(step, connection, after);
        }
        finding
    }

    /// Sets the next look at a WebSocket: has it given a sign of life by then? While it has unsent bytes: has it taken any of them?
    /// Until they are gone it is sent no pings, which it would not read before the rest.
    pub fn watch(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        if !self.is_open_websocket(connection) {
            return;
        }
        let Some(peer) = self.peers.peer_mut(connection) else {
            return;
        };
        let settings = &step.settings.websocket;
        peer.alive = false;
        let after_ms = if peer.backlogged {
            settings.max_backlog_age
        } else {
            peer.ping.look();
            match settings.heartbeat_interval {
                0 => settings.connection_timeout,
                interval => interval,
            }
        };
        self.look_again(step, connection, Span::from_millis(after_ms));
    }

    /// Sets the next look; zero: there is none.
    pub(super) fn look_again(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        after: Span,
    ) {
        if !after.is_zero() {
            self.look_at(step, connection, after);
        } else if let Some(peer) = self.peers.peer_mut(connection) {
            peer.timer.cancel(step.wheel);
        }
    }
}

/// Whoever reads a long answer slowly still reads it.
fn look_at_ending(peer: &mut Peer) -> (Finding, Option<Span>) {
    let is_reading = std::mem::take(&mut peer.alive) && !peer.connection.outbox.is_empty();
    match is_reading && matches!(peer.connection.phase, Phase::Http(_)) {
        true => (Finding::Fine, Some(LINGER)),
        false => (Finding::Over, None),
    }
}

/// A ping each interval, and whoever gave no sign of life by the next one is gone.
fn look_at_heartbeat(peer: &mut Peer, settings: &WebSocketConfig) -> (Finding, Option<Span>) {
    let heartbeat = Span::from_millis(settings.heartbeat_interval);
    let timeout = Span::from_millis(settings.connection_timeout);
    // Whose bytes are left where they are cannot be heard.
    let heard = std::mem::take(&mut peer.alive) || peer.connection.has_stash();
    let pinged = peer.ping.look();
    let answer_time = match timeout.is_zero() {
        true => heartbeat,
        false => heartbeat.min(timeout),
    };
    if !heard && (pinged || heartbeat.is_zero()) {
        return (Finding::Silent, None);
    }
    if heartbeat.is_zero() {
        return (Finding::Fine, Some(timeout));
    }
    if pinged && answer_time < heartbeat {
        return (Finding::Fine, Some(heartbeat - answer_time));
    }
    peer.ping = Ping::Sent;
    (Finding::PingDue, Some(answer_time))
}

/// Zero: there is no next look.
fn some(millis: u64) -> Option<Span> {
    (millis > 0).then(|| Span::from_millis(millis))
}

/// What is left unfinished is recorded; when all of it is too much, whoever has left the most goes first.
impl Transport {
    /// Records what a connection has left unfinished. `elsewhere`: the bytes that others keep for it. `has_completed`:
    /// something was completed since the last time, so that whatever is unfinished now has begun since. Tells whether there is
    /// anything.
    pub fn note_unfinished(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        elsewhere: usize,
        has_completed: bool,
    ) -> bool {
        let peer = self.peers.peer_mut(connection);
        let peer = peer.filter(|peer| peer.connection.is_open());
        let bytes = peer.as_deref().map_or(0, |peer| {
            peer.connection.held_input() + line_bytes(peer) + elsewhere
        });
        let Some(peer) = peer.filter(|_| bytes > 0) else {
            self.forget_unfinished(step, connection);
            return false;
        };
        peer.is_unfinished = true;
        // Whoever is cut short by its own share goes on at once, and has no more time for that.
        let waits_for_others = peer.connection.has_stash() && !peer.intake.is_cut;
        let must_wait = waits_for_others || peer.reading != Reading::Open;
        let is_timed =
            !peer.services.ingest() && (peer.connection.has_begun() || line_bytes(peer) > 0);
        let since = self.unfinished.since(connection);
        let since = since.filter(|_| !has_completed);
        let since = (is_timed && !must_wait).then(|| since.unwrap_or(step.now.at));
        let bytes = bytes + ENTRY_COST;
        self.unfinished.set(connection, Entry { bytes, since });
        self.arm_unfinished(step);
        true
    }

    /// A connection has nothing unfinished any more.
    pub fn forget_unfinished(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        if let Some(peer) = self.peers.peer_mut(connection)
            && std::mem::take(&mut peer.is_unfinished)
        {
            self.unfinished.remove(connection);
            self.arm_unfinished(step);
        }
    }

    /// Connections that began something too long ago; they count as having nothing unfinished from now on.
    pub fn take_late(&mut self, step: &mut Step<'_>) -> Vec<ConnectionId> {
        let timeout = Span::from_millis(step.settings.websocket.connection_timeout);
        let mut late = self.unfinished.begun_before(step.now.at, timeout);
        // What completes it may have come, and be read in the next turn.
        late.retain(|connection| !self.is_spared(*connection));
        for connection in &late {
            self.forget_unfinished(step, *connection);
        }
        self.arm_unfinished(step);
        late
    }

    /// The connection that has left the most, and how much, if all together have left too much.
    pub fn largest_beyond(
        &self,
        settings: &Settings,
        may_end: impl Fn(&Peer, ConnectionId) -> bool,
    ) -> Option<(usize, ConnectionId)> {
        if self.unfinished.has_room(0, settings) {
            return None;
        }
        let may_end = |connection: ConnectionId| match self.peers.peer(connection) {
            None => true,
            Some(peer) if peer.services.ingest() => line_bytes(peer) > 0,
            Some(peer) => may_end(peer, connection),
        };
        let mut by_size = self.unfinished.by_size();
        by_size.find(|(_, connection)| may_end(*connection))
    }

    fn arm_unfinished(&mut self, step: &mut Step<'_>) {
        let timeout = Span::from_millis(step.settings.websocket.connection_timeout);
        self.unfinished.arm(step.wheel, timeout);
    }
}

/// The part of a line that a connection has sent so far.
fn line_bytes(peer: &Peer) -> usize {
    let stream = peer.stream.as_ref();
    stream.map_or(0, |stream| stream.splitter.held_bytes())
}
