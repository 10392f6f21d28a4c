//! What lies between the engine and its peers: bytes on their way, and what a batch of the store becomes.

use super::super::masked::{PONG, masked};
use super::conn::Conn;
use super::{Far, Heard, PeerId, Witness, World};
use joblight::internals::engine::{Input, Services};
use std::cmp::Reverse;
use std::hash::Hash;
use std::net::IpAddr;

/// How bytes travel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    /// The most that they take; at least a quarter of it.
    pub(crate) delay_ms: u64,
    /// Bytes between a socket and its reader.
    pub(crate) buffer_bytes: usize,
    /// They take no time, and what follows from them happens at once.
    pub(crate) is_prompt: bool,
}

impl Network {
    pub(crate) const PROMPT: Self = Self {
        delay_ms: 0,
        buffer_bytes: usize::MAX,
        is_prompt: true,
    };
}

/// Something that happens on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Bytes reach the server.
    ToServer(PeerId),
    /// Bytes reach the peer.
    ToPeer(PeerId),
    /// The server learns that the peer sends no more.
    Ended(PeerId),
    /// The server learns that the connection is gone.
    Failed(PeerId),
    /// The store is done, in that life.
    Stored(u32),
}

impl<W: Witness> World<W> {
    /// A peer connects, from any address, or (`None`) over a Unix-domain socket. An instant one hears and is heard at once.
    pub(crate) fn accept(
        &mut self,
        services: Services,
        address: Option<IpAddr>,
        is_instant: bool,
    ) -> PeerId {
        let (now, id) = (self.now(), self.conns.len());
        self.turn(|world| {
            let connection = world.engine.accept(now, services, address);
            world.connections.insert(connection, id);
            world
                .conns
                .push(Conn::new(connection, is_instant, world.micros));
        });
        id
    }

    /// A peer sends bytes; they take their time, and never overtake each other.
    pub(crate) fn say(&mut self, id: PeerId, bytes: &[u8]) {
        if self.conns[id].far != Far::Here {
            return;
        }
        if self.conns[id].is_instant {
            return self.turn(|world| world.feed(id, bytes));
        }
        let delay = self.delay();
        let queue = &mut self.conns[id].to_server;
        let at = queue.back().map_or(0, |(at, _)| *at);
        let at = at.max(self.micros + delay);
        queue.push_back((at, bytes.to_vec()));
        self.plan_due(at, Due::ToServer(id));
    }

    /// Hands bytes of a peer to the engine, if it reads them now, within a turn.
    pub(crate) fn feed(&mut self, id: PeerId, bytes: &[u8]) {
        let now = self.now();
        let conn = &mut self.conns[id];
        if !bytes.is_empty() {
            conn.fed_at = self.micros;
        }
        conn.unread.extend_from_slice(bytes);
        if conn.is_open && !conn.unread.is_empty() && self.engine.is_reading(conn.connection) {
            let mut unread = std::mem::take(&mut conn.unread);
            let input = Input::Received(conn.connection, &mut unread);
            self.engine.handle_input(now, input);
        }
    }

    /// The peer stops reading.
    pub(crate) fn stop_reading(&mut self, id: PeerId) {
        self.conns[id].stalled_at.get_or_insert(self.micros);
    }

    /// It reads again.
    pub(crate) fn go_on_reading(&mut self, id: PeerId) {
        if self.conns[id].stalled_at.take().is_some() {
            self.plan_due(self.micros, Due::ToPeer(id));
        }
    }

    /// The peer is gone. What was on its way to it is lost; the server learns of it as `far` says.
    pub(crate) fn cut(&mut self, id: PeerId, far: Far, politely: bool) {
        let at = self.micros + self.delay();
        let conn = &mut self.conns[id];
        if conn.far != Far::Here {
            return;
        }
        conn.far = far;
        conn.to_peer.clear();
        let at = conn.to_server.back().map_or(at, |(last, _)| at.max(*last));
        if far == Far::Gone {
            conn.buffered = 0;
            let due = match politely {
                true => Due::Ended(id),
                false => Due::Failed(id),
            };
            self.plan_due(at, due);
        }
    }

