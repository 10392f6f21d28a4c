//! What an operator or an embedding program may do with clients, rooms and tasks: the interface of seed 000.

use crate::engine::context::{Context, Dismissal};
use crate::engine::session::subscriptions::Barred;
use crate::hub::{Broadcast, ClientKey, Entry, Full, Ingested, Refused, TooLarge};
use crate::wire::locale::Phrase;
use crate::wire::message::compact::{compact, into_compact};
use crate::wire::message::event::check_application_type;
use crate::wire::message::name::check_room;
use crate::wire::message::{Malformed, Report, check_relayable};
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::CloseCode;
use serde::Serialize;

/// A connected client, as statistics show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// Where it connected from; `None` on a Unix socket.
    pub address: Option<String>,
    /// Its public name.
    pub client_id: String,
    /// Milliseconds since 1970 when it connected.
    pub connected_at: u64,
    /// `payload` or `data`.
    pub dialect: &'static str,
    /// Messages received from it.
    pub messages_received: u32,
    /// Messages queued for it.
    pub messages_sent: u32,
    /// The rooms it is in.
    pub rooms: Vec<String>,
    /// Bytes that it has not taken yet.
    pub unsent_bytes: usize,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such client.
    #[error("there is no client `{0}`")]
    UnknownClient(String),
    /// A name or a payload is wrong: what, and what would be right.
    #[error("{field}: {reason}")]
    Invalid {
        /// The argument at fault.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A configured limit forbids it.
    #[error("limit exceeded: {0}")]
    LimitExceeded(&'static str),
    /// The store is not read yet, so nothing can be decided: why not.
    #[error("nothing was done, for the store is not read yet: {0}")]
    Unread(String),
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped,
}

impl From<Malformed> for CommandError {
    fn from(malformed: Malformed) -> Self {
        let Malformed { field, reason, .. } = malformed;
        let field = match field.is_empty() {
            true => "payload".to_owned(),
            false => field,
        };
        Self::Invalid { field, reason }
    }
}

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(limit) => Self::LimitExceeded(limit),
            Refused::TooLarge(TooLarge { field, limit }) => Self::Invalid {
                field: field.into(),
                reason: limit.to_string(),
            },
        }
    }
}

impl From<Barred> for CommandError {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::Full(full) => full.into(),
            Barred::Unseen => Self::Invalid {
                field: "room".into(),
                reason: "the client may not see it".into(),
            },
        }
    }
}

impl From<Full> for CommandError {
    fn from(full: Full) -> Self {
        Self::LimitExceeded(full.key())
    }
}

/// How a call is told that a command was refused.
impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        let detail = error.to_string();
        match error {
            CommandError::UnknownClient(_) => Self::not_found(detail).at("id"),
            CommandError::Invalid { field, .. } => {
                Self::new(ErrorCode::InvalidMessage, detail).at(field)
            }
            CommandError::LimitExceeded(limit) => {
                // In a problem too it reads `limit exceeded: …` in English, as embedding programs read it.
                Self::no_room(limit).said(|limit| Phrase::Error(ErrorCode::LimitExceeded, limit))
            }
            CommandError::Stopped => Self::new(ErrorCode::Draining, detail).retry_after_s(1),
            CommandError::Unread(_) => {
                Self::new(ErrorCode::StorageUnavailable, detail).retry_after_s(1)
            }
        }
    }
}

