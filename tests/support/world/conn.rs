//! One connection: its far end, its socket, and what a test may do with it.

use super::super::masked::{PONG, TEXT, masked};
use super::frames::Decoder;
use super::{Due, Heard, PeerId, Said, Witness, World};
use joblight::internals::engine::{ConnectionId, Input};
use serde_json::Value;
use std::collections::VecDeque;

/// How the far end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// It is there.
    Here,
    /// It has gone and its machine says so.
    Gone,
    /// It has gone and nobody says so.
    Vanished,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// What the engine calls it.
    pub(crate) connection: ConnectionId,
    pub(crate) far: Far,
    /// The server still has it.
    pub(crate) is_open: bool,
    /// The server has sent its FIN.
    pub(crate) is_half_closed: bool,
    /// Its bytes take no time.
    pub(crate) is_instant: bool,
    /// Its socket has ever been full.
    pub(crate) was_blocked: bool,
    pub(crate) is_blocked: bool,
    /// Since when its peer has not been reading.
    pub(crate) stalled_at: Option<u64>,
    /// When the server's socket last took something, or first refused.
    pub(crate) taken_at: u64,
    /// When the server last heard of its peer.
    pub(crate) fed_at: u64,
    /// What it was owed, in bytes and messages, when the last turn ended in which it was blocked.
    pub(crate) owed: Option<(usize, usize)>,
    /// The server has decided to end it.
    pub(crate) is_ending: bool,
    /// How many messages its peer has heard.
    pub(crate) messages: usize,
    pub(super) decoder: Decoder,
    pub(super) heard: VecDeque<Said>,
    /// Pings that its peer has not answered.
    pub(super) pings: Vec<Vec<u8>>,
    pub(super) answers_pings: bool,
    /// Its peer goes when the server says goodbye.
    pub(super) leaves: bool,
    pub(super) to_server: VecDeque<(u64, Vec<u8>)>,
    pub(super) to_peer: VecDeque<(u64, Vec<u8>)>,
    /// Bytes written and not read by the peer.
    pub(super) buffered: usize,
    /// Bytes that the socket of an instant connection still takes; `None`: any number.
    pub(super) window: Option<usize>,
    /// Bytes that have arrived while the server does not read.
    pub(super) unread: Vec<u8>,
}

impl Conn {
    pub(super) fn new(connection: ConnectionId, is_instant: bool, micros: u64) -> Self {
        Self {
            connection,
            far: Far::Here,
            is_open: true,
            is_half_closed: false,
            is_instant,
            was_blocked: false,
            is_blocked: false,
            stalled_at: None,
            taken_at: micros,
            fed_at: micros,
            owed: None,
            is_ending: false,
            messages: 0,
            decoder: Decoder::default(),
            heard: VecDeque::new(),
            pings: Vec::new(),
            answers_pings: true,
            leaves: true,
            to_server: VecDeque::new(),
            to_peer: VecDeque::new(),
            buffered: 0,
            window: None,
            unread: Vec::new(),
        }
    }

    /// Whether its messages come as MessagePack.
    pub(crate) fn is_packed(&self) -> bool {
        self.decoder.is_packed
    }

    /// How many bytes its socket takes.
    pub(super) fn room(&self, buffer_bytes: usize) -> usize {
        match self.far {
            Far::Gone => usize::MAX,
            _ if self.is_instant => self.window.unwrap_or(usize::MAX),
            _ => buffer_bytes - self.buffered,
        }
    }

    /// Its socket takes bytes, and is full or not.
    pub(super) fn take(&mut self, bytes: usize, blocked: bool, micros: u64) {
        let was_blocked = std::mem::replace(&mut self.is_blocked, blocked);
        if bytes > 0 || !was_blocked {
            (self.taken_at, self.owed) = (micros, None);
        }
        self.was_blocked |= blocked;
        self.window = self.window.map(|window| window - bytes);
    }
}

impl<W: Witness> World<W> {
    /// A client sends a message.
    pub(crate) fn send(&mut self, peer: PeerId, message: &Value) {
        self.say(peer, &masked(TEXT, message.to_string().as_bytes()));
    }

    /// A peer answers a ping.
    pub(crate) fn pong(&mut self, peer: PeerId, payload: &[u8]) {
        self.say(peer, &masked(PONG, payload));
    }

    /// A peer says that it will send no more, and goes on reading.
    pub(crate) fn end(&mut self, peer: PeerId) {
        let (now, connection) = (self.now(), self.connection(peer));
        self.turn(|world| world.engine.handle_input(now, Input::Ended(connection)));
    }

