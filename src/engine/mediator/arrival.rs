//! A WebSocket is taken for what it came for: a client is known to the hub, has its session back if it brings its secret, and is
//! told `connected` (contract section 2).

use super::engine::Engine;
use crate::base::time::Span;
use crate::engine::access::caller::Caller;
use crate::engine::access::gate::Deferral;
use crate::engine::commit::lobby::Arrival;
use crate::engine::session::subscriptions::Entry;
use crate::engine::transport::confirmation::Confirmation;
use crate::engine::transport::peer::Role;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, Variant};
use crate::wire::websocket::CloseCode;

/// The room that every data-dialect connection is in from the start.
const ALL: &str = "all";

impl Engine {
    /// What the store holds is known.
    pub(super) fn enter(&mut self, connection: ConnectionId, arrival: Arrival) {
        let Arrival::Client {
            variant,
            secret,
            batches,
            is_counted,
        } = arrival
        else {
            return self.connect_backend(connection);
        };
        if let Err(deferral) = self.check_places(variant.dialect, 0) {
            self.give_back(connection, is_counted);
            return self.dismiss_deferred(connection, Some(variant), &deferral);
        }
        let resumed = secret.and_then(|secret| self.resume(connection, variant, &secret));
        let client = resumed.unwrap_or_else(|| {
            let nonce = self.random.next_u64() >> 24;
            self.hub
                .attach(self.now, connection, variant.dialect, nonce)
        });
        self.become_client(connection, client, variant, resumed.is_some());
        if batches {
            self.context(Caller::Viewer).enable_batches(client);
        }
        if resumed.is_some() {
            // Nobody could know before the store was read that it was expected.
            self.give_back(connection, is_counted);
            self.context(Caller::Viewer).recover(client, true);
        }
    }

    fn connect_backend(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.transport.peers.peer_mut(connection) {
            peer.role = Role::Application;
            let locale = self.settings.locale;
            self.backend.insert_link(connection, peer.address, locale);
        }
    }

    /// Whether the hub can take a client beside so many who wait. Every client of the data dialect is in the common room.
    pub(super) fn check_places(&self, dialect: Dialect, waiting: usize) -> Result<(), Deferral> {
        let directory = self.hub.directory();
        if !directory.has_room_for_clients(waiting + 1) {
            return Err(Deferral::full("websocket.max_clients"));
        }
        match dialect == Dialect::Payload || directory.has_place_for(ALL) {
            true => Ok(()),
            false => Err(Deferral::full("websocket.max_rooms")),
        }
    }

    /// A connection has used up nothing of what its address may do, after all.
    fn give_back(&mut self, connection: ConnectionId, is_counted: bool) {
        let address = self.peer(connection).and_then(|peer| peer.address);
        if let Some(address) = address.filter(|_| is_counted) {
            let rate = self.settings.websocket.connection_rate;
            self.addresses.refund(address, rate);
        }
    }

    /// The client whose session a secret brings back, connected or away.
    pub(super) fn expected(&self, secret: &str) -> Option<ClientKey> {
        let directory = self.hub.directory();
        let client = directory.living_client(self.session_key.client(secret)?)?;
        directory.client(client).has_session.then_some(client)
    }

    /// Gives a client its session back on a new connection. Whoever holds its connection loses it.
    fn resume(
        &mut self,
        connection: ConnectionId,
        variant: Variant,
        secret: &str,
    ) -> Option<ClientKey> {
        let client = self.expected(secret)?;
        if variant.dialect != Dialect::Payload {
            return None;
        }
        let found = self.hub.directory().client(client);
        let (id, old, is_away) = (found.id, found.connection, found.is_away);
        let mut messages = self.addresses.take_messages(id);
        if !is_away {
            log::info!("{id} has come back before its old connection was gone, which ends here");
            let old_variant = self.transport.peers.variant(old);
            let mut is_blocked = false;
            if let Some(peer) = self.peer_mut(old) {
                peer.role = Role::Caller;
                messages = peer.allowance.messages;
                is_blocked = peer.blocked;
            }
            self.transport.peers.set_backlogged(old, false);
            // Whoever reads is told first that the upgrade has succeeded.
            if is_blocked {
                self.transport.peers.drop_unstarted(old);
            }
            const REASON: &str = "replaced by a newer connection";
            self.dismiss(
                old,
                Some(old_variant),
                CloseCode::POLICY,
                REASON,
                Span::ZERO,
            );
        }
        if let Some(peer) = self.peer_mut(connection) {
            peer.allowance.messages = messages;
        }
        self.hub
            .resume(self.now, client, connection, variant.dialect);
        self.backend.adopt(id);
        Some(client)
    }

    /// The hub knows the client; its connection learns of it, and the client of the server.
    fn become_client(
        &mut self,
        connection: ConnectionId,
        client: ClientKey,
        variant: Variant,
        is_resumed: bool,
    ) {
        let has_session = self.hub.directory().client(client).has_session;
        if let Some(peer) = self.peer_mut(connection) {
            peer.role = Role::Viewer(client);
            peer.variant = variant;
            peer.confirmation = has_session.then(Confirmation::default);
        }
        self.log_arrival(client, variant.dialect);
        match variant.dialect {
            Dialect::Payload => self.greet(client, is_resumed),
            Dialect::Data => {
                let entered = self.context(Caller::Viewer).enter(client, ALL, Entry::Put);
                debug_assert!(entered.is_ok(), "there was room for it");
            }
        }
    }

    fn log_arrival(&self, client: ClientKey, dialect: Dialect) {
        if log::log_enabled!(log::Level::Info) {
            let directory = self.hub.directory();
            let (client, total) = (
                &directory.client(client).id.to_string(),
                directory.connected(),
            );
            let phrase = match dialect {
                Dialect::Payload => Phrase::ClientConnected { client, total },
                Dialect::Data => Phrase::DataClientConnected,
            };
            log::info!("{}", self.settings.locale.say(phrase));
        }
    }

    /// `connected` is the first message on every connection of the payload dialect.
    fn greet(&mut self, client: ClientKey, is_resumed: bool) {
        let settings = &self.settings.websocket;
        let greeted = self.hub.directory().client(client);
        let id = greeted.id;
        let session = match greeted.has_session {
            true => format!("\"session\":\"{}\",", self.session_key.secret(id)),
            false => String::new(),
        };
        let payload = format!(
            "{{\"clientId\":\"{id}\",{session}\"resumed\":{is_resumed},\"version\":\"{}\",\"heartbeatInterval\":{},\
             \"connectionTimeout\":{},\"reconnect\":{{\"maxAttempts\":{},\"delay\":{},\"exponentialBackoff\":{}}}}}",
            env!("CARGO_PKG_VERSION"),
            settings.heartbeat_interval.as_millis(),
            settings.connection_timeout.as_millis(),
            settings.reconnect.max_attempts,
            settings.reconnect.delay_ms,
            settings.reconnect.exponential_backoff,
        );
        self.context(Caller::Viewer)
            .answer(client, "connected", &payload, None);
    }
}
