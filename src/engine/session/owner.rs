//! What belongs to sessions as a whole, and to no single client.

use super::key::SessionKey;
use super::lists::Lists;
use super::questions::Questions;
use crate::wire::websocket::Inflater;

/// Sessions.
#[derive(Debug)]
pub struct Sessions {
    /// What makes the secrets of sessions.
    pub key: SessionKey,
    /// Questions whether messages have arrived.
    pub questions: Questions,
    /// Lists of workspaces that are being sent.
    pub lists: Lists,
    /// Inflates every compressed message.
    pub inflater: Inflater,
    /// Whether a timer is set for readers whose part of a turn was too much for it.
    pub is_resuming: bool,
}

impl Sessions {
    /// Nobody has come yet.
    pub fn new(key: SessionKey) -> Self {
        Self {
            key,
            questions: Questions::default(),
            lists: Lists::default(),
            inflater: Inflater::default(),
            is_resuming: false,
        }
    }
}
