//! Which links the application has, and which messages wait for room on one, or for an answer. Sends nothing.
//!
//! Requests are numbered as they come and all may take equally long, so that the first in the table is the first to
//! be due: one timer does for all of them.

use crate::base::time::Time;
use crate::engine::settings::RoutesConfig;
use crate::engine::timer::Alarm;
use crate::hub::{ClientId, ConnectionId};
use crate::wire::locale::{Locale, Phrase};
use crate::wire::message::Dialect;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

pub const PATH: &str = "/backend";

/// A client's message that waits for the application's answer.
#[derive(Debug)]
pub struct Request {
    /// Who sent it. Whoever has its slot later has another id.
    pub sender: ClientId,
    pub connection: ConnectionId,
    pub kind: Box<str>,
    /// The sender's name for it, as JSON.
    pub id: Option<Box<str>>,
    /// When it will have waited too long; `None`: never.
    pub deadline: Option<Time>,
}

impl Request {
    /// Notes that whoever waited for an answer does so no more.
    pub fn log_gone_sender(&self) {
        let Self { sender, kind, .. } = self;
        log::debug!("{sender}: gone before its {kind} was answered");
    }
}

/// A waiting message stays small, whatever its sender sent.
const _: () = assert!(size_of::<Request>() <= 72);

/// A client's message that no link has room for yet.
#[derive(Debug)]
pub struct QueuedMessage {
    pub sender: ClientId,
    pub dialect: Dialect,
    pub kind: Box<str>,
    /// The sender's name for it, as JSON.
    pub id: Option<Box<str>>,
    /// What it says, as JSON.
    pub fields: String,
}

/// What an envelope takes beside type and fields, at most.
const ENVELOPE_BYTES: usize = 256;

impl QueuedMessage {
    /// The bytes that a link must have room for.
    pub fn size(&self) -> usize {
        self.fields.len() + self.kind.len() + ENVELOPE_BYTES
    }
}

/// The application's links, and what waits for them.
#[derive(Debug)]
pub struct Pending {
    links: Vec<ConnectionId>,
    next_link: usize,
    /// Links that have gone since somebody looked.
    gone: Vec<ConnectionId>,
    requests: BTreeMap<u64, Request>,
    by_sender: BTreeSet<(ClientId, u64)>,
    /// The requests whose senders have left, and may come back.
    orphaned: BTreeSet<u64>,
    next_number: u64,
    prefix: String,
    /// Messages that no link has room for, in the order in which they came, and the connections of their senders.
    waiting: VecDeque<(ConnectionId, QueuedMessage)>,
    /// How many of them a connection has there, and their bytes.
    waiting_of: HashMap<ConnectionId, (usize, usize)>,
    pub timer: Alarm,
}

impl Pending {
    /// No link yet. `nonce` tells the ids of one life of the server from those of another, whose answers may come late.
    pub fn new(nonce: &str) -> Self {
        Self {
            links: Vec::new(),
            next_link: 0,
            gone: Vec::new(),
            requests: BTreeMap::new(),
            by_sender: BTreeSet::new(),
            orphaned: BTreeSet::new(),
            next_number: 1,
            prefix: format!("req_{nonce}_"),
            waiting: VecDeque::new(),
            waiting_of: HashMap::new(),
            timer: Alarm::default(),
        }
    }

    pub fn links(&self) -> usize {
        self.links.len()
    }

    pub fn pending(&self) -> usize {
        self.requests.len()
    }

    pub fn insert_link(&mut self, link: ConnectionId, address: Option<IpAddr>, locale: Locale) {
        self.links.push(link);
        let (address, total) = (&shown(address), self.links.len());
        log::info!(
            "{}",
            locale.say(Phrase::BackendConnected { address, total })
        );
    }

    /// A link is gone: what waits for it is to be had from [`Pending::take_lost`].
    pub fn remove_link(&mut self, link: ConnectionId, address: Option<IpAddr>, locale: Locale) {
        self.links.retain(|known| *known != link);
        self.gone.push(link);
        let (address, total) = (&shown(address), self.links.len());
        log::info!(
            "{}",
            locale.say(Phrase::BackendDisconnected { address, total })
        );
    }

    /// The link whose turn it is among those that will do.
    pub fn choose_link(&mut self, will_do: impl Fn(ConnectionId) -> bool) -> Option<ConnectionId> {
        let count = self.links.len();
        let first = self.next_link.checked_rem(count)?;
        let mut turns = (first..first + count).map(|turn| turn % count);
        let turn = turns.find(|turn| will_do(self.links[*turn]))?;
        self.next_link = turn + 1;
        Some(self.links[turn])
    }

    pub fn wait(&mut self, sender: ConnectionId, message: QueuedMessage) {
        let (count, bytes) = self.waiting_of.entry(sender).or_default();
        (*count, *bytes) = (*count + 1, *bytes + message.size());
        self.waiting.push_back((sender, message));
    }

