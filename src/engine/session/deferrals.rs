//! Handshakes that are right and come at the wrong time: the server is full, or their address has connected too often.
//!
//! JavaScript learns neither status nor header of a handshake that fails, so a page (it sends its `Origin`) is let in
//! first and told then, by `disconnected` and the close code (contract section 9). It becomes no client, and such
//! goodbyes are bounded; beyond that bound, and without an `Origin`, the answer is 503 or 429 with `Retry-After`.

use crate::base::time::{Now, Span};
use crate::base::token_bucket::Admission;
use crate::conn::{Ending, Phase};
use crate::engine::access::Asker;
use crate::engine::answer::Answer;
use crate::engine::commit::respond;
use crate::engine::notices::Notice;
use crate::engine::refusal::Refusal;
use crate::engine::session::returns::Sort;
use crate::engine::session::{farewell, returns};
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::transport::peer::{Peer, Standing};
use crate::hub::ConnectionId;
use crate::wire::http::Head;
use crate::wire::message::{ErrorCode, Variant};
use crate::wire::websocket;
use crate::wire::websocket::{CloseCode, Reader};

/// Goodbyes to pages under way at once: the others get the short answer.
const MAX_GOODBYES: usize = 512;
/// Over how many milliseconds those are spread who come when an address may connect again.
const SPREAD_MS: u64 = 1000;
/// Connections beyond the share of their address that are told so.
const MAX_TOLD: usize = 16;
/// When such a connection may be tried again.
const CROWDED_RETRY_S: u64 = 5;

/// A handshake that is right.
#[derive(Debug)]
pub struct Handshake {
    /// What is agreed on.
    pub accepted: websocket::Accepted,
    /// Whose it is.
    pub asker: Asker,
    /// The form of the messages it is sent, if it is sent any.
    pub variant: Option<Variant>,
}

/// Why a handshake comes at the wrong time, and when it may come again.
#[derive(Debug)]
pub struct Deferral {
    code: CloseCode,
    reason: &'static str,
    detail: String,
    /// How long it has to wait; `None`: it stands in line, in which depends on how it is told.
    delay: Option<Span>,
}

impl Deferral {
    /// There is no place for another client, which the limit `setting` says.
    pub fn full(setting: &str) -> Self {
        Self {
            code: CloseCode::TRY_AGAIN_LATER,
            reason: "full",
            detail: format!("the server is full ({setting}); come back later"),
            delay: None,
        }
    }

    fn delay(&self, state: &mut State, now: Now, asker: Asker, sort: Sort) -> Span {
        self.delay
            .unwrap_or_else(|| returns::delay_of_full(state, now, asker.limited(), sort))
    }

    fn refusal(self, delay: Span) -> Refusal {
        let code = match self.code {
            CloseCode::RATE_LIMITED => ErrorCode::RateLimited,
            _ => ErrorCode::LimitExceeded,
        };
        let seconds = delay.as_millis().div_ceil(1000);
        Refusal::coded(code, self.detail).retry_after_s(seconds)
    }
}

/// Counts a connection against the share of its address, and turns it away if that is used up: before anything is read, so
/// that nothing of it is paid for.
pub fn check_connections(state: &mut State, now: Now, connection: ConnectionId) {
    let limit = state.settings.max_connections_per_address;
    let peer = state
        .transport
        .peers
        .peer_mut(connection)
        .filter(|_| limit > 0);
    let Some((peer, address)) = peer.and_then(|peer| {
        let address = peer.asker().limited()?;
        Some((peer, address))
    }) else {
        return;
    };
    peer.standing = peer.standing.with(Standing::COUNTED, true);
    let count = state.addresses.add_connection(address);
    if count <= limit {
        return;
    }
    state.statistics.traffic.refused += 1;
    let detail = format!(
        "more than {limit} connections at once from this address (server.max_connections_per_address)"
    );
    state
        .statistics
        .notices
        .count(now.at, Notice::Connections, || {
            format!("refused: {address}: {detail}")
        });
    // Whoever goes on all the same is not told any more, and holds no descriptor.
    if count > limit + MAX_TOLD {
        return teardown::end(state, connection, Ending::Final);
    }
    let refusal = Refusal::limit_exceeded(detail).retry_after_s(CROWDED_RETRY_S);
    teardown::refuse(state, connection, &refusal.into());
}

/// Checks that an address may have another client.
pub fn check_share(state: &mut State, now: Now, asker: Asker) -> Result<(), Deferral> {
    let limit = state.settings.websocket.max_clients_per_address;
    let Some(address) = asker.limited().filter(|_| limit > 0) else {
        return Ok(());
    };
    if state.addresses.clients(address) < limit {
        return Ok(());
    }
    let detail = format!(
        "more than {limit} clients at once from this address (websocket.max_clients_per_address)"
    );
    state.statistics.notices.count(now.at, Notice::Clients, || {
        format!("refused: {address}: {detail}")
    });
    state.addresses_mut(now);
    let State {
        addresses, random, ..
    } = state;
    Err(Deferral {
        code: CloseCode::RATE_LIMITED,
        reason: "too many clients",
        detail,
        delay: Some(addresses.wait_for_place(now.at, address, random)),
    })
}

/// Counts a handshake against the rate of its address; tells whether there is one. A handshake that is refused uses nothing
/// of it up.
pub fn check_rate(state: &mut State, now: Now, asker: Asker) -> Result<bool, Deferral> {
    let rate = state.settings.websocket.connection_rate;
    let Some(address) = asker.limited().filter(|_| !rate.is_none()) else {
        return Ok(false);
    };
    state.addresses_mut(now);
    let State {
        addresses, random, ..
    } = state;
    match addresses.record(now.at, address, rate, random) {
        Admission::Within => Ok(true),
        Admission::Over { retry_after } => Err(Deferral {
            code: CloseCode::RATE_LIMITED,
            reason: "too many connections",
            detail: format!(
                "more than {} connections a minute from this address",
                rate.per_minute
            ),
            delay: Some(retry_after + Span::from_millis(random.below(SPREAD_MS))),
        }),
    }
}

/// Tells whoever wanted to connect when to come back.
pub fn answer(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    handshake: Handshake,
    deferral: Deferral,
) {
    let Handshake {
        accepted,
        asker,
        variant,
    } = handshake;
    let is_page = head.header("origin").is_some();
    if !is_page || state.transport.peers.goodbyes() >= MAX_GOODBYES {
        state.statistics.traffic.refused += 1;
        let delay = deferral.delay(state, now, asker, Sort::Other);
        let refusal = deferral.refusal(delay);
        return respond::respond(state, connection, head, Answer::Now(refusal.into()));
    }
    state.transport.peers.push(connection, accepted.response);
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.connection.phase = Phase::WebSocket(Reader::default());
        peer.know(asker);
    }
    state.transport.peers.mark_goodbye(connection);
    dismiss(state, now, connection, variant, deferral);
}

/// Says the same on a connection that is a WebSocket already, and closes it.
pub fn dismiss(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Option<Variant>,
    deferral: Deferral,
) {
    state.statistics.traffic.refused += 1;
    let asker = state.transport.peers.peer(connection).map(Peer::asker);
    let delay = deferral.delay(state, now, asker.unwrap_or_default(), Sort::Page);
    let Deferral { code, reason, .. } = deferral;
    farewell::dismiss(state, now, connection, variant, code, reason, delay);
}
