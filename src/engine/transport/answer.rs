//! Answers to requests, as bytes on their connection, and whether the connection goes on behind them.

use super::connections::{Step, Transport};
use super::peer::Reading;
use super::reply::Reply;
use crate::base::time::Now;
use crate::conn::Ending;
use crate::engine::life::Life;
use crate::hub::ConnectionId;
use crate::wire::http::{Framing, Response};

impl Transport {
    /// Sends an answer; the connection goes on unless one side wants it closed. Tells how many bytes it has.
    pub fn answer(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        reply: Reply,
        answer: Response,
    ) -> usize {
        let keep_alive = reply.keep_alive() && step.life == Life::Serving;
        let answer = reply.encode(answer, keep_alive, self.dates.at(step.now.wall_ms));
        let bytes = answer.len();
        self.peers.push(connection, answer);
        if !keep_alive {
            self.end(step, connection, Ending::Lingering);
        }
        bytes
    }

    /// Sends an answer that was held back. What the peer has asked meanwhile is answered when this one is written.
    pub fn answer_held(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        reply: Reply,
        answer: Response,
    ) -> usize {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return 0;
        };
        let is_last = peer.reading == Reading::HeldToEnd;
        (peer.reading, peer.alive) = (Reading::Open, true);
        if !peer.connection.is_open() {
            return 0;
        }
        let bytes = self.answer(step, connection, reply, answer);
        if is_last {
            self.end(step, connection, Ending::Final);
        }
        bytes
    }

    /// Answers a request whose body has not been read: the connection ends with the answer.
    pub fn refuse(&mut self, step: &mut Step<'_>, connection: ConnectionId, answer: &Response) {
        let answer = self.unread_answer(step.now, answer);
        self.peers.push(connection, answer);
        self.end(step, connection, Ending::Lingering);
    }

    /// The bytes of an answer to a request that was not read, after which the connection ends.
    pub fn unread_answer(&mut self, now: Now, answer: &Response) -> Vec<u8> {
        answer.encode(Framing {
            head_only: false,
            keep_alive: false,
            version_minor: 1,
            date: self.dates.at(now.wall_ms),
        })
    }
}
