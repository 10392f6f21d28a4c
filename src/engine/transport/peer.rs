//! One connection: its bytes, what it is to the server, and what is known of its life.

use super::allowance::{Allowance, ControlFrames, Intake};
use super::confirmation::Confirmation;
use crate::base::chunk_queue::ChunkPool;
use crate::conn::Connection;
use crate::engine::access::Asker;
use crate::engine::api::ingest::IngestStream;
use crate::engine::settings::WebSocketConfig;
use crate::engine::timer::Alarm;
use crate::hub::ClientKey;
use crate::wire::message::Variant;
use crate::wire::websocket::{Compression, EncodedFrame};

/// Bytes that may wait for a socket that has refused none yet; what a publication queues is shared by its readers.
pub(super) const MAX_UNTRIED: usize = 16 * 1024 * 1024;
/// A peer that has this much unsent must read before it is served further: so what it asks for stays bounded.
const MAX_UNSENT_ANSWERS: usize = 256 * 1024;

#[derive(Debug)]
pub struct Peer {
    pub connection: Connection,
    /// Who is behind it: its address, or, for a WebSocket, whom a proxy has said it came for. A WebSocket is somebody's for as long
    /// as it lasts; of a proxy's requests each may be another's.
    pub asker: Asker,
    pub standing: Standing,
    pub services: Services,
    pub role: Role,
    /// The form in which it reads messages, once it is a client.
    pub variant: Variant,
    pub compression: Compression,
    /// A streamed request or a producer's lines.
    pub stream: Option<Box<IngestStream>>,
    /// When it will be looked at again.
    pub timer: Alarm,
    /// Whether anything was heard of it since it was last looked at.
    pub alive: bool,
    /// Whether it has confirmed what it was sent; `None`: its client may not come back, so that nobody asks.
    pub confirmation: Option<Confirmation>,
    pub ping: Ping,
    pub control_frames: ControlFrames,
    pub intake: Intake,
    /// Whether something of it has begun and not ended.
    pub is_unfinished: bool,
    pub reading: Reading,
    /// Whether it holds unsent bytes that keep progress from it until it has drained.
    pub backlogged: bool,
    /// Whether its socket would take no more; it will say when it does.
    pub blocked: bool,
    pub allowance: Allowance,
    /// Messages received from it.
    pub received: u32,
    /// Messages queued for it.
    pub sent: u32,
    pub(super) generation: u32,
    pub(super) marked: Marked,
}

/// What an idle connection costs here; the crate's documentation has the whole account.
const _: () = assert!(size_of::<Peer>() <= 168);

/// What a connection is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Makes requests, brings lines, or is sent back its own messages.
    Caller,
    /// A viewer: what the hub calls it.
    Viewer(ClientKey),
    /// A link of the application.
    Application,
}

/// Whether anything more of a peer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// What comes is handled as it comes.
    Open,
    /// A message of it waits, for the application or the store; the next follows when that has gone.
    Waiting,
    /// A request waits for the store, or its answer does; the next follows when it is answered.
    Held,
    /// Held, and the peer has said that it sends no more: the answer is the last.
    HeldToEnd,
}

impl Reading {
    /// Whether a request waits, or its answer.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::HeldToEnd)
    }
}

/// Whether a peer owes an answer to a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    /// None is out.
    None,
    /// One was sent since the peer was last looked at.
    Sent,
    /// The one that was sent is answered.
    Answered,
    /// One was sent before, and its answer may still come.
    Late,
}

impl Ping {
    /// The peer is looked at; tells whether it was sent a ping since the last time.
    pub fn look(&mut self) -> bool {
        let was = *self;
        *self = match was {
            Self::Sent | Self::Late => Self::Late,
            Self::Answered | Self::None => Self::None,
        };
        matches!(was, Self::Sent | Self::Answered)
    }

    /// A pong has come; tells whether it was asked for.
    pub fn answer(&mut self) -> bool {
        let was = *self;
        *self = match was {
            Self::Sent | Self::Answered => Self::Answered,
            Self::Late | Self::None => Self::None,
        };
        matches!(was, Self::Sent | Self::Late)
    }
}

/// Whether a connection is to be looked after when the turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    No,
    /// With the crowd.
    Dirty,
    /// Before it; it may stand in both queues.
    Urgent,
}

impl Peer {
    pub fn client(&self) -> Option<ClientKey> {
        match self.role {
            Role::Viewer(client) => Some(client),
            Role::Caller | Role::Application => None,
        }
    }

    pub fn is_backend(&self) -> bool {
        self.role == Role::Application
    }

    /// Whether it must read, or what it has asked must be answered, before it is served further.
    pub fn must_wait(&self, settings: &WebSocketConfig) -> bool {
        let max_unsent = self.max_unsent(settings.max_outbox_size);
        // The application must be heard also when it is behind: its answers are not for itself.
        let is_behind = self.backlogged && !self.is_backend();
        let is_full = self.connection.outbox.held_bytes() >= max_unsent;
        is_full || is_behind || self.reading != Reading::Open
    }

    fn max_unsent(&self, max_outbox_size: usize) -> usize {
        match (self.is_backend(), max_outbox_size) {
            (false, 0) => MAX_UNSENT_ANSWERS,
            (false, max) => max.min(MAX_UNSENT_ANSWERS),
            // Behind what it is asked there is room for what is wrong with its answers.
            (true, 0) => MAX_UNTRIED + MAX_UNSENT_ANSWERS,
            (true, max) => max + MAX_UNSENT_ANSWERS,
        }
    }

    /// Queues a message, if the limits allow; whether they do.
    pub(super) fn queue(
        &mut self,
        pool: &mut ChunkPool,
        frame: &EncodedFrame,
        (max_bytes, max_messages): (usize, usize),
    ) -> bool {
        let outbox = &mut self.connection.outbox;
        let is_queued = outbox.push_message(pool, frame, max_bytes, max_messages);
        self.sent = self.sent.wrapping_add(u32::from(is_queued));
        is_queued
    }

    /// Ends what the connection is for; its address has a place again.
    pub(super) fn leave(&mut self) {
        self.role = Role::Caller;
        self.standing.remove(Standing::PLACED);
    }
}

/// What a listener serves, in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Services(u8);

impl Services {
    /// Of the WebSocket listener.
    pub const WEBSOCKET: Self = Self(1);
    /// Of the HTTP listener.
    pub const HTTP: Self = Self(2);
    /// Of a listener that serves both.
    pub const BOTH: Self = Self(1 | 2);
    /// Of the ingest socket and of standard input: newline-delimited events, nothing else.
    pub const INGEST: Self = Self(4);

    pub fn websocket(self) -> bool {
        self.0 & Self::WEBSOCKET.0 != 0
    }

    pub fn http(self) -> bool {
        self.0 & Self::HTTP.0 != 0
    }

    pub fn ingest(self) -> bool {
        self.0 & Self::INGEST.0 != 0
    }
}

/// What a connection has had, and what it has of the shares of its address, in one byte.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing(u8);

impl Standing {
    /// The connection is counted among those of its address.
    pub const COUNTED: Self = Self(1);
    /// The connection is counted among the clients of its address.
    pub const PLACED: Self = Self(2);
    /// The peer has sent a whole request, or the head of one whose body is handled as it comes.
    pub const ASKED: Self = Self(4);
    /// The connection became a WebSocket only to be told when to come back.
    pub(super) const GOODBYE: Self = Self(8);

    pub fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    pub fn add(&mut self, mark: Self) {
        self.0 |= mark.0;
    }

    pub fn remove(&mut self, mark: Self) {
        self.0 &= !mark.0;
    }
}
