//! The debounce of sessions: each is written at most once a second, however often it changes; `mark_urgent` skips the wait.
//!
//! Owns when the waits ("rests") end and whether any session has changed meanwhile; whether a client rests is a bit of its
//! `Unsaved`. A rest in which nothing changes takes no timer, so that an idle server sleeps.

use crate::base::time::{Span, Time};
use crate::hub::keys::ClientId;
use std::collections::VecDeque;

/// The shortest time between two writes of one session.
const REST: Span = Span::from_secs(1);

/// Clients whose session was written within the last `REST`, or longer ago and not looked at since.
#[derive(Debug, Default)]
pub struct Rests {
    /// Until when, in order. One that was hastened meanwhile may stand here twice, and is then written sooner.
    queue: VecDeque<(Time, ClientId)>,
    /// How many of them have changed again.
    waiting: usize,
    is_armed: bool,
}

impl Rests {
    /// A client's session is written: the next write waits.
    pub fn begin(&mut self, now: Time, client: ClientId) {
        self.queue.push_back((now + REST, client));
    }

    /// A session has changed in its rest.
    pub fn await_one(&mut self) {
        self.waiting += 1;
    }

    /// Such a session is written now, or gone.
    pub fn settle_one(&mut self) {
        debug_assert!(self.waiting > 0, "only a session that rests waits");
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Whether any session has changed in its rest.
    pub fn is_awaited(&self) -> bool {
        self.waiting > 0
    }

    /// When the first rest ends, if a timer is needed for that and not set yet.
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
