//! The readers of one publication, in buffers that the next publication reuses, so that offering allocates nothing.

use crate::base::shrink::LateShrink;
use crate::hub::keys::{ClientKey, ConnectionId};

/// Readers for which buffers stay allocated however rarely they are used.
const MAX_IDLE_READERS: usize = 1024;

/// Readers by connection and by client, and those among them that refused.
#[derive(Debug, Default)]
pub struct Audience {
    pub connections: Vec<ConnectionId>,
    clients: Vec<ClientKey>,
    /// Indices into `connections`, as the outlet reports them.
    pub refused: Vec<usize>,
    shrink: LateShrink,
}

impl Audience {
    pub fn push(&mut self, client: ClientKey, connection: ConnectionId) {
        self.connections.push(connection);
        self.clients.push(client);
    }

    pub fn refused(&self) -> impl Iterator<Item = ClientKey> {
        self.refused.iter().map(|place| self.clients[*place])
    }

    /// An empty audience, in the buffers of the last one.
    pub fn begin(&mut self) -> &mut Self {
        self.shrink.record(self.connections.len());
        self.connections.clear();
        self.clients.clear();
        self.refused.clear();
        self
    }

    /// Frees buffers that were far larger than needed for a while; call once per turn.
    pub fn release(&mut self) {
        self.begin();
        if self
            .shrink
            .is_due(self.connections.capacity(), MAX_IDLE_READERS)
        {
            *self = Self::default();
        }
    }
}
