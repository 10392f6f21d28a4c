//! How much may wait for one connection.

/// Bytes that may wait for a socket that has refused none yet; what a publication queues is shared by its readers.
pub const MAX_UNTRIED: usize = 16 * 1024 * 1024;

/// What may wait for a connection that has left something unread; 0: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutboxLimits {
    /// Bytes.
    pub max_bytes: usize,
    /// Messages.
    pub max_messages: usize,
}

impl OutboxLimits {
    /// The same for a socket that has refused nothing yet.
    pub(super) fn untried(self) -> Self {
        let max_bytes = match self.max_bytes {
            0 => 0,
            max_bytes => max_bytes.max(MAX_UNTRIED),
        };
        Self {
            max_bytes,
            max_messages: 0,
        }
    }
}
