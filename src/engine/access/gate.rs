//! Who may connect now, and when those who may not come back (contract sections 8 and 9). Each is told a moment of its own, so
//! that a crowd that was sent away together does not return together, and nobody is told less than a second.
//!
//! A client that waits for a place stands in a [`Line`](super::connection_rate::Line). The moments that a line gives out are a step
//! apart: the time in which one place becomes free (a minute divided by the address's share), or in which an attempt costs little
//! (a full server). Clients that obey knock no faster than that, as long as the line is no longer than `LONGEST`; those beyond its
//! end return at random times, because some of those before them have given up by then.
//!
//! Pages and others wait for a full server in a line each, and an address has a share of both: nobody who knocks much
//! makes all others wait.

use super::connection_rate::{Addresses, LONGEST, SHORTEST, beyond};
use super::forwarded::Asker;
use crate::base::random::Random;
use crate::base::time::{Span, Time};
use crate::base::token_bucket::Admission;
use crate::engine::counts::{Counts, Notice};
use crate::engine::settings::Settings;
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::CloseCode;
use core::net::IpAddr;

/// Over how many milliseconds those are spread who come when an address may connect again.
const SPREAD_MS: u64 = 1000;
/// Connections beyond the share of their address that are told so.
const MAX_TOLD: usize = 16;
/// When such a connection may be tried again.
const CROWDED_RETRY_S: u64 = 5;
/// Between two attempts on a full server, in each of the two lines.
const FULL_STEP: Span = Span::from_millis(40);

/// Borrowed for one judgement.
pub struct Gate<'a> {
    pub now: Time,
    pub settings: &'a Settings,
    pub addresses: &'a mut Addresses,
    pub random: &'a mut Random,
    pub counts: &'a mut Counts,
    /// How many connections there are.
    pub connections: usize,
}

/// Why a handshake that is right comes at the wrong time, and when it may come again.
#[derive(Debug)]
pub struct Deferral {
    pub code: CloseCode,
    pub reason: &'static str,
    detail: String,
    /// How long it has to wait; `None`: it stands in line, in which depends on how it is told.
    delay: Option<Span>,
}

/// How somebody is told that the server is full, which is also the line that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// By a goodbye on a WebSocket.
    ByGoodbye,
    /// By the answer to a request.
    ByAnswer,
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

    fn of_address(reason: &'static str, detail: String, delay: Span) -> Self {
        Self {
            code: CloseCode::RATE_LIMITED,
            reason,
            detail,
            delay: Some(delay),
        }
    }

    pub fn refusal(self, delay: Span) -> Refusal {
        let code = match self.code {
            CloseCode::RATE_LIMITED => ErrorCode::RateLimited,
            _ => ErrorCode::LimitExceeded,
        };
        let seconds = delay.as_millis().div_ceil(1000);
        Refusal::new(code, self.detail).retry_after_s(seconds)
    }
}

impl Gate<'_> {
    /// Counts a connection against the share of its address. `Err(None)`: the address has been told often enough.
    pub fn count_connection(&mut self, address: IpAddr) -> Result<(), Option<Refusal>> {
        let limit = self.settings.max_connections_per_address;
        let count = self.addresses.add_connection(address);
        if count <= limit {
            return Ok(());
        }
        self.counts.refused += 1;
        let detail = format!(
            "more than {limit} connections at once from this address (server.max_connections_per_address)"
        );
        self.warn(Notice::Connections, address, &detail);
        let refusal = Refusal::limit_exceeded(detail).retry_after_s(CROWDED_RETRY_S);
        Err((count <= limit + MAX_TOLD).then_some(refusal))
    }

    /// Checks that an address may have another client.
    pub fn check_share(&mut self, asker: Asker) -> Result<(), Deferral> {
        let limit = self.settings.websocket.max_clients_per_address;
        let limited = asker.limited().filter(|_| limit > 0);
        let is_full = |address: &IpAddr| self.addresses.clients(*address) >= limit;
        let Some(address) = limited.filter(is_full) else {
            return Ok(());
        };
        let detail = format!(
            "more than {limit} clients at once from this address (websocket.max_clients_per_address)"
        );
        self.warn(Notice::Clients, address, &detail);
        let addresses = &mut *self.addresses;
        let wait = addresses.wait_for_place(self.now, address, self.random);
        Err(Deferral::of_address("too many clients", detail, wait))
    }

    /// Counts a handshake against the rate of its address; tells whether there is one. A handshake that is refused uses nothing
    /// of it up.
    pub fn check_rate(&mut self, asker: Asker) -> Result<bool, Deferral> {
        let rate = self.settings.connection_rate;
        let Some(address) = asker.limited().filter(|_| !rate.is_none()) else {
            return Ok(false);
        };
        let admission = self.addresses.record(self.now, address, rate, self.random);
        let Admission::Over { retry_after } = admission else {
            return Ok(true);
        };
        let limit = rate.per_minute;
        let detail = format!("more than {limit} connections a minute from this address");
        let wait = retry_after + Span::from_millis(self.random.below(SPREAD_MS));
        Err(Deferral::of_address("too many connections", detail, wait))
    }

    fn warn(&mut self, notice: Notice, address: IpAddr, detail: &str) {
        self.counts
            .notices
            .count(self.now, notice, || format!("refused: {address}: {detail}"));
    }

    /// When whoever is deferred comes back.
    pub fn delay_of(&mut self, deferral: &Deferral, asker: Asker, told: Told) -> Span {
        let address = asker.limited();
        let full = |gate: &mut Self| gate.delay_of_full(address, told);
        deferral.delay.unwrap_or_else(|| full(self))
    }

    /// When a client comes back that is sent away with a code; zero when it is not to come back.
    pub fn delay(&mut self, code: CloseCode) -> Span {
        match code {
            CloseCode::TRY_AGAIN_LATER => self.delay_of_full(None, Told::ByGoodbye),
            code if code.reconnect() => self.spread(SHORTEST),
            _ => Span::ZERO,
        }
    }

    /// A moment after `earliest`, by chance; the more connections there are, the later it may be.
    pub fn spread(&mut self, earliest: Span) -> Span {
        // Clients leave the hub as they are told, connections only later.
        let span_ms = SPREAD_MS.max(SPREAD_MS * self.connections as u64 / 1000);
        earliest.max(SHORTEST) + Span::from_millis(self.random.below(span_ms))
    }

    /// `address`: where the client came from, if it came on its own account.
    fn delay_of_full(&mut self, address: Option<IpAddr>, told: Told) -> Span {
        let has_share =
            address.is_none_or(|address| self.addresses.take_return_moment(self.now, address));
        let line = match told {
            Told::ByGoodbye => &mut self.addresses.pages,
            Told::ByAnswer => &mut self.addresses.others,
        };
        match has_share {
            true => line.join(self.now, SHORTEST, FULL_STEP, self.random),
            false => beyond(LONGEST, self.random),
        }
    }
}
