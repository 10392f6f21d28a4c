//! Questions whether messages have arrived, as pings, and what their answers say (contract section 5.5).
//!
//! It owns how many may be asked in a second, because a crowd that hears a publication would answer all at once, and who is
//! asked again later. What is known of one peer's confirmations is in [`confirmation`](crate::engine::transport::confirmation).

use crate::base::time::{Now, Span, Time};
use crate::base::wheel::Wheel;
use crate::engine::timer::{Alarm, Timer};
use crate::engine::transport::peers::Peers;
use crate::hub::{ConnectionId, Hub};
use crate::wire::websocket::{PING, encode_ping};
use bytes::Bytes;
use std::collections::VecDeque;

/// Most questions in a second; the other clients are asked later.
const MAX_PER_SECOND: u64 = 256;
/// Refill step of that budget: pings go out in groups so that their pongs share wake-ups.
const PAUSE: Span = Span::from_millis(100);
/// What a ping begins with that is a question; the round and the serial follow.
const QUESTION: &[u8; 8] = b"joblight";
/// How long a client that has answered in vain is not asked again, where there are no heartbeats to go with.
const FRUITLESS_PAUSE: Span = Span::from_secs(30);

/// What may be asked now, and who is asked later.
#[derive(Debug, Default)]
pub struct Questions {
    tokens: u64,
    refilled: Time,
    /// Whether a timer will go on.
    is_armed: bool,
    /// Those who have answered in vain, where no heartbeat asks them again, and when they are asked.
    postponed: VecDeque<(Time, ConnectionId)>,
    timer: Alarm,
}

impl Questions {
    /// Asks connections that were sent messages in this turn, or before, whether these have arrived.
    pub fn ask(&mut self, now: Now, hub: &Hub, peers: &mut Peers, wheel: &mut Wheel<Timer>) {
        if peers.has_unconfirmed() {
            self.refill(now.at);
            self.ask_next(now, hub, peers, wheel);
        }
    }

    fn ask_next(&mut self, now: Now, hub: &Hub, peers: &mut Peers, wheel: &mut Wheel<Timer>) {
        while self.tokens > 0 {
            let Some((connection, round)) = peers.poll_unconfirmed() else {
                return;
            };
            if let Some(question) = question(hub, peers, connection, round) {
                self.tokens -= 1;
                peers.push(connection, question);
            }
        }
        if peers.has_unconfirmed() && !std::mem::replace(&mut self.is_armed, true) {
            wheel.schedule(now.at + PAUSE, Timer::Probes);
        }
    }

    pub fn handle_refill(&mut self) {
        self.is_armed = false;
    }

    /// A pong has come: if it answers a question of ours, everything before it has arrived. Tells whether any was due.
    pub fn handle_pong(
        &mut self,
        hub: &mut Hub,
        peers: &mut Peers,
        connection: ConnectionId,
        payload: &[u8],
    ) -> Pong {
        let Some(peer) = peers.peer_mut(connection) else {
            return Pong::Unasked;
        };
        let is_asked = peer.confirmation.is_some_and(|own| own.is_asked());
        let pong = match peer.ping.answer() | is_asked {
            true => Pong::Due,
            false => Pong::Unasked,
        };
        let client = peer.client();
        let Some(client) = client.filter(|client| hub.directory().has_client(*client)) else {
            return pong;
        };
        let answer = payload.strip_prefix(QUESTION).and_then(<[u8]>::split_first);
        let answer = answer.and_then(|(round, serial)| Some((*round, serial.try_into().ok()?)));
        match answer {
            Some((round, serial)) if peers.handle_confirmed(connection, round) => {
                hub.confirm(client, u64::from_be_bytes(serial));
            }
            // Of several pings only the newest must be answered (RFC 6455 section 5.5.3).
            other => {
                let round = other.map(|(round, _)| round);
                if peers.handle_unconfirmed(connection, round) {
                    return Pong::Fruitless {
                        is_due: pong == Pong::Due,
                    };
                }
            }
        }
        pong
    }

    /// A connection that answers in vain is asked again later: there are no heartbeats to go with.
    pub fn postpone(&mut self, now: Now, connection: ConnectionId, wheel: &mut Wheel<Timer>) {
        self.postponed
            .push_back((now.at + FRUITLESS_PAUSE, connection));
        self.arm(wheel);
    }

    pub fn handle_postponed(
        &mut self,
        now: Now,
        hub: &Hub,
        peers: &mut Peers,
        wheel: &mut Wheel<Timer>,
    ) {
        self.timer.handle_expiry();
        while let Some((due, connection)) = self.postponed.front().copied()
            && due <= now.at
        {
            self.postponed.pop_front();
            let round = peers.take_postponed(connection);
            let question = round.and_then(|round| question(hub, peers, connection, round));
            if let Some(question) = question {
                peers.push(connection, question);
            }
        }
        self.arm(wheel);
    }

    /// A connection that was to be asked again is gone.
    pub fn forget(&mut self, connection: ConnectionId, wheel: &mut Wheel<Timer>) {
        self.postponed.retain(|(_, known)| *known != connection);
        self.arm(wheel);
    }

    fn refill(&mut self, now: Time) {
        let rested = now.saturating_since(self.refilled);
        let earned = rested.as_micros().saturating_mul(MAX_PER_SECOND) / 1_000_000;
        if rested >= PAUSE || self.refilled == Time::ZERO {
            self.tokens = (self.tokens + earned).min(MAX_PER_SECOND);
            self.refilled = now;
        }
    }

    fn arm(&mut self, wheel: &mut Wheel<Timer>) {
        let first = self.postponed.front().map(|(due, _)| *due);
        self.timer.keep(first, Timer::Questions, wheel);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pong {
    Due,
    /// Nobody has asked for it.
    Unasked,
    /// The peer never answers well, so that it is asked less often from now on.
    Fruitless {
        is_due: bool,
    },
}

/// The ping that asks for a sign of life. Where the client has answered questions in vain, it is a question as well.
pub fn heartbeat(hub: &Hub, peers: &mut Peers, connection: ConnectionId) -> Bytes {
    let round = peers.take_postponed(connection);
    let question = round.and_then(|round| question(hub, peers, connection, round));
    question.unwrap_or(Bytes::from_static(PING))
}

fn question(hub: &Hub, peers: &Peers, connection: ConnectionId, round: u8) -> Option<Bytes> {
    let client = peers.peer(connection)?.client()?;
    let serial = hub.queued_serial(client);
    let payload = [&QUESTION[..], &[round], &serial.to_be_bytes()].concat();
    Some(encode_ping(&payload))
}
