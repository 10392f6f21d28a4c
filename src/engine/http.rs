//! The HTTP phase of a connection: requests in, answers out, in order (contract section 7).

use super::access;
use super::api;
use super::backend;
use super::closing;
use super::durability;
use super::ingest::{self, IngestStream};
use super::lobby::HeldRequest;
use super::standing::{Services, Standing};
use super::state::{Life, State};
use super::upgrade;
use crate::base::time::Now;
use crate::conn::{Ending, Phase};
use crate::hub::ConnectionId;
use crate::wire::http::{Framing, Head, Method, Problem, Reject, Response};
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
        return respond(state, now, connection, head, problem.into());
    }
    if is_upgrade(head) {
        return upgrade::handle_upgrade(state, now, connection, head);
    }
    if waits_for_store(state, head, body.len()) {
        return hold(state, connection, head.clone(), Some(body.to_vec()));
    }
    let answer = match check_listener(state, connection, head) {
        Ok(()) => api::answer(state, now, connection, head, body),
        Err(problem) => problem.into(),
    };
    respond(state, now, connection, head, answer);
}

/// What follows a head that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// A body that is read.
    Body,
    /// A body that has no meaning, if any.
    NoBody,
}

/// Judges a request by its head alone, before anything of its body is kept: the host, the listener, the path, the method and
/// the key.
pub fn admit_head(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
) -> Result<Admitted, Problem> {
    check_page(state, now, connection, head)?;
    if is_upgrade(head) {
        // It is judged as a whole, and has no body.
        return Ok(Admitted::NoBody);
    }
    check_listener(state, connection, head)?;
    api::admit_head(state, head)
}

/// The head of a request has come and its body has not, or not all of it. A request that will be refused is refused now; its
/// connection goes on if the rest of the body is short.
pub fn handle_body_due(state: &mut State, now: Now, connection: ConnectionId) {
    let peer = state.peers.peer(connection);
    let Some(Phase::Http(parser)) = peer.map(|peer| &peer.connection.phase) else {
        return;
    };
    let Some(head) = parser.due_head() else {
        return;
    };
    let head = head.clone();
    let admitted = admit_head(state, now, connection, &head);
    let peer = state.peers.peer_mut(connection);
    let Some(Phase::Http(parser)) = peer.map(|peer| &mut peer.connection.phase) else {
        return;
    };
    let problem = match admitted {
        Ok(Admitted::Body) => return,
        Ok(Admitted::NoBody) => return parser.expect_no_body(),
        Err(problem) => problem,
    };
    match parser.refuse_body() {
        Some((head, true)) => respond(state, now, connection, &head, problem.into()),
        Some((head, false)) => refuse_problem(state, now, connection, &head, problem),
        None => {}
    }
}

/// Ends a request whose body has not been read, with an answer that its page may read.
fn refuse_problem(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    problem: Problem,
) {
    let answer = Cors::of(state, connection, head).mark(problem.into());
    refuse(state, now, connection, &answer);
}

fn is_upgrade(head: &Head) -> bool {
    websocket::is_upgrade(head.fields().map(|(name, value)| (name, value.as_bytes())))
}

/// A request whose body is handled line by line has begun.
pub fn handle_stream_start(state: &mut State, now: Now, connection: ConnectionId, head: Head) {
    mark_progress(state, connection);
    if let Err(problem) = check_page(state, now, connection, &head) {
        return refuse_problem(state, now, connection, &head, problem);
    }
    if waits_for_store(state, &head, 0) {
        return hold(state, connection, head, None);
    }
    let admitted =
        check_listener(state, connection, &head).and_then(|()| api::admit_stream(state, &head));
    let key = match admitted {
        Ok(key) => key,
        Err(problem) => return refuse_problem(state, now, connection, &head, problem),
    };
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.stream = Some(Box::new(IngestStream {
            head: Some(head),
            key,
            ..Default::default()
        }));
    }
}

/// Whether a request had better wait: the store is being opened, which takes a moment.
fn waits_for_store(state: &State, head: &Head, body_bytes: usize) -> bool {
    state.is_opening() && state.unfinished.has_room(body_bytes) && api::needs_store(head)
}

