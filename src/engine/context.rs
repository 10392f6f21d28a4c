//! What a call, a message or a command may use, borrowed for as long as it is carried out: never the server.
//!
//! A context reads settings and the store's condition, changes what the hub holds, and queues messages for connections. It
//! cannot end a connection, arm a timer or hold an answer back: it says what it wants, by its result and by
//! [`Context::dismissals`], and the mediator does it.

use crate::base::random::Random;
use crate::base::time::Now;
use crate::engine::access::caller::Caller;
use crate::engine::commit::durability::Durability;
use crate::engine::counts::Counts;
use crate::engine::life::Life;
use crate::engine::settings::Settings;
use crate::engine::transport::peers::Delivery;
use crate::hub::{ClientId, ClientKey, ConnectionId, Hub};
use crate::wire::locale::Phrase;
use crate::wire::message::{Dialect, Encoding, Envelope, ErrorMessage, Variant};
use crate::wire::refusal::Refusal;
use crate::wire::websocket::CloseCode;

pub struct Context<'a> {
    pub now: Now,
    pub settings: &'a Settings,
    pub caller: Caller<'a>,
    pub hub: &'a mut Hub,
    pub out: Delivery<'a>,
    /// Ids that nobody can guess.
    pub random: &'a mut Random,
    pub store: &'a Durability,
    pub life: Life,
    pub counts: &'a Counts,
    /// Whose connections are to end.
    pub dismissals: &'a mut Vec<Dismissal>,
}

/// A client's connection is to end, with a goodbye.
#[derive(Debug)]
pub struct Dismissal {
    pub client: ClientId,
    /// Why, for programs.
    pub code: CloseCode,
    pub reason: String,
}

impl Context<'_> {
    /// The form in which a client reads messages.
    pub fn variant(&self, client: ClientKey) -> Variant {
        self.out
            .peers
            .variant(self.hub.directory().client(client).connection)
    }

    /// The dialect in which a client was greeted.
    pub fn dialect(&self, client: ClientKey) -> Dialect {
        self.hub.directory().client(client).dialect
    }

    /// Sends a client a message that it waits for.
    pub fn answer(&mut self, client: ClientKey, kind: &str, payload: &str, reply_to: Option<&str>) {
        let envelope = Envelope {
            reply_to,
            ..Envelope::alone(kind, payload, self.now.wall_ms)
        };
        self.send_to(client, |variant| envelope.encode(variant));
    }

    /// Tells a client why its message was not obeyed.
    pub fn refuse(&mut self, client: ClientKey, refusal: &Refusal, reply_to: Option<&str>) {
        let message = refusal.message(self.settings.locale);
        self.send_error(
            client,
            &ErrorMessage {
                code: refusal.code().as_str(),
                message: &message,
                reply_to,
                timestamp: self.now.wall_ms,
                is_of_workspaces: refusal.is_of_workspaces(),
            },
        );
    }

    /// Sends a client an `error`, which waits for a client that is away, as all does that is for it alone.
    pub fn send_error(&mut self, client: ClientKey, error: &ErrorMessage<'_>) {
        if self.hub.directory().client(client).is_away {
            let payload = error.payload();
            let moment = self.settings.at(self.now);
            self.hub
                .send(moment, client, "error", &payload, &mut self.out);
        } else {
            self.send_to(client, |variant| error.encode(variant));
        }
    }

    fn send_to(&mut self, client: ClientKey, encode: impl FnOnce(Variant) -> Vec<u8>) {
        let connection = self.hub.directory().client(client).connection;
        let variant = self.out.peers.variant(connection);
        self.send_encoded(connection, &encode(variant), variant);
    }

    /// Sends a connection a message that is encoded in `variant` already; the turn is charged for it.
    pub fn send_encoded(&mut self, connection: ConnectionId, message: &[u8], variant: Variant) {
        let encoded = self.out.answer(connection, message, variant);
        self.hub.load().encode(encoded);
    }

    /// Sends a message to a WebSocket that is no client's: the application's, or one that is sent back its own.
    pub fn send_bare(&mut self, connection: ConnectionId, encoding: Encoding, message: &[u8]) {
        let peer = self.out.peers.peer(connection);
        let variant = Variant {
            encoding,
            window: peer.and_then(|peer| peer.compression.window()),
            ..Variant::default()
        };
        self.send_encoded(connection, message, variant);
    }

    /// Logs that a client has entered a room, or left it.
    pub fn log_room(&self, client: ClientKey, room: &str, has_entered: bool) {
        if log::log_enabled!(log::Level::Debug) {
            let client = &self.hub.directory().client(client).id.to_string();
            let phrase = match has_entered {
                true => Phrase::ClientJoined { client, room },
                false => Phrase::ClientLeft { client, room },
            };
            log::debug!("{}", self.settings.locale.say(phrase));
        }
    }
}
