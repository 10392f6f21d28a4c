//! The HTTP phase of a connection: requests in, answers out, in order (contract section 7).

use crate::base::time::Now;
use crate::conn::{Ending, Phase};
use crate::engine::access::caller::Caller;
use crate::engine::answer::Answer;
use crate::engine::api::calls::Admitted;
use crate::engine::api::ingest::IngestStream;
use crate::engine::api::{calls, events, ingest};
use crate::engine::backend::links;
use crate::engine::commit::lobby::HeldRequest;
use crate::engine::commit::respond;
use crate::engine::refusal::Refusal;
use crate::engine::session::{farewell, upgrade};
use crate::engine::state::State;
use crate::engine::teardown;
use crate::engine::transport::answer::Cors;
use crate::engine::transport::peer::{Reading, Services, Standing};
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Problem};
use crate::wire::websocket;

/// A whole request has come in.
pub fn handle_request(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    body: &[u8],
) {
    mark_progress(state, connection);
    if let Err(problem) = check_page(state, now, connection, head) {
        return respond::respond(state, connection, head, Answer::Now(problem.into()));
    }
    if is_upgrade(head) {
        return upgrade::handle_upgrade(state, now, connection, head);
    }
    if waits_for_store(state, head, body.len()) {
        return hold(state, connection, head.clone(), Some(body.to_vec()));
    }
    let answer = match check_listener(state, connection, head) {
        Ok(()) => calls::answer(&mut state.context(Caller::Request(head)), head, body),
        Err(refusal) => Answer::Now(refusal.into()),
    };
    farewell::dismiss_all(state, now);
    respond::respond(state, connection, head, answer);
}

/// Judges a request by its head alone, before anything of its body is kept: the host, the listener, the path, the method and
/// the key.
pub fn admit_head(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
) -> Result<Admitted, Refusal> {
    check_page(state, now, connection, head)?;
    if is_upgrade(head) {
        // It is judged as a whole, and has no body.
        return Ok(Admitted::NoBody);
    }
    check_listener(state, connection, head)?;
    let is_opening = state.commit.durability.is_opening();
    calls::admit_head(&state.context(Caller::Request(head)), head, is_opening)
}

/// The head of a request has come and its body has not, or not all of it. A request that will be refused is refused now; its
/// connection goes on if the rest of the body is short.
pub fn handle_body_due(state: &mut State, now: Now, connection: ConnectionId) {
    let peer = state.transport.peers.peer(connection);
    let Some(Phase::Http(parser)) = peer.map(|peer| &peer.connection.phase) else {
        return;
    };
    let Some(head) = parser.due_head() else {
        return;
    };
    let head = head.clone();
    let admitted = admit_head(state, now, connection, &head);
    let peer = state.transport.peers.peer_mut(connection);
    let Some(Phase::Http(parser)) = peer.map(|peer| &mut peer.connection.phase) else {
        return;
    };
    let problem = match admitted {
        Ok(Admitted::Body) => return,
        Ok(Admitted::NoBody) => return parser.expect_no_body(),
        Err(problem) => problem,
    };
    match parser.refuse_body() {
        Some((head, true)) => {
            respond::respond(state, connection, &head, Answer::Now(problem.into()))
        }
        Some((head, false)) => refuse_problem(state, connection, &head, problem),
        None => {}
    }
}

/// Ends a request whose body has not been read, with an answer that its page may read.
fn refuse_problem(state: &mut State, connection: ConnectionId, head: &Head, refusal: Refusal) {
    let answer = Cors::of(
        head,
        &state.settings.access,
        state.transport.is_local(connection),
    )
    .mark(refusal.into());
    teardown::refuse(state, connection, &answer);
}

fn is_upgrade(head: &Head) -> bool {
    websocket::is_upgrade(head)
}

/// A request whose body is handled line by line has begun.
pub fn handle_stream_start(state: &mut State, now: Now, connection: ConnectionId, head: Head) {
    mark_progress(state, connection);
    if let Err(problem) = check_page(state, now, connection, &head) {
        return refuse_problem(state, connection, &head, problem);
    }
    if waits_for_store(state, &head, 0) {
        return hold(state, connection, head, None);
    }
    let admitted = check_listener(state, connection, &head);
    let admitted =
        admitted.and_then(|()| calls::admit_stream(&state.context(Caller::Request(&head)), &head));
    let key = match admitted {
        Ok(key) => key,
        Err(problem) => return refuse_problem(state, connection, &head, problem),
    };
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.stream = Some(Box::new(IngestStream {
            head: Some(head),
            key,
            ..Default::default()
        }));
    }
}

