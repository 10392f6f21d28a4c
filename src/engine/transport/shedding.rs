//! What is left unfinished is recorded, and found again when it has taken too long or is too much: whoever has left the most
//! goes first.

use super::connections::{Step, Transport};
use super::peer::{Peer, Reading};
use super::unfinished::{ENTRY_COST, Entry, max_bytes};
use crate::engine::settings::Settings;
use crate::hub::ConnectionId;

impl Transport {
    /// Records what a connection has left unfinished. `elsewhere`: the bytes that others keep for it. `has_completed`:
    /// something was completed since the last time, so that whatever is unfinished now has begun since. Tells whether there is
    /// anything.
    pub fn note_unfinished(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        elsewhere: usize,
        has_completed: bool,
    ) -> bool {
        let Some(peer) = self.peers.peer(connection) else {
            return false;
        };
        let line = line_bytes(peer);
        let bytes = match peer.connection.is_open() {
            true => peer.connection.held_input() + line + elsewhere,
            false => 0,
        };
        if bytes == 0 {
            if peer.is_unfinished {
                self.forget_unfinished(step, connection);
            }
            return false;
        }
        // Whoever is cut short by its own share goes on at once, and has no more time for that.
        let waits_for_others = peer.connection.has_stash() && !peer.intake.is_cut;
        let must_wait = waits_for_others || peer.reading != Reading::Open;
        let is_timed = !peer.services.ingest() && (peer.connection.has_begun() || line > 0);
        let since = self.unfinished.since(connection);
        let since = since.filter(|_| !has_completed);
        let since = (is_timed && !must_wait).then(|| since.unwrap_or(step.now.at));
        if let Some(peer) = self.peers.peer_mut(connection) {
            peer.is_unfinished = true;
        }
        let bytes = bytes + ENTRY_COST;
        self.unfinished.set(connection, Entry { bytes, since });
        self.arm_unfinished(step);
        true
    }

    /// A connection has nothing unfinished any more.
    pub fn forget_unfinished(&mut self, step: &mut Step<'_>, connection: ConnectionId) {
        if let Some(peer) = self.peers.peer_mut(connection)
            && std::mem::take(&mut peer.is_unfinished)
        {
            self.unfinished.remove(connection);
            self.arm_unfinished(step);
        }
    }

    /// Those who have begun too long ago; nothing is unfinished of them any more.
    pub fn take_late(&mut self, step: &mut Step<'_>) -> Vec<ConnectionId> {
        let timeout = step.settings.websocket.connection_timeout;
        let mut late = self.unfinished.begun_before(step.now.at, timeout);
        // What completes it may have come, and be read in the next turn.
        late.retain(|connection| !self.is_spared(*connection));
        for connection in &late {
            self.forget_unfinished(step, *connection);
        }
        self.arm_unfinished(step);
        late
    }

    /// The connection that has left the most, and how much, if all together have left too much.
    pub fn largest_beyond(
        &self,
        settings: &Settings,
        may_end: impl Fn(&Peer, ConnectionId) -> bool,
    ) -> Option<(usize, ConnectionId)> {
        if self.unfinished.has_room(0, settings) {
            return None;
        }
        let may_end = |connection: ConnectionId| match self.peers.peer(connection) {
            None => true,
            Some(peer) if peer.services.ingest() => line_bytes(peer) > 0,
            Some(peer) => may_end(peer, connection),
        };
        let mut by_size = self.unfinished.by_size();
        by_size.find(|(_, connection)| may_end(*connection))
    }

    /// A local producer is not ended: its line is refused, as one that is longer than is allowed. Which line that was.
    pub fn cut_line(&mut self, settings: &Settings, connection: ConnectionId) -> Option<u64> {
        let peer = self.peers.peer_mut(connection)?;
        let stream = peer.stream.as_mut()?;
        let line = stream.splitter.skip_line();
        let max_bytes = max_bytes(settings);
        let reason = format!("unfinished lines take more than {max_bytes} bytes together");
        stream.tally.reject(line, reason);
        Some(line)
    }

    fn arm_unfinished(&mut self, step: &mut Step<'_>) {
        let timeout = step.settings.websocket.connection_timeout;
        self.unfinished.arm(step.wheel, timeout);
    }
}

/// The part of a line that a connection has sent so far.
fn line_bytes(peer: &Peer) -> usize {
    let stream = peer.stream.as_ref();
    stream.map_or(0, |stream| stream.splitter.held_bytes())
}
