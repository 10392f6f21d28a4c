//! Which rooms a client is in: how it enters and leaves them, and what it is told of that and of what it has missed there.
//!
//! [`Context::enter`] is the one way into a room, whoever opens it: a message, a call, a greeting, or a return.

use super::requests::Rooms;
use crate::engine::answer::{Answer, Said};
use crate::engine::context::Context;
use crate::engine::settings::Settings;
use crate::hub::{ClientKey, Entry, Full, Hub, Joined, Position, Recovery, RoomKey};
use crate::wire::message::envelope::to_json;
use crate::wire::message::name::{TASK_ROOM_PREFIX, check_room, reserved};
use crate::wire::message::{Dialect, Incoming};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::HashSet;

/// Most names in one message when `max_rooms_per_client` is unlimited.
const MAX_NAMES: usize = 10_000;
/// Most names in one message when that limit is lower: those beyond it are denied one by one.
const MIN_NAMES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    Unseen,
    Full(Full),
}

/// A room that a client may not be in.
#[derive(Debug, Serialize)]
struct Denied {
    room: Box<str>,
    code: &'static str,
    /// Such a name looks as good as any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

impl Denied {
    fn new(room: &str, code: ErrorCode) -> Self {
        Self {
            room: room.into(),
            code: code.as_str(),
            message: reserved(room),
        }
    }

    fn of(room: &str, barred: Barred) -> Self {
        let code = match barred {
            Barred::Unseen => ErrorCode::NotAllowed,
            Barred::Full(_) => ErrorCode::LimitExceeded,
        };
        Self::new(room, code)
    }
}

/// The payload of the `error` that tells a viewer which rooms it had to leave.
#[derive(Serialize)]
struct Evicted<'a> {
    code: &'static str,
    message: String,
    rooms: &'a [Box<str>],
}

impl Context<'_> {
    pub fn enter(
        &mut self,
        client: ClientKey,
        room: &str,
        entry: Entry<'_>,
    ) -> Result<Joined, Barred> {
        if !self.caller.sees(room) {
            return Err(Barred::Unseen);
        }
        let joined = self.hub.enter(client, room, entry, &self.settings.hub);
        let joined = joined.map_err(Barred::Full)?;
        if joined.is_new {
            self.log_room(client, room, true);
        }
        Ok(joined)
    }

    /// A client that has come back enters its rooms again: those where it was all the time, if it still sees them, and those of
    /// which it has kept the names.
    fn reenter(&mut self, client: ClientKey) -> Vec<Denied> {
        let directory = self.hub.directory();
        let rooms = directory.client(client).rooms();
        let rooms = rooms.map(|room| &directory.room(room).name);
        let unseen: Vec<Box<str>> = rooms
            .filter(|room| !self.caller.sees(room))
            .cloned()
            .collect();
        let mut denied = Vec::new();
        for room in unseen {
            self.hub.leave_room(client, &room);
            denied.push(Denied::of(&room, Barred::Unseen));
        }
        for kept in self.hub.take_kept_names(client) {
            if let Err(barred) = self.enter(client, &kept.name, Entry::Kept(&kept)) {
                self.hub.forgo(client, &kept.name);
                denied.push(Denied::of(&kept.name, barred));
            }
        }
        denied
    }

    /// Sends a lagging client what it lacks. It is told first when something is lost, and, having come back, in any case.
    pub fn recover(&mut self, client: ClientKey, has_come_back: bool) {
        if !has_come_back && self.hub.load().is_spent() {
            return self.hub.postpone(client);
        }
        let denied = match has_come_back {
            true => self.reenter(client),
            false => Vec::new(),
        };
        let rooms = self.hub.directory().client(client).memberships().len();
        self.hub.load().visit(rooms);
        let recoveries = self.hub.plan_recovery(client);
        let is_lossy = recoveries.iter().any(|room| !room.recovered);
        if has_come_back || is_lossy {
            let payload = acknowledgement(self.hub, client, &denied, &recoveries);
            self.answer(client, "subscription_ack", &payload, None);
        }
        if is_lossy {
            self.ask_anew(client);
        }
        let moment = self.settings.at(self.now);
        self.hub.recover(moment, client, &recoveries, &mut self.out);
    }

    /// Asks a client once more whether messages have arrived, because it is told of a loss or sent older ones: its answer to an
    /// earlier question says nothing of these.
    fn ask_anew(&mut self, client: ClientKey) {
        let connection = self.hub.directory().client(client).connection;
        self.out.peers.ask_anew(connection);
    }

    /// From now on the messages of a turn come as one to this client of the payload dialect (contract section 4).
    pub fn enable_batches(&mut self, client: ClientKey) {
        let connection = self.hub.directory().client(client).connection;
        let peer = self.out.peers.peer_mut(connection);
        if let Some(peer) = peer.filter(|peer| peer.variant.dialect == Dialect::Payload) {
            let outbox = &mut peer.connection.outbox;
            outbox.enable_batches(
                peer.variant.encoding,
                self.settings.hub.broadcaster.batch_size,
            );
            // A batch is put together for it alone: what goes into one is shared in its plain form.
            peer.variant.window = None;
        }
    }

    /// Tells viewers of the rooms that they had to leave for a producer's.
    pub fn tell_evicted(&mut self) {
        for (client, rooms) in self.hub.take_evicted() {
            if let Some(client) = self.hub.directory().living_client(client) {
                self.tell_of_eviction(client, &rooms);
            }
        }
    }

    fn tell_of_eviction(&mut self, client: ClientKey, rooms: &[Box<str>]) {
        let refusal = Refusal::from(Full::Rooms);
        let payload = to_json(&Evicted {
            code: refusal.code().as_str(),
            message: refusal.message(self.settings.locale),
            rooms,
        });
        for room in rooms {
            self.log_room(client, room, false);
        }
        let moment = self.settings.at(self.now);
        self.hub
            .send(moment, client, "error", &payload, &mut self.out);
    }

    pub(super) fn join_rooms(
        &mut self,
        client: ClientKey,
        message: &Incoming<'_>,
        request: &Rooms,
    ) -> Result<Answer<Said>, Refusal> {
        let rooms = named_rooms(self.settings, request)?;
        self.hub.load().visit(rooms.len());
        let since = &request.positions;
        if request.batch == Some(true) {
            self.enable_batches(client);
        }
        if !since.is_empty() && self.hub.directory().client(client).is_lagging {
            self.recover(client, false);
        }
        let (mut denied, mut due, mut recoveries) = (Vec::new(), Vec::new(), Vec::new());
        for room in rooms {
            if check_room("rooms", &room).is_err() {
                denied.push(Denied::new(&room, ErrorCode::InvalidMessage));
                continue;
            }
            let since = since.get(&*room).copied();
            match self.enter(client, &room, Entry::Asked) {
                // A member that names a position wants to hear again what came after it.
                Ok(joined) if joined.is_new || since.is_some() => due.push((joined.room, since)),
                Ok(_) => {}
                Err(barred) => denied.push(Denied::of(&room, barred)),
            }
        }
        for (room, since) in &due {
            let recovered = since.map(|since| self.hub.can_recover(*room, since));
            recoveries.extend(recovered.map(|recovered| Recovery {
                room: *room,
                recovered,
            }));
        }
        let payload = acknowledgement(self.hub, client, &denied, &recoveries);
        let rooms = self.hub.directory().client(client).memberships().len();
        self.hub.load().visit(rooms);
        // It comes before what is due in the rooms, so it cannot be left to the caller.
        self.answer(client, "subscription_ack", &payload, message.id);
        self.hub
            .welcome(self.settings.at(self.now), client, &due, &mut self.out);
        if !since.is_empty() {
            self.ask_anew(client);
        }
        Ok(Answer::Now(Said::Nothing))
    }

    pub(super) fn leave_rooms(
        &mut self,
        client: ClientKey,
        request: &Rooms,
    ) -> Result<Answer<Said>, Refusal> {
        let rooms = named_rooms(self.settings, request)?;
        self.hub.load().visit(rooms.len());
        for room in rooms {
            if self.hub.leave_room(client, &room) {
                self.log_room(client, &room, false);
            }
        }
        let payload = acknowledgement(self.hub, client, &[], &[]);
        Ok(Answer::Now(Said::Message {
            kind: "subscription_ack",
            payload,
        }))
    }
}

