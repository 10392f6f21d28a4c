//! The HTTP phase of a connection: requests in, answers out, in order (contract section 7).

use super::engine::Engine;
use super::handshake::Purpose;
use crate::conn::Phase;
use crate::engine::access::Asker;
use crate::engine::access::caller::Caller;
use crate::engine::answer::{Answer, Outcome};
use crate::engine::api::ingest;
use crate::engine::api::ingest::IngestStream;
use crate::engine::api::table::{self, Admitted};
use crate::engine::commit::durability::{Held, Released};
use crate::engine::transport::answer::{Cors, Reply};
use crate::engine::transport::peer::{Reading, Standing};
use crate::hub::ConnectionId;
use crate::wire::http::{Head, Parser, Response};
use crate::wire::message::{Dialect, Report};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket;

impl Engine {
    /// A whole request has come in.
    pub(super) fn handle_request(&mut self, connection: ConnectionId, head: &Head, body: &[u8]) {
        self.mark_progress(connection);
        if let Err(refusal) = self.check_page(connection, head) {
            return self.refuse(connection, head, refusal);
        }
        if websocket::is_upgrade(head) {
            return self.handle_upgrade(connection, head);
        }
        if self.waits_for_store(head, body.len()) {
            return self.hold(connection, head.clone(), Some(body.to_vec()));
        }
        let outcome = self
            .check_listener(connection, head)
            .and_then(|()| table::answer(&mut self.context(Caller::Request(head)), head, body));
        self.dismiss_all();
        self.respond(connection, head, outcome);
    }

    /// Judges a request by its head alone, before anything of its body is kept: the host, the listener, the path, the method and
    /// the key.
    pub(super) fn admit_head(
        &mut self,
        connection: ConnectionId,
        head: &Head,
    ) -> Result<Admitted, Refusal> {
        self.check_page(connection, head)?;
        if websocket::is_upgrade(head) {
            // It is judged as a whole, and has no body.
            return Ok(Admitted::NoBody);
        }
        self.check_listener(connection, head)?;
        let is_opening = self.store.is_opening();
        table::admit_head(&self.context(Caller::Request(head)), head, is_opening)
    }

    /// The head of a request has come and its body has not, or not all of it. A request that will be refused is refused now; its
    /// connection goes on if the rest of the body is short.
    pub(super) fn handle_body_due(&mut self, connection: ConnectionId) {
        let due_head = |parser: &mut Parser| parser.due_head().cloned();
        let Some(head) = self.parser(connection).and_then(due_head) else {
            return;
        };
        let admitted = self.admit_head(connection, &head);
        let Some(parser) = self.parser(connection) else {
            return;
        };
        let refusal = match admitted {
            Ok(Admitted::Body) => return,
            Ok(Admitted::NoBody) => return parser.expect_no_body(),
            Err(refusal) => refusal,
        };
        match parser.refuse_body() {
            Some((head, true)) => self.refuse(connection, &head, refusal),
            Some((head, false)) => self.refuse_head(connection, &head, refusal),
            None => {}
        }
    }

    fn parser(&mut self, connection: ConnectionId) -> Option<&mut Parser> {
        match &mut self.peer_mut(connection)?.connection.phase {
            Phase::Http(parser) => Some(parser),
            _ => None,
        }
    }

    /// Ends a request whose body has not been read, with an answer that its page may read.
    fn refuse_head(&mut self, connection: ConnectionId, head: &Head, refusal: Refusal) {
        let is_local = self.transport.is_local(connection);
        let answer = refusal.response(self.settings.locale);
        let answer = Cors::of(head, &self.settings.access, is_local).mark(answer);
        self.answer_unread(connection, &answer);
    }

    /// A request whose body is handled line by line has begun.
    pub(super) fn handle_stream_start(&mut self, connection: ConnectionId, head: Head) {
        self.mark_progress(connection);
        if let Err(refusal) = self.check_page(connection, &head) {
            return self.refuse_head(connection, &head, refusal);
        }
        if self.waits_for_store(&head, 0) {
            return self.hold(connection, head, None);
        }
        let admitted = self.check_listener(connection, &head);
        let admitted = admitted
            .and_then(|()| table::admit_stream(&self.context(Caller::Request(&head)), &head));
        let key = match admitted {
            Ok(key) => key,
            Err(refusal) => return self.refuse_head(connection, &head, refusal),
        };
        if let Some(peer) = self.peer_mut(connection) {
            peer.stream = Some(Box::new(IngestStream {
                head: Some(head),
                key,
                ..Default::default()
            }));
        }
    }

    /// A part of such a body, or of a local producer's lines.
    pub(super) fn handle_chunk(&mut self, connection: ConnectionId, chunk: &[u8]) {
        self.mark_progress(connection);
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        let mut stream = peer.stream.take().unwrap_or_default();
        self.take_lines(&mut stream, chunk);
        if let Some(peer) = self.peer_mut(connection) {
            peer.stream = Some(stream);
        }
    }

    /// A body of lines has ended: the answer says what became of them.
    pub(super) fn handle_stream_end(&mut self, connection: ConnectionId) {
        let Some(stream) = self.finish_lines(connection) else {
            return;
        };
        let outcome = ingest::answer_lines(&mut self.hub, stream.tally);
        if let Some(head) = stream.head {
            self.respond(connection, &head, outcome);
        }
    }

    fn mark_progress(&mut self, connection: ConnectionId) {
        if let Some(peer) = self.peer_mut(connection) {
            peer.alive = true;
            peer.standing.add(Standing::ASKED);
        }
    }

