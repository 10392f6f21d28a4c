//! From an HTTP request to a WebSocket, and to a client: checks, handshake, what a handshake that comes at the wrong time is told,
//! and how a WebSocket is taken for what it came for (contract sections 1, 2, 4 and 9).
//!
//! JavaScript learns neither status nor header of a handshake that fails, so a page (it sends its `Origin`) is let in first and told
//! then, by `disconnected` and the close code. It becomes no client, and such goodbyes are bounded; beyond that bound, and without an
//! `Origin`, the answer is 503 or 429 with `Retry-After`.

use super::engine::Engine;
use crate::base::time::Span;
use crate::conn::Phase;
use crate::engine::access::Asker;
use crate::engine::access::caller::{Action, Caller};
use crate::engine::access::gate::{Deferral, Gate, Told};
use crate::engine::answer::Answer;
use crate::engine::backend::pending;
use crate::engine::commit::lobby::Arrival;
use crate::engine::life::Life;
use crate::engine::settings::Settings;
use crate::engine::transport::confirmation::Confirmation;
use crate::engine::transport::peer::{Role, Services, Standing};
use crate::hub::{ClientId, ClientKey, ConnectionId, Entry, Full};
use crate::wire::http::{Head, Response};
use crate::wire::locale::{Locale, Phrase};
use crate::wire::message::envelope::to_json;
use crate::wire::message::{Dialect, Encoding, Variant};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::{self, Accepted, CloseCode, Reader};
use serde::Serialize;
use std::borrow::Cow;

/// The subprotocols of contract section 4, the preferred one first.
const SUBPROTOCOLS: [&str; 2] = ["joblight.json", "joblight.msgpack"];
/// Goodbyes to pages under way at once: the others get the short answer.
const MAX_GOODBYES: usize = 512;
/// The room that every data-dialect connection is in from the start.
const ALL: &str = "all";