/// The rooms that a message names, each once; `taskIds` are short for rooms.
fn named_rooms<'a>(settings: &Settings, request: &'a Rooms) -> Result<Vec<Cow<'a, str>>, Refusal> {
    let (limit, what) = match settings.hub.max_rooms_per_client {
        0 => (MAX_NAMES, format!("{MAX_NAMES} names in one message")),
        limit => (
            limit.max(MIN_NAMES),
            "websocket.max_rooms_per_client".to_owned(),
        ),
    };
    let tasks = request.task_ids.iter().flatten();
    let tasks = tasks.map(|task| Cow::Owned(format!("{TASK_ROOM_PREFIX}{task}")));
    let rooms = request.rooms.iter().flatten();
    let rooms = rooms.map(|room| Cow::Borrowed(room.as_str()));
    let mut known = HashSet::new();
    let mut names: Vec<Cow<'a, str>> = Vec::new();
    for name in tasks.chain(rooms) {
        if known.insert(name.clone()) {
            if names.len() == limit {
                return Err(Refusal::limit_exceeded(what));
            }
            names.push(name);
        }
    }
    Ok(names)
}

/// The payload of `subscription_ack`: all that the client is now in, and what became of its request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acknowledgement<'a> {
    task_ids: Vec<&'a str>,
    rooms: Vec<&'a str>,
    denied: &'a [Denied],
    positions: ByRoom<'a, Position>,
    recovered: ByRoom<'a, bool>,
}

/// An object whose members are named by rooms, in the order given.
struct ByRoom<'a, T>(Vec<(&'a str, T)>);

impl<T: Serialize> Serialize for ByRoom<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(room, value)| (room, value)))
    }
}

fn acknowledgement(
    hub: &Hub,
    client: ClientKey,
    denied: &[Denied],
    recoveries: &[Recovery],
) -> String {
    let directory = hub.directory();
    let name = |room: RoomKey| &*directory.room(room).name;
    let memberships = directory.client(client).memberships();
    let rooms: Vec<&str> = memberships.iter().map(|member| name(member.room)).collect();
    let tasks = rooms.iter().copied();
    let tasks = tasks.filter_map(|room| room.strip_prefix(TASK_ROOM_PREFIX));
    let made_up: HashSet<RoomKey> = recoveries.iter().map(|made_up| made_up.room).collect();
    let positions = memberships.iter().map(|membership| {
        // What is made up for follows this; what is left in a log comes some time later.
        let position = match made_up.contains(&membership.room) {
            true => directory.room(membership.room).position(),
            false => hub.queued_position(client, membership),
        };
        (name(membership.room), position)
    });
    let recovered = recoveries.iter();
    let recovered = recovered.map(|recovery| (name(recovery.room), recovery.recovered));
    to_json(&Acknowledgement {
        task_ids: tasks.collect(),
        positions: ByRoom(positions.collect()),
        recovered: ByRoom(recovered.collect()),
        rooms,
        denied,
    })
}
