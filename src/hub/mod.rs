//! Floor 2: the product. Rooms, logs, positions, tasks, deltas, pacing and estimates; it knows no socket.
//!
//! The hub takes what producers report and viewers ask for, decides, and hands finished frames to an [`Outlet`].
//! Time comes in with every call; what is to be done later goes out through [`Hub::poll_timer`].

pub mod broadcaster;
pub mod cache;
pub mod directory;
pub mod estimate;
pub mod fanout;
pub mod journal;
pub mod log;
pub mod pace;
pub mod position;
pub mod progress;
pub mod publication;
pub mod repeats;
pub mod rules;
pub mod task;
pub mod timer;
pub mod workspaces;

pub use broadcaster::{Broadcaster, BroadcasterSettings, ControlRefused, Outcome};
pub use cache::{TaskCache, TaskKey, TooManyTasks};
pub use directory::{Client, ClientId, ClientKey, Directory, Full, Room, RoomKey};
pub use fanout::{Broadcast, BroadcastCounts, RoomMessage};
pub use log::Missed;
pub use position::Position;
pub use publication::{Framer, Lane, Link, Outlet};
pub use timer::Timer;
pub use workspaces::{WorkspaceSettings, Workspaces};

use crate::base::time::{Now, Span, Time};
use crate::wire::locale::Locale;
use crate::wire::message::{Control, Event, Report, Variant};
use fanout::Fanout;
use progress::Stage;
use publication::Publication;
use std::borrow::Cow;
use timer::Timers;

/// What the hub must know of the configuration (contract section 8).
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The language of log lines.
    pub locale: Locale,
    /// How tasks are broadcast.
    pub broadcaster: BroadcasterSettings,
    /// Messages of fewer bytes are not compressed.
    pub compression_threshold: usize,
    /// How many log entries each room keeps.
    pub message_queue_size: usize,
    /// How many rooms there may be (0: no limit).
    pub max_rooms: usize,
    /// How many rooms a client may be in (0: no limit).
    pub max_rooms_per_client: usize,
    /// How many workspaces there may be, and how large.
    pub workspaces: WorkspaceSettings,
}

/// Randomness from outside: hash keys and the beginnings of ids.
#[derive(Debug, Clone)]
pub struct HubSeed {
    /// Keys of the hash tables, so that nobody can aim at their collisions.
    pub hash: [u64; 2],
    /// What every message id of this process begins with.
    pub message_prefix: String,
}

/// Everything that is known of clients, rooms and tasks.
#[derive(Debug)]
pub struct Hub {
    directory: Directory,
    broadcaster: Broadcaster,
    fanout: Fanout,
    timers: Timers,
    workspaces: Workspaces,
    settings: HubSettings,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// It counted, for this task if it was about one.
    Accepted(Option<TaskKey>),
    /// It was late, repeated or out of order.
    Dropped(Option<TaskKey>),
    /// A configured limit forbids it.
    Refused(&'static str),
}

/// A client's entry into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The room.
    pub room: RoomKey,
    /// Whether the client was not in it before.
    pub fresh: bool,
}

impl Hub {
    /// A hub where nobody is and nothing has happened.
    pub fn new(settings: HubSettings, seed: HubSeed) -> Self {
        Self {
            directory: Directory::new(settings.max_rooms, seed.hash),
            broadcaster: Broadcaster::new(settings.broadcaster.clone(), seed.hash),
            fanout: Fanout::new(
                seed.message_prefix,
                settings.message_queue_size,
                settings.locale,
                settings.compression_threshold,
            ),
            timers: Timers::default(),
            workspaces: Workspaces::new(settings.workspaces, seed.hash),
            settings,
        }
    }

    /// Clients and rooms.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Task states and their pace.
    pub fn broadcaster(&self) -> &Broadcaster {
        &self.broadcaster
    }

    /// Workspaces and their order.
    pub fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    /// The same, to be changed. Clients learn of a change by [`Hub::broadcast`].
    pub fn workspaces_mut(&mut self) -> &mut Workspaces {
        &mut self.workspaces
    }

    /// What has been broadcast.
    pub fn counts(&self) -> &BroadcastCounts {
        self.fanout.counts()
    }

    /// A client has connected.
    pub fn attach(&mut self, now: Now, link: Link, variant: Variant, nonce: u64) -> ClientKey {
        self.directory.attach(link, variant, now.wall_ms, nonce)
    }

    /// A client has gone.
    pub fn detach(&mut self, client: ClientKey) {
        self.directory.detach(client);
    }

    /// Puts a client into a room. What is due to it there comes with [`Hub::welcome`].
    pub fn join(&mut self, client: ClientKey, room: &str) -> Result<Joined, Full> {
        let (room, fresh) =
            self.directory
                .join(client, room, self.settings.max_rooms_per_client)?;
        Ok(Joined { room, fresh })
    }

    /// Takes a client out of a room; `false` when it was not in it.
    pub fn leave(&mut self, client: ClientKey, room: &str) -> bool {
        self.directory.leave(client, room)
    }

