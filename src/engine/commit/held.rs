//! What waits for the store, and how it ended.

use crate::engine::transport::answer::Reply;
use crate::hub::workspaces::documents::Change;
use crate::hub::{ClientId, ConnectionId};
use crate::wire::http::Response;

/// What waits for the store.
#[derive(Debug)]
pub enum Held {
    /// An answer to a request.
    Answer {
        /// On which connection.
        connection: ConnectionId,
        /// What it must know of its request.
        reply: Reply,
        /// The answer.
        answer: Response,
    },
    /// The news of a change to workspaces.
    Change {
        /// Who made it.
        sender: ClientId,
        /// The change.
        change: Change,
    },
    /// A list of workspaces, for a client that would not know a change that is not out yet. It shows what there is when it
    /// goes out: news of that may follow, and say the same once more.
    List {
        /// Who asked.
        client: ClientId,
    },
}

/// What need not wait any more.
#[derive(Debug)]
pub struct Released {
    /// What has waited.
    pub held: Held,
    /// Why it is not kept; `None`: it is.
    pub fault: Option<Box<str>>,
}
