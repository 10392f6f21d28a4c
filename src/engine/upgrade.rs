//! From an HTTP request to a WebSocket client: checks, handshake, greeting (contract sections 1, 2 and 4).

use super::access::Asker;
use super::api;
use super::backend;
use super::closing;
use super::http;
use super::lobby::Arrival;
use super::newcomers;
use super::refusals::{self, Newcomer, Refusal};
use super::sessions::{self, Whereabouts};
use super::settings::{Settings, WebSocketSettings};
use super::standing::Standing;
use super::state::{Life, State};
use crate::base::time::Now;
use crate::conn::Phase;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::{Head, Problem, Response};
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, Encoding, Envelope, Variant};
use crate::wire::websocket::{self, HandshakeError, Reader};

/// The subprotocols of contract section 4, the preferred one first.
const SUBPROTOCOLS: [&str; 2] = ["joblight.json", "joblight.msgpack"];
/// The room that every data-dialect connection is in from the start.
pub const ALL: &str = "all";

/// A request asks to become a WebSocket.
pub fn handle_upgrade(state: &mut State, now: Now, connection: ConnectionId, head: &Head) {
    let purpose = match admit(state, connection, head) {
        Ok(purpose) => purpose,
        Err(problem) => return http::respond(state, now, connection, head, problem.into()),
    };
    let accepted = match shake_hands(head, purpose, &state.settings.websocket) {
        Ok(accepted) => accepted,
        Err(error) => return http::respond(state, now, connection, head, refusal(error)),
    };
    let peer = state.peers.peer(connection).and_then(|peer| peer.address);
    let newcomer = Newcomer {
        asker: state.settings.proxies.asker(peer, head),
        variant: purpose.variant(&accepted),
        accepted,
    };
    match check_room(state, now, newcomer.asker, head, purpose) {
        Ok(is_counted) => {
            become_websocket(state, now, connection, head, purpose, newcomer, is_counted);
        }
        Err(refusal) => refusals::answer(state, now, connection, head, newcomer, refusal),
    }
}

/// Everything that may stand against an upgrade at any time, its page and its host aside, which are judged already.
fn admit(state: &State, connection: ConnectionId, head: &Head) -> Result<Purpose, Problem> {
    let purpose = purpose_of(&state.settings, head.path());
    let services = state.peers.peer(connection).map(|peer| peer.services);
    let serves = |purpose: &Purpose| {
        services.is_some_and(|services| match purpose {
            // It may do all that the API may, and is served where that is.
            Purpose::Backend => services.http(),
            Purpose::Client(_) | Purpose::Echo => services.websocket(),
        })
    };
    let Some(purpose) = purpose.filter(serves) else {
        let detail = format!("no WebSocket at `{}`", head.path());
        return Err(Problem::new(404, "not_found", detail).at("path"));
    };
    if state.life != Life::Serving {
        return Err(Problem::new(503, "draining", "the server is shutting down").retry_after_s(1));
    }
    if purpose == Purpose::Backend {
        api::authorize(&state.settings.http, head)?;
    }
    Ok(purpose)
}

/// Whether there is room for one more now, and whether it has used up a connection of its address. A client that takes over
/// its own connection takes nobody's place, and whoever is told that the server is full has used up nothing of what its
/// address may do.
fn check_room(
    state: &mut State,
    now: Now,
    asker: Asker,
    head: &Head,
    purpose: Purpose,
) -> Result<bool, Refusal> {
    if purpose != Purpose::Backend && newcomers::is_in_reserve(state) {
        return Err(Refusal::full("server.max_connections"));
    }
    let dialect = match purpose {
        Purpose::Client(dialect) => dialect,
        Purpose::Echo => return refusals::check_rate(state, now, asker),
        Purpose::Backend => return Ok(false),
    };
    let secret = head
        .query("session")
        .filter(|_| dialect == Dialect::Payload);
    let whereabouts = secret.map_or(Whereabouts::Nowhere, |secret| {
        sessions::whereabouts(state, &secret)
    });
    let max_clients = state.settings.websocket.max_clients;
    // Most of those who wait for the store will be clients as well.
    let is_full = max_clients > 0 && state.clients() + state.lobby.clients() >= max_clients;
    let is_here = whereabouts == Whereabouts::Here;
    if is_full && !is_here {
        return Err(Refusal::full("websocket.max_clients"));
    }
    if !is_here {
        refusals::check_share(state, now, asker)?;
    }
    if dialect == Dialect::Data && !state.is_unread() {
        check_common_room(state)?;
    }
    // The last of all: a handshake that is refused uses nothing up, and neither does a client that is expected.
    match whereabouts {
        Whereabouts::Nowhere => refusals::check_rate(state, now, asker),
        Whereabouts::Here | Whereabouts::Away => Ok(false),
    }
}

