//! What is said at once, and what only when the store has kept it or surely will not; and who has come before the store was read, and
//! is served at last, in the order of their coming.

use super::engine::Engine;
use crate::base::time::Span;
use crate::engine::access::caller::Caller;
use crate::engine::answer::Said;
use crate::engine::commit::durability::{Held, Released};
use crate::engine::commit::lobby::HeldRequest;
use crate::engine::refusal::Refusal;
use crate::engine::timer::Timer;
use crate::engine::transport::peer::Reading;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::http::Response;
use crate::wire::locale::Phrase;
use crate::wire::message::ErrorCode;

/// So many of those who have waited for the store are let in at once.
const GUESTS_AT_ONCE: usize = 256;
/// How long others have their turn then.
const PAUSE: Span = Span::from_millis(1);

/// Answers and news.
impl Engine {
    /// Says what became of a message when what that promises is kept.
    pub(super) fn say_when_kept(
        &mut self,
        client: ClientKey,
        said: Said<'_>,
        reply_to: Option<&str>,
    ) {
        self.promise(Held::Said {
            client: self.hub.directory().client(client).id,
            said: said.into_owned(),
            reply_to: reply_to.map(Into::into),
        });
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
                let answer = fault.as_deref().map_or(answer, not_kept);
                self.answer_held(connection, reply, answer);
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

    /// News concern all, whether who made them is still there or not; and whoever made what is not kept is told so.
    fn say_held(
        &mut self,
        client: ClientId,
        said: Said<'_>,
        reply_to: Option<&str>,
        fault: Option<&str>,
    ) {
        let client = self.hub.directory().living_client(client);
        match client {
            Some(client) => self.say(client, said, reply_to),
            None => self.publish(&said),
        }
        if let (Some(reason), Some(client)) = (fault, client) {
            let refusal = Refusal::coded(ErrorCode::Internal, reason);
            let refusal = refusal.said(|text| Phrase::NotKept(text));
            self.context(Caller::Viewer).refuse(client, &refusal, None);
        }
    }

    /// Sends a client the list of workspaces, behind the news that were on their way when it was asked for.
    pub(super) fn list_in_order(&mut self, client: ClientKey) {
        let Some(seq) = self.store.seq_of_changes() else {
            return self.list(client);
        };
        let asker = self.hub.directory().client(client);
        let (id, connection) = (asker.id, asker.connection);
        self.store.hold(seq, Held::List { client: id });
        // Lists are long, and a client that asks for many would get all of them at once.
        if let Some(peer) = self.peer_mut(connection) {
            peer.reading = Reading::Waiting;
        }
    }

    /// A client that asked waits for the list before it asks again: each time it is sent one.
    fn list(&mut self, client: ClientKey) {
        let mut lists = std::mem::take(&mut self.lists);
        let is_sent = lists.send(&mut self.context(Caller::Viewer), client);
        self.lists = lists;
        let connection = self.hub.directory().client(client).connection;
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        match is_sent {
            false => peer.reading = Reading::Waiting,
            true if peer.reading == Reading::Waiting => self.end_wait(connection),
            true => {}
        }
    }

    /// A connection whose message has waited is read again.
    pub(super) fn end_wait(&mut self, connection: ConnectionId) {
        let client = self.client_of(connection);
        let waits_for_list = client.is_some_and(|client| {
            let id = self.hub.directory().client(client).id;
            self.store.waits_for_list(id)
        });
        // It may wait for both at once: for a link, and for a list.
        let waits = self.backend.waiting_bytes(connection) > 0 || waits_for_list;
        if let Some(peer) = self.peer_mut(connection) {
            peer.reading = match waits {
                true => Reading::Waiting,
                false => Reading::Open,
            };
            self.transport.resume_later(connection);
            self.note_unfinished(connection, true);
        }
    }
}

/// What was changed will not outlive the process.
fn not_kept(reason: &str) -> Response {
    let detail = format!("taken and delivered, but not kept: {reason}");
    let refusal = Refusal::new("storage_unavailable", detail);
    refusal.retry_after_s(1).into()
}

/// Those who came early.
impl Engine {
    /// Whoever has waited for the store is served, or refused if it takes too long.
    pub(super) fn serve_lobby(&mut self) {
        if self.store.is_opening() {
            return;
        }
        for request in self.lobby.take_requests() {
            let HeldRequest {
                connection,
                head,
                body,
            } = request;
            self.handle_held(connection, head, body.as_deref());
            self.note_unfinished(connection, true);
            self.resume_reading(connection);
        }
        if self.store.is_unread() {
            return;
        }
        if std::mem::take(&mut self.lobby.has_producers) {
            self.transport.read_producers();
        }
        for _ in 0..GUESTS_AT_ONCE {
            let Some((connection, guest)) = self.lobby.poll_guest() else {
                return;
            };
            self.enter(connection, guest.arrival);
            for message in guest.messages {
                self.handle_kept(connection, message);
            }
            self.note_unfinished(connection, true);
            self.resume_reading(connection);
        }
        if self.lobby.has_guests() && !std::mem::replace(&mut self.lobby.is_armed, true) {
            self.wheel.schedule(self.now.at + PAUSE, Timer::Lobby);
        }
    }
}