    /// Checks, before anything else, that a request is meant for this server and comes from no foreign page.
    pub(super) fn check_page(
        &mut self,
        connection: ConnectionId,
        head: &Head,
    ) -> Result<(), Refusal> {
        let is_local = self.transport.is_local(connection);
        let Err(refused) = self.settings.access.check(head, is_local) else {
            return Ok(());
        };
        self.counts.foreign += 1;
        let asker = self.asker(connection, head);
        let line = || format!("refused: {asker}: {}", refused.detail);
        let notices = &mut self.counts.notices;
        notices.count(self.now.at, refused.notice, line);
        Err(refused.into())
    }

    /// Whom a request comes from, as far as the peers are trusted that say so.
    pub(super) fn asker(&self, connection: ConnectionId, head: &Head) -> Asker {
        let peer = self.peer(connection);
        let address = peer.and_then(|peer| peer.asker.address);
        self.settings.proxies.asker(address, head)
    }

    /// Checks that a request has come to a listener of the API.
    fn check_listener(&self, connection: ConnectionId, head: &Head) -> Result<(), Refusal> {
        let Some(services) = self.peer(connection).map(|peer| peer.services) else {
            return Ok(());
        };
        let path = head.path();
        let is_websocket = match Purpose::of(&self.settings, services, path) {
            // Beside the API these paths may be calls.
            Some(Purpose::Client(Dialect::Data)) => !services.http(),
            Some(Purpose::Echo) | None => false,
            Some(Purpose::Client(Dialect::Payload) | Purpose::Backend) => true,
        };
        match is_websocket || !services.http() {
            true => Err(not_an_upgrade(path, is_websocket)),
            false => Ok(()),
        }
    }

    /// Answers a request: at once, or when what its answer promises is kept.
    pub(super) fn respond(&mut self, connection: ConnectionId, head: &Head, outcome: Outcome) {
        let is_local = self.transport.is_local(connection);
        let reply = Reply::to(head, &self.settings.access, is_local);
        let locale = self.settings.locale;
        let answer = outcome.unwrap_or_else(|refusal| Answer::Now(refusal.response(locale)));
        match answer {
            Answer::Now(answer) => self.answer(connection, reply, answer),
            Answer::WhenKept(answer) => self.promise(Held::Answer {
                connection,
                reply,
                answer,
            }),
        }
    }

    /// Lets something out when all that has changed is kept: at once if it is, or surely will not be.
    pub(super) fn promise(&mut self, held: Held) {
        let fault: Option<Box<str>> = self.store.fault().map(Into::into);
        let seq = self.store.seq_to_wait_for(self.hub.has_records());
        let Some(seq) = seq.filter(|_| fault.is_none()) else {
            return self.release(Released { held, fault });
        };
        if let Held::Answer { connection, .. } = held
            && let Some(peer) = self.peer_mut(connection)
        {
            peer.reading = Reading::Held;
        }
        self.store.hold(seq, held);
    }

    /// Says what need not wait any more.
    pub(super) fn say_released(&mut self) {
        while let Some(released) = self.store.poll_released() {
            self.release(released);
        }
    }

    fn release(&mut self, Released { held, fault }: Released) {
        match held {
            Held::Answer {
                connection,
                reply,
                answer,
            } => {
                let locale = self.settings.locale;
                let answer = fault.map_or(answer, |fault| not_kept(&fault).response(locale));
                self.answer(connection, reply, answer);
            }
            Held::Said {
                client,
                said,
                reply_to,
            } => self.say_held(client, said, reply_to.as_deref(), fault.as_deref()),
            Held::List { client } => {
                if let Some(client) = self.hub.directory().living_client(client) {
                    self.list(client);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, connection: ConnectionId, head: &Head, refusal: Refusal) {
        self.respond(connection, head, Err(refusal));
    }

    fn answer(&mut self, connection: ConnectionId, reply: Reply, answer: Response) {
        let bytes =
            self.on_transport(|transport, step| transport.answer(step, connection, reply, answer));
        self.hub.load().encode(bytes);
    }

    /// The lines of one chunk count.
    pub(super) fn take_lines(&mut self, stream: &mut IngestStream, chunk: &[u8]) {
        let mut out = self.transport.peers.delivery(&self.settings);
        let (hub, moment) = (&mut self.hub, self.settings.at(self.now));
        let ingest = &mut |report: Report<'_>| hub.ingest(moment, report, &mut out);
        stream.take(chunk, self.settings.http.max_body_size, ingest);
    }

    /// A last line counts that has no newline; nothing more comes.
    pub(super) fn finish_lines(&mut self, connection: ConnectionId) -> Option<Box<IngestStream>> {
        let mut stream = self.peer_mut(connection)?.stream.take()?;
        let mut out = self.transport.peers.delivery(&self.settings);
        let (hub, moment) = (&mut self.hub, self.settings.at(self.now));
        stream.finish(&mut |report| hub.ingest(moment, report, &mut out));
        Some(stream)
    }
}

/// What was changed will not outlive the process.
fn not_kept(reason: &str) -> Refusal {
    let detail = format!("taken and delivered, but not kept: {reason}");
    Refusal::new(ErrorCode::StorageUnavailable, detail).retry_after_s(1)
}

/// Plain HTTP where only WebSockets are.
fn not_an_upgrade(path: &str, is_websocket: bool) -> Refusal {
    if is_websocket {
        return Refusal::new(
            ErrorCode::UpgradeRequired,
            format!(
                "`{path}` is a WebSocket; connect with `Upgrade: websocket`, which a proxy must pass on, and `Connection` with it"
            ),
        );
    }
    Refusal::not_found(format!(
        "no `{path}` on the WebSocket listener; the HTTP API has a listener of its own"
    ))
    .at("path")
}
