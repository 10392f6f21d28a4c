//! A WebSocket is taken for what it came for: a client is known to the hub, and told `connected` (contract section 2).

use crate::base::time::Now;
use crate::engine::access::caller::Caller;
use crate::engine::backend::links;
use crate::engine::commit::lobby::Arrival;
use crate::engine::session::deferrals::Deferral;
use crate::engine::session::{batches, deferrals, recovery, resume};
use crate::engine::state::State;
use crate::engine::transport::confirmation::Confirmation;
use crate::engine::transport::peer::Role;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, Variant};

/// The room that every data-dialect connection is in from the start.
pub const ALL: &str = "all";

/// A WebSocket is taken for what it came for; what the store holds is known.
pub fn enter(state: &mut State, now: Now, connection: ConnectionId, arrival: Arrival) {
    match arrival {
        Arrival::Client {
            variant,
            secret,
            batches: wants_batches,
            is_counted,
        } => {
            if let Err(deferral) = check_places(state, variant.dialect, 0) {
                give_back(state, connection, is_counted);
                return deferrals::dismiss(state, now, connection, Some(variant), deferral);
            }
            let resumed = become_client(state, now, connection, variant, secret.as_deref());
            if wants_batches && let Some(client) = state.client_of(connection) {
                batches::enable(&mut state.context(Caller::Viewer), client);
            }
            if let Some(client) = resumed {
                // Nobody could know before the store was read that it was expected.
                give_back(state, connection, is_counted);
                recovery::recover(&mut state.context(Caller::Viewer), client, true);
            }
        }
        Arrival::Backend => links::connect(state, connection),
    }
}

/// Whether the hub can take a client beside so many who wait. Every client of the data dialect is in the common room.
pub fn check_places(state: &State, dialect: Dialect, waiting: usize) -> Result<(), Deferral> {
    let directory = state.hub.directory();
    if !directory.has_room_for_clients(waiting + 1) {
        return Err(Deferral::full("websocket.max_clients"));
    }
    if dialect == Dialect::Data && !directory.has_place_for(ALL) {
        return Err(Deferral::full("websocket.max_rooms"));
    }
    Ok(())
}

/// A connection has used up nothing of what its address may do, after all.
fn give_back(state: &mut State, connection: ConnectionId, is_counted: bool) {
    let address = state
        .transport
        .peers
        .peer(connection)
        .and_then(|peer| peer.address);
    if let Some(address) = address.filter(|_| is_counted) {
        let rate = state.settings.websocket.connection_rate;
        state.addresses.refund(address, rate);
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
    let resumed = secret.and_then(|secret| resume::resume(state, now, connection, variant, secret));
    let client = match resumed {
        Some(client) => client,
        None => {
            let nonce = state.random.next_u64() >> 24;
            state.hub.attach(now, connection, variant.dialect, nonce)
        }
    };
    let has_session = state.hub.directory().client(client).has_session;
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.role = Role::Viewer(client);
        peer.variant = variant;
        peer.confirmation = has_session.then(Confirmation::default);
    }
    log_arrival(state, client, variant.dialect);
    match variant.dialect {
        Dialect::Payload => greet(state, client, resumed.is_some()),
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
fn greet(state: &mut State, client: ClientKey, resumed: bool) {
    let settings = &state.settings.websocket;
    let greeted = state.hub.directory().client(client);
    let id = greeted.id;
    let session = match greeted.has_session {
        true => format!("\"session\":\"{}\",", state.session.key.secret(id)),
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
    state
        .context(Caller::Viewer)
        .answer(client, "connected", &payload, None);
}
