//! Who has come before the store was read: requests that can wait a moment, and WebSockets whose sessions nobody can judge
//! yet.
//!
//! Owns what they have said so far, bounded for each and for all together: beyond that their bytes stay where they are.
//! Requests keep nothing else waiting; WebSockets answer pings and hear them meanwhile.

use crate::engine::transport::unfinished::MAX_BYTES;
use crate::hub::ConnectionId;
use crate::wire::http::Head;
use crate::wire::message::Variant;
use crate::wire::websocket::Message;
use std::collections::{HashMap, VecDeque};

/// Bytes of messages that one WebSocket may leave here.
const MAX_GUEST_BYTES: usize = 64 * 1024;
/// Messages that it may.
const MAX_GUEST_MESSAGES: usize = 64;

#[derive(Debug, Default)]
pub struct Lobby {
    /// A connection has one at most.
    requests: HashMap<ConnectionId, HeldRequest>,
    guests: HashMap<ConnectionId, Guest>,
    /// How many guests are to be clients of the hub.
    clients: usize,
    /// All connections in the order in which they came; whoever has left may still be named.
    order: VecDeque<ConnectionId>,
    bytes: usize,
    /// Whether local producers have connected, of whom nothing is read yet.
    pub has_producers: bool,
    /// Whether a timer will let the next ones in.
    pub is_armed: bool,
}

/// A request that waits.
#[derive(Debug)]
pub struct HeldRequest {
    pub connection: ConnectionId,
    pub head: Head,
    /// Its body; `None`: it comes line by line, and has not been read.
    pub body: Option<Vec<u8>>,
}

impl HeldRequest {
    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }
}

#[derive(Debug)]
pub struct Guest {
    pub arrival: Arrival,
    pub messages: Vec<Message<'static>>,
    bytes: usize,
}

/// What a WebSocket came for.
#[derive(Debug)]
pub enum Arrival {
    Client {
        variant: Variant,
        /// The secret of the session that it wants back.
        secret: Option<String>,
        batches: bool,
        /// Whether it has used up a connection of its address.
        is_counted: bool,
    },
    Backend,
}

impl Arrival {
    fn is_client(&self) -> bool {
        matches!(self, Self::Client { .. })
    }
}

impl Lobby {
    /// The memory that takes what a connection has said.
    pub fn bytes_of(&self, connection: ConnectionId) -> usize {
        let request = self.requests.get(&connection);
        let guest = self.guests.get(&connection);
        request.map_or(0, HeldRequest::bytes) + guest.map_or(0, |guest| guest.bytes)
    }

    pub fn hold(&mut self, request: HeldRequest) {
        self.bytes += request.bytes();
        self.order.push_back(request.connection);
        let before = self.requests.insert(request.connection, request);
        debug_assert!(before.is_none(), "nothing more is read of its connection");
    }

    /// All requests, which need wait no longer.
    pub fn take_requests(&mut self) -> Vec<HeldRequest> {
        // Often there are none while a crowd of guests waits: then nobody is looked at.
        if self.requests.is_empty() {
            return Vec::new();
        }
        let (requests, guests) = (&mut self.requests, &self.guests);
        let mut taken = Vec::with_capacity(requests.len());
        self.order.retain(|connection| {
            taken.extend(requests.remove(connection));
            guests.contains_key(connection)
        });
        self.bytes -= taken.iter().map(HeldRequest::bytes).sum::<usize>();
        taken
    }

    pub fn receive(&mut self, connection: ConnectionId, arrival: Arrival) {
        let guest = Guest {
            arrival,
            messages: Vec::new(),
            bytes: 0,
        };
        self.clients += usize::from(guest.arrival.is_client());
        self.guests.insert(connection, guest);
        self.order.push_back(connection);
    }

    pub fn is_guest(&self, connection: ConnectionId) -> bool {
        self.guests.contains_key(&connection)
    }

    /// Whether it has said as much as it may for now.
    pub fn is_full(&self, connection: ConnectionId) -> bool {
        let is_full = |guest: &Guest| {
            guest.bytes >= MAX_GUEST_BYTES
                || guest.messages.len() >= MAX_GUEST_MESSAGES
                || self.bytes >= MAX_BYTES
        };
        self.guests.get(&connection).is_some_and(is_full)
    }

    pub fn keep(&mut self, connection: ConnectionId, message: Message<'static>) {
        if let Some(guest) = self.guests.get_mut(&connection) {
            let bytes = message.size();
            guest.bytes += bytes;
            self.bytes += bytes;
            guest.messages.push(message);
        }
    }

    pub fn poll_guest(&mut self) -> Option<(ConnectionId, Guest)> {
        while let Some(connection) = self.order.pop_front() {
            if let Some(guest) = self.forget_guest(connection) {
                return Some((connection, guest));
            }
        }
        self.order = VecDeque::new();
        None
    }

    /// How many WebSockets wait to be clients of the hub.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// The form in which a WebSocket reads messages that waits to be a client.
    pub fn variant(&self, connection: ConnectionId) -> Option<Variant> {
        match self.guests.get(&connection)?.arrival {
            Arrival::Client { variant, .. } => Some(variant),
            Arrival::Backend => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.guests.is_empty() && !self.has_producers
    }

    pub fn has_guests(&self) -> bool {
        !self.guests.is_empty()
    }

    fn forget_guest(&mut self, connection: ConnectionId) -> Option<Guest> {
        let guest = self.guests.remove(&connection)?;
        self.bytes -= guest.bytes;
        self.clients -= usize::from(guest.arrival.is_client());
        Some(guest)
    }

    /// A connection is gone, and whatever it had here with it.
    pub fn leave(&mut self, connection: ConnectionId) {
        self.forget_guest(connection);
        if let Some(gone) = self.requests.remove(&connection) {
            self.bytes -= gone.bytes();
        }
        if self.order.len() > 64 + 2 * (self.guests.len() + self.requests.len()) {
            let (guests, requests) = (&self.guests, &self.requests);
            self.order
                .retain(|known| guests.contains_key(known) || requests.contains_key(known));
        }
        self.check_invariants();
    }

    fn check_invariants(&self) {
        debug_assert!(self.clients <= self.guests.len());
        debug_assert!(
            self.guests.len() + self.requests.len() <= self.order.len(),
            "each stands in line"
        );
        let is_empty = self.guests.is_empty() && self.requests.is_empty();
        debug_assert!(!is_empty || self.bytes == 0);
    }
}
