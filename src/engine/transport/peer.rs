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
    /// The hub's name for it, once it is a WebSocket client.
    pub client: Option<ClientKey>,
    /// Whether it is a link of the application.
    pub is_backend: bool,
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
    /// Whether it asks for confirmations: its client may come back.
    pub has_session: bool,
    /// Whether it has confirmed what it was sent.
    pub confirmation: Confirmation,
    /// Whether a ping waits for an answer.
    pub pinged: bool,
    /// The same, until the first pong: what answers it was asked for.
    pub pong_due: bool,
    /// Control frames that it has sent lately.
    pub control_frames: ControlFrames,
    /// What it has brought in this turn.
    pub share: Share,
    /// Whether something of it has begun and not ended.
    pub is_unfinished: bool,
    /// Whether a message of it waits, for the application or the store: nothing more of it is read before.
    pub waits: bool,
    /// Whether it holds unsent bytes that keep progress from it until it has drained.
    pub backlogged: bool,
    /// Whether an answer is held back until what it is about is kept: nothing of the peer's is read before.
    pub is_held: bool,
    /// Whether its peer has said that it sends no more, while an answer was held back.
    pub has_ended: bool,
    /// Whether its socket would take no more; it will say when it does.
    pub blocked: bool,
    /// How much it may still send.
    pub allowance: Allowance,
    /// Messages received from it.
    pub received: u32,
    /// Messages queued for it.
    pub sent: u32,
    pub generation: u32,
    pub marked: Marked,
}

impl Peer {
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
pub enum Marked {
    No,
    /// With the crowd.
    Dirty,
    /// Before it; it may stand in both queues.
    Urgent,
}
