//! Everything that can happen later, on one screen.

use crate::base::time::Time;
use crate::base::wheel::{TimerId, Wheel};
use crate::hub;
use crate::hub::ConnectionId;

/// An entry of the wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// When to look at a connection again: is its handshake done, is it alive, has it drained?
    Connection(ConnectionId),
    /// When to see to what the hub asked to be reminded of.
    Hub(hub::Timer),
    /// When to tell clients that the application has not answered them in time.
    Answers,
    /// When to hand over what has gathered for the store, or to try it again.
    Store,
    /// When the store has taken too long over a batch.
    StoreAnswer,
    /// When requests have waited long enough for a store that is being opened.
    Opening,
    /// When to let in more of those who waited for the store.
    Lobby,
    /// When to ask on whether messages have arrived.
    Probes,
    /// When readers go on whose share of a turn was too much for it.
    Postponed,
    /// When to ask those again who have answered in vain.
    Questions,
    /// When to end what was begun and not finished.
    Unfinished,
    /// When to forget addresses that have not connected for a while.
    Addresses,
    /// When to end what has not drained.
    ShutdownDeadline,
}

/// The one timer of something that has one at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alarm(Option<TimerId>);

impl Alarm {
    /// Sees to it that the timer is set if, and only if, something is due. A timer that is set stays: when it goes off, what is due
    /// by then is found, and it is set anew.
    pub fn keep(&mut self, due: Option<Time>, timer: Timer, wheel: &mut Wheel<Timer>) {
        match (due, self.0) {
            (Some(at), None) => self.0 = Some(wheel.schedule(at, timer)),
            (None, Some(_)) => self.cancel(wheel),
            _ => {}
        }
    }

    /// Sets the timer, or moves it.
    pub fn set(&mut self, at: Time, timer: Timer, wheel: &mut Wheel<Timer>) {
        if !self.0.is_some_and(|id| wheel.reschedule(id, at)) {
            self.0 = Some(wheel.schedule(at, timer));
        }
    }

    pub fn cancel(&mut self, wheel: &mut Wheel<Timer>) {
        if let Some(id) = self.0.take() {
            wheel.cancel(id);
        }
    }

    pub fn handle_expiry(&mut self) {
        self.0 = None;
    }
}
