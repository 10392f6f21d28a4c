//! Sessions (contract section 5.5): how a client proves that it is the one who was here, how it comes back, and what of
//! its messages has surely arrived.
//!
//! Nothing but the client knows what has reached it: not the socket, and not a proxy between. So a ping follows messages
//! that must not be lost, and the pong that echoes it confirms them all; what is not confirmed is sent again when the
//! client comes back. Pings of a crowd are spread over time.

use super::closing;
use super::messages;
use super::state::State;
use super::timer::Timer;
use super::workspaces;
use crate::base::time::{Now, Span, Time};
use crate::base::wheel::TimerId;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::message::{Dialect, Variant};
use crate::wire::websocket;
use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::VecDeque;
use std::hash::Hasher;

/// Most pings in a second that ask for a confirmation; the other clients are asked later.
const PROBES_PER_SECOND: u64 = 256;
/// What a ping begins with that asks for a confirmation; the round and the serial follow.
const PROBE: &[u8; 8] = b"joblight";
/// Refill step of the ping budget: pings go out in groups so that their pongs share wake-ups.
const PAUSE: Span = Span::from_millis(100);

/// How long a client that has answered in vain is not asked again, where there are no heartbeats to go with.
const FRUITLESS_PAUSE: Span = Span::from_secs(30);

/// Makes and checks the secrets that resume sessions: nothing is kept of them.
#[derive(Debug, Clone, Copy)]
pub struct SessionKey([u64; 2]);

impl SessionKey {
    /// A key from randomness.
    pub fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// The key as text, for the store.
    pub fn to_text(self) -> String {
        format!("\"{:016x}{:016x}\"", self.0[0], self.0[1])
    }

    /// Reads what [`SessionKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim_matches('"');
        let (one, other) = digits.split_at_checked(16)?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self([number(one)?, number(other)?]))
    }

    /// The secret of a client's session: its name, and a mark that only this key makes.
    pub fn secret(self, client: ClientId) -> String {
        format!("{:016x}{:032x}", client.number(), self.mark(client))
    }

    /// The client whose secret this is.
    pub fn client(self, secret: &str) -> Option<ClientId> {
        let (name, mark) = secret.split_at_checked(16)?;
        let client = ClientId::from_number(u64::from_str_radix(name, 16).ok()?);
        let mark = u128::from_str_radix(mark, 16).ok()?;
        (std::hint::black_box(mark ^ self.mark(client)) == 0).then_some(client)
    }

    fn mark(self, client: ClientId) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        hasher.write_u64(client.number());
        hasher.finish128().as_u128()
    }
}

/// Where the client of a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// Connected, so that it takes nobody's place when it comes back.
    Here,
    /// Away, and expected.
    Away,
    /// There is no such session.
    Nowhere,
}

/// Where the client of a secret is.
pub fn whereabouts(state: &State, secret: &str) -> Whereabouts {
    let directory = state.hub.directory();
    let client = state.session_key.client(secret);
    let client = client.and_then(|client| directory.living_client(client));
    let client = client.map(|client| directory.client(client));
    match client.filter(|client| client.has_session) {
        Some(client) if client.is_away => Whereabouts::Away,
        Some(_) => Whereabouts::Here,
        None => Whereabouts::Nowhere,
    }
}

/// The client that a secret brings back on a connection, if its session is still there. Whoever holds its connection
/// loses it.
pub fn resume(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Variant,
    secret: &str,
) -> Option<ClientKey> {
    let id = state.session_key.client(secret)?;
    let client = state.hub.directory().living_client(id)?;
    let found = state.hub.directory().client(client);
    if variant.dialect != Dialect::Payload || !found.has_session {
        return None;
    }
    let mut messages = state.addresses.take_talker(id);
    if !found.is_away {
        let old = found.connection;
        closing::leave_place(state, old);
        log::info!("{id} has come back before its old connection was gone, which ends here");
        if let Some(peer) = state.peers.peer_mut(old) {
            peer.client = None;
            messages = peer.allowance.messages;
        }
        state.peers.set_backlogged(old, false);
        // Whoever reads is told first that the upgrade has succeeded.
        if state.peers.peer(old).is_some_and(|peer| peer.blocked) {
            state.peers.drop_unstarted(old);
        }
        closing::replace(state, now, client);
    }
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.allowance.messages = messages;
    }
    state.hub.resume(now, client, connection, variant);
    state.routes.adopt(id);
    Some(client)
}

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
        messages::acknowledge_recovery(state, now, client, denied, &plan_recovery);
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

/// Asks connections that were sent messages in this turn, or before, whether these have arrived.
pub fn ask(state: &mut State, now: Now) {
    state.probes.refill(now.at);
    while state.probes.tokens > 0 {
        let Some((connection, round)) = state.peers.poll_unconfirmed() else {
            return;
        };
        if let Some(question) = question(state, connection, round) {
            state.probes.tokens -= 1;
            state.peers.push(connection, question);
        }
    }
    if state.peers.has_unconfirmed() && !std::mem::replace(&mut state.probes.is_armed, true) {
        state.wheel.schedule(now.at + PAUSE, Timer::Probes);
    }
}

