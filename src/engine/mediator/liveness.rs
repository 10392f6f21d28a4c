//! What becomes of connections whose time has come, and of those that have left too much unfinished.

use super::engine::Engine;
use crate::base::time::Span;
use crate::conn::Ending;
use crate::engine::counts::Notice;
use crate::engine::session::questions;
use crate::engine::transport::liveness::Finding;
use crate::engine::transport::unfinished::max_bytes;
use crate::hub::ConnectionId;
use crate::wire::refusal::{ErrorCode, Refusal};
use crate::wire::websocket::CloseCode;

/// How long a peer that gave no sign of life may take to close.
const LAST_LOOK: Span = Span::from_secs(1);

impl Engine {
    /// A connection's time has come: is it alive?
    pub(super) fn look_at(&mut self, connection: ConnectionId) {
        match self.on_transport(|transport, step| transport.look(step, connection)) {
            Finding::Fine => {}
            Finding::PingDue => {
                let ping = questions::heartbeat(&self.hub, &mut self.transport.peers, connection);
                self.transport.peers.push(connection, ping);
            }
            Finding::Silent => {
                self.transport.peers.drop_unstarted(connection);
                self.send_away(connection, CloseCode::TIMED_OUT, "no sign of life");
                // A peer that is gone will not answer a goodbye either.
                if let Some(peer) = self.peer_mut(connection) {
                    peer.connection.end(Ending::Final);
                }
                self.on_transport(|transport, step| transport.look_at(step, connection, LAST_LOOK));
            }
            Finding::Slow => self.drop_slow(connection),
            Finding::Idle => self.end(connection, Ending::Final),
            Finding::Late => self.time_out_request(connection),
            Finding::Over => self.remove(connection),
        }
    }

    /// Records what a connection has left unfinished, and sheds what is too much. `has_completed`: something was completed since
    /// the last time.
    pub(super) fn note_unfinished(&mut self, connection: ConnectionId, has_completed: bool) {
        let elsewhere = self.lobby.bytes_of(connection) + self.backend.waiting_bytes(connection);
        let is_unfinished = self.on_transport(|transport, step| {
            transport.note_unfinished(step, connection, elsewhere, has_completed)
        });
        if is_unfinished {
            while self.shed() {}
        }
    }

    /// Whoever has begun too long ago is ended.
    pub(super) fn end_late(&mut self) {
        for connection in self.on_transport(|transport, step| transport.take_late(step)) {
            let is_websocket = self.transport.is_websocket(connection);
            let what = if is_websocket { "message" } else { "request" };
            self.counts.notices.count(self.now.at, Notice::Late, || {
                format!("a {what} was begun and not finished within websocket.connection_timeout; its connection is closed")
            });
            match is_websocket {
                true => self.send_away(
                    connection,
                    CloseCode::TIMED_OUT,
                    "message not finished in time",
                ),
                false => self.time_out_request(connection),
            }
        }
    }

    /// Ends the connection that has left the most, if all together have left too much; `false`: they have not, or nobody can be
    /// ended. The application is trusted, and whose request is carried out already has its answer coming.
    fn shed(&mut self) -> bool {
        let lobby = &self.lobby;
        let largest = self
            .transport
            .largest_beyond(&self.settings, |peer, connection| {
                let has_answer = peer.reading.is_held() && lobby.bytes_of(connection) == 0;
                !peer.is_backend() && !has_answer
            });
        let Some((bytes, connection)) = largest else {
            return false;
        };
        if self
            .peer(connection)
            .is_some_and(|peer| peer.services.ingest())
        {
            self.cut_line(connection);
            return true;
        }
        let max_bytes = max_bytes(&self.settings);
        self.counts
            .notices
            .count(self.now.at, Notice::Unfinished, || {
                format!(
                    "unfinished messages and requests take more than {max_bytes} bytes; \
                 the connection that had left the most, {bytes}, is closed"
                )
            });
        self.end_largest(connection, bytes > max_bytes);
        true
    }

    /// `alone`: it would be too much without the others, and will be again.
    fn end_largest(&mut self, connection: ConnectionId, alone: bool) {
        let (code, reason, refusal) = match alone {
            true => {
                let detail =
                    "this request alone takes more than all unfinished requests may together";
                let refusal = Refusal::new(ErrorCode::TooLarge, detail);
                (CloseCode::TOO_BIG, "message too long", refusal)
            }
            false => {
                let detail =
                    "too many unfinished requests, of which this was the largest; come back later";
                let refusal = Refusal::limit_exceeded(detail).retry_after_s(1);
                (
                    CloseCode::TRY_AGAIN_LATER,
                    "too much unfinished input",
                    refusal,
                )
            }
        };
        match self.transport.is_websocket(connection) {
            true => self.send_away(connection, code, reason),
            false => self.refuse_unread(connection, refusal),
        }
    }

    /// A local producer is not ended: its line is refused, as one that is longer than is allowed.
    fn cut_line(&mut self, connection: ConnectionId) {
        let max_bytes = max_bytes(&self.settings);
        let peer = self.transport.peers.peer_mut(connection);
        if let Some(stream) = peer.and_then(|peer| peer.stream.as_mut()) {
            let line = stream.splitter.skip_line();
            let reason = format!("unfinished lines take more than {max_bytes} bytes together");
            stream.tally.reject_line(line, reason);
            self.counts.notices.count(self.now.at, Notice::Unfinished, || {
                format!("ingest: line {line} of a producer is dropped: unfinished lines take more than {max_bytes} bytes")
            });
        }
        self.on_transport(|transport, step| transport.note_unfinished(step, connection, 0, true));
    }
}