    /// A peer's socket closes.
    pub(crate) fn leave(&mut self, peer: PeerId) {
        let (now, connection) = (self.now(), self.connection(peer));
        self.turn(|world| world.engine.handle_input(now, Input::Failed(connection)));
        assert!(self.is_closed(peer), "a closed socket is let go");
    }

    /// A peer's socket takes so many bytes more, and then none.
    pub(crate) fn stall(&mut self, peer: PeerId, bytes: usize) {
        self.conns[peer].window = Some(bytes);
    }

    /// A peer reads `bytes` more, or (`None`) all from now on.
    pub(crate) fn read(&mut self, peer: PeerId, bytes: Option<usize>) {
        self.conns[peer].window = bytes;
        self.turn(|world| world.write(peer));
    }

    /// What a peer has heard since it was last asked.
    pub(crate) fn heard(&mut self, peer: PeerId) -> Vec<Said> {
        let heard = std::mem::take(&mut self.conns[peer].heard).into_iter();
        heard
            .filter(|(_, heard)| *heard != Heard::Upgraded)
            .collect()
    }

    /// The messages among it.
    pub(crate) fn messages(&mut self, peer: PeerId) -> Vec<Value> {
        let heard = self.heard(peer).into_iter();
        heard
            .filter_map(|(_, heard)| match heard {
                Heard::Message(message) => Some(message),
                _ => None,
            })
            .collect()
    }

    /// The `Retry-After` of the last answer that a peer was given, in seconds.
    pub(crate) fn retry_after(&self, peer: PeerId) -> Option<u64> {
        self.conns[peer].decoder.retry_after
    }

    /// What the pings carried that a peer has not answered; nobody answers them any more.
    pub(crate) fn pings(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.conns[peer].pings)
    }

    /// What the pongs carried that a peer has been sent since it was last asked.
    pub(crate) fn pongs(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        self.conns[peer].decoder.take_pongs()
    }

    /// Whether a peer answers pings; at first every peer does.
    pub(crate) fn set_answers_pings(&mut self, peer: PeerId, answers: bool) {
        let now = self.micros;
        let conn = &mut self.conns[peer];
        conn.answers_pings = answers;
        for ping in std::mem::take(&mut conn.pings)
            .into_iter()
            .filter(|_| answers)
        {
            let pong = masked(PONG, &ping);
            self.conns[peer].to_server.push_back((now, pong));
            self.plan_due(now, Due::ToServer(peer));
        }
    }

    /// Whether a peer goes when the server says goodbye; at first every peer does.
    pub(crate) fn set_leaves(&mut self, peer: PeerId, leaves: bool) {
        self.conns[peer].leaves = leaves;
    }

    /// What the engine calls a peer.
    pub(crate) fn connection(&self, peer: PeerId) -> ConnectionId {
        self.conns[peer].connection
    }

    /// Whether a connection is over.
    pub(crate) fn is_closed(&self, peer: PeerId) -> bool {
        !self.conns[peer].is_open
    }

    /// Whether the server has sent its FIN.
    pub(crate) fn is_half_closed(&self, peer: PeerId) -> bool {
        self.conns[peer].is_half_closed
    }

    /// Whether a peer will hear nothing more on a connection.
    pub(crate) fn is_over(&self, peer: PeerId) -> bool {
        let conn = &self.conns[peer];
        !conn.is_open && (conn.to_peer.is_empty() || conn.stalled_at.is_some())
    }

    /// Whether the server would read more of a peer now.
    pub(crate) fn is_read(&self, peer: PeerId) -> bool {
        self.engine.is_reading(self.connection(peer))
    }

    /// Whether the server leaves a peer's requests for later, because it does not read the answers.
    pub(crate) fn is_held_back(&self, peer: PeerId) -> bool {
        self.engine.inspect().is_backlogged(self.connection(peer))
    }

    /// Bytes that the server holds for a peer.
    pub(crate) fn unsent_bytes(&self, peer: PeerId) -> usize {
        self.engine
            .unsent(self.connection(peer))
            .map(<[u8]>::len)
            .sum()
    }

    /// Where the first of them lie.
    pub(crate) fn unsent_place(&self, peer: PeerId) -> *const u8 {
        let mut unsent = self.engine.unsent(self.connection(peer));
        unsent.next().expect("something is unsent").as_ptr()
    }
}