impl Context<'_> {
    /// Refuses what cannot be decided before the store is read.
    pub fn check_read(&self) -> Result<(), CommandError> {
        if !self.store.is_unread() {
            return Ok(());
        }
        self.counts.unread.update(|count| count + 1);
        let reason = self.store.fault().unwrap_or_default();
        Err(CommandError::Unread(reason.to_owned()))
    }

    /// The connected client of that public name.
    pub fn find_client(&self, id: &str) -> Result<ClientKey, CommandError> {
        let found = self.find_session(id)?;
        match self.hub.directory().client(found).is_away {
            true => Err(CommandError::UnknownClient(id.to_owned())),
            false => Ok(found),
        }
    }

    /// The client of that public name, which may be away.
    pub fn find_session(&self, id: &str) -> Result<ClientKey, CommandError> {
        self.check_read()?;
        let found = self.hub.directory().client_by_id(id);
        found.ok_or_else(|| CommandError::UnknownClient(id.to_owned()))
    }

    /// What is known of a client.
    pub fn client_info(&self, key: ClientKey) -> ClientInfo {
        let directory = self.hub.directory();
        let client = directory.client(key);
        let peer = self.out.peers.peer(client.connection);
        ClientInfo {
            client_id: client.id.to_string(),
            connected_at: client.connected_at,
            address: peer
                .and_then(|peer| peer.asker.address)
                .map(|address| address.to_string()),
            rooms: client
                .rooms()
                .map(|room| directory.room(room).name.to_string())
                .collect(),
            dialect: client.dialect.body(),
            messages_received: peer.map_or(0, |peer| peer.received),
            messages_sent: peer.map_or(0, |peer| peer.sent),
            unsent_bytes: peer.map_or(0, |peer| peer.connection.outbox.len_bytes()),
        }
    }

    /// Every client.
    pub fn client_infos(&self) -> Result<Vec<ClientInfo>, CommandError> {
        self.check_read()?;
        let clients = self.hub.directory().clients();
        Ok(clients.map(|(key, _)| self.client_info(key)).collect())
    }

    /// Ends a client's connection with a close code (1000, 1001, 1008, 1011 to 1014 or 3000 to 4999) and a reason.
    pub fn disconnect_client(
        &mut self,
        id: &str,
        code: u16,
        reason: &str,
    ) -> Result<(), CommandError> {
        let client = self.find_client(id)?;
        let code = CloseCode(code);
        if !code.is_allowed_on_wire() {
            let reason = format!(
                "{code} may not be sent; expected 1000 to 1003, 1007 to 1014, or 3000 to 4999"
            );
            return Err(CommandError::Invalid {
                field: "code".into(),
                reason,
            });
        }
        self.dismissals.push(Dismissal {
            client: self.hub.directory().client(client).id,
            code,
            reason: reason.to_owned(),
        });
        Ok(())
    }

    /// Puts a client into a room.
    pub fn subscribe(&mut self, id: &str, room: &str) -> Result<(), CommandError> {
        check_room("room", room)?;
        let client = self.find_client(id)?;
        let joined = self.enter(client, room, Entry::Put)?;
        if joined.is_new {
            let due = [(joined.room, None)];
            let moment = self.settings.at(self.now);
            self.hub.welcome(moment, client, &due, &mut self.out);
        }
        // Also when it is there already: it may have come by itself a moment ago, and is not kept yet.
        self.hub.write_session_now(client);
        Ok(())
    }

    /// Takes a client out of a room; `false` when it was not in it.
    pub fn unsubscribe(&mut self, id: &str, room: &str) -> Result<bool, CommandError> {
        let client = self.find_client(id)?;
        let left = self.hub.leave_room(client, room);
        if left {
            self.log_room(client, room, false);
            self.hub.write_session_now(client);
        }
        Ok(left)
    }

    /// The clients in a room.
    pub fn room_clients(&self, room: &str) -> Result<Vec<String>, CommandError> {
        self.check_read()?;
        let directory = self.hub.directory();
        let Some(room) = directory.find(room) else {
            return Ok(Vec::new());
        };
        let members = directory.room(room).connected().iter();
        let clients = members.map(|member| directory.client(member.client));
        Ok(clients.map(|client| client.id.to_string()).collect())
    }

    /// Sends one client a message; `false` when its connection did not take it: it waits for a client that is away.
    pub fn send(&mut self, id: &str, kind: &str, payload: &str) -> Result<bool, CommandError> {
        check_message(kind, payload)?;
        let payload = &compact(payload);
        let client = self.find_session(id)?;
        Ok(self.hub.send(
            self.settings.at(self.now),
            client,
            kind,
            payload,
            &mut self.out,
        ))
    }

    /// Sends a room a message, which its log keeps; tells how many it reached.
    pub fn send_to_room(
        &mut self,
        room: &str,
        kind: &str,
        payload: String,
    ) -> Result<usize, CommandError> {
        self.check_read()?;
        check_message(kind, &payload)?;
        let payload = into_compact(payload);
        check_room("room", room)?;
        let moment = self.settings.at(self.now);
        Ok(self
            .hub
            .publish(moment, room, (kind, payload), None, &mut self.out)?)
    }

    /// Sends every client a message; tells how many it reached.
    pub fn broadcast_to_all(&mut self, kind: &str, payload: &str) -> Result<usize, CommandError> {
        self.check_read()?;
        check_message(kind, payload)?;
        let payload = &compact(payload);
        let message = Broadcast {
            kind,
            payload,
            dialect: None,
        };
        let moment = self.settings.at(self.now);
        Ok(self.hub.broadcast(moment, message, &mut self.out))
    }

    /// Takes an event; `false` when it was late, repeated or out of order.
    pub fn report(&mut self, report: Report<'_>) -> Result<bool, CommandError> {
        self.check_read()?;
        let moment = self.settings.at(self.now);
        match self.hub.ingest(moment, report, &mut self.out) {
            Ingested::Accepted(_) => Ok(true),
            Ingested::Dropped(_) => Ok(false),
            Ingested::Refused(refused) => Err(refused.into()),
        }
    }
}

/// Refuses what is no message of the application's own.
fn check_message(kind: &str, payload: &str) -> Result<(), Malformed> {
    check_application_type(kind)?;
    check_relayable(payload, 1)
}
