//! What has come in and gone out, counted.

use crate::base::counter::MinuteCounter;

/// What has come in.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Messages received.
    pub received: MinuteCounter,
    /// Messages sent.
    pub sent: MinuteCounter,
    /// WebSocket connections ever.
    pub connections: u64,
    /// Handshakes that came when the server was full, or too often from their address.
    pub refused: u64,
    /// Requests that came from a foreign page, or under a name that is not served.
    pub foreign: u64,
}
