//! Debounces the writes of sessions: each is written at most once a second, however often it changes, because a client confirms
//! messages with every ping. [`Journal::write_client_now`](super::journal::Journal::write_client_now) skips the wait.
//!
//! Owns when the rests end and how many resting sessions have changed; whether a client rests is a bit of its `Unsaved`. A rest in
//! which nothing changes sets no timer, so that an idle server sleeps.

use crate::base::time::{Span, Time};
use crate::hub::keys::ClientId;
use std::collections::VecDeque;

/// The shortest time between two writes of one session.
const REST: Span = Span::from_secs(1);

/// Clients whose session was written within the last `REST`, or longer ago if nothing has changed since.
#[derive(Debug, Default)]
pub struct WriteDebounce {
    /// Ends of rests, in order. A session that was written without waiting stands here twice; the earlier end then counts.
    queue: VecDeque<(Time, ClientId)>,
    /// How many resting sessions have changed.
    waiting: usize,
    is_armed: bool,
}

impl WriteDebounce {
    /// Begins the rest of a session that was written.
    pub fn begin(&mut self, now: Time, client: ClientId) {
        self.queue.push_back((now + REST, client));
    }

    /// Counts a session that changes during its rest.
    pub fn await_one(&mut self) {
        self.waiting += 1;
    }

    /// Ends the count of such a session: it is written now, or gone.
    pub fn settle_one(&mut self) {
        debug_assert!(self.waiting > 0, "only a session that rests waits");
        // Saturating: outside debug builds a miscount costs an early timer, not the process.
        self.waiting = self.waiting.saturating_sub(1);
    }

    pub fn is_awaited(&self) -> bool {
        self.waiting > 0
    }

    /// When the first rest ends, if any resting session has changed and no timer is set.
    pub fn arm(&mut self) -> Option<Time> {
        let (first, _) = self.queue.front().filter(|_| !self.is_armed)?;
        // A fired timer finds every rest that is over, so that one for the first is enough.
        self.is_armed = self.waiting > 0;
        self.is_armed.then_some(*first)
    }

    pub fn disarm(&mut self) {
        self.is_armed = false;
    }

    pub fn poll_over(&mut self, now: Time) -> Option<ClientId> {
        let (_, client) = *self.queue.front().filter(|(until, _)| *until <= now)?;
        self.queue.pop_front();
        if self.queue.is_empty() {
            // Frees the buffer: an idle server keeps none.
            self.queue = VecDeque::new();
        }
        Some(client)
    }
}
