//! Handshakes that are right and come at the wrong time: the server is full, or their address has connected too often.
//!
//! JavaScript learns neither status nor header of a handshake that fails, so a page (it sends its `Origin`) is let in
//! first and told then, by `disconnected` and the close code (contract section 9). It becomes no client, and such
//! goodbyes are bounded; beyond that bound, and without an `Origin`, the answer is 503 or 429 with `Retry-After`.

use super::closing;
use super::http;
use super::returns::{self, Sort};
use super::state::State;
use crate::base::rate_window::Verdict;
use crate::base::time::{Now, Span};
use crate::conn::Phase;
use crate::hub::Link;
use crate::wire::http::{Head, Problem};
use crate::wire::message::Variant;
use crate::wire::websocket::{self, CloseCode, Reader};

/// Goodbyes to pages under way at once: the others get the short answer.
const MAX_GOODBYES: usize = 512;
/// Over how many milliseconds those are spread who come when an address may connect again.
const SPREAD_MS: u64 = 1000;

/// Why a handshake comes at the wrong time, and when it may come again.
#[derive(Debug)]
pub struct Refusal {
    code: CloseCode,
    reason: &'static str,
    detail: String,
    /// How long it has to wait; `None`: it stands in line, in which depends on how it is told.
    delay: Option<Span>,
}

impl Refusal {
    /// There is no place for another client, which the limit `setting` says.
    pub fn full(setting: &str) -> Self {
        Self {
            code: CloseCode::TRY_AGAIN_LATER,
            reason: "full",
            detail: format!("the server is full ({setting}); come back later"),
            delay: None,
        }
    }

    fn delay(&self, state: &mut State, now: Now, link: Link, sort: Sort) -> Span {
        self.delay.unwrap_or_else(|| {
            let address = state.peers.peer(link).and_then(|peer| peer.address);
            returns::delay_of_full(state, now, address, sort)
        })
    }

    fn problem(self, delay: Span) -> Problem {
        let seconds = delay.as_millis().div_ceil(1000);
        let (status, code) = match self.code {
            CloseCode::RATE_LIMITED => (429, "rate_limited"),
            _ => (503, "limit_exceeded"),
        };
        Problem::new(status, code, self.detail).retry_after_s(seconds)
    }
}

/// Counts a handshake against the limit of its address. One that is refused uses nothing of it up.
pub fn check_rate(state: &mut State, now: Now, link: Link) -> Result<(), Refusal> {
    let limit = state.settings.websocket.max_connections_per_minute;
    let address = state.peers.peer(link).and_then(|peer| peer.address);
    let Some(address) = address.filter(|_| limit > 0) else {
        return Ok(());
    };
    state.addresses_mut(now);
    let State {
        addresses, random, ..
    } = state;
    match addresses.record(now.at, address, limit, random) {
        Verdict::Within => Ok(()),
        Verdict::Over { retry_after } => Err(Refusal {
            code: CloseCode::RATE_LIMITED,
            reason: "too many connections",
            detail: format!("more than {limit} connections a minute from this address"),
            delay: Some(retry_after + Span::from_millis(random.below(SPREAD_MS))),
        }),
    }
}

/// Tells whoever wanted to connect when to come back. `variant`: the form of its messages, if it is sent any.
pub fn answer(
    state: &mut State,
    now: Now,
    link: Link,
    head: &Head,
    accepted: websocket::Accepted,
    variant: Option<Variant>,
    refusal: Refusal,
) {
    let is_page = head.header("origin").is_some();
    if !is_page || state.peers.goodbyes() >= MAX_GOODBYES {
        state.traffic.refused += 1;
        let delay = refusal.delay(state, now, link, Sort::Other);
        let problem = refusal.problem(delay);
        return http::respond(state, now, link, head, problem.into());
    }
    state.peers.push(link, accepted.response);
    if let Some(peer) = state.peers.peer_mut(link) {
        peer.connection.phase = Phase::WebSocket(Reader::default());
    }
    state.peers.mark_goodbye(link);
    dismiss(state, now, link, variant, refusal);
}

/// Says the same on a connection that is a WebSocket already, and closes it.
pub fn dismiss(
    state: &mut State,
    now: Now,
    link: Link,
    variant: Option<Variant>,
    refusal: Refusal,
) {
    state.traffic.refused += 1;
    let delay = refusal.delay(state, now, link, Sort::Page);
    let Refusal { code, reason, .. } = refusal;
    closing::dismiss(state, now, link, variant, code, reason, delay);
}
