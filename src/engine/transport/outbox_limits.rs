//! How much may wait for one connection.

use crate::engine::settings::WebSocketSettings;

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
    /// Those that are configured.
    pub fn of(settings: &WebSocketSettings) -> Self {
        Self {
            max_bytes: settings.max_outbox_size,
            max_messages: settings.max_outbox_messages,
        }
    }

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

/// A peer that has this much unsent, or whose socket is full, must read before it is served further: so what it asks
/// for stays bounded.
const MAX_UNSENT_ANSWERS: usize = 256 * 1024;

/// What may be unsent of a peer that is to be served further.
#[derive(Debug, Clone, Copy)]
pub struct MaxUnsent {
    viewer: usize,
    backend: usize,
}

impl MaxUnsent {
    /// `max_outbox_size`: the configured limit; 0: none.
    pub fn new(max_outbox_size: usize) -> Self {
        let (viewer, backend) = match max_outbox_size {
            0 => (MAX_UNSENT_ANSWERS, MAX_UNTRIED),
            max => (max.min(MAX_UNSENT_ANSWERS), max),
        };
        Self {
            viewer,
            // Behind what it is asked there is room for what is wrong with its answers.
            backend: backend + MAX_UNSENT_ANSWERS,
        }
    }

    /// In bytes of memory.
    pub fn of(self, is_backend: bool) -> usize {
        if is_backend {
            self.backend
        } else {
            self.viewer
        }
    }
}
