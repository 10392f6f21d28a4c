//! When clients that are sent away come back (contract section 9). Each is told a moment of its own, so that a crowd that
//! was sent away together does not return together, and nobody is told less than a second.
//!
//! A client that waits for a place stands in a [`Line`](crate::engine::access::connection_rate::Line). The moments that a line
//! gives out are a step apart: the time in which one place becomes free (a minute divided by the address's share), or in which
//! an attempt costs little (a full server). Clients that obey knock no faster than that, as long as the line is no longer than
//! `LONGEST`; those beyond its end return at random times, because some of those before them have given up by then.
//!
//! Pages and others wait for a full server in a line each, and an address has a share of both: nobody who knocks much
//! makes all others wait.

use crate::base::time::{Now, Span};
use crate::engine::access::connection_rate::{self, LONGEST, SHORTEST};
use crate::engine::state::State;
use crate::wire::websocket::CloseCode;
use core::net::IpAddr;

/// Between two attempts on a full server, in each of the two lines.
const FULL_STEP: Span = Span::from_millis(40);
/// Over how many milliseconds returning clients are spread, for each thousand of them.
const SPREAD_MS: u64 = 1000;

/// Who is sent away from a full server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A WebSocket that is told by a goodbye.
    Page,
    /// A request that is told by its answer.
    Other,
}

/// When a client comes back that is sent away with a code; zero when it is not to come back.
pub fn delay(state: &mut State, now: Now, code: CloseCode) -> Span {
    match code {
        CloseCode::TRY_AGAIN_LATER => delay_of_full(state, now, None, Sort::Page),
        code if code.reconnect() => spread(state, SHORTEST),
        _ => Span::ZERO,
    }
}

/// When a client comes back that finds no place. `address`: where it came from, if it came on its own account.
pub fn delay_of_full(state: &mut State, now: Now, address: Option<IpAddr>, sort: Sort) -> Span {
    let has_share =
        address.is_none_or(|address| state.addresses_mut(now).take_return_moment(now.at, address));
    let State {
        full_lines, random, ..
    } = state;
    let line = match sort {
        Sort::Page => &mut full_lines.pages,
        Sort::Other => &mut full_lines.others,
    };
    match has_share {
        true => line.join(now.at, SHORTEST, FULL_STEP, random),
        false => connection_rate::beyond(LONGEST, random),
    }
}

/// A moment after `earliest`, by chance; the more connections there are, the later it may be.
pub fn spread(state: &mut State, earliest: Span) -> Span {
    // Clients leave the hub as they are told, connections only later.
    let span_ms = SPREAD_MS.max(SPREAD_MS * state.transport.peers.len() as u64 / 1000);
    earliest.max(SHORTEST) + Span::from_millis(state.random.below(span_ms))
}
