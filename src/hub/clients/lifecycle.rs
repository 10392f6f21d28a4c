//! The life of a client: it attaches, joins rooms, falls behind and catches up, leaves, resumes, and ends. What is sent to it alone is in
//! [`shared`](crate::hub::clients::shared).
//!
//! Owns no state: it moves the marks of [`Client`](crate::hub::clients::client::Client) through the directory and notes in the journal
//! what the store must learn. It never sends a log entry itself, but has [`replay`] do it.
//!
//! # The life of a slow reader
//!
//! | state | marks | what it gets |
//! | --- | --- | --- |
//! | keeps up | none | everything at once |
//! | backlogged | `defers_progress` | log entries at once; progress waits, and its memberships tell which versions it has seen |
//! | lagging | and `is_lagging` | nothing; entries stay in the logs, direct messages in its queue |
//! | away | and `is_away` | nothing, and it has no connection |
//!
//! *Keeps up → backlogged*: its connection holds unsent bytes. Progress is no longer queued for it, since only the newest state
//! counts. When the connection has drained, it gets the newest state of every task that moved meanwhile, and keeps up again.
//!
//! *Backlogged → lagging*: the connection refuses a log entry or a direct message, because its outbox is full. From that serial on
//! nothing is offered to it, since a later message must not overtake. When it has drained, [`Hub::plan_recovery`] says for each room
//! whether the log still holds what the client lacks. It is *recovered* where the log does: [`Hub::recover`] replays the
//! entries of all rooms and the direct messages in the order of their serials, then the states, and the client keeps up. A room is
//! *lost* where the log does not reach back: the client is told so, continues with the oldest entry that is there, and is told again
//! after any break until it has confirmed that it heard.
//!
//! *Any → away*: the connection is gone and the client has a session. What it has not confirmed counts as not sent, because bytes that
//! a socket took may never have arrived. It stays in its rooms, of which the logs are its queue; of viewers' rooms only names stay.
//! Without a session it is detached at once.
//!
//! *Away → resumed*: it has another connection and is a lagging reader like any other, which joins the rooms of its names again and
//! recovers. *Away → expired*: it was away for `session_ttl`, or too many clients are away or too many names are kept; it is
//! detached, and its rows are deleted.

use crate::base::slot_set::SlotSet;
use crate::base::time::{Now, Time};
use crate::hub::budget::PAUSE;
use crate::hub::clients::client::{KeptName, Member, Unsaved};
use crate::hub::delivery::publication::Outlet;
use crate::hub::delivery::replay::{self, Recovery};
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::keys::TaskKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::parts::Hub;
use crate::hub::rooms::directory::{Full, Joined};
use crate::hub::rooms::position::{Position, Since};
use crate::hub::rooms::viewer_rooms::JoinedBy;
use crate::hub::settings::{HubSettings, Moment};
use crate::hub::timer::Timer;
use crate::wire::message::Dialect;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Most sessions that end per turn: after a restart all that did not resume are due together.
const EXPIRED_AT_ONCE: usize = 256;

/// Why a client enters a room.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// It has asked for it.
    Asked,
    /// It is put there, which the limit of viewers' rooms does not forbid.
    Put,
    /// It was there before the room was given up or the process restarted, and continues where it was.
    Kept(&'a KeptName),
}

impl Hub {
    /// Adds a client that has connected. Only the payload dialect has sessions.
    pub fn attach(
        &mut self,
        Moment { now, settings }: Moment<'_>,
        connection: ConnectionId,
        dialect: Dialect,
        nonce: u64,
    ) -> ClientKey {
        let serial = self.fanout.serial();
        let key = self
            .directory
            .attach(connection, dialect, now.wall_ms, nonce, serial);
        if !settings.session_ttl.is_zero() && dialect == Dialect::Payload {
            self.apply_session(self.directory.client(key).id, now.wall_ms);
        }
        key
    }

    /// Removes a client and its session.
    pub fn detach(&mut self, client: ClientKey) {
        // While the client is there: its rows are found by what it holds.
        self.end_session(client);
        self.directory.detach(client);
    }

    /// Handles the loss of a client's connection: the client is away if it has a session, and removed otherwise.
    pub fn leave(&mut self, moment: Moment<'_>, client: ClientKey) {
        if !self.directory.client(client).has_session {
            return self.detach(client);
        }
        // Counted as away before sessions are shed or expire: it may be the one too many.
        self.directory.set_client_away(client, self.fanout.serial());
        self.departures
            .record(moment.now.at, client, &self.directory);
        self.shed_sessions(moment.settings);
        // Only those that are too many: a session that is over by time may have its client in what was not read yet, for which
        // the timer waits.
        self.expire_sessions(moment, Time::ZERO);
    }

