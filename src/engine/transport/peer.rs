//! One connection: its bytes, what it is to the server, and what is known of its life.

use crate::base::wheel::TimerId;
use crate::conn::Connection;
use crate::engine::access::Asker;
use crate::engine::api::ingest::IngestStream;
use crate::engine::transport::allowance::Allowance;
use crate::engine::transport::confirmation::Confirmation;
use crate::engine::transport::standing::{Services, Standing};
use crate::engine::transport::turn::{ControlFrames, Share};
use crate::hub::ClientKey;
use crate::wire::message::Variant;
use crate::wire::websocket::Compression;
use core::net::IpAddr;

/// One connection and its standing.
#[derive(Debug)]
pub struct Peer {
    /// Its bytes.
    pub connection: Connection,
    /// Where it came from, or, for a WebSocket, whom a proxy has said it came for; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// What that address is, and what of its shares this has.
    pub standing: Standing,
    /// What its listener serves.
    pub services: Services,
    /// What it is to the server.
    pub role: Role,
    /// The form in which it reads messages, once it is a client.
    pub variant: Variant,
    /// Whether and how its messages are compressed.
    pub compression: Compression,
    /// A streamed request or a producer's lines.
    pub stream: Option<Box<IngestStream>>,
    /// When it will be looked at again.
    pub timer: Option<TimerId>,
    /// Whether anything was heard of it since it was last looked at.
    pub alive: bool,
    /// Whether it has confirmed what it was sent; `None`: its client may not come back, so that nobody asks.
    pub confirmation: Option<Confirmation>,
    /// Whether it owes an answer to a ping.
    pub ping: Ping,
    /// Control frames that it has sent lately.
    pub control_frames: ControlFrames,
    /// What it has brought in this turn.
    pub share: Share,
    /// Whether something of it has begun and not ended.
    pub is_unfinished: bool,
    /// Whether anything more of it is read.
    pub reading: Reading,
    /// Whether it holds unsent bytes that keep progress from it until it has drained.
    pub backlogged: bool,
    /// Whether its socket would take no more; it will say when it does.
    pub blocked: bool,
    /// How much it may still send.
    pub allowance: Allowance,
    /// Messages received from it.
    pub received: u32,
    /// Messages queued for it.
    pub sent: u32,
    pub(super) generation: u32,
    pub(super) marked: Marked,
}

/// What a connection is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It makes requests, brings lines, or is sent back its own messages.
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
    /// Its request waits for the store, or the answer does; the next follows when it is answered.
    Held,
    /// The same, and its peer has said that it sends no more: the answer is the last.
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
    /// That one is answered.
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

impl Peer {
    /// The client behind it.
    pub fn client(&self) -> Option<ClientKey> {
        match self.role {
            Role::Viewer(client) => Some(client),
            Role::Caller | Role::Application => None,
        }
    }

    /// Whether it is a link of the application.
    pub fn is_backend(&self) -> bool {
        self.role == Role::Application
    }

    /// Who is behind it.
    pub fn asker(&self) -> Asker {
        Asker {
            address: self.address,
            is_proxy: self.standing.has(Standing::PROXY),
        }
    }

    /// A WebSocket is somebody's for as long as it lasts; of a proxy's requests each may be another's.
    pub fn know(&mut self, asker: Asker) {
        self.address = asker.address;
        self.standing = self.standing.with(Standing::PROXY, asker.is_proxy);
    }
}

/// What an idle connection costs here; the crate's documentation has the whole account.
const _: () = assert!(size_of::<Peer>() <= 168);

/// Whether a connection is to be looked after when the turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marked {
    No,
    /// With the crowd.
    Dirty,
    /// Before it; it may stand in both queues.
    Urgent,
}