fn question(state: &State, connection: ConnectionId, round: u8) -> Option<Bytes> {
    let serial = state.hub.queued_serial(state.client_of(connection)?);
    let payload = [&PROBE[..], &[round], &serial.to_be_bytes()].concat();
    Some(websocket::encode_ping(&payload))
}

/// The ping that asks for a sign of life. Where the client has answered questions in vain, it is a question as well.
pub fn heartbeat(state: &mut State, connection: ConnectionId) -> Bytes {
    let round = state.peers.take_postponed(connection);
    let question = round.and_then(|round| question(state, connection, round));
    question.unwrap_or(Bytes::from_static(websocket::PING))
}

/// Asks those again who have answered in vain, where there are no heartbeats.
pub fn handle_timer(state: &mut State, now: Now) {
    state.probes.timer = None;
    while let Some((due, connection)) = state.probes.postponed.front().copied()
        && due <= now.at
    {
        state.probes.postponed.pop_front();
        let round = state.peers.take_postponed(connection);
        if let Some(question) = round.and_then(|round| question(state, connection, round)) {
            state.peers.push(connection, question);
        }
    }
    arm(state);
}

fn postpone(state: &mut State, now: Now, connection: ConnectionId) {
    if state.settings.websocket.heartbeat_interval.is_zero() {
        state
            .probes
            .postponed
            .push_back((now.at + FRUITLESS_PAUSE, connection));
        arm(state);
    }
}

/// A connection ends, so that it is asked nothing any more.
pub fn forget(state: &mut State, connection: ConnectionId) {
    if state
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.confirmation.is_postponed())
    {
        state
            .probes
            .postponed
            .retain(|(_, known)| *known != connection);
        arm(state);
    }
}

fn arm(state: &mut State) {
    let first = state.probes.postponed.front().map(|(due, _)| *due);
    match (first, state.probes.timer) {
        (Some(due), None) => {
            state.probes.timer = Some(state.wheel.schedule(due, Timer::Questions));
        }
        (None, Some(timer)) => {
            state.wheel.cancel(timer);
            state.probes.timer = None;
        }
        _ => {}
    }
}

/// A pong has come: if it answers a question of ours, everything before it has arrived. Tells whether any was due.
pub fn handle_pong(state: &mut State, now: Now, connection: ConnectionId, payload: &[u8]) -> bool {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return false;
    };
    let is_due = std::mem::take(&mut peer.pong_due) | peer.confirmation.is_asked();
    let Some(client) = peer.client else {
        return is_due;
    };
    let answer = payload.strip_prefix(PROBE).and_then(<[u8]>::split_first);
    let answer = answer.and_then(|(round, serial)| Some((*round, serial.try_into().ok()?)));
    match answer {
        Some((round, serial)) if state.peers.handle_confirmed(connection, round) => {
            state.hub.confirm(client, u64::from_be_bytes(serial));
        }
        // Of several pings only the newest must be answered (RFC 6455 section 5.5.3).
        other => {
            let round = other.map(|(round, _)| round);
            if state.peers.handle_unconfirmed(connection, round) {
                postpone(state, now, connection);
            }
        }
    }
    is_due
}

/// How many questions may be asked now.
#[derive(Debug, Default)]
pub struct Probes {
    tokens: u64,
    refilled: Time,
    /// Whether a timer will go on.
    pub is_armed: bool,
    /// Those who have answered in vain, where no heartbeat asks them again, and when they are asked.
    postponed: VecDeque<(Time, ConnectionId)>,
    timer: Option<TimerId>,
}

impl Probes {
    fn refill(&mut self, now: Time) {
        let rested = now.saturating_since(self.refilled);
        let earned = rested.as_micros().saturating_mul(PROBES_PER_SECOND) / 1_000_000;
        if rested >= PAUSE || self.refilled == Time::ZERO {
            self.tokens = (self.tokens + earned).min(PROBES_PER_SECOND);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_client_and_no_other_will_do() {
        let key = SessionKey::new([1, 2]);
        let client = ClientId::from_number(0xabc);
        let secret = key.secret(client);
        assert_eq!(key.client(&secret), Some(client));
        assert_eq!(SessionKey::new([1, 3]).client(&secret), None);
        let forged = secret.replacen('c', "d", 1);
        assert_eq!(key.client(&forged), None);
        assert_eq!(key.client(""), None);
        assert_eq!(key.client("gggggggggggggggggg"), None);
        let back = SessionKey::from_text(&key.to_text()).expect("a key");
        assert_eq!(back.secret(client), secret);
    }
}