    /// Gives a client that has come back its new connection. It is still lagging: what it missed follows with [`Hub::recover`], after
    /// the acknowledgement that reports [`Hub::plan_recovery`].
    pub fn resume(
        &mut self,
        now: Now,
        client: ClientKey,
        connection: ConnectionId,
        dialect: Dialect,
    ) {
        self.directory.adopt(client, connection, dialect);
        self.apply_session(self.directory.client(client).id, now.wall_ms);
    }

    /// Takes the names of rooms that were kept for a client: it enters each again, or forgoes it.
    pub fn take_kept_names(&mut self, client: ClientKey) -> Vec<KeptName> {
        self.directory.take_names(client)
    }

    /// A client does not come back to a room whose name was kept for it: the row goes as well, or the next restart would try again.
    pub fn forgo(&mut self, client: ClientKey, room: &str) {
        let client = self.directory.client_mut(client);
        self.fanout.journal.leave_room(client, room);
    }

    /// Connected clients that were evicted from rooms since the last call, with the names of the rooms.
    pub fn take_evicted(&mut self) -> BTreeMap<ClientId, Vec<Box<str>>> {
        // Collected by client, since one message tells a client of all its rooms.
        let mut evicted: BTreeMap<ClientId, Vec<Box<str>>> = BTreeMap::new();
        for (id, name) in self.directory.take_evicted() {
            if self.must_hear_of_eviction(id, &name) {
                evicted.entry(id).or_default().push(name);
            }
        }
        evicted
    }

    fn must_hear_of_eviction(&mut self, id: ClientId, name: &str) -> bool {
        let Some(client) = self.directory.living_client(id) else {
            return false;
        };
        // It may have joined a room of that name again since then.
        let room = self.directory.find(name);
        let is_member = |room: RoomKey| self.directory.membership(client, room).is_some();
        if room.is_some_and(is_member) {
            return false;
        }
        let reader = self.directory.client_mut(client);
        if !reader.is_away {
            self.fanout.journal.leave_room(reader, name);
            return true;
        }
        // It left after the eviction: it tries again when it comes back, and is told then.
        let nowhere = Position::default();
        self.directory.add_name(client, name.into(), nowhere, true);
        self.mark(client, Unsaved::ROOMS);
        false
    }

    /// Sends a lagging client what it lacks, in the order of serials; of lost rooms all that is there; then the newest states. What its
    /// connection refuses follows later.
    pub fn recover(
        &mut self,
        moment: Moment<'_>,
        client: ClientKey,
        recoveries: &[Recovery],
        out: &mut dyn Outlet,
    ) {
        // The plan was made before the acknowledgement; only rooms that this reported as lost may be given up.
        let lost = recoveries.iter().filter(|room| !room.recovered);
        self.give_up(client, &lost.map(|lost| lost.room).collect::<Vec<_>>());
        let (broadcaster, mut scope) = self.scope(moment, out);
        if replay::replay(&mut scope, client) {
            broadcaster.catch_up(&mut scope, client);
        }
    }

    /// Records that a client has confirmed everything up to a serial.
    pub fn confirm(&mut self, client: ClientKey, serial: u64) {
        // It comes back from the client and may be anything; nothing after the newest can have arrived.
        let serial = serial.min(self.fanout.serial());
        let reader = self.directory.client_mut(client);
        // Equal is no repeat: the only thing to confirm may be that the client was told of a loss.
        if serial < reader.received {
            return;
        }
        reader.received = serial;
        let mut unsaved = Unsaved::RECEIVED;
        for membership in &mut reader.rooms {
            // Confirmed, the loss need not be told again after a break.
            if std::mem::take(&mut membership.told_of_loss) {
                membership.unsaved = true;
                unsaved.add(Unsaved::ROOMS);
            }
        }
        self.apply_confirmation(client, serial);
        self.mark(client, unsaved);
    }

    /// Connected clients in the rooms of these tasks, each counted once.
    pub fn watchers(&mut self, tasks: &[TaskKey]) -> usize {
        // In a single room no client can be counted twice.
        let [task] = tasks else {
            return self.watchers_of_many(tasks);
        };
        let room = self.broadcaster.room_of_task(&self.directory, *task);
        room.map_or(0, |room| self.directory.room(room).connected_count())
    }

    fn watchers_of_many(&mut self, tasks: &[TaskKey]) -> usize {
        let mut seen = SlotSet::default();
        let mut count = 0;
        for task in tasks {
            let room = self.broadcaster.room_of_task(&self.directory, *task);
            let members = room.map_or(&[][..], |room| self.directory.room(room).connected());
            // A request may name many tasks with many viewers each: what that costs counts for the turn.
            self.fanout.load.visit(members.len());
            let new = members
                .iter()
                .filter(|member| seen.insert(member.client.0.slot()));
            count += new.count();
        }
        count
    }

