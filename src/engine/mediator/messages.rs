//! The WebSocket phase of a connection: messages in, their rate and form checked, and led to their meaning.

use super::engine::Engine;
use crate::engine::access::caller::Caller;
use crate::engine::answer::{Answer, Said};
use crate::engine::commit::durability::Held;
use crate::engine::session::requests;
use crate::engine::timer::Timer;
use crate::engine::transport::allowance::Ruling;
use crate::engine::transport::peer::Role;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::unpack::{Unpackable, unpack};
use crate::wire::message::{Encoding, Incoming};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::{CloseCode, Message, MessageKind};

/// A message of MessagePack may be so many times as long in JSON, which it is read as. Six bytes may stand for one; of what
/// people send it is at most four.
const MAX_JSON_GROWTH: usize = 4;

impl Engine {
    /// A message of a WebSocket, counted against its connection's limit. From a guest it is kept until the store is read.
    pub(super) fn handle_message(&mut self, connection: ConnectionId, message: Message<'_>) {
        const REASON: &str = "too many messages";
        let (now, rate) = (self.now.at, self.settings.message_rate);
        self.counts.received.record(now, 1);
        let Some(peer) = self.transport.peers.peer_mut(connection) else {
            return;
        };
        peer.received = peer.received.wrapping_add(1);
        if self.lobby.is_guest(connection) {
            // Nothing can be said to it yet, so the next message of one that says too much is told.
            let _ = peer.allowance.messages.take(now, rate);
            return self.lobby.keep(connection, message.into_owned());
        }
        let role = peer.role;
        let ruling = match role {
            Role::Application => Ruling::Heard,
            Role::Viewer(_) | Role::Caller => peer.allowance.take(now, rate),
        };
        match (ruling, role) {
            (Ruling::Heard, _) => self.take_charged(connection, role, message),
            (Ruling::Warned(retry_after), Role::Viewer(client)) => {
                let refusal = Refusal::rate_limited(rate.per_minute, retry_after);
                self.context(Caller::Viewer).refuse(client, &refusal, None);
            }
            (Ruling::Closed(retry_after), Role::Viewer(_)) => {
                let delay = self.gate().spread(retry_after);
                self.send_away_for(connection, CloseCode::RATE_LIMITED, REASON, delay);
            }
            (Ruling::Warned(_) | Ruling::Closed(_), _) => {
                self.close(connection, CloseCode::RATE_LIMITED, REASON);
            }
        }
    }

    /// Has a message understood. What its sender is answered with costs as many messages more as it is long (contract section 8).
    pub(super) fn take_charged(
        &mut self,
        connection: ConnectionId,
        sender: Role,
        message: Message<'_>,
    ) {
        let unsent = |engine: &Self| {
            let peer = engine.peer(connection);
            peer.map_or(0, |peer| peer.connection.outbox.len_bytes())
        };
        let before = unsent(self);
        self.take(connection, sender, message);
        let answered = unsent(self).saturating_sub(before);
        let (now, rate) = (self.now.at, self.settings.message_rate);
        let peer = self.peer_mut(connection);
        if let Some(peer) = peer.filter(|_| !rate.is_none()) {
            peer.allowance.charge(now, answered, rate);
        }
    }

    /// A peer that is neither a viewer nor the application is on the echo endpoint.
    fn take(&mut self, connection: ConnectionId, sender: Role, message: Message<'_>) {
        match (message, sender) {
            (Message::Compressed { kind, payload }, _) => {
                self.take_compressed(connection, sender, kind, &payload);
            }
            (Message::Text(text), Role::Viewer(client)) => self.take_request(client, &text),
            (Message::Text(text), Role::Application) => {
                let (backend, mut context) = self.with_backend(Caller::Application);
                backend.handle_text(&mut context, connection, &text);
                self.arm_backend();
            }
            (Message::Text(text), Role::Caller) => {
                self.echo(connection, Encoding::Json, text.as_bytes());
            }
            (Message::Binary(payload), Role::Viewer(client)) => {
                self.take_message_pack(client, &payload);
            }
            (Message::Binary(_), Role::Application) => {
                let (backend, mut context) = self.with_backend(Caller::Application);
                backend.handle_binary(&mut context, connection);
            }
            (Message::Binary(payload), Role::Caller) => {
                self.echo(connection, Encoding::MessagePack, &payload);
            }
        }
    }

    fn echo(&mut self, connection: ConnectionId, encoding: Encoding, message: &[u8]) {
        self.context(Caller::Viewer)
            .send_bare(connection, encoding, message);
    }

    /// What a compressed message says counts as if it had come plain (RFC 7692 section 6.2).
    fn take_compressed(
        &mut self,
        connection: ConnectionId,
        sender: Role,
        kind: MessageKind,
        payload: &[u8],
    ) {
        let max_size = self.settings.websocket.max_message_size;
        let inflated = self.inflater.inflate(payload, max_size);
        let message = match &inflated {
            Ok(payload) => Message::plain(kind, payload),
            Err(violation) => Err(*violation),
        };
        match message {
            Ok(message) => self.take(connection, sender, message),
            Err(violation) => self.close(connection, violation.code, violation.reason),
        }
    }

