//! What has come in and gone out, counted.

use crate::base::counter::MinuteCounter;
use crate::base::time::Now;
use crate::engine::boundary::MemoryProbe;
use crate::engine::notices::Notices;

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

/// Everything that is counted, and since when.
pub struct Statistics {
    /// What has come in and gone out.
    pub traffic: Traffic,
    /// What was refused or ended.
    pub notices: Notices,
    /// When the server began.
    pub started: Now,
    /// What the process uses.
    pub memory: MemoryProbe,
}
