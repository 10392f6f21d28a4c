//! Who waits: those who have come before the store was read, and are served at last in the order of their coming; and connections
//! that are not read until they are sent a list, or the application has room for what they said.

use super::engine::Engine;
use crate::conn::Ending;
use crate::engine::access::caller::Caller;
use crate::engine::api::table;
use crate::engine::commit::durability::Held;
use crate::engine::commit::lobby::HeldRequest;
use crate::engine::timer::Timer;
use crate::engine::transport::peer::{Reading, Role};
use crate::hub::budget::PAUSE;
use crate::hub::{ClientKey, ConnectionId};
use crate::wire::http::Head;

/// So many of those who have waited for the store are let in at once.
const GUESTS_AT_ONCE: usize = 256;

/// Who came before the store was read.
impl Engine {
    /// Whoever has waited for the store is served, or refused if it takes too long.
    pub(super) fn serve_lobby(&mut self) {
        if self.store.is_opening() || self.lobby.is_empty() {
            return;
        }
        for request in self.lobby.take_requests() {
            let connection = request.connection;
            self.handle_held(request);
            self.note_unfinished(connection, true);
            self.resume_reading(connection);
        }
        if !self.store.is_unread() {
            self.let_in();
        }
    }

    fn let_in(&mut self) {
        if std::mem::take(&mut self.lobby.has_producers) {
            self.transport.read_producers();
        }
        for _ in 0..GUESTS_AT_ONCE {
            let Some((connection, guest)) = self.lobby.poll_guest() else {
                return;
            };
            self.enter(connection, guest.arrival);
            for message in guest.messages {
                let role = self.peer(connection).map(|peer| peer.role);
                // Whoever was turned away is not heard.
                if let Some(sender) = role.filter(|role| *role != Role::Caller) {
                    self.take_charged(connection, sender, message);
                }
            }
            self.note_unfinished(connection, true);
            self.resume_reading(connection);
        }
        if self.lobby.has_guests() && !std::mem::replace(&mut self.lobby.is_armed, true) {
            self.wheel.schedule(self.now.at + PAUSE, Timer::Lobby);
        }
    }

    /// Whether a request had better wait: the store is being opened, which takes a moment.
    pub(super) fn waits_for_store(&self, head: &Head, body_bytes: usize) -> bool {
        self.store.is_opening()
            && self
                .transport
                .unfinished
                .has_room(body_bytes, &self.settings)
            && table::needs_store(head)
    }

    pub(super) fn hold(&mut self, connection: ConnectionId, head: Head, body: Option<Vec<u8>>) {
        if let Some(peer) = self.peer_mut(connection) {
            peer.reading = Reading::Held;
            self.lobby.hold(HeldRequest {
                connection,
                head,
                body,
            });
        }
    }

    /// A request has waited for the store.
    fn handle_held(&mut self, request: HeldRequest) {
        let (connection, head) = (request.connection, request.head);
        let Some(peer) = self.peer_mut(connection) else {
            return;
        };
        let is_last = peer.reading == Reading::HeldToEnd;
        peer.reading = Reading::Open;
        match request.body {
            Some(body) => self.handle_request(connection, &head, &body),
            None => self.handle_stream_start(connection, head),
        }
        match self.peer_mut(connection).filter(|_| is_last) {
            Some(peer) if peer.reading.is_held() => peer.reading = Reading::HeldToEnd,
            Some(_) => self.end(connection, Ending::Final),
            None => {}
        }
    }
}

/// Lists, and links.
impl Engine {
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
    pub(super) fn list(&mut self, client: ClientKey) {
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
