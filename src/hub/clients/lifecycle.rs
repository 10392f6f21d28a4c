//! Clients that come, join, lag behind, leave and come back, and what is sent to one of them alone.

use crate::base::time::{Now, Span, Time};
use crate::hub::clients::client::{Member, Membership, Unsaved};
use crate::hub::clients::direct::DirectMessage;
use crate::hub::clients::mail;
use crate::hub::delivery::fanout::Broadcast;
use crate::hub::delivery::publication::{Lane, Outlet};
use crate::hub::delivery::replay::{self, Recovery};
use crate::hub::durable::rows;
use crate::hub::keys::ConnectionId;
use crate::hub::keys::RoomKey;
use crate::hub::keys::TaskKey;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::parts::{Hub, Joined};
use crate::hub::rooms::directory::Full;
use crate::hub::rooms::position::{Position, Since};
use crate::hub::rooms::viewer_rooms::Entry;
use crate::hub::timer::Timer;
use crate::wire::message::Dialect;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// So many sessions end at once: after a restart all that nobody has taken up again are due together.
const EXPIRED_AT_ONCE: usize = 256;
/// How long others have their turn then.
const PAUSE: Span = Span::from_millis(1);

impl Hub {
    /// A client has connected.
    pub fn attach(
        &mut self,
        now: Now,
        connection: ConnectionId,
        dialect: Dialect,
        nonce: u64,
    ) -> ClientKey {
        let serial = self.fanout.serial();
        let key = self
            .directory
            .attach(connection, dialect, now.wall_ms, nonce, serial);
        let has_session = self.sessions.are_on() && dialect == Dialect::Payload;
        self.directory.client_mut(key).has_session = has_session;
        self.save(key, Unsaved::ALL);
        key
    }

    /// A client has gone for good.
    pub fn detach(&mut self, client: ClientKey) {
        let gone = self.directory.client_mut(client);
        if gone.has_session {
            rows::delete_session(&mut self.fanout.journal, gone);
        }
        self.directory.detach(client);
    }

    /// A client's connection has gone, and the client may come back.
    pub fn leave(&mut self, now: Now, client: ClientKey) {
        if !self.directory.client(client).has_session {
            return self.detach(client);
        }
        self.directory.leave_behind(client, self.fanout.serial());
        self.sessions
            .record(now.at, self.directory.client(client), &self.directory);
        self.shed_sessions();
        self.expire_sessions(now);
    }

    /// A client has come back on another connection: it is in its rooms again. What it missed there comes with
    /// [`Hub::recover`], once it has been told what [`Hub::plan_recovery`] says.
    pub fn resume(
        &mut self,
        now: Now,
        client: ClientKey,
        connection: ConnectionId,
        dialect: Dialect,
    ) {
        self.directory.adopt(client, connection, dialect);
        self.directory.client_mut(client).connected_at = now.wall_ms;
        self.save(client, Unsaved::SESSION);
    }

    /// A client that has come back is in the rooms again whose names were kept for it; those in which there is no place for it.
    pub fn rejoin(&mut self, client: ClientKey) -> Vec<Box<str>> {
        let mut denied = Vec::new();
        for kept in self.directory.take_names(client) {
            match self.join(client, &kept.name) {
                Ok(joined) => self.directory.go_on(client, joined.room, &kept),
                Err(_) => {
                    let client = self.directory.client_mut(client);
                    self.fanout.journal.leave_room(client, &kept.name);
                    denied.push(kept.name);
                }
            }
        }
        denied
    }

    /// Who had to leave rooms for producers since the last call, and which.
    pub fn take_evicted(&mut self) -> BTreeMap<ClientId, Vec<Box<str>>> {
        let mut evicted: BTreeMap<ClientId, Vec<Box<str>>> = BTreeMap::new();
        for (id, name) in self.directory.take_evicted() {
            let Some(client) = self.directory.living_client(id) else {
                continue;
            };
            let room = self.directory.find(&name);
            let is_member = |room: RoomKey| self.directory.membership(client, room).is_some();
            if room.is_some_and(is_member) {
                continue;
            }
            if self.directory.client(client).is_away {
                // It tries again when it comes back, and is told then.
                let nowhere = Position::default();
                self.directory.add_name(client, name, nowhere, true);
                self.save(client, Unsaved::ROOMS);
                continue;
            }
            let reader = self.directory.client_mut(client);
            self.fanout.journal.leave_room(reader, &name);
            evicted.entry(id).or_default().push(name);
        }
        evicted
    }

