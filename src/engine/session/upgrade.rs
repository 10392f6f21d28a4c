//! From an HTTP request to a WebSocket: checks and handshake (contract sections 1 and 4).

use crate::base::time::Now;
use crate::conn::Phase;
use crate::engine::access::Asker;
use crate::engine::access::caller::{Action, Caller};
use crate::engine::answer::Answer;
use crate::engine::backend::links;
use crate::engine::commit::lobby::Arrival;
use crate::engine::commit::respond;
use crate::engine::life::Life;
use crate::engine::refusal::Refusal;
use crate::engine::session::deferrals::{Deferral, Handshake};
use crate::engine::session::resume::Whereabouts;
use crate::engine::session::{deferrals, greeting, resume};
use crate::engine::settings::{Settings, WebSocketSettings};
use crate::engine::state::State;
use crate::engine::transport::peer::Standing;
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Problem, Response};
use crate::wire::message::{Dialect, Encoding, Variant};
use crate::wire::websocket;
use crate::wire::websocket::Reader;

/// The subprotocols of contract section 4, the preferred one first.
const SUBPROTOCOLS: [&str; 2] = ["joblight.json", "joblight.msgpack"];

/// A request asks to become a WebSocket.
pub fn handle_upgrade(state: &mut State, now: Now, connection: ConnectionId, head: &Head) {
    let purpose = match admit(state, connection, head) {
        Ok(purpose) => purpose,
        Err(refusal) => {
            return respond::respond(state, connection, head, Answer::Now(refusal.into()));
        }
    };
    let accepted = match shake_hands(head, purpose, &state.settings.websocket) {
        Ok(accepted) => accepted,
        Err(error) => {
            return respond::respond(state, connection, head, Answer::Now(refusal(error)));
        }
    };
    let peer = state
        .transport
        .peers
        .peer(connection)
        .and_then(|peer| peer.address);
    let handshake = Handshake {
        asker: state.settings.proxies.asker(peer, head),
        variant: purpose.variant(&accepted),
        accepted,
    };
    match check_room(state, now, handshake.asker, head, purpose) {
        Ok(is_counted) => {
            become_websocket(state, now, connection, head, purpose, handshake, is_counted);
        }
        Err(deferral) => deferrals::answer(state, now, connection, head, handshake, deferral),
    }
}

/// Everything that may stand against an upgrade at any time, its page and its host aside, which are judged already.
fn admit(state: &State, connection: ConnectionId, head: &Head) -> Result<Purpose, Refusal> {
    let purpose = purpose_of(&state.settings, head.path());
    let services = state
        .transport
        .peers
        .peer(connection)
        .map(|peer| peer.services);
    let serves = |purpose: &Purpose| {
        services.is_some_and(|services| match purpose {
            // It may do all that the API may, and is served where that is.
            Purpose::Backend => services.http(),
            Purpose::Client(_) | Purpose::Echo => services.websocket(),
        })
    };
    let Some(purpose) = purpose.filter(serves) else {
        let detail = format!("no WebSocket at `{}`", head.path());
        return Err(Refusal::new("not_found", detail).at("path"));
    };
    if state.life != Life::Serving {
        return Err(Refusal::new("draining", "the server is shutting down").retry_after_s(1));
    }
    if purpose == Purpose::Backend {
        Caller::Request(head).may(Action::UseApi, &state.settings)?;
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
) -> Result<bool, Deferral> {
    let max = state.settings.max_viewers;
    let is_in_reserve = max > 0 && state.transport.peers.len() > max;
    if purpose != Purpose::Backend && is_in_reserve {
        return Err(Deferral::full("server.max_connections"));
    }
    let dialect = match purpose {
        Purpose::Client(dialect) => dialect,
        Purpose::Echo => return deferrals::check_rate(state, now, asker),
        Purpose::Backend => return Ok(false),
    };
    let secret = head
        .query("session")
        .filter(|_| dialect == Dialect::Payload);
    let whereabouts = secret.map_or(Whereabouts::Nowhere, |secret| {
        resume::whereabouts(state, &secret)
    });
    let max_clients = state.settings.websocket.max_clients;
    // Most of those who wait for the store will be clients as well.
    let is_full = max_clients > 0 && state.clients() + state.commit.lobby.clients() >= max_clients;
    let is_here = whereabouts == Whereabouts::Here;
    if is_full && !is_here {
        return Err(Deferral::full("websocket.max_clients"));
    }
    if !is_here {
        deferrals::check_share(state, now, asker)?;
    }
    if dialect == Dialect::Data && !state.commit.durability.is_unread() {
        greeting::check_common_room(state)?;
    }
    // The last of all: a handshake that is refused uses nothing up, and neither does a client that is expected.
    match whereabouts {
        Whereabouts::Nowhere => deferrals::check_rate(state, now, asker),
        Whereabouts::Here | Whereabouts::Away => Ok(false),
    }
}

fn shake_hands(
    head: &Head,
    purpose: Purpose,
    settings: &WebSocketSettings,
) -> Result<websocket::Accepted, Problem> {
    let subprotocols = match purpose {
        Purpose::Backend => &SUBPROTOCOLS[..1],
        Purpose::Client(_) | Purpose::Echo => &SUBPROTOCOLS[..],
    };
    websocket::accept(head, subprotocols, settings.enable_compression)
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
        links::PATH => Some(Purpose::Backend),
        path if path == settings.websocket.echo_path => Some(Purpose::Echo),
        "/" => Some(Purpose::Client(Dialect::Data)),
        path if path == settings.websocket.path => Some(Purpose::Client(Dialect::Payload)),
        _ => None,
    }
}

/// RFC 6455 section 4.4: whoever speaks another version is told which one is spoken here.
fn refusal(problem: Problem) -> Response {
    let is_of_version = problem.status == 426;
    match (is_of_version, Response::from(problem)) {
        (true, response) => response.header("Sec-WebSocket-Version", "13"),
        (false, response) => response,
    }
}

fn become_websocket(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    purpose: Purpose,
    handshake: Handshake,
    is_counted: bool,
) {
    let Handshake {
        accepted,
        asker,
        variant,
    } = handshake;
    let compression = accepted.compression;
    state.transport.peers.push(connection, accepted.response);
    state.statistics.traffic.connections += u64::from(purpose != Purpose::Backend);
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.connection.phase = Phase::WebSocket(Reader::default());
        peer.compression = compression;
        peer.know(asker);
    }
    if variant.is_some() {
        take_place(state, connection, asker);
    }
    let (transport, mut step) = state.step();
    transport.watch_heartbeat(&mut step, connection);
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
    match state.commit.durability.is_unread() || state.commit.lobby.has_guests() {
        true => state.commit.lobby.receive(connection, arrival),
        false => greeting::enter(state, now, connection, arrival),
    }
}

/// Counts a client among those of its address.
fn take_place(state: &mut State, connection: ConnectionId, asker: Asker) {
    let has_limit = state.settings.websocket.max_clients_per_address > 0;
    if let Some(address) = asker.limited().filter(|_| has_limit)
        && let Some(peer) = state.transport.peers.peer_mut(connection)
    {
        peer.standing = peer.standing.with(Standing::PLACED, true);
        state.addresses.add_client(address);
    }
}
