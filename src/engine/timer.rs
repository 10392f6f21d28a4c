//! Everything that can happen later, on one screen.

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