    /// Which rooms of a lagging client can be made up for.
    pub fn plan_recovery(&self, client: ClientKey) -> Vec<Recovery> {
        replay::plan_recovery(&self.directory, client)
    }

    /// Sends a lagging client what it lacks, oldest first, and of the rooms that cannot be made up for all that is there;
    /// then the newest states. What its connection does not take follows later.
    pub fn recover(
        &mut self,
        now: Now,
        client: ClientKey,
        plan_recovery: &[Recovery],
        out: &mut dyn Outlet,
    ) {
        let lost = plan_recovery.iter().filter(|room| !room.recovered);
        let lost: Vec<RoomKey> = lost.map(|lost| lost.room).collect();
        if !lost.is_empty() {
            replay::give_up(&mut self.directory, client, &lost);
            // It is told again after a crash, if it may not have heard.
            self.save(client, Unsaved::ROOMS);
        }
        let (broadcaster, mut scope) = self.scope(now, out);
        if replay::replay(&mut scope, client) {
            broadcaster.catch_up(&mut scope, client);
        }
    }

    /// Every message up to this serial was queued for a client's connection, or was not for it.
    pub fn queued_serial(&self, client: ClientKey) -> u64 {
        let reader = self.directory.client(client);
        match reader.is_lagging {
            true => replay::queued_serial(&self.directory, client),
            false => self.fanout.serial(),
        }
    }

    /// Up to which place of a room everything was queued for a client's connection, or was not for it.
    pub fn queued_position(&self, client: ClientKey, membership: &Membership) -> Position {
        let reader = self.directory.client(client);
        let mut position = self.directory.room(membership.room).position();
        if reader.is_lagging {
            let given = replay::given(&self.directory, reader, membership);
            position.offset = position.offset.min(given);
        }
        position
    }

    /// A client will not come back: nothing is kept for it.
    pub fn end_session(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        if std::mem::take(&mut client.has_session) {
            rows::delete_session(&mut self.fanout.journal, client);
        }
    }

    /// Everything up to a serial has surely reached a client.
    pub fn confirm(&mut self, client: ClientKey, serial: u64) {
        let serial = serial.min(self.fanout.serial());
        let reader = self.directory.client_mut(client);
        // That a client has missed something may be all that was to arrive.
        if serial < reader.received {
            return;
        }
        reader.received = serial;
        let mut unsaved = Unsaved::RECEIVED;
        for membership in &mut reader.rooms {
            if std::mem::take(&mut membership.told_of_loss) {
                membership.unsaved = true;
                unsaved.add(Unsaved::ROOMS);
            }
        }
        let journal = &mut self.fanout.journal;
        if let Some(direct) = reader.direct_mut() {
            let gone = direct.confirm(serial);
            if reader.has_session {
                rows::delete_direct(journal, reader.id, gone);
            }
            reader.trim();
        }
        journal.mark_client(reader, unsaved);
    }

    /// How many clients watch any of these tasks, each counted once.
    pub fn watchers(&mut self, tasks: &[TaskKey]) -> usize {
        let mut rooms = Vec::new();
        for key in tasks {
            let task = self.broadcaster.tasks().task(*key);
            if let Some(id) = task.map(|task| task.id.clone()) {
                rooms.extend(self.broadcaster.room_of(&self.directory, &id));
            }
        }
        if let [room] = rooms[..] {
            return self.directory.room(room).watchers();
        }
        let members = rooms
            .into_iter()
            .flat_map(|room| self.directory.room(room).connected());
        members
            .map(|member| member.client)
            .collect::<std::collections::HashSet<_>>()
            .len()
    }

    fn save(&mut self, client: ClientKey, what: Unsaved) {
        let client = self.directory.client_mut(client);
        self.fanout.journal.mark_client(client, what);
    }

    /// Skips the wait of a client's session: what has changed is written with the next batch, because it was promised.
    pub fn write_session_now(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        self.fanout.journal.write_client_now(client);
    }

    /// Sessions are written at most once a second: of those whose second is over, what has changed goes with the next batch.
    pub(in crate::hub) fn end_rests(&mut self, now: Time) {
        while let Some(id) = self.fanout.journal.rests.poll_over(now) {
            if let Some(client) = self.directory.living_client(id) {
                self.write_session_now(client);
            }
        }
    }