    fn take_message_pack(&mut self, client: ClientKey, payload: &[u8]) {
        let max_length = match self.settings.websocket.max_message_size {
            0 => usize::MAX,
            max_size => max_size.saturating_mul(MAX_JSON_GROWTH),
        };
        let mut context = self.context(Caller::Viewer);
        let refusal = if context.variant(client).encoding != Encoding::MessagePack {
            let reason = "binary message; expected JSON in a text message, or the subprotocol `joblight.msgpack`";
            Refusal::new(ErrorCode::InvalidMessage, reason)
        } else {
            match unpack(payload, max_length) {
                Ok(text) => return self.take_request(client, &text),
                Err(Unpackable::Malformed(malformed)) => {
                    Refusal::new(ErrorCode::InvalidJson, malformed.to_string())
                        .said(|text| Phrase::InvalidMessagePack(text))
                }
                Err(Unpackable::TooLong) => Refusal::new(
                    ErrorCode::MessageTooLarge,
                    format!(
                        "websocket.max_message_size; as JSON the message has more than {max_length} bytes"
                    ),
                ),
            }
        };
        context.refuse(client, &refusal, None);
    }

    /// Understands one message of a client and does what it asks; what joblight does not know may be the application's.
    fn take_request(&mut self, client: ClientKey, text: &str) {
        let mut context = self.context(Caller::Viewer);
        let message = match Incoming::parse(text) {
            Ok(message) => message,
            Err(malformed) => return context.refuse(client, &malformed.into(), None),
        };
        match requests::carry_out(&mut context, client, &message) {
            Ok(Answer::Now(said)) => self.say(client, said, message.id),
            Ok(Answer::WhenKept(said)) => self.promise(Held::Said {
                client: self.hub.directory().client(client).id,
                said,
                reply_to: message.id.map(Into::into),
            }),
            Err(refusal) if is_unknown(&refusal) && self.settings.routes(&message.kind) => {
                let (backend, mut context) = self.with_backend(Caller::Viewer);
                backend.forward(&mut context, client, &message);
                self.arm_backend();
            }
            Err(refusal) => {
                // Beside flat fields an `id` names the workspace, not the message.
                let is_name = !refusal.is_of_workspaces() || message.nested;
                self.context(Caller::Viewer).refuse(
                    client,
                    &refusal,
                    message.id.filter(|_| is_name),
                );
            }
        }
    }

    /// Says to a client, or to all, what became of its message.
    pub(super) fn say(&mut self, client: ClientKey, said: Said, reply_to: Option<&str>) {
        match said {
            Said::Nothing => {}
            Said::Message { kind, payload } => {
                self.context(Caller::Viewer)
                    .answer(client, kind, &payload, reply_to);
            }
            Said::Change(_) => self.publish(&said),
            Said::WorkspaceList => self.list_in_order(client),
        }
    }

    /// News concern all, whether who made them is still there or not; and whoever made what is not kept is told so.
    pub(super) fn say_held(
        &mut self,
        client: ClientId,
        said: Said,
        reply_to: Option<&str>,
        fault: Option<&str>,
    ) {
        let client = self.hub.directory().living_client(client);
        match client {
            Some(client) => self.say(client, said, reply_to),
            None => self.publish(&said),
        }
        if let (Some(reason), Some(client)) = (fault, client) {
            let refusal = Refusal::new(ErrorCode::Internal, reason.to_owned());
            let refusal = refusal.said(|text| Phrase::NotKept(text));
            self.context(Caller::Viewer).refuse(client, &refusal, None);
        }
    }

    /// What concerns others than who made it.
    pub(super) fn publish(&mut self, said: &Said) {
        if let Said::Change(change) = said {
            let mut out = self.transport.peers.delivery(&self.settings);
            self.hub.publish_change(self.now, change, &mut out);
        }
    }
}

/// Messages for the application.
impl Engine {
    /// A link may have room again, or be gone: those who wait go on, as far as there is room.
    #[inline]
    pub(super) fn serve_waiting(&mut self) {
        while self.backend.first_waiting().is_some() && self.serve_first() {}
    }

    /// `false`: there is no room.
    fn serve_first(&mut self) -> bool {
        let (backend, mut context) = self.with_backend(Caller::Application);
        let Some(sender) = backend.serve_first(&mut context) else {
            return false;
        };
        self.arm_backend();
        if self.backend.waiting_bytes(sender) == 0 {
            self.end_wait(sender);
        }
        true
    }

    /// Tells those who wait for a link that has gone.
    pub(super) fn tell_of_lost(&mut self) {
        if self.backend.has_lost() {
            let (backend, mut context) = self.with_backend(Caller::Application);
            backend.tell_of_lost(&mut context);
            self.arm_backend();
        }
        self.serve_waiting();
    }

    /// Sees to it that the timer is set if, and only if, somebody waits.
    pub(super) fn arm_backend(&mut self) {
        let due = self.backend.first_deadline();
        let timer = &mut self.backend.timer;
        timer.keep(due, Timer::Answers, &mut self.wheel);
    }
}

fn is_unknown(refusal: &Refusal) -> bool {
    refusal.code() == ErrorCode::UnknownType
}
