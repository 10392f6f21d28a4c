//! Clients that have left and may come back within their time (contract section 5.5), bounded in number and age.

use crate::base::time::{Span, Time};
use crate::hub::clients::client::Client;
use crate::hub::keys::ConnectionId;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::directory::Directory;
use std::collections::VecDeque;

/// So many departures are listed before those that count no more are looked for.
const MIN_LISTED: usize = 64;

/// How sessions are kept.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// How long a client may be away (zero: no sessions).
    pub ttl: Span,
    /// How many may be away at once (0: no limit); the one that left first makes room.
    pub max_away: usize,
}

/// Who is away, in the order in which they left.
#[derive(Debug)]
pub struct Sessions {
    settings: SessionSettings,
    departures: VecDeque<Departure>,
    is_armed: bool,
}

/// One leaving: it counts unless the client has come back since.
#[derive(Debug, Clone, Copy)]
struct Departure {
    at: Time,
    client: ClientId,
    connection: ConnectionId,
}

impl Sessions {
    /// Nobody is away.
    pub fn new(settings: SessionSettings) -> Self {
        Self {
            settings,
            departures: VecDeque::new(),
            is_armed: false,
        }
    }

    /// Whether there are sessions at all.
    pub fn are_on(&self) -> bool {
        !self.settings.ttl.is_zero()
    }

    /// A client has left; it is away already.
    pub fn record(&mut self, now: Time, client: &Client, directory: &Directory) {
        // Those who came back are still listed; who comes and goes all the time must not fill the list.
        if self.departures.len() >= MIN_LISTED.max(2 * directory.away()) {
            self.departures
                .retain(|departure| away(directory, *departure).is_some());
        }
        self.departures.push_back(Departure {
            at: now,
            client: client.id,
            connection: client.connection,
        });
    }

    /// Who is away, in the order in which they left.
    pub fn away(&self, directory: &Directory) -> impl Iterator<Item = ClientKey> {
        let departures = self.departures.iter();
        departures.filter_map(|departure| away(directory, *departure))
    }

    /// When to look who has been away too long, unless that is known already.
    pub fn arm(&mut self) -> Option<Time> {
        let first = self.departures.front().filter(|_| !self.is_armed)?;
        self.is_armed = true;
        Some(first.at + self.settings.ttl)
    }

    /// The timer has fired.
    pub fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// The next client that has been away too long, or that must make room for others.
    pub fn poll_expired(&mut self, now: Time, directory: &Directory) -> Option<ClientKey> {
        while let Some(first) = self.departures.front().copied() {
            let is_over = self.settings.max_away > 0 && directory.away() > self.settings.max_away;
            let client = away(directory, first);
            if client.is_some() && !is_over && first.at + self.settings.ttl > now {
                return None;
            }
            self.departures.pop_front();
            if client.is_some() {
                return client;
            }
        }
        self.departures.shrink_to_fit();
        None
    }
}

fn away(directory: &Directory, departure: Departure) -> Option<ClientKey> {
    let key = directory.living_client(departure.client)?;
    let client = directory.client(key);
    (client.is_away && client.connection == departure.connection).then_some(key)
}
