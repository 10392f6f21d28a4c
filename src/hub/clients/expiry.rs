//! Sessions of clients that are away (contract section 5.5): how long they last and how many there may be.
//!
//! Owns the departures in order of time, which is also the order of expiry because all sessions last equally long; one timer for the
//! first is enough. A client that came back leaves a stale departure behind, recognised by its connection.

use crate::base::time::Time;
use crate::hub::keys::ConnectionId;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::rooms::directory::Directory;
use crate::hub::settings::HubSettings;
use std::collections::VecDeque;

/// Departures listed before stale ones are removed.
const MIN_LISTED: usize = 64;

#[derive(Debug, Default)]
pub struct Departures {
    departures: VecDeque<Departure>,
    is_armed: bool,
}

/// A client's leaving; stale once the client has come back, because its connection is another then.
#[derive(Debug, Clone, Copy)]
struct Departure {
    at: Time,
    client: ClientId,
    connection: ConnectionId,
}

impl Departures {
    /// Records that a client has left; it is marked as away already.
    pub fn record(&mut self, now: Time, client: ClientKey, directory: &Directory) {
        // Stale departures go once they make up half of the list: a client that comes and goes all the time must not fill it.
        if self.departures.len() >= MIN_LISTED.max(2 * directory.away()) {
            self.departures
                .retain(|departure| away(directory, *departure).is_some());
        }
        let client = directory.client(client);
        self.departures.push_back(Departure {
            at: now,
            client: client.id,
            connection: client.connection,
        });
    }

    /// Clients that are away, in the order in which they left.
    pub fn away(&self, directory: &Directory) -> impl Iterator<Item = ClientKey> {
        let departures = self.departures.iter();
        departures.filter_map(|departure| away(directory, *departure))
    }

    /// When the first session ends, unless a timer is set already.
    pub fn arm(&mut self, settings: &HubSettings) -> Option<Time> {
        // One timer for the first departure: the others end later.
        let first = self.departures.front().filter(|_| !self.is_armed)?;
        self.is_armed = true;
        Some(first.at + settings.session_ttl)
    }

    pub fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// The next client whose session ends, because it was over at `due` or because too many are away.
    pub fn poll_expired(
        &mut self,
        due: Time,
        settings: &HubSettings,
        directory: &Directory,
    ) -> Option<ClientKey> {
        let (limit, ttl) = (settings.max_sessions, settings.session_ttl);
        while let Some(first) = self.departures.front().copied() {
            let is_over = limit > 0 && directory.away() > limit;
            let client = away(directory, first);
            if client.is_some() && !is_over && first.at + ttl > due {
                return None;
            }
            // A stale departure goes whatever its age.
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