    /// Whether the log of a room still holds everything after `since`.
    pub fn can_recover(&self, room: RoomKey, since: Position) -> bool {
        let room = self.directory.room(room);
        let complete = |offset| match &room.log {
            Some(log) => log.after(offset).complete,
            None => offset == 0,
        };
        room.epoch == since.epoch && complete(since.offset)
    }

    /// Sends a client that has just joined what is due (contract section 5.4): what it missed after `since`, when the
    /// log still holds it, and the state of the room's task.
    pub fn welcome(
        &mut self,
        now: Now,
        client: ClientKey,
        room: RoomKey,
        since: Option<Position>,
        out: &mut dyn Outlet,
    ) {
        if let Some(since) = since.filter(|since| self.can_recover(room, *since)) {
            self.replay(client, room, since.offset, out);
        }
        let (broadcaster, mut stage) = self.on_stage(now, out);
        broadcaster.send_snapshot(&mut stage, client, room);
    }

    /// Takes what a producer reports.
    pub fn ingest(&mut self, now: Now, report: Report, out: &mut dyn Outlet) -> Ingested {
        let scope: Box<str> = match &report.event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => task_id.clone(),
            Event::Room { room, .. } => room.clone(),
        };
        if let Some(id) = &report.id
            && self.broadcaster.is_repeat(now, &scope, id)
        {
            return Ingested::Dropped(self.broadcaster.tasks().find(&scope));
        }
        let ingested = self.handle_event(now, report.event, out);
        if let (Some(id), Ingested::Accepted(_)) = (&report.id, ingested) {
            self.broadcaster.remember(now, &scope, id);
        }
        ingested
    }

    /// Publishes a message to a room; tells how many it reached.
    pub fn publish(&mut self, now: Now, message: RoomMessage<'_>, out: &mut dyn Outlet) -> usize {
        let room = message.room;
        let delivered = self.fanout.publish(&mut self.directory, now, message, out);
        let ttl = self.settings.broadcaster.task_ttl;
        self.timers
            .expire_log(&mut self.directory, room, now.at, ttl);
        delivered
    }

    /// The room of that name, made when there is none.
    pub fn find_or_create_room(&mut self, name: &str) -> Result<RoomKey, Full> {
        self.directory.find_or_create(name)
    }

    /// Sends a message to every client, or to those of one dialect; tells how many it reached.
    pub fn broadcast(&mut self, now: Now, message: Broadcast<'_>, out: &mut dyn Outlet) -> usize {
        self.fanout.broadcast(&self.directory, now, message, out)
    }

    /// Sends a message to one client; tells whether its connection took it.
    pub fn send(
        &mut self,
        now: Now,
        client: ClientKey,
        kind: &str,
        payload: &str,
        out: &mut dyn Outlet,
    ) -> bool {
        let publication = Publication::new(
            kind,
            Cow::Borrowed(payload),
            now.wall_ms,
            self.fanout.next_id(),
            None,
        );
        out.expect_readers(1);
        self.fanout
            .deliver(&self.directory, client, &publication, Lane::Log, out)
    }

    /// Records what a viewer asks of a task's worker.
    pub fn control(
        &mut self,
        now: Now,
        task: &str,
        control: Control,
        out: &mut dyn Outlet,
    ) -> Result<(), ControlRefused> {
        let (broadcaster, mut stage) = self.on_stage(now, out);
        broadcaster.handle_control(&mut stage, task, control)
    }

    /// Forgets a task; `false` when there is none of that id.
    pub fn forget(&mut self, now: Now, task: &str, out: &mut dyn Outlet) -> bool {
        let Some(key) = self.broadcaster.tasks().find(task) else {
            return false;
        };
        let (broadcaster, mut stage) = self.on_stage(now, out);
        broadcaster.forget(&mut stage, key).is_some()
    }

    /// How many clients watch any of these tasks, each counted once.
    pub fn watchers(&mut self, tasks: &[TaskKey]) -> usize {
        let mut rooms = Vec::new();
        for key in tasks {
            let Some(id) = self
                .broadcaster
                .tasks()
                .task(*key)
                .map(|task| task.id.clone())
            else {
                continue;
            };
            rooms.extend(self.broadcaster.room_of(&self.directory, &id));
        }
        if let [room] = rooms[..] {
            return self.directory.room(room).members().len();
        }
        let members = rooms
            .into_iter()
            .flat_map(|room| self.directory.room(room).members());
        members
            .map(|member| member.client)
            .collect::<std::collections::HashSet<_>>()
            .len()
    }

    /// What a room's log holds after a position; from its beginning when there is none or it is of another life.
    pub fn history(&self, room: RoomKey, since: Option<Position>) -> Missed<'_> {
        let room = self.directory.room(room);
        let offset = since
            .filter(|since| since.epoch == room.epoch)
            .map(|since| since.offset);
        let lost = since.is_some() && offset.is_none();
        let mut missed = match &room.log {
            Some(log) => log.after(offset.unwrap_or(0)),
            None => Missed {
                entries: Vec::new(),
                complete: offset.unwrap_or(0) == 0,
            },
        };
        missed.complete &= !lost;
        missed
    }

    /// Puts encoded messages into frames.
    pub fn framer(&mut self) -> &mut Framer {
        self.fanout.framer()
    }

    /// From now on a client is sent several messages as one, which is put together for it alone: its messages are shared
    /// in their plain form.
    pub fn handle_batches(&mut self, client: ClientKey) {
        self.directory.client_mut(client).variant.window = None;
    }

    /// A client's connection does or does not hold unsent bytes. When it has drained, it gets the newest states.
    pub fn handle_backlog(
        &mut self,
        now: Now,
        client: ClientKey,
        backlogged: bool,
        out: &mut dyn Outlet,
    ) {
        let was = std::mem::replace(
            &mut self.directory.client_mut(client).backlogged,
            backlogged,
        );
        if was && !backlogged {
            let (broadcaster, mut stage) = self.on_stage(now, out);
            broadcaster.catch_up(&mut stage, client);
        }
    }

    /// A reminder's time has come.
    pub fn handle_timer(&mut self, now: Now, timer: Timer, out: &mut dyn Outlet) {
        if let Timer::ExpireLog { room, life } = timer {
            return self.expire_log(now, room, life, timer);
        }
        let (broadcaster, mut stage) = self.on_stage(now, out);
        broadcaster.handle_timer(&mut stage, timer);
    }

    /// The turn's inputs are all in: what was marked goes out.
    pub fn settle(&mut self, now: Now, out: &mut dyn Outlet) {
        let (broadcaster, mut stage) = self.on_stage(now, out);
        broadcaster.settle(&mut stage);
    }

    /// The turn is over: everything is written that the sockets took.
    pub fn handle_turn_end(&mut self, now: Now, took: Span, backlogged_share: f64) {
        self.fanout.handle_turn_end(now.at);
        self.broadcaster
            .pace_mut()
            .handle_turn(now.at, took, backlogged_share);
    }

    /// The next reminder to be set.
    pub fn poll_timer(&mut self) -> Option<(Time, Timer)> {
        self.timers.pop()
    }

    /// The broadcaster, and everything else that it works on.
    fn on_stage<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut dyn Outlet,
    ) -> (&'a mut Broadcaster, Stage<'a>) {
        let Self {
            directory,
            broadcaster,
            fanout,
            timers,
            ..
        } = self;
        (
            broadcaster,
            Stage {
                directory,
                fanout,
                timers,
                out,
                now,
            },
        )
    }

    fn handle_event(&mut self, now: Now, event: Event, out: &mut dyn Outlet) -> Ingested {
        let outcome = match event {
            Event::Task {
                task_id,
                kind,
                patch,
            } => {
                let (broadcaster, mut stage) = self.on_stage(now, out);
                broadcaster.handle_event(&mut stage, &task_id, kind, *patch)
            }
            Event::Item {
                task_id,
                kind,
                payload,
            } => {
                let payload = String::from(Box::<str>::from(payload));
                let (broadcaster, mut stage) = self.on_stage(now, out);
                broadcaster.handle_item(&mut stage, &task_id, kind.as_str(), payload)
            }
            Event::Room {
                room,
                kind,
                payload,
            } => {
                let Ok(room) = self.directory.find_or_create(&room) else {
                    return Ingested::Refused("websocket.max_rooms");
                };
                let payload = String::from(Box::<str>::from(payload));
                self.publish(
                    now,
                    RoomMessage {
                        room,
                        kind: &kind,
                        payload,
                        except: None,
                    },
                    out,
                );
                return Ingested::Accepted(None);
            }
        };
        match outcome {
            Outcome::Accepted(key) => Ingested::Accepted(Some(key)),
            Outcome::Dropped(key) => Ingested::Dropped(Some(key)),
            Outcome::Refused(limit) => Ingested::Refused(limit),
        }
    }

    fn replay(&mut self, client: ClientKey, room: RoomKey, offset: u64, out: &mut dyn Outlet) {
        let (room, reader) = (self.directory.room(room), self.directory.client(client));
        let Some(log) = &room.log else { return };
        out.expect_readers(1);
        for entry in log.after(offset).entries {
            let message = entry.envelope(&room.name).encode(reader.variant);
            let frame = self.fanout.framer().frame(&message, reader.variant);
            out.deliver(reader.link, &frame, Lane::Log);
        }
    }

    fn expire_log(&mut self, now: Now, key: RoomKey, life: u32, timer: Timer) {
        let ttl = self.settings.broadcaster.task_ttl;
        let Some(room) = self.directory.living_room_mut(key, life) else {
            return;
        };
        let horizon = Time::from_micros(now.at.as_micros().saturating_sub(ttl.as_micros()));
        match room.log.as_mut().and_then(|log| log.expire(horizon)) {
            Some(oldest) => self.timers.push(oldest + ttl, timer),
            None => {
                room.expiry_armed = false;
                self.directory.forget_if_idle(key);
            }
        }
    }
}