    pub(in crate::hub) fn mark(&mut self, client: ClientKey, what: Unsaved) {
        let client = self.directory.client_mut(client);
        self.fanout.journal.mark_client(client, what);
    }

    /// Writes a session with the next batch, without the wait of up to a second, because an answer has promised that it is kept.
    pub fn write_session_now(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        self.fanout.journal.write_client_now(client);
    }

    /// Ends the rest periods that are over; what changed during them goes with the next batch.
    pub(in crate::hub) fn end_rests(&mut self, now: Time) {
        while let Some(id) = self.fanout.journal.rests.poll_over(now) {
            if let Some(client) = self.directory.living_client(id) {
                self.write_session_now(client);
            }
        }
    }

    /// Ends all rest periods, for the last batch before the server exits.
    pub fn write_all_sessions_now(&mut self) {
        let clients: Vec<ClientKey> = self.directory.all_clients().map(|(key, _)| key).collect();
        for client in clients {
            self.write_session_now(client);
        }
    }

    /// Ends the sessions that were over at `due`, and those of which there are too many.
    pub(in crate::hub) fn expire_sessions(
        &mut self,
        Moment { now, settings }: Moment<'_>,
        due: Time,
    ) {
        for _ in 0..EXPIRED_AT_ONCE {
            let expired = self.departures.poll_expired(due, settings, &self.directory);
            let Some(client) = expired else {
                if let Some(at) = self.departures.arm(settings) {
                    self.timers.push((at, Timer::Sessions));
                }
                return;
            };
            self.detach(client);
        }
        // More may be due. They wait, so that a mass expiry does not hold the loop.
        if self.departures.arm(settings).is_some() {
            self.timers.push((now.at + PAUSE, Timer::Sessions));
        }
    }

    /// Ends sessions while they keep too many names together: those with most names first, and of equal ones the one that left first.
    pub(in crate::hub) fn shed_sessions(&mut self, settings: &HubSettings) {
        if !self.directory.has_too_many_names(settings) {
            return;
        }
        let away = self.departures.away(&self.directory);
        let names = |client: &ClientKey| self.directory.client(*client).names().len();
        let mut holders: Vec<ClientKey> = away.filter(|client| names(client) > 0).collect();
        // Ending one session with many names spares many with a few.
        holders.sort_by_key(|client| Reverse(names(client)));
        for client in holders {
            if !self.directory.has_too_many_names(settings) {
                return;
            }
            self.detach(client);
        }
    }

    /// Makes a client a member of a room. The room's entries and state follow with [`Hub::welcome`], after the acknowledgement.
    pub fn enter(
        &mut self,
        client: ClientKey,
        room: &str,
        entry: Entry<'_>,
        settings: &HubSettings,
    ) -> Result<Joined, Full> {
        // The room of an existing task takes no place from viewers' rooms, even if it must be created.
        let mut task = room.strip_prefix(TASK_ROOM_PREFIX).into_iter();
        let mut has_task = || task.any(|task| self.broadcaster.tasks().find(task).is_some());
        let by = match entry {
            Entry::Put => JoinedBy::Call,
            Entry::Asked | Entry::Kept(_) if has_task() => JoinedBy::Task,
            Entry::Asked | Entry::Kept(_) => JoinedBy::Viewer,
        };
        let joined = self.directory.join(client, room, by, settings)?;
        if joined.is_new {
            self.mark(client, Unsaved::ROOMS);
        }
        if let Entry::Kept(kept) = entry {
            self.directory.continue_at(client, joined.room, kept);
        }
        Ok(joined)
    }

    /// Ends a membership; `false` when there was none.
    pub fn leave_room(&mut self, client: ClientKey, room: &str) -> bool {
        let has_left = self.directory.leave(client, room);
        if has_left {
            let client = self.directory.client_mut(client);
            self.fanout.journal.leave_room(client, room);
        }
        has_left
    }

    /// Records whether a client's connection holds unsent bytes. When it has drained, the newest states are sent; to a lagging client they
    /// come with [`Hub::recover`], after what it lacks.
    pub fn handle_backlog(
        &mut self,
        moment: Moment<'_>,
        client: ClientKey,
        backlogged: bool,
        out: &mut dyn Outlet,
    ) {
        let reader = self.directory.client_mut(client);
        let was = std::mem::replace(&mut reader.defers_progress, backlogged);
        // Only on the change: a connection that stays drained lacks nothing.
        if was && !backlogged && !reader.is_lagging {
            let (broadcaster, mut scope) = self.scope(moment, out);
            broadcaster.catch_up(&mut scope, client);
        }
    }

    /// Continues with a client in a later turn. Until then it is treated like one whose connection is full.
    pub fn postpone(&mut self, client: ClientKey) {
        replay::postpone(&mut self.directory, &mut self.fanout, client);
    }