/// To a WebSocket.
impl Engine {
    /// A request asks to become a WebSocket.
    pub(super) fn handle_upgrade(&mut self, connection: ConnectionId, head: &Head) {
        let purpose = match self.admit_upgrade(connection, head) {
            Ok(purpose) => purpose,
            Err(refusal) => return self.refuse(connection, head, refusal),
        };
        let subprotocols = match purpose {
            Purpose::Backend => &SUBPROTOCOLS[..1],
            Purpose::Client(_) | Purpose::Echo => &SUBPROTOCOLS[..],
        };
        let compresses = self.settings.websocket.enable_compression;
        let accepted = match websocket::accept(head, subprotocols, compresses) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                let answer = refused(refusal, self.settings.locale);
                return self.respond(connection, head, Ok(Answer::Now(answer)));
            }
        };
        let asker = self.asker(connection, head);
        let variant = purpose.variant(&accepted);
        match self.check_place(asker, head, purpose) {
            Ok(is_counted) => {
                self.become_websocket(connection, accepted, asker);
                self.counts.connections += u64::from(purpose != Purpose::Backend);
                self.welcome(connection, head, purpose, variant, is_counted);
            }
            Err(deferral) => self.defer(connection, head, accepted, asker, variant, deferral),
        }
    }

    /// Everything that may stand against an upgrade at any time, its page and its host aside, which are judged already.
    fn admit_upgrade(&self, connection: ConnectionId, head: &Head) -> Result<Purpose, Refusal> {
        let purpose = self
            .peer(connection)
            .and_then(|peer| Purpose::of(&self.settings, peer.services, head.path()));
        let purpose = purpose.ok_or_else(|| {
            let detail = format!("no WebSocket at `{}`", head.path());
            Refusal::not_found(detail).at("path")
        })?;
        if self.life != Life::Serving {
            let refusal = Refusal::new(ErrorCode::Draining, "the server is shutting down");
            return Err(refusal.retry_after_s(1));
        }
        if purpose == Purpose::Backend {
            Caller::Request(head).may(Action::UseApi, &self.settings)?;
        }
        Ok(purpose)
    }

    /// Whether there is room for one more now, and whether it has used up a connection of its address. A client that takes over
    /// its own connection takes nobody's place, and whoever is told that the server is full has used up nothing of what its
    /// address may do.
    fn check_place(
        &mut self,
        asker: Asker,
        head: &Head,
        purpose: Purpose,
    ) -> Result<bool, Deferral> {
        let max = self.settings.max_viewers;
        let is_in_reserve = max > 0 && self.transport.peers.len() > max;
        if purpose != Purpose::Backend && is_in_reserve {
            return Err(Deferral::full("server.max_connections"));
        }
        let dialect = match purpose {
            Purpose::Client(dialect) => dialect,
            Purpose::Echo => return self.gate().check_rate(asker),
            Purpose::Backend => return Ok(false),
        };
        let secret = secret_of(head, dialect);
        let expected = secret.and_then(|secret| self.expected(&secret));
        let is_here = expected.is_some_and(|client| !self.hub.directory().client(client).is_away);
        let max_clients = self.settings.websocket.max_clients;
        // Most of those who wait for the store will be clients as well.
        let clients = self.hub.directory().connected() + self.lobby.clients();
        if max_clients > 0 && clients >= max_clients && !is_here {
            return Err(Deferral::full("websocket.max_clients"));
        }
        if !is_here {
            self.gate().check_share(asker)?;
        }
        if expected.is_none() && !self.store.is_unread() {
            self.check_places(dialect, self.lobby.clients())?;
        }
        // The last of all: a handshake that is refused uses nothing up, and neither does a client that is expected.
        match expected {
            None => self.gate().check_rate(asker),
            Some(_) => Ok(false),
        }
    }

    pub(super) fn gate(&mut self) -> Gate<'_> {
        Gate {
            now: self.now.at,
            settings: &self.settings,
            addresses: &mut self.addresses,
            random: &mut self.random,
            counts: &mut self.counts,
            connections: self.transport.peers.len(),
        }
    }

    /// Tells whoever wanted to connect when to come back.
    fn defer(
        &mut self,
        connection: ConnectionId,
        head: &Head,
        accepted: Accepted,
        asker: Asker,
        variant: Option<Variant>,
        deferral: Deferral,
    ) {
        let is_page = head.header("origin").is_some();
        if !is_page || self.transport.peers.goodbyes() >= MAX_GOODBYES {
            self.counts.refused += 1;
            let delay = self.gate().delay_of(&deferral, asker, Told::ByAnswer);
            return self.refuse(connection, head, deferral.refusal(delay));
        }
        self.become_websocket(connection, accepted, asker);
        self.transport.peers.mark_goodbye(connection);
        self.dismiss_deferred(connection, variant, &deferral);
    }

    /// Tells a connection that is a WebSocket already when to come back, and closes it.
    pub(super) fn dismiss_deferred(
        &mut self,
        connection: ConnectionId,
        variant: Option<Variant>,
        deferral: &Deferral,
    ) {
        self.counts.refused += 1;
        let peer = self.peer(connection);
        let asker = peer.map_or_else(Asker::default, |peer| peer.asker);
        let delay = self.gate().delay_of(deferral, asker, Told::ByGoodbye);
        self.dismiss(connection, variant, deferral.code, deferral.reason, delay);
    }

    fn become_websocket(&mut self, connection: ConnectionId, accepted: Accepted, asker: Asker) {
        self.transport.peers.push(connection, accepted.response);
        if let Some(peer) = self.peer_mut(connection) {
            peer.connection.phase = Phase::WebSocket(Reader::default());
            peer.compression = accepted.compression;
            peer.asker = asker;
        }
    }

    /// Lets a WebSocket in: at once, or when the store is read.
    fn welcome(
        &mut self,
        connection: ConnectionId,
        head: &Head,
        purpose: Purpose,
        variant: Option<Variant>,
        is_counted: bool,
    ) {
        if variant.is_some() {
            self.take_place(connection);
        }
        self.on_transport(|transport, step| transport.watch(step, connection));
        let arrival = match variant {
            Some(variant) => Arrival::Client {
                variant,
                secret: secret_of(head, variant.dialect).map(String::from),
                batches: head.query("batch").is_some_and(|value| value != "0"),
                is_counted,
            },
            None if purpose == Purpose::Backend => Arrival::Backend,
            None => return,
        };
        // Whoever waits already goes first, or an older connection would take its session from a newer one.
        match self.store.is_unread() || self.lobby.has_guests() {
            true => self.lobby.receive(connection, arrival),
            false => self.enter(connection, arrival),
        }
    }

    /// Counts a client among those of its address.
    fn take_place(&mut self, connection: ConnectionId) {
        if self.settings.websocket.max_clients_per_address > 0
            && let Some(peer) = self.transport.peers.peer_mut(connection)
            && let Some(address) = peer.asker.limited()
        {
            peer.standing.add(Standing::PLACED);
            self.addresses.add_client(address);
        }
    }
}

