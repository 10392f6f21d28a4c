//! joblight: live progress of batch jobs in every browser that watches, from one small process.
//!
//! An application posts what its jobs do; joblight keeps each task's state, conflates its progress, and sends every
//! viewer what it lacks. As a process it is `joblight serve`; inside a program it is [`Server`], and [`Handle`] for
//! the program's other threads.
//!
//! # The house
//!
//! A file uses only its own folder and lower floors; `tests/tidy` enforces it.
//!
//! | floor | folder | holds |
//! | --- | --- | --- |
//! | 0 | `base` | no domain, no I/O: time, timer wheel, token bucket, chunk queue, counters, seeded random |
//! | 1 | `wire` | bytes to values and back, pure: HTTP, WebSocket, envelopes, locale |
//! | 2 | `hub` | the product: rooms, logs, tasks, deltas, pacing. Knows no socket |
//! | 2 | `conn` | one peer: protocol phase and outbox. Knows no room |
//! | 3 | `engine` | connections, hub, timers and policy: inputs in, outputs out. Still pure |
//! | 4 | `config` | file, environment and flags become one checked [`Config`] |
//! | 5 | `shell` | the only syscalls: loop, sockets, listeners, signals, clock, log, store |
//! | 5 | `client` | a small blocking client, for the command line |
//! | 6 | `cli` | `serve`, `check`, `watch`, `emit` |
//!
//! # The loop
//!
//! `poll -> read every ready peer into one scratch buffer -> handle_input -> settle -> drain outputs, one vectored
//! write for each peer -> sleep until poll_timeout`. Everything that decides is below the shell and takes time,
//! randomness and bytes as arguments, so that the whole server runs inside a test, in virtual time.
//!
//! # What an idle viewer costs
//!
//! No read buffer, no write buffer, no compressor, and memory only in slots whose size is asserted at compile time:
//!
//! | part | bytes |
//! | --- | --- |
//! | `engine::transport::peer::Peer`: protocol phase, outbox, token buckets, standing | 168 |
//! | `hub::Client`: link, name, variant, one membership | 80 |
//! | `hub::Room` of its own, name, place in the index: what 15,000 rooms for 15,000 viewers cost each | 64 and about 40 |
//! | the shell's slot: connection and socket | 12 |
//! | its entry in the wheel | 40 |
//!
//! # Vocabulary
//!
//! *peer*: the remote end. *connection*: its transport. *client*: a peer that speaks WebSocket. *subscriber*: a client in a room.
//! *publication*: one message for a room. *position*: `epoch:offset` in a room's log. *turn*: one pass of the loop.
//! *lane*: conflated state, or ordered log.

// Names in `internals` are public for the compiler only: their links may lead to what nobody outside sees.
#![allow(rustdoc::private_intra_doc_links)]

// Reached from outside through `internals` alone: documentation stands where a reader needs it.
#[allow(missing_docs)]
mod base;
pub mod cli;
#[allow(missing_docs)]
mod client;
pub mod config;
mod conn;
#[allow(missing_docs)]
mod engine;
#[allow(missing_docs)]
mod hub;
mod shell;
#[allow(missing_docs)]
mod wire;

pub use config::{Config, ListenPort};
pub use engine::api::statistics::{BroadcasterStats, Health, WebSocketStats};
pub use engine::commands::{ClientInfo, CommandError};
pub use shell::handle::{CommandResult, Handle};
pub use shell::server::{Addresses, Server, ServerError};

/// What joblight's own tests and benches reach of the inside. No promise of any kind.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod internals {
    pub mod base {
        pub use crate::base::id::MessageIds;
        pub use crate::base::random::Random;
        pub use crate::base::time::{Now, Span, Time};
        pub use crate::base::wheel::Wheel;
    }

    pub mod wire {
        pub use crate::wire::http;
        pub use crate::wire::input::Input;
        pub use crate::wire::message::{Encoding, Envelope, Members, Report, RoomOffset, Variant};
        pub use crate::wire::websocket::{self, Deflater, MessageKind, Window};
    }

    pub mod hub {
        pub use crate::hub::durable::record::{Batch, Record, StoredEntry, StoredId, Table};
        pub use crate::hub::follow::Follower;
        pub use crate::hub::{HubSettings, Moment, Work, Workspaces};
    }

    pub mod engine {
        pub use crate::engine::mediator::inspect::{ClientState, Inspection};
        pub use crate::engine::{
            Batch, ConnectionId, Engine, Input, MemoryUse, Output, Restored, Services,
        };
    }

    pub mod shell {
        pub use crate::shell::store::Store;
    }

    pub mod client {
        pub use crate::client::{Client, ClientEvent};
    }
}