    /// The client that was postponed first, unless it is gone or was served meanwhile.
    pub fn poll_postponed(&mut self) -> Option<ClientKey> {
        while let Some(id) = self.fanout.load.poll_postponed() {
            let client = self.directory.living_client(id);
            // A client that was served after its postponement, or left, has nothing to wait for.
            if client.is_some_and(|client| self.is_waiting(client)) {
                return client;
            }
        }
        None
    }

    fn is_waiting(&self, client: ClientKey) -> bool {
        let reader = self.directory.client(client);
        reader.defers_progress && !reader.is_away
    }

    /// Sends a client that has joined rooms the entries after each `since`, or as many of them as the log still holds, and the state of
    /// each room's task (contract section 5.4).
    pub fn welcome(
        &mut self,
        moment: Moment<'_>,
        client: ClientKey,
        rooms: &[(RoomKey, Option<Since>)],
        out: &mut dyn Outlet,
    ) {
        let replays = self.begin_replays(client, rooms);
        for (room, _) in rooms {
            let is_lagging = self.directory.client(client).is_lagging;
            match replays.get(room) {
                // It gets them with its replay.
                Some(offset) if is_lagging => {
                    self.directory.client_mut(client).set_older(*room, *offset);
                }
                Some(offset) => {
                    let (_, mut scope) = self.scope(moment, out);
                    replay::replay_room(&mut scope, client, *room, *offset);
                }
                None => {}
            }
            // To a lagging client the state is sent after what it lacks, by `recover`.
            if !self.directory.client(client).is_lagging {
                let (broadcaster, mut scope) = self.scope(moment, out);
                match scope.fanout.load.is_spent() {
                    // Later it is served like a slow reader, which is sent the states of all its rooms.
                    true => replay::postpone(scope.directory, scope.fanout, client),
                    false => broadcaster.send_snapshot(&mut scope, client, *room),
                }
            }
        }
    }

    /// Rewinds a client in the rooms for which it named a `since`, even if it has received some of what follows. Returns the rooms whose
    /// logs hold such entries, with the offsets to replay from.
    fn begin_replays(
        &mut self,
        client: ClientKey,
        rooms: &[(RoomKey, Option<Since>)],
    ) -> HashMap<RoomKey, u64> {
        let named = rooms
            .iter()
            .filter_map(|(room, since)| Some((*room, (*since)?)));
        let places = named.filter_map(|(room, since)| self.place_after(client, room, since));
        let places: Vec<Place> = places.collect();
        if places.is_empty() {
            return HashMap::new();
        }
        if let Some(first) = places.iter().filter_map(|place| place.first).min() {
            // Older than what it has confirmed, and they may not arrive: one serial stands for all rooms, so that it goes back.
            self.directory.rewind_confirmed(client, first - 1);
        }
        for place in &places {
            self.rewind(place);
        }
        self.mark(client, Unsaved::RECEIVED);
        self.mark(client, Unsaved::ROOMS);
        let due = places.iter().filter(|place| place.first.is_some());
        due.map(|place| (place.room, place.offset)).collect()
    }

    /// Where a member that names a `since` continues.
    fn place_after(&self, client: ClientKey, room: RoomKey, since: Since) -> Option<Place> {
        let member = self.directory.member(client, room)?;
        let is_lossy = !self.can_recover(room, since);
        let found = self.directory.room(room);
        let wanted = match since {
            Since::After(position) if !is_lossy => found.resolve(position),
            Since::Start | Since::After(_) => None,
        };
        // A lagging member may name a position that an acknowledgement promised: what it is still owed before that must not be skipped.
        let reader = self.directory.client(client);
        let membership = &reader.memberships()[member.slot as usize];
        let given = self.queued_position(client, membership).offset;
        let offset = wanted.unwrap_or(found.start()).min(given);
        let log = found.log.as_ref();
        Some(Place {
            room,
            member,
            is_lossy,
            offset,
            first: log.and_then(|log| Some(log.next_after(offset)?.serial)),
        })
    }

    fn rewind(&mut self, place: &Place) {
        let Place {
            offset, is_lossy, ..
        } = *place;
        let membership = self.directory.membership_mut(place.member);
        membership.unsaved |= offset < membership.from || is_lossy && !membership.told_of_loss;
        membership.from = membership.from.min(offset);
        // The acknowledgement in which `since` is answered tells it.
        membership.told_of_loss |= is_lossy;
        membership.forget();
    }
}

/// Where a member of a room continues after naming a `since`.
struct Place {
    room: RoomKey,
    member: Member,
    /// Whether entries after it may be missing.
    is_lossy: bool,
    /// Entries up to here are not resent.
    offset: u64,
    /// The serial of the first entry to resend.
    first: Option<u64>,
}
