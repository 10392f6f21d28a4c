//! Sessions that were written a moment ago: each is written at most once a second, however often it changes.
//!
//! Owns when rests end and whether anybody waits for that; whether a client rests is the client's own. A rest that nobody
//! waits for ends unnoticed: it takes no timer, and an idle server sleeps.

use super::client::ClientId;
use crate::base::time::{Span, Time};
use std::collections::VecDeque;

/// How long a session is left alone that was written.
const REST: Span = Span::from_secs(1);

/// Clients whose session was written within the last [`REST`], or longer ago and not looked at since.
#[derive(Debug, Default)]
pub struct Rests {
    /// Until when, in order. One that was hastened meanwhile may stand here twice; then it rests less.
    queue: VecDeque<(Time, ClientId)>,
    /// How many of them have changed again.
    waiting: usize,
    is_armed: bool,
}

impl Rests {
    /// A client's session is written.
    pub fn begin(&mut self, now: Time, client: ClientId) {
        self.queue.push_back((now + REST, client));
    }

    /// A client that rests has changed.
    pub fn await_one(&mut self) {
        self.waiting += 1;
    }

    /// It does not wait any more.
    pub fn settle_one(&mut self) {
        debug_assert!(self.waiting > 0, "only who rests waits for its end");
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Whether a session has changed that is not to be written yet.
    pub fn is_awaited(&self) -> bool {
        self.waiting > 0
    }

    /// When to look whose rest is over, unless nobody waits for it or that is known already.
    pub fn arm(&mut self) -> Option<Time> {
        let (first, _) = self.queue.front().filter(|_| !self.is_armed)?;
        self.is_armed = self.waiting > 0;
        self.is_armed.then_some(*first)
    }

    /// The timer has fired.
    pub fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// The next client whose rest is over.
    pub fn poll_over(&mut self, now: Time) -> Option<ClientId> {
        let (_, client) = *self.queue.front().filter(|(until, _)| *until <= now)?;
        self.queue.pop_front();
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        Some(client)
    }
}