/// To a client, or the application.
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
            let moment = self.settings.at(self.now);
            self.hub.attach(moment, connection, variant.dialect, nonce)
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
            self.backend
                .insert_link(connection, peer.asker.address, locale);
        }
    }

    /// Whether the hub can take a client beside so many who wait. Every client of the data dialect is in the common room.
    pub(super) fn check_places(&self, dialect: Dialect, waiting: usize) -> Result<(), Deferral> {
        let directory = self.hub.directory();
        if !directory.has_room_for_clients(waiting + 1) {
            return Err(Deferral::full("websocket.max_clients"));
        }
        match dialect == Dialect::Payload || directory.has_place_for(ALL, &self.settings.hub) {
            true => Ok(()),
            false => Err(Deferral::full(Full::Rooms.key())),
        }
    }

    /// A connection has used up nothing of what its address may do, after all.
    fn give_back(&mut self, connection: ConnectionId, is_counted: bool) {
        let peer = self.peer(connection).filter(|_| is_counted);
        if let Some(address) = peer.and_then(|peer| peer.asker.address) {
            let rate = self.settings.connection_rate;
            self.addresses.refund(address, rate);
        }
    }

    /// The client whose session a secret brings back, connected or away.
    pub(super) fn expected(&self, secret: &str) -> Option<ClientKey> {
        let directory = self.hub.directory();
        let client = directory.living_client(self.store.session_key.client(secret)?)?;
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
        let id = self.hub.directory().client(client).id;
        self.log_client(id, variant.dialect, true);
        match variant.dialect {
            Dialect::Payload => self.greet(client, is_resumed),
            Dialect::Data => {
                let entered = self.context(Caller::Viewer).enter(client, ALL, Entry::Put);
                debug_assert!(entered.is_ok(), "there was room for it");
            }
        }
    }

    /// Logs that a client has come, or gone.
    pub(super) fn log_client(&self, id: ClientId, dialect: Dialect, has_come: bool) {
        if log::log_enabled!(log::Level::Info) {
            let (client, total) = (&id.to_string(), self.hub.directory().connected());
            let phrase = match (dialect, has_come) {
                (Dialect::Payload, true) => Phrase::ClientConnected { client, total },
                (Dialect::Payload, false) => Phrase::ClientDisconnected { client, total },
                (Dialect::Data, true) => Phrase::DataClientConnected,
                (Dialect::Data, false) => Phrase::DataClientDisconnected,
            };
            log::info!("{}", self.settings.locale.say(phrase));
        }
    }

    /// `connected` is the first message on every connection of the payload dialect.
    fn greet(&mut self, client: ClientKey, is_resumed: bool) {
        let settings = &self.settings.websocket;
        let greeted = self.hub.directory().client(client);
        let secret = || self.store.session_key.secret(greeted.id);
        let payload = to_json(&Greeting {
            client_id: greeted.id.to_string(),
            session: greeted.has_session.then(secret),
            resumed: is_resumed,
            version: env!("CARGO_PKG_VERSION"),
            heartbeat_interval: settings.heartbeat_interval,
            connection_timeout: settings.connection_timeout,
            reconnect: Advice {
                max_attempts: settings.reconnect.max_attempts,
                delay: settings.reconnect.delay,
                exponential_backoff: settings.reconnect.exponential_backoff,
            },
        });
        self.context(Caller::Viewer)
            .answer(client, "connected", &payload, None);
    }
}

/// The payload of `connected`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Greeting {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    resumed: bool,
    version: &'static str,
    heartbeat_interval: u64,
    connection_timeout: u64,
    reconnect: Advice,
}

/// How a client that lost its connection without a word comes back.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Advice {
    max_attempts: u32,
    delay: u64,
    exponential_backoff: bool,
}

/// The secret of the session that a client wants back: there are none in the data dialect.
fn secret_of(head: &Head, dialect: Dialect) -> Option<Cow<'_, str>> {
    let secret = head.query("session");
    secret.filter(|_| dialect == Dialect::Payload)
}

/// What a WebSocket is for, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A client of the hub.
    Client(Dialect),
    /// The application's own link.
    Backend,
    /// A peer that is sent back its own messages.
    Echo,
}

impl Purpose {
    /// What a path is for on a listener; `None`: it is no WebSocket's there.
    pub(super) fn of(settings: &Settings, services: Services, path: &str) -> Option<Self> {
        let purpose = match path {
            pending::PATH => Self::Backend,
            path if path == settings.websocket.echo_path => Self::Echo,
            "/" => Self::Client(Dialect::Data),
            path if path == settings.websocket.path => Self::Client(Dialect::Payload),
            _ => return None,
        };
        let is_served = match purpose {
            // It may do all that the API may, and is served where that is.
            Self::Backend => services.http(),
            Self::Client(_) | Self::Echo => services.websocket(),
        };
        is_served.then_some(purpose)
    }

    /// The form of the messages that a client is sent.
    fn variant(self, accepted: &Accepted) -> Option<Variant> {
        let Self::Client(dialect) = self else {
            return None;
        };
        Some(Variant {
            dialect,
            encoding: Encoding::from_subprotocol(accepted.subprotocol),
            window: accepted.compression.window(),
        })
    }
}

/// Whoever speaks another version of the protocol is told which one is spoken here (RFC 6455 section 4.4).
fn refused(refusal: Refusal, locale: Locale) -> Response {
    let code = refusal.code();
    let answer = refusal.response(locale);
    match code {
        ErrorCode::UpgradeRequired => answer.header("Sec-WebSocket-Version", "13"),
        _ => answer,
    }
}
