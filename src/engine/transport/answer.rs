//! Answers to requests: what an answer must know of its request, its bytes, and whether the connection goes on behind it.

use super::connections::{Step, Transport};
use super::peer::Reading;
use crate::base::time::Now;
use crate::conn::Ending;
use crate::engine::access::{self, Access};
use crate::engine::life::Life;
use crate::hub::ConnectionId;
use crate::wire::http::{Framing, Head, Method, Response};

/// What an answer must know of its request: whether it wants the body, whether another may follow, and which page may read it.
#[derive(Debug)]
pub struct Reply {
    head_only: bool,
    keep_alive: bool,
    version_minor: u8,
    cors: Cors,
}

impl Reply {
    /// `is_local`: the request came over a Unix-domain socket.
    pub fn to(head: &Head, access: &Access, is_local: bool) -> Self {
        Self {
            head_only: head.method() == Method::HEAD,
            keep_alive: head.keep_alive(),
            version_minor: head.version_minor(),
            cors: Cors::of(head, access, is_local),
        }
    }
}

/// What a browser is told, so that it lets a page read an answer, or does not (WHATWG Fetch, CORS).
#[derive(Debug)]
pub enum Cors {
    /// No page asks.
    Unasked,
    /// The page of this origin may, or `*`: every page may.
    Allowed(Box<str>),
    Foreign,
}

impl Cors {
    /// Whether the page that asks, if one does, may read the answer.
    pub fn of(head: &Head, access: &Access, is_local: bool) -> Self {
        let Some(origin) = head.header("origin") else {
            return Self::Unasked;
        };
        match access.check(head, is_local) {
            Ok(()) => Self::Allowed(access.allowed_origin(origin).into()),
            Err(_) => Self::Foreign,
        }
    }

    /// Marks an answer for the browser.
    pub fn mark(self, answer: Response) -> Response {
        const ALLOW: &str = "Access-Control-Allow-Origin";
        let varied = |answer: Response| answer.header("Vary", "Origin");
        match self {
            Self::Unasked => answer,
            Self::Foreign => varied(answer),
            Self::Allowed(origin) if &*origin == access::ANY => answer.header(ALLOW, access::ANY),
            Self::Allowed(origin) => varied(answer).header(ALLOW, String::from(origin)),
        }
    }
}

impl Transport {
    /// Sends an answer; the connection goes on unless one side wants it closed. What the peer has asked while an answer was held
    /// back is answered when this one is written. Tells how many bytes it has.
    pub fn answer(
        &mut self,
        step: &mut Step<'_>,
        connection: ConnectionId,
        reply: Reply,
        answer: Response,
    ) -> usize {
        let Some(peer) = self.peers.peer_mut(connection) else {
            return 0;
        };
        let reading = std::mem::replace(&mut peer.reading, Reading::Open);
        peer.alive |= reading.is_held();
        if !peer.connection.is_open() {
            return 0;
        }
        let keep_alive = reply.keep_alive && step.life == Life::Serving;
        let answer = reply.cors.mark(answer).encode(Framing {
            head_only: reply.head_only,
            keep_alive,
            version_minor: reply.version_minor,
            date: self.dates.at(step.now.wall_ms),
        });
        let bytes = answer.len();
        self.peers.push(connection, answer);
        if !keep_alive {
            self.end(step, connection, Ending::Lingering);
        }
        if reading == Reading::HeldToEnd {
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