    /// The server ends: nothing waits any longer.
    pub fn write_all_sessions_now(&mut self) {
        let clients: Vec<ClientKey> = self.directory.all_clients().map(|(key, _)| key).collect();
        for client in clients {
            self.write_session_now(client);
        }
    }

    pub(in crate::hub) fn expire_sessions(&mut self, now: Now) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(client) = self.sessions.poll_expired(now.at, &self.directory) else {
                if let Some(at) = self.sessions.arm() {
                    self.timers.push(at, Timer::Sessions);
                }
                return;
            };
            self.detach(client);
        }
        if self.sessions.arm().is_some() {
            self.timers.push(now.at + PAUSE, Timer::Sessions);
        }
    }

    /// Sessions that keep too many names of rooms together end, those with most of them first, of these the oldest.
    pub(in crate::hub) fn shed_sessions(&mut self) {
        if !self.directory.has_too_many_names() {
            return;
        }
        let away = self.sessions.away(&self.directory);
        let names = |client: &ClientKey| self.directory.client(*client).names().len();
        let mut holders: Vec<ClientKey> = away.filter(|client| names(client) > 0).collect();
        holders.sort_by_key(|client| Reverse(names(client)));
        for client in holders {
            if !self.directory.has_too_many_names() {
                return;
            }
            self.detach(client);
        }
    }

    /// A client enters a room. What is due to it there comes with [`Hub::welcome`].
    pub fn join(&mut self, client: ClientKey, room: &str) -> Result<Joined, Full> {
        let mut task = room.strip_prefix("task:").into_iter();
        let entry = match task.any(|task| self.broadcaster.tasks().find(task).is_some()) {
            true => Entry::Task,
            false => Entry::Viewer,
        };
        self.enter(client, room, entry)
    }

    /// Puts a client into a room on behalf of somebody else, who is not bound by what viewers may ask for.
    pub fn put_into(&mut self, client: ClientKey, room: &str) -> Result<Joined, Full> {
        self.enter(client, room, Entry::Call)
    }

    fn enter(&mut self, client: ClientKey, room: &str, entry: Entry) -> Result<Joined, Full> {
        let max_memberships = self.settings.max_rooms_per_client;
        let (room, fresh) = self.directory.join(client, room, entry, max_memberships)?;
        if fresh {
            self.save(client, Unsaved::ROOMS);
        }
        Ok(Joined { room, fresh })
    }

    /// Takes a client out of a room; `false` when it was not in it.
    pub fn leave_room(&mut self, client: ClientKey, room: &str) -> bool {
        let has_left = self.directory.leave(client, room);
        if has_left {
            let client = self.directory.client_mut(client);
            self.fanout.journal.leave_room(client, room);
        }
        has_left
    }

    /// Sends a message to one client; tells whether its connection took it. While it does not, and until the message has
    /// surely arrived, it waits in the client's direct queue.
    pub fn send(
        &mut self,
        now: Now,
        client: ClientKey,
        kind: &str,
        payload: &str,
        out: &mut dyn Outlet,
    ) -> bool {
        let letter = mail::letter(&mut self.fanout, now, kind, payload);
        let is_taken =
            !self.directory.client(client).is_lagging && self.deliver(client, &letter, out);
        if !is_taken {
            self.directory.fall_behind(client, letter.serial - 1);
        }
        mail::post(
            &mut self.directory,
            &mut self.fanout,
            client,
            letter,
            is_taken,
        );
        is_taken
    }

    /// Queues a broadcast that the connection refused. Data-dialect clients have no queue: they are closed with 4430.
    pub(in crate::hub) fn keep_for(&mut self, now: Now, client: ClientKey, message: Broadcast<'_>) {
        if self.directory.client(client).dialect == Dialect::Payload {
            let letter = mail::letter(&mut self.fanout, now, message.kind, message.payload);
            self.directory.fall_behind(client, letter.serial - 1);
            mail::post(&mut self.directory, &mut self.fanout, client, letter, false);
        }
    }

    fn deliver(&mut self, client: ClientKey, letter: &DirectMessage, out: &mut dyn Outlet) -> bool {
        let reader = self.directory.client(client).connection;
        let publication = letter.envelope().into();
        self.fanout.offer(&publication, reader, Lane::Log, out)
    }

    /// A client's connection does or does not hold unsent bytes. When it has drained, it gets the newest states; if it is
    /// lagging, these come with [`Hub::recover`].
    pub fn handle_backlog(
        &mut self,
        now: Now,
        client: ClientKey,
        backlogged: bool,
        out: &mut dyn Outlet,
    ) {
        let reader = self.directory.client_mut(client);
        let was = std::mem::replace(&mut reader.backlogged, backlogged);
        if was && !backlogged && !reader.is_lagging {
            let (broadcaster, mut scope) = self.scope(now, out);
            broadcaster.catch_up(&mut scope, client);
        }
    }

    /// What is due to a client follows in a later turn.
    pub fn postpone(&mut self, client: ClientKey) {
        let reader = self.directory.client_mut(client);
        reader.backlogged = true;
        self.fanout.load.postpone(reader.id);
    }

    /// The client that has waited longest for its share of a turn, if it still waits.
    pub fn poll_postponed(&mut self) -> Option<ClientKey> {
        while let Some(id) = self.fanout.load.poll_postponed() {
            let client = self.directory.living_client(id);
            let waits = |client: &ClientKey| {
                let reader = self.directory.client(*client);
                reader.backlogged && !reader.is_away
            };
            if let Some(client) = client.filter(waits) {
                return Some(client);
            }
        }
        None
    }

    /// Sends a client that has joined rooms what is due (contract section 5.4): of each the entries after its `since`, or
    /// as many of them as the log still holds, and the state of the room's task.
    pub fn welcome(
        &mut self,
        now: Now,
        client: ClientKey,
        rooms: &[(RoomKey, Option<Since>)],
        out: &mut dyn Outlet,
    ) {
        let replays = self.begin_replays(client, rooms);
        for (room, _) in rooms {
            if let Some(offset) = replays.get(room) {
                self.replay(now, client, *room, *offset, out);
            }
            // A state after what it lacks comes with that.
            if !self.directory.client(client).is_lagging {
                let (broadcaster, mut scope) = self.scope(now, out);
                match scope.fanout.load.is_spent() {
                    true => replay::postpone(&mut scope, client),
                    false => broadcaster.send_snapshot(&mut scope, client, *room),
                }
            }
        }
    }

    /// Sets a member back in the rooms of which it named a place, though it may have had some of what follows before. The
    /// rooms whose logs hold any of that, and the offsets after which they do.
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
            // These are older than what it has received of other rooms, and may not arrive.
            self.directory.rewind_confirmed(client, first - 1);
        }
        for place in &places {
            self.set_back(place);
        }
        self.save(client, Unsaved::RECEIVED);
        self.save(client, Unsaved::ROOMS);
        let due = places.iter().filter(|place| place.first.is_some());
        due.map(|place| (place.room, place.offset)).collect()
    }

    /// Sends a member what a room's log holds after an offset, or has it follow what the member lacks already.
    fn replay(
        &mut self,
        now: Now,
        client: ClientKey,
        room: RoomKey,
        offset: u64,
        out: &mut dyn Outlet,
    ) {
        if self.directory.client(client).is_lagging {
            return self.directory.client_mut(client).set_older(room, offset);
        }
        let (_, mut scope) = self.scope(now, out);
        replay::replay_room(&mut scope, client, room, offset);
    }

    /// Where a member goes on that names a place.
    fn place_after(&self, client: ClientKey, room: RoomKey, since: Since) -> Option<Place> {
        let member = self.directory.member(client, room)?;
        let is_lossy = !self.can_recover(room, since);
        let found = self.directory.room(room);
        let wanted = match since {
            Since::After(position) if !is_lossy => found.resolve(position),
            Since::Start | Since::After(_) => None,
        };
        // What a lagging member is still owed comes before the place that it was told it will be at.
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

    fn set_back(&mut self, place: &Place) {
        let Place {
            offset, is_lossy, ..
        } = *place;
        let membership = self.directory.membership_mut(place.member);
        membership.unsaved |= offset < membership.from || is_lossy && !membership.told_of_loss;
        membership.from = membership.from.min(offset);
        membership.told_of_loss |= is_lossy;
        membership.forget();
    }
}

/// Where a member of a room wants to go on.
struct Place {
    room: RoomKey,
    member: Member,
    /// Whether entries after it are gone.
    is_lossy: bool,
    /// It has everything up to here.
    offset: u64,
    /// The serial of the first entry after it.
    first: Option<u64>,
}
