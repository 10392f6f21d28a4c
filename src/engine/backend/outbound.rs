//! Messages of clients on their way to the application (contract section 7).
//!
//! A message goes to one link, the next in turn, and to that one only: a link that breaks may have done what it was asked for,
//! so its messages end as errors to their senders and are not given to another link.

use super::pending::{Pending, QueuedMessage, Request};
use crate::base::time::Span;
use crate::engine::context::Context;
use crate::engine::transport::peer::Reading;
use crate::hub::{ClientId, ClientKey, ConnectionId};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::compact;
use crate::wire::message::envelope::push_string;
use crate::wire::message::incoming::parse;
use crate::wire::message::{Dialect, Encoding, Incoming};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Envelope fields of the payload dialect, which are no fields of the message (contract section 2).
const ENVELOPE_FIELDS: [&str; 2] = ["id", "timestamp"];

impl Pending {
    /// Hands a client's message to the application, or tells the client why not. When no link has room for it, it waits, and
    /// nothing more is read of its sender.
    pub fn forward(
        &mut self,
        context: &mut Context<'_>,
        client: ClientKey,
        message: &Incoming<'_>,
    ) {
        if self.links() == 0 {
            return context.refuse(client, &no_application(&message.kind), message.id);
        }
        let dialect = context.dialect(client);
        let mut fields = String::with_capacity(message.body.len());
        push_fields(&mut fields, message, dialect);
        let sender = context.hub.directory().client(client);
        let sender_link = sender.connection;
        let message = QueuedMessage {
            sender: sender.id,
            dialect,
            kind: message.kind.as_ref().into(),
            id: message.id.map(Into::into),
            fields,
        };
        // Nobody overtakes those who wait already.
        let is_first = self.first_waiting().is_none();
        let link = is_first.then(|| self.link_with_room(context, message.size()));
        match link.flatten() {
            Some(link) => self.hand_over(context, link, message),
            None => {
                self.wait(sender_link, message);
                if let Some(peer) = context.out.peers.peer_mut(sender_link) {
                    peer.reading = Reading::Waiting;
                }
            }
        }
    }

    /// The message that has waited longest goes on, if there is room for it or no link is left. Answers the connection of its sender.
    pub fn serve_first(&mut self, context: &mut Context<'_>) -> Option<ConnectionId> {
        let bytes = self.first_waiting()?.size();
        let link = self.link_with_room(context, bytes);
        if link.is_none() && self.links() > 0 {
            return None;
        }
        let (sender, message) = self.take_waiting()?;
        match link {
            Some(link) => self.hand_over(context, link, message),
            None => {
                let refusal = no_application(&message.kind);
                tell_sender(context, message.sender, &refusal, message.id.as_deref());
            }
        }
        Some(sender)
    }

    fn link_with_room(&mut self, context: &Context<'_>, bytes: usize) -> Option<ConnectionId> {
        let (peers, settings) = (&context.out.peers, &context.settings.websocket);
        self.choose_link(|link| peers.has_room(link, bytes, settings))
    }

    /// Hands a message to a link, unless too many wait for an answer.
    fn hand_over(&mut self, context: &mut Context<'_>, link: ConnectionId, message: QueuedMessage) {
        let is_full = || Refusal::limit_exceeded("routes.max_pending");
        let routes = &context.settings.routes;
        let QueuedMessage {
            sender,
            dialect,
            kind,
            id,
            fields,
        } = message;
        if let Some(request) = self.make_room(routes) {
            tell(context, &request, &is_full());
        }
        if !self.has_room(routes) {
            return tell_sender(context, sender, &is_full(), id.as_deref());
        }
        let mut text = String::with_capacity(fields.len() + 160);
        text.push_str("{\"type\":");
        push_string(&mut text, &kind);
        let _ = write!(text, ",\"{}\":{fields}", dialect.body());
        let timeout = Some(routes.timeout).filter(|timeout| *timeout > 0);
        let number = self.insert(Request {
            sender,
            connection: link,
            kind,
            id,
            deadline: timeout.map(|timeout| context.now.at + Span::from_millis(timeout)),
        });
        let name = self.name(number);
        let _ = write!(
            text,
            ",\"clientId\":\"{sender}\",\"identity\":null,\"requestId\":\"{name}\"}}"
        );
        context.send_bare(link, Encoding::Json, text.as_bytes());
    }

    /// The first of those who wait has waited too long, or had its answer meanwhile.
    pub fn handle_timer(&mut self, context: &mut Context<'_>) {
        self.timer.handle_expiry();
        while let Some(request) = self.take_due(context.now.at) {
            tell_unanswered(context, &request, |kind| Phrase::NoAnswer(kind));
        }
    }

    /// Tells those who wait for a link that has gone.
    pub fn tell_of_lost(&mut self, context: &mut Context<'_>) {
        for request in self.take_lost() {
            tell_unanswered(context, &request, |kind| Phrase::ApplicationGone(kind));
        }
    }
}

/// What the client said: the payload, or the fields that stand beside `type`.
fn push_fields(out: &mut String, message: &Incoming<'_>, dialect: Dialect) {
    if message.nested {
        return out.push_str(&compact(message.body));
    }
    let mut fields: BTreeMap<String, &RawValue> = parse(message.body).unwrap_or_default();
    // Of these, only what is no body at all gets here.
    for name in ["type", "payload", "data"] {
        fields.remove(name);
    }
    if dialect == Dialect::Payload {
        for name in ENVELOPE_FIELDS {
            fields.remove(name);
        }
    }
    let fields = serde_json::to_string(&fields).expect("JSON that was read can be written");
    out.push_str(&compact(&fields));
}

fn no_application(kind: &str) -> Refusal {
    Refusal::not_found(kind.to_owned()).said(|text| Phrase::NoApplication(text))
}

fn tell_sender(context: &mut Context<'_>, sender: ClientId, refusal: &Refusal, id: Option<&str>) {
    if let Some(client) = context.hub.directory().living_client(sender) {
        context.refuse(client, refusal, id);
    }
}

fn tell_unanswered(
    context: &mut Context<'_>,
    request: &Request,
    phrase: for<'a> fn(&'a str) -> Phrase<'a>,
) {
    let refusal = Refusal::new(ErrorCode::Internal, request.kind.to_string());
    tell(context, request, &refusal.said(phrase));
}

fn tell(context: &mut Context<'_>, request: &Request, refusal: &Refusal) {
    match context.hub.directory().living_client(request.sender) {
        Some(client) => context.refuse(client, refusal, request.id.as_deref()),
        None => request.log_gone_sender(),
    }
}
