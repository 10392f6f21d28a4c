//! What was promised, and who waits for the store.

use super::durability::Durability;
use super::lobby::Lobby;

/// The engine's side of the store, and those who have come before it was read.
#[derive(Debug, Default)]
pub struct Commit {
    /// What waits for the store.
    pub durability: Durability,
    /// Who waits for it to be read.
    pub lobby: Lobby,
}
