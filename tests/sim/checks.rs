//! What holds of every connection and of the store whenever a turn has ended.

use super::witness::Sim;
use super::world::{Far, PeerId, World};

/// What a backlogged connection may be owed beyond its limits: a goodbye, a ping.
const LAST_WORDS: usize = 1_024;
/// Why a connection is closed whose session has gone on to another.
const REPLACED: &[u8] = b"replaced by a newer connection";

impl World<Sim> {
    /// Whoever reads, or has not been waited for long enough, is not closed.
    pub(crate) fn check_closing(&mut self, id: PeerId) {
        if std::mem::replace(&mut self.conns[id].is_ending, true) {
            return;
        }
        let (conn, plan) = (&self.conns[id], &self.own.plan);
        if self.own.ending.has_begun || conn.stalled_at.is_none() || conn.far != Far::Here {
            return;
        }
        let backlog_age = (self.micros - conn.taken_at) / 1000;
        let is_old = conn.is_blocked && backlog_age >= plan.max_backlog_ms;
        let is_silent = plan.heartbeat_ms > 0
            && self.micros - conn.fed_at >= plan.heartbeat_ms * 1000
            && !conn.is_blocked;
        // A connection that its viewer had given up has reached the server last, and has its session.
        let unsent = self
            .engine
            .unsent(conn.connection)
            .collect::<Vec<_>>()
            .concat();
        let is_replaced = unsent.windows(REPLACED.len()).any(|part| part == REPLACED);
        assert!(
            is_old || is_silent || is_replaced,
            "connection {id} was closed {backlog_age} ms after it took something"
        );
    }

    /// Takes note when the server decides to end a connection.
    pub(crate) fn look_for_ending(&mut self, id: PeerId) {
        if self.engine.inspect().is_ending(self.conns[id].connection) {
            self.check_closing(id);
        }
    }

    /// Whoever takes nothing is owed no more than the limits allow.
    pub(crate) fn check_backlogs(&mut self) {
        let (max_bytes, max_messages) = (
            self.own.plan.max_outbox_bytes,
            self.own.plan.max_outbox_messages,
        );
        for id in self.blocked.iter().copied().collect::<Vec<_>>() {
            self.look_for_ending(id);
            let conn = &mut self.conns[id];
            if !conn.is_open {
                continue;
            }
            let unsent = || self.engine.unsent(conn.connection).map(<[u8]>::len);
            let (bytes, messages) = (unsent().sum::<usize>(), unsent().count());
            if let Some((bytes_before, messages_before)) = conn.owed {
                let most = max_bytes.max(bytes_before) + LAST_WORDS;
                assert!(
                    max_bytes == 0 || bytes <= most,
                    "{bytes} bytes for connection {id}"
                );
                let most = max_messages.max(messages_before) + 3;
                assert!(
                    max_messages == 0 || messages <= most,
                    "{messages} messages for connection {id}"
                );
            }
            let (before, count) = conn.owed.unwrap_or((bytes, messages));
            conn.owed = Some((
                before.max(max_bytes.min(bytes)),
                count.max(max_messages.min(messages)),
            ));
        }
    }
}
