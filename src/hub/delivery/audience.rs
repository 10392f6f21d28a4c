//! The readers of one publication, in buffers that the next publication reuses, so that offering allocates nothing.

use crate::base::shrink::LateShrink;
use crate::hub::keys::ConnectionId;

/// Readers for which buffers stay allocated however rarely they are used.
const MAX_IDLE_READERS: usize = 1024;

/// Readers with the caller's key `K` for each, and those among them that refused.
#[derive(Debug)]
pub struct Audience<K> {
    pub connections: Vec<ConnectionId>,
    keys: Vec<K>,
    /// Indices into `connections`, as the outlet reports them.
    pub refused: Vec<usize>,
    shrink: LateShrink,
}

impl<K> Default for Audience<K> {
    fn default() -> Self {
        Self {
            connections: Vec::new(),
            keys: Vec::new(),
            refused: Vec::new(),
            shrink: LateShrink::default(),
        }
    }
}

impl<K: Copy> Audience<K> {
    pub fn push(&mut self, key: K, connection: ConnectionId) {
        self.connections.push(connection);
        self.keys.push(key);
    }

    pub fn refused(&self) -> impl Iterator<Item = K> + '_ {
        self.refused.iter().map(|place| self.keys[*place])
    }

    /// An empty audience, in the buffers of the last one.
    pub fn begin(&mut self) -> &mut Self {
        self.shrink.record(self.connections.len());
        self.connections.clear();
        self.keys.clear();
        self.refused.clear();
        self
    }

    /// Frees buffers that were far larger than needed for a while; call once per turn.
    pub fn release(&mut self) {
        if self
            .shrink
            .is_due(self.connections.capacity(), MAX_IDLE_READERS)
        {
            *self = Self::default();
        }
    }
}