/// Every client of the data dialect is in this room.
fn check_common_room(state: &State) -> Result<(), Refusal> {
    match state.hub.directory().has_place_for(ALL) {
        true => Ok(()),
        false => Err(Refusal::full("websocket.max_rooms")),
    }
}

fn shake_hands(
    head: &Head,
    purpose: Purpose,
    settings: &WebSocketSettings,
) -> Result<websocket::Accepted, HandshakeError> {
    let request = websocket::Request {
        method: head.method_text(),
        version_minor: head.version_minor(),
        headers: head.fields().map(|(name, value)| (name, value.as_bytes())),
    };
    let subprotocols = match purpose {
        Purpose::Backend => &SUBPROTOCOLS[..1],
        Purpose::Client(_) | Purpose::Echo => &SUBPROTOCOLS[..],
    };
    websocket::accept(&request, subprotocols, settings.enable_compression)
}

/// What a WebSocket is for, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A client of the hub.
    Client(Dialect),
    /// The application's own link.
    Backend,
    /// Its own messages, sent back.
    Echo,
}

impl Purpose {
    /// The form of the messages that a client is sent.
    fn variant(self, accepted: &websocket::Accepted) -> Option<Variant> {
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

fn purpose_of(settings: &Settings, path: &str) -> Option<Purpose> {
    match path {
        backend::PATH => Some(Purpose::Backend),
        path if path == settings.websocket.echo_path => Some(Purpose::Echo),
        "/" => Some(Purpose::Client(Dialect::Data)),
        path if path == settings.websocket.path => Some(Purpose::Client(Dialect::Payload)),
        _ => None,
    }
}

fn refusal(error: HandshakeError) -> Response {
    let code = if error.status() == 426 {
        "upgrade_required"
    } else {
        "bad_request"
    };
    let mut problem = Problem::new(error.status(), code, error.to_string());
    if let HandshakeError::Header(name) = error {
        problem = problem.at(name);
    }
    error
        .headers()
        .iter()
        .fold(Response::from(problem), |response, (name, value)| {
            response.header(name, *value)
        })
}

fn become_websocket(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    purpose: Purpose,
    newcomer: Newcomer,
    is_counted: bool,
) {
    let Newcomer {
        accepted,
        asker,
        variant,
    } = newcomer;
    let compression = accepted.compression;
    state.peers.push(connection, accepted.response);
    state.traffic.connections += u64::from(purpose != Purpose::Backend);
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.connection.phase = Phase::WebSocket(Reader::default());
        peer.compression = compression;
        peer.know(asker);
    }
    if variant.is_some() {
        take_place(state, connection, asker);
    }
    closing::watch_heartbeat(state, now, connection);
    let arrival = match variant {
        Some(variant) => Arrival::Client {
            variant,
            secret: head.query("session").map(String::from),
            batches: head.query("batch").is_some_and(|value| value != "0"),
            is_counted,
        },
        None if purpose == Purpose::Backend => Arrival::Backend,
        None => return,
    };
    // Whoever waits already goes first, or an older connection would take its session from a newer one.
    match state.is_unread() || state.lobby.has_guests() {
        true => state.lobby.receive(connection, arrival),
        false => enter(state, now, connection, arrival),
    }
}

/// Counts a client among those of its address.
fn take_place(state: &mut State, connection: ConnectionId, asker: Asker) {
    let has_limit = state.settings.websocket.max_clients_per_address > 0;
    if let Some(address) = asker.limited().filter(|_| has_limit)
        && let Some(peer) = state.peers.peer_mut(connection)
    {
        peer.standing = peer.standing.with(Standing::PLACED, true);
        state.addresses.add_client(address);
    }
}

/// A WebSocket is taken for what it came for; what the store holds is known.
pub fn enter(state: &mut State, now: Now, connection: ConnectionId, arrival: Arrival) {
    match arrival {
        Arrival::Client {
            variant,
            secret,
            batches,
            is_counted,
        } => {
            if variant.dialect == Dialect::Data
                && let Err(refusal) = check_common_room(state)
            {
                give_back(state, connection, is_counted);
                return refusals::dismiss(state, now, connection, Some(variant), refusal);
            }
            let resumed = become_client(state, now, connection, variant, secret.as_deref());
            if batches {
                enable_batches(state, connection);
            }
            if let Some(client) = resumed {
                // Nobody could know before the store was read that it was expected.
                give_back(state, connection, is_counted);
                sessions::recover(state, now, client, true);
            }
        }
        Arrival::Backend => backend::connect(state, connection),
    }
}

/// A connection has used up nothing of what its address may do, after all.
fn give_back(state: &mut State, connection: ConnectionId, is_counted: bool) {
    let address = state.peers.peer(connection).and_then(|peer| peer.address);
    if let Some(address) = address.filter(|_| is_counted) {
        let rate = state.settings.websocket.connection_rate;
        state.addresses.refund(address, rate);
    }
}

/// From now on the messages of a turn come as one to this client of the payload dialect (contract section 4).
pub fn enable_batches(state: &mut State, connection: ConnectionId) {
    let Some(client) = state.client_of(connection) else {
        return;
    };
    let Variant {
        dialect, encoding, ..
    } = state.variant(client);
    let batch_size = state.settings.batch_size;
    if let Some(peer) = state
        .peers
        .peer_mut(connection)
        .filter(|_| dialect == Dialect::Payload)
    {
        peer.connection.outbox.enable_batches(encoding, batch_size);
        state.hub.handle_batches(client);
    }
}

/// The hub learns of the client, and the client of the server. Tells who it is if it has come back.
fn become_client(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    variant: Variant,
    secret: Option<&str>,
) -> Option<ClientKey> {
    let resumed =
        secret.and_then(|secret| sessions::resume(state, now, connection, variant, secret));
    let client = match resumed {
        Some(client) => client,
        None => {
            let nonce = state.random.next_u64() >> 24;
            state.hub.attach(now, connection, variant, nonce)
        }
    };
    let has_session = state.hub.directory().client(client).has_session;
    if let Some(peer) = state.peers.peer_mut(connection) {
        (peer.client, peer.has_session) = (Some(client), has_session);
    }
    log_arrival(state, client, variant.dialect);
    match variant.dialect {
        Dialect::Payload => greet(state, now, client, resumed.is_some()),
        Dialect::Data => {
            let joined = state.hub.put_into(client, ALL);
            debug_assert!(joined.is_ok(), "there was room for it");
        }
    }
    resumed
}

fn log_arrival(state: &State, client: ClientKey, dialect: Dialect) {
    if log::log_enabled!(log::Level::Info) {
        let id = state.hub.directory().client(client).id.to_string();
        let phrase = match dialect {
            Dialect::Payload => Phrase::ClientConnected {
                client: &id,
                total: state.clients(),
            },
            Dialect::Data => Phrase::DataClientConnected,
        };
        log::info!("{}", state.settings.locale.say(phrase));
    }
}

/// `connected` is the first message on every connection of the payload dialect.
fn greet(state: &mut State, now: Now, client: ClientKey, resumed: bool) {
    let settings = &state.settings.websocket;
    let greeted = state.hub.directory().client(client);
    let id = greeted.id;
    let session = match greeted.has_session {
        true => format!("\"session\":\"{}\",", state.session_key.secret(id)),
        false => String::new(),
    };
    let payload = format!(
        "{{\"clientId\":\"{}\",{session}\"resumed\":{resumed},\"version\":\"{}\",\"heartbeatInterval\":{},\
         \"connectionTimeout\":{},\"reconnect\":{{\"maxAttempts\":{},\"delay\":{},\"exponentialBackoff\":{}}}}}",
        id,
        env!("CARGO_PKG_VERSION"),
        settings.heartbeat_interval.as_millis(),
        settings.connection_timeout.as_millis(),
        settings.reconnect.max_attempts,
        settings.reconnect.delay_ms,
        settings.reconnect.exponential_backoff,
    );
    let variant = state.variant(client);
    let envelope = Envelope {
        kind: "connected",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        place: None,
    };
    state.send_encoded(client, &envelope.encode(variant));
}