    pub fn first_waiting(&self) -> Option<&QueuedMessage> {
        self.waiting.front().map(|(_, message)| message)
    }

    /// Takes it away; with the connection of its sender.
    pub fn take_waiting(&mut self) -> Option<(ConnectionId, QueuedMessage)> {
        let (sender, message) = self.waiting.pop_front()?;
        if let Some((count, bytes)) = self.waiting_of.get_mut(&sender) {
            (*count, *bytes) = (*count - 1, *bytes - message.size());
            if *count == 0 {
                self.waiting_of.remove(&sender);
            }
        }
        if self.waiting.is_empty() {
            (self.waiting, self.waiting_of) = (VecDeque::new(), HashMap::new());
        }
        Some((sender, message))
    }

    /// The bytes of what waits of a connection's messages.
    pub fn waiting_bytes(&self, sender: ConnectionId) -> usize {
        match self.waiting_of.is_empty() {
            true => 0,
            false => self.waiting_of.get(&sender).map_or(0, |(_, bytes)| *bytes),
        }
    }

    /// A connection is gone, and what waited of its messages with it.
    pub fn forget_waiting(&mut self, sender: ConnectionId) {
        if !self.waiting_of.is_empty() && self.waiting_of.remove(&sender).is_some() {
            self.waiting.retain(|(known, _)| *known != sender);
        }
    }

    pub fn has_room(&self, settings: &RoutesConfig) -> bool {
        settings.max_pending == 0 || self.requests.len() < settings.max_pending
    }

    /// When no more requests may wait, one whose sender has left makes way for one whose sender is here.
    pub fn make_room(&mut self, settings: &RoutesConfig) -> Option<Request> {
        let oldest = self
            .orphaned
            .first()
            .filter(|_| !self.has_room(settings))
            .copied();
        oldest.and_then(|number| self.remove(number))
    }

    pub fn insert(&mut self, request: Request) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.by_sender.insert((request.sender, number));
        self.requests.insert(number, request);
        self.check_invariants();
        number
    }

    pub fn name(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    pub fn find(&self, name: &str) -> Option<u64> {
        let number = name.strip_prefix(&self.prefix)?.parse().ok()?;
        let is_it = self.requests.contains_key(&number) && self.name(number) == name;
        is_it.then_some(number)
    }

    pub fn request(&self, number: u64) -> Option<&Request> {
        self.requests.get(&number)
    }

    /// Takes a request away: it has its answer, or will have none.
    pub fn remove(&mut self, number: u64) -> Option<Request> {
        let request = self.requests.remove(&number)?;
        self.by_sender.remove(&(request.sender, number));
        self.orphaned.remove(&number);
        self.check_invariants();
        Some(request)
    }

    /// A client has left. What it sent may still be answered to others.
    pub fn orphan(&mut self, sender: ClientId) {
        let of_sender = self.by_sender.range((sender, 0)..=(sender, u64::MAX));
        self.orphaned.extend(of_sender.map(|(_, number)| *number));
        self.check_invariants();
    }

    /// A client that had left has come back.
    pub fn adopt(&mut self, sender: ClientId) {
        for (_, number) in self.by_sender.range((sender, 0)..=(sender, u64::MAX)) {
            self.orphaned.remove(number);
        }
        self.check_invariants();
    }

    pub fn first_deadline(&self) -> Option<Time> {
        self.requests
            .first_key_value()
            .and_then(|(_, request)| request.deadline)
    }

    pub fn take_due(&mut self, now: Time) -> Option<Request> {
        let (number, request) = self.requests.first_key_value()?;
        let is_due = request.deadline.is_some_and(|deadline| deadline <= now);
        let number = *number;
        is_due.then(|| self.remove(number)).flatten()
    }

    /// Whether a link has gone since somebody looked.
    pub fn has_lost(&self) -> bool {
        !self.gone.is_empty()
    }

    pub fn has_waiting_or_lost(&self) -> bool {
        !(self.waiting.is_empty() && self.gone.is_empty())
    }

    pub fn take_lost(&mut self) -> Vec<Request> {
        let gone = std::mem::take(&mut self.gone);
        let is_lost = |(_, request): &(&u64, &Request)| gone.contains(&request.connection);
        let lost: Vec<u64> = self
            .requests
            .iter()
            .filter(is_lost)
            .map(|(number, _)| *number)
            .collect();
        lost.into_iter()
            .filter_map(|number| self.remove(number))
            .collect()
    }

    fn check_invariants(&self) {
        debug_assert_eq!(self.by_sender.len(), self.requests.len());
        debug_assert!(self.orphaned.len() <= self.requests.len());
    }
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
}