    /// What is gone without a word is found out.
    pub(crate) fn reveal_vanished(&mut self) {
        for id in 0..self.conns.len() {
            if self.conns[id].far == Far::Vanished && self.conns[id].is_open {
                self.plan_due(self.micros, Due::Failed(id));
            }
        }
    }

    /// The process is gone: by chance peers hear what was on its way to them.
    pub(crate) fn lose_connections(&mut self) {
        for id in 0..self.conns.len() {
            if std::mem::take(&mut self.conns[id].is_open) {
                let may_hear = self.dice.one_in(2);
                let conn = &mut self.conns[id];
                conn.to_server.clear();
                let rest: Vec<_> = conn.to_peer.drain(..).collect();
                let hears = may_hear && conn.far == Far::Here;
                for (_, bytes) in rest.into_iter().filter(|_| hears) {
                    self.decode(id, &bytes);
                }
                self.conns[id].far = Far::Gone;
            }
        }
    }

    /// The next thing that was heard by anybody.
    pub(crate) fn pop_heard(&mut self) -> Option<(PeerId, Heard)> {
        loop {
            let id = self.heard.pop_front()?;
            match self.conns[id].heard.pop_front() {
                None | Some((_, Heard::Batch(_) | Heard::Ping | Heard::Pong)) => {}
                Some((_, heard)) => return Some((id, heard)),
            }
        }
    }

    /// The answer that a connection has just heard, before anything else is heard.
    pub(crate) fn take_answer(&mut self, id: PeerId) -> Option<Heard> {
        let (_, heard) = self.conns[id].heard.pop_front()?;
        let place = self.heard.iter().position(|known| *known == id);
        self.heard.remove(place.expect("it was heard"));
        Some(heard)
    }

    /// What else was heard until now is of no interest.
    pub(crate) fn forget_heard(&mut self) {
        while self.pop_heard().is_some() {}
    }

    /// When the next thing on the bus arrives.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// What is on the bus until now arrives.
    pub(super) fn arrive(&mut self) {
        while let Some(Reverse((at, _, due))) = self.due.peek().copied()
            && at <= self.micros
        {
            self.due.pop();
            self.happen(due);
        }
    }

    pub(super) fn plan_due(&mut self, at: u64, due: Due) {
        self.order += 1;
        self.due.push(Reverse((at, self.order, due)));
    }

    fn happen(&mut self, due: Due) {
        let now = self.now();
        match due {
            Due::ToServer(id) => {
                let due = self.conns[id].to_server.pop_front();
                self.feed(id, &due.map_or_else(Vec::new, |(_, bytes)| bytes));
            }
            Due::ToPeer(id) => self.reach(id),
            Due::Ended(id) | Due::Failed(id) if self.conns[id].is_open => {
                let connection = self.conns[id].connection;
                let input = match due {
                    Due::Ended(_) => Input::Ended(connection),
                    _ => Input::Failed(connection),
                };
                self.engine.handle_input(now, input);
            }
            Due::Stored(life) if life == self.life => {
                let store = self.store.as_mut().expect("it has taken a batch");
                let result = match store.fails {
                    true => Err("no space left".to_owned()),
                    false => Ok(()),
                };
                let seq = store.finish(result.is_ok());
                self.engine
                    .handle_input(now, Input::Appended { seq, result });
            }
            Due::Ended(_) | Due::Failed(_) | Due::Stored(_) => {}
        }
    }