fn hold(state: &mut State, connection: ConnectionId, head: Head, body: Option<Vec<u8>>) {
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.is_held = true;
        state.lobby.hold(HeldRequest {
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
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    peer.is_held = false;
    let has_ended = peer.has_ended;
    match body {
        Some(body) => handle_request(state, now, connection, &head, body),
        None => handle_stream_start(state, now, connection, head),
    }
    let is_held = state.peers.peer(connection).is_none_or(|peer| peer.is_held);
    if has_ended && !is_held {
        closing::end(state, now, connection, Ending::Final);
    }
}

/// A part of such a body, or of a local producer's lines.
pub fn handle_chunk(state: &mut State, now: Now, connection: ConnectionId, chunk: &[u8]) {
    mark_progress(state, connection);
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    let mut stream = peer.stream.take().unwrap_or_default();
    ingest::take_lines(state, now, &mut stream, chunk);
    if let Some(peer) = state.peers.peer_mut(connection) {
        peer.stream = Some(stream);
    }
}

/// Such a body has ended: the answer says what became of its lines.
pub fn handle_stream_end(state: &mut State, now: Now, connection: ConnectionId) {
    let Some(mut stream) = state
        .peers
        .peer_mut(connection)
        .and_then(|peer| peer.stream.take())
    else {
        return;
    };
    ingest::finish_lines(state, now, &mut stream);
    let answer = api::events::answer_lines(state, stream.tally);
    if let Some(head) = stream.head {
        respond(state, now, connection, &head, answer);
    }
}

/// A request that cannot be understood: the connection ends with an answer that says why.
pub fn handle_reject(state: &mut State, now: Now, connection: ConnectionId, reject: Reject) {
    refuse(state, now, connection, &Problem::from(reject).into());
}

/// A request that cannot be served, whose body has not been read: the connection ends with the answer.
pub fn refuse(state: &mut State, now: Now, connection: ConnectionId, answer: &Response) {
    let framing = Framing {
        head_only: false,
        keep_alive: false,
        version_minor: 1,
        date: state.dates.at(now.wall_ms),
    };
    state.peers.push(connection, answer.encode(framing));
    closing::end(state, now, connection, Ending::Lingering);
}

/// What an answer must know of its request.
#[derive(Debug)]
pub struct Reply {
    head_only: bool,
    keep_alive: bool,
    version_minor: u8,
    cors: Cors,
}

impl Reply {
    fn to(state: &State, connection: ConnectionId, head: &Head) -> Self {
        Self {
            head_only: head.method() == Method::Head,
            keep_alive: head.keep_alive(),
            version_minor: head.version_minor(),
            cors: Cors::of(state, connection, head),
        }
    }
}

/// What a browser is told, so that it lets a page read an answer, or does not (WHATWG Fetch, CORS).
#[derive(Debug)]
enum Cors {
    /// No page asks.
    Unasked,
    /// The page of this origin may, or `*`: every page may.
    Allowed(Box<str>),
    /// It may not.
    Foreign,
}

impl Cors {
    fn of(state: &State, connection: ConnectionId, head: &Head) -> Self {
        let Some(origin) = head.header("origin") else {
            return Self::Unasked;
        };
        let access = &state.settings.access;
        match access.check(head, is_local(state, connection)) {
            Ok(()) => Self::Allowed(access.allowed_origin(origin).into()),
            Err(_) => Self::Foreign,
        }
    }

    fn mark(self, answer: Response) -> Response {
        const ALLOW: &str = "Access-Control-Allow-Origin";
        match self {
            Self::Unasked => answer,
            Self::Foreign => answer.header("Vary", "Origin"),
            Self::Allowed(origin) if &*origin == access::ANY => answer.header(ALLOW, access::ANY),
            Self::Allowed(origin) => answer
                .header("Vary", "Origin")
                .header(ALLOW, String::from(origin)),
        }
    }
}

/// Answers a request, at once or when what it changed is kept.
pub fn respond(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    head: &Head,
    answer: Response,
) {
    let reply = Reply::to(state, connection, head);
    durability::respond(state, now, connection, reply, answer);
}

/// Sends an answer; the connection goes on unless one side wants it closed.
pub fn finish(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    reply: Reply,
    answer: Response,
) {
    let keep_alive = reply.keep_alive && state.life == Life::Serving;
    let framing = Framing {
        head_only: reply.head_only,
        keep_alive,
        version_minor: reply.version_minor,
        date: state.dates.at(now.wall_ms),
    };
    let answer = reply.cors.mark(answer).encode(framing);
    state.hub.load().encode(answer.len());
    state.peers.push(connection, answer);
    if !keep_alive {
        closing::end(state, now, connection, Ending::Lingering);
    }
}

/// Sends an answer that was held back. What the peer has asked meanwhile is answered when this one is written.
pub fn release(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    reply: Reply,
    answer: Response,
) {
    let Some(peer) = state.peers.peer_mut(connection) else {
        return;
    };
    (peer.is_held, peer.alive) = (false, true);
    let has_ended = peer.has_ended;
    if !peer.connection.is_open() {
        return;
    }
    finish(state, now, connection, reply, answer);
    if has_ended {
        closing::end(state, now, connection, Ending::Final);
    }
}

fn mark_progress(state: &mut State, connection: ConnectionId) {
    if let Some(peer) = state.peers.peer_mut(connection) {
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
) -> Result<(), Problem> {
    let checked = state
        .settings
        .access
        .check(head, is_local(state, connection));
    checked.map_err(|refused| {
        state.traffic.foreign += 1;
        let peer = state.peers.peer(connection).and_then(|peer| peer.address);
        let asker = state.settings.proxies.asker(peer, head);
        state.notices.count(now.at, refused.notice(), || {
            format!("refused: {asker}: {}", refused.detail())
        });
        refused.into()
    })
}

/// Whether a connection came over a Unix-domain socket, which has no address.
fn is_local(state: &State, connection: ConnectionId) -> bool {
    state
        .peers
        .peer(connection)
        .is_some_and(|peer| peer.address.is_none())
}

/// Checks that a request has come to a listener of the API.
fn check_listener(state: &State, connection: ConnectionId, head: &Head) -> Result<(), Problem> {
    let services = state.peers.peer(connection).map(|peer| peer.services);
    let Some(services) = services else {
        return Ok(());
    };
    let path = head.path();
    let is_websocket = match path {
        backend::PATH => services.http(),
        "/" => services == Services::WEBSOCKET,
        path => services.websocket() && path == state.settings.websocket.path,
    };
    match is_websocket || !services.http() {
        true => Err(not_an_upgrade(path, is_websocket)),
        false => Ok(()),
    }
}

/// Plain HTTP where only WebSockets are.
fn not_an_upgrade(path: &str, is_websocket: bool) -> Problem {
    if is_websocket {
        return Problem::new(
            426,
            "upgrade_required",
            format!(
                "`{path}` is a WebSocket; connect with `Upgrade: websocket`, which a proxy must pass on, and `Connection` with it"
            ),
        );
    }
    Problem::new(
        404,
        "not_found",
        format!("no `{path}` on the WebSocket listener; the HTTP API has a listener of its own"),
    )
    .at("path")
}