/// Whether a request had better wait: the store is being opened, which takes a moment.
fn waits_for_store(state: &State, head: &Head, body_bytes: usize) -> bool {
    state.commit.durability.is_opening()
        && state.transport.has_room(body_bytes, &state.settings)
        && calls::needs_store(head)
}

fn hold(state: &mut State, connection: ConnectionId, head: Head, body: Option<Vec<u8>>) {
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.reading = Reading::Held;
        state.commit.lobby.hold(HeldRequest {
            connection,
            head,
            body,
        });
    }
}

/// A request has waited for the store.
pub fn handle_held(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: Head,
    body: Option<&[u8]>,
) {
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    let is_last = peer.reading == Reading::HeldToEnd;
    peer.reading = Reading::Open;
    match body {
        Some(body) => handle_request(state, now, connection, &head, body),
        None => handle_stream_start(state, now, connection, head),
    }
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    match peer.reading.is_held() {
        true if is_last => peer.reading = Reading::HeldToEnd,
        false if is_last => teardown::end(state, connection, Ending::Final),
        _ => {}
    }
}

/// A part of such a body, or of a local producer's lines.
pub fn handle_chunk(state: &mut State, now: Now, connection: ConnectionId, chunk: &[u8]) {
    mark_progress(state, connection);
    let Some(peer) = state.transport.peers.peer_mut(connection) else {
        return;
    };
    let mut stream = peer.stream.take().unwrap_or_default();
    let State {
        hub,
        transport,
        settings,
        ..
    } = state;
    ingest::take_lines(
        hub,
        &mut transport.peers.delivery(settings),
        now,
        &mut stream,
        chunk,
        &settings.http,
    );
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.stream = Some(stream);
    }
}

/// Such a body has ended: the answer says what became of its lines.
pub fn handle_stream_end(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(mut stream) = state
        .transport
        .peers
        .peer_mut(connection)
        .and_then(|peer| peer.stream.take())
    else {
        return;
    };
    let mut delivery = state.transport.peers.delivery(&state.settings);
    ingest::finish_lines(&mut state.hub, &mut delivery, now, &mut stream);
    let answer = events::answer_lines(&mut state.hub, stream.tally);
    if let Some(head) = stream.head {
        respond::respond(state, connection, &head, answer);
    }
}

/// A request that cannot be understood: the connection ends with an answer that says why.
pub fn handle_reject(state: &mut State, connection: ConnectionId, problem: Problem) {
    teardown::refuse(state, connection, &problem.into());
}

fn mark_progress(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.transport.peers.peer_mut(connection) {
        peer.alive = true;
        peer.standing = peer.standing.with(Standing::ASKED, true);
    }
}

/// Checks, before anything else, that a request is meant for this server and comes from no foreign page.
pub fn check_page(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
) -> Result<(), Refusal> {
    let checked = state
        .settings
        .access
        .check(head, state.transport.is_local(connection));
    checked.map_err(|refused| {
        state.statistics.traffic.foreign += 1;
        let peer = state
            .transport
            .peers
            .peer(connection)
            .and_then(|peer| peer.address);
        let asker = state.settings.proxies.asker(peer, head);
        state
            .statistics
            .notices
            .count(now.at, refused.notice(), || {
                format!("refused: {asker}: {}", refused.detail())
            });
        Refusal::from(refused)
    })
}

/// Checks that a request has come to a listener of the API.
fn check_listener(state: &State, connection: ConnectionId, head: &Head) -> Result<(), Refusal> {
    let services = state
        .transport
        .peers
        .peer(connection)
        .map(|peer| peer.services);
    let Some(services) = services else {
        return Ok(());
    };
    let path = head.path();
    let is_websocket = match path {
        links::PATH => services.http(),
        "/" => services == Services::WEBSOCKET,
        path => services.websocket() && path == state.settings.websocket.path,
    };
    match is_websocket || !services.http() {
        true => Err(not_an_upgrade(path, is_websocket)),
        false => Ok(()),
    }
}

/// Plain HTTP where only WebSockets are.
fn not_an_upgrade(path: &str, is_websocket: bool) -> Refusal {
    if is_websocket {
        return Refusal::new(
            "upgrade_required",
            format!(
                "`{path}` is a WebSocket; connect with `Upgrade: websocket`, which a proxy must pass on, and `Connection` with it"
            ),
        );
    }
    Refusal::new(
        "not_found",
        format!("no `{path}` on the WebSocket listener; the HTTP API has a listener of its own"),
    )
    .at("path")
}