    /// The peer reads what has arrived; a socket that was full takes more.
    fn reach(&mut self, id: PeerId) {
        // A socket that has room again may bring others news before the turn ends.
        if let Some(first) = self.first
            && let connection = self.conns[first].connection
            && self.engine.unsent(connection).next().is_some()
        {
            self.write(first);
        }
        let now = self.micros;
        let conn = &mut self.conns[id];
        if conn.stalled_at.is_some() || conn.far != Far::Here {
            return;
        }
        let mut arrived = Vec::new();
        while conn.to_peer.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, bytes)) = conn.to_peer.pop_front()
        {
            arrived.extend(bytes);
        }
        conn.buffered -= arrived.len();
        self.hear(id, &arrived);
        if self.conns[id].is_blocked && self.conns[id].is_open {
            self.write(id);
        }
    }

    /// A peer hears bytes, and answers their pings if it is one that does.
    fn hear(&mut self, id: PeerId, bytes: &[u8]) {
        let now = self.micros;
        for ping in self.decode(id, bytes) {
            let conn = &mut self.conns[id];
            let pong = masked(PONG, &ping);
            if !conn.answers_pings {
                conn.pings.push(ping);
            } else if conn.is_instant {
                conn.to_server.push_back((now, pong));
                self.plan_due(now, Due::ToServer(id));
            } else {
                self.say(id, &pong);
            }
        }
    }

    /// Notes what a peer hears; the pings in it.
    fn decode(&mut self, id: PeerId, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (at, conn) = (self.millis(), &mut self.conns[id]);
        conn.decoder.push(bytes);
        while let Some(heard) = conn.decoder.poll() {
            conn.messages += usize::from(matches!(heard, Heard::Message(_)));
            conn.heard.push_back((at, heard));
            self.heard.push_back(id);
        }
        conn.decoder.take_pings()
    }

    pub(super) fn read_again(&mut self, id: PeerId) {
        self.plan_due(self.micros, Due::ToServer(id));
        let at = self.micros;
        self.conns[id].to_server.push_front((at, Vec::new()));
    }

    pub(super) fn handle_half_close(&mut self, id: PeerId) {
        W::connection_ends(self, id);
        let conn = &mut self.conns[id];
        conn.is_half_closed = true;
        if conn.leaves && conn.far == Far::Here && conn.stalled_at.is_none() {
            let at = conn.to_peer.back().map_or(self.micros, |(at, _)| *at);
            self.plan_due(at.max(self.micros), Due::Ended(id));
        }
    }

    pub(super) fn handle_close(&mut self, id: PeerId) {
        W::connection_ends(self, id);
        assert!(self.conns[id].is_open, "a socket is closed once");
        self.conns[id].is_open = false;
        self.blocked.remove(&id);
    }

    /// Writes what is unsent, as far as there is room between the socket and its reader.
    pub(super) fn write(&mut self, id: PeerId) {
        let (now, delay) = (self.now(), self.delay());
        if !self.conns[id].is_open {
            return;
        }
        if self.engine.inspect().is_ending(self.conns[id].connection) {
            W::connection_ends(self, id);
        }
        let conn = &mut self.conns[id];
        let mut unsent = self
            .engine
            .unsent(conn.connection)
            .collect::<Vec<_>>()
            .concat();
        let owed = unsent.len();
        unsent.truncate(conn.room(self.network.buffer_bytes));
        let bytes = unsent.len();
        unsent.hash(&mut self.transcript);
        let blocked = bytes < owed;
        conn.take(bytes, blocked, self.micros);
        match blocked {
            true => self.blocked.insert(id),
            false => self.blocked.remove(&id),
        };
        if conn.is_instant {
            self.hear(id, &unsent);
        } else if conn.far != Far::Gone && bytes > 0 {
            conn.buffered += bytes;
            let last = conn.to_peer.back().map_or(0, |(at, _)| *at);
            let at = last.max(self.micros + delay);
            conn.to_peer.push_back((at, unsent));
            self.plan_due(at, Due::ToPeer(id));
        }
        let connection = self.conns[id].connection;
        let input = Input::Sent {
            connection,
            bytes,
            blocked,
        };
        self.engine.handle_input(now, input);
    }

    fn delay(&mut self) -> u64 {
        let most = self.network.delay_ms * 1000;
        self.dice.between(most / 4, most)
    }
}
