//! The readers of one publication, in buffers that the next one uses again.

use crate::base::shrink::LateShrink;
use crate::hub::keys::ConnectionId;

/// Buffers of a crowd are given back when none has been served for a while.
const MAX_IDLE_READERS: usize = 1024;

/// Readers, whatever `K` the caller knows each by, and those among them that refused.
#[derive(Debug)]
pub struct Audience<K> {
    pub connections: Vec<ConnectionId>,
    keys: Vec<K>,
    /// Places in `connections`.
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

    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Those that refused.
    pub fn refused(&self) -> impl Iterator<Item = K> + '_ {
        self.refused.iter().map(|place| self.keys[*place])
    }

    /// Ready for the next publication.
    pub fn clear(&mut self) {
        self.shrink.record(self.connections.len());
        self.connections.clear();
        self.keys.clear();
        self.refused.clear();
    }

    /// Gives back what a crowd has needed, once that is long enough ago.
    pub fn release(&mut self) {
        if self
            .shrink
            .is_due(self.connections.capacity(), MAX_IDLE_READERS)
        {
            *self = Self::default();
        }
    }
}
