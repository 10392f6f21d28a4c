//! Everything that is known of clients, rooms, tasks and workspaces, and what may be done with it.

use crate::base::time::{Now, Span, Time};
use crate::hub::budget::{Work, Workload};
use crate::hub::clients::client::ClientKey;
use crate::hub::clients::expiry::{SessionSettings, Sessions};
use crate::hub::delivery::fanout::{Broadcast, BroadcastCounts, Fanout, RoomMessage};
use crate::hub::delivery::progress::Scope;
use crate::hub::delivery::publication::{Framer, Outlet};
use crate::hub::durable::journal::{Record, Restored, Table};
use crate::hub::durable::records;
use crate::hub::durable::restore::{self, Restoring};
use crate::hub::rooms::directory::{Directory, Full, RoomKey};
use crate::hub::tasks::broadcaster::{Broadcaster, BroadcasterSettings};
use crate::hub::tasks::outcome::{ControlRefused, Outcome, Refused};
use crate::hub::tasks::removal::Removal;
use crate::hub::tasks::rules::DropReason;
use crate::hub::tasks::size::Truncated;
use crate::hub::tasks::table::TaskKey;
use crate::hub::timer::{Timer, Timers};
use crate::hub::workspaces::documents::{WorkspaceSettings, Workspaces};
use crate::wire::locale::Locale;
use crate::wire::message::{Control, Event, Report};

/// So many logs are looked at in one turn: after a restart many may be due together.
const LOGS_AT_ONCE: usize = 256;
/// How long others have their turn when there is more to do.
const PAUSE: Span = Span::from_millis(1);

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
    /// How clients that have left may come back.
    pub sessions: SessionSettings,
    /// How many rooms there may be (0: no limit).
    pub max_rooms: usize,
    /// How many of them may be held by viewers only (0: no limit).
    pub max_viewer_rooms: usize,
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
    pub(in crate::hub) directory: Directory,
    pub(in crate::hub) broadcaster: Broadcaster,
    pub(in crate::hub) fanout: Fanout,
    pub(in crate::hub) timers: Timers,
    /// What is due is not seen to before: others have their turn.
    rested_at: Time,
    pub(in crate::hub) sessions: Sessions,
    pub(in crate::hub) workspaces: Workspaces,
    restoring: Restoring,
    pub(in crate::hub) settings: HubSettings,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// It counted.
    Accepted(Accepted),
    /// It was late, repeated or out of order.
    Dropped(Dropped),
    /// It changes nothing, because it may not.
    Refused(Refused),
}

/// A report that counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The task, if it was about one.
    pub task: Option<TaskKey>,
    /// Its fields that were cut.
    pub truncated: Vec<Truncated>,
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The task of this id.
    Task(Box<str>),
    /// The room of this name.
    Room(Box<str>),
}

impl Subject {
    fn of(event: Event) -> Self {
        match event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => Self::Task(task_id),
            Event::Room { room, .. } => Self::Room(room),
        }
    }

    /// The id of the task.
    fn task(&self) -> Option<&str> {
        match self {
            Self::Task(name) => Some(name),
            Self::Room(_) => None,
        }
    }
}

/// What event ids are told apart by, in two parts. No id of a task begins like that of a room: a room and a task of one
/// name are two.
fn id_scope(event: &Event) -> [&str; 2] {
    match event {
        Event::Task { task_id, .. } | Event::Item { task_id, .. } => ["", task_id],
        Event::Room { room, .. } => ["\n", room],
    }
}

/// A report that did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The task that it was about, if that is known.
    pub task: Option<TaskKey>,
    /// What it was about.
    pub subject: Subject,
    /// Why.
    pub reason: DropReason,
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
            directory: Directory::new(settings.max_rooms, settings.max_viewer_rooms, seed.hash),
            broadcaster: Broadcaster::new(settings.broadcaster.clone(), seed.hash),
            fanout: Fanout::new(
                seed.message_prefix,
                settings.message_queue_size,
                settings.broadcaster.keep_completed,
                settings.locale,
                settings.compression_threshold,
            ),
            timers: Timers::default(),
            rested_at: Time::ZERO,
            sessions: Sessions::new(settings.sessions),
            workspaces: Workspaces::new(settings.workspaces, seed.hash),
            restoring: Restoring::default(),
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

    /// Whether anything is to go to the store with the next batch.
    pub fn has_records(&self) -> bool {
        !self.fanout.journal.is_empty()
            || self.fanout.journal.is_on() && self.directory.has_forgotten()
    }

    /// Whether sessions have changed that were written less than a second ago, so that they go with a later batch.
    pub fn has_resting_changes(&self) -> bool {
        self.fanout.journal.rests.is_awaited()
    }

    /// A store has missed some of what it was told: all that there is goes to it again.
    pub fn mark_everything(&mut self) {
        self.keep(self.workspaces.records());
        records::mark_everything(&mut self.directory, &mut self.broadcaster, &mut self.fanout);
    }

    /// Takes back a slice of what a store has kept, before anything happens. The last is followed by [`Hub::begin_epochs`]
    /// and [`Hub::finish_restoring`].
    pub fn restore(&mut self, now: Now, restored: &Restored, out: &mut dyn Outlet) {
        records::restore_meta(&mut self.directory, restored);
        let limit = self.settings.message_queue_size;
        let mut restoring = std::mem::take(&mut self.restoring);
        let (broadcaster, mut scope) = self.scope(now, out);
        restore::restore(&mut scope, broadcaster, &mut restoring, limit, restored);
        self.restoring = restoring;
        self.workspaces.restore(&restored.rows);
    }

    /// So many rooms that were restored begin their new epoch; `false`: all have.
    pub fn begin_epochs(&mut self, now: Now, count: usize, out: &mut dyn Outlet) -> bool {
        let mut restoring = std::mem::take(&mut self.restoring);
        let (_, mut scope) = self.scope(now, out);
        let more = restore::begin_epochs(&mut scope, &mut restoring, count);
        self.restoring = restoring;
        more
    }

    /// Everything is restored and has its epoch: it grows old from now on.
    pub fn finish_restoring(&mut self, now: Now, out: &mut dyn Outlet) {
        self.restoring = Restoring::default();
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.finish_restoring(&mut scope);
        self.workspaces.finish_restoring();
        self.wake_up(now);
    }

    /// Everybody who was here is away, and every log grows old.
    fn wake_up(&mut self, now: Now) {
        let away: Vec<ClientKey> = self.directory.all_clients().map(|(key, _)| key).collect();
        for client in away {
            self.sessions
                .record(now.at, self.directory.client(client), &self.directory);
        }
        self.shed_sessions();
        self.expire_sessions(now);
        let rooms: Vec<RoomKey> = self.directory.rooms().map(|(key, _)| key).collect();
        for room in rooms {
            self.watch_log(room);
            self.directory.forget_if_idle(room);
        }
    }

    /// How much has gathered for the store, in bytes.
    pub fn gathered_bytes(&self) -> usize {
        self.fanout.journal.bytes()
    }

    /// Changes are not to be kept: there is nobody to take them.
    pub fn turn_off_journal(&mut self, now: Now) {
        self.write_all_sessions_now();
        self.take_records(now, usize::MAX);
        self.fanout.journal.turn_off();
    }

    /// Records of somebody else's are to be kept.
    pub fn keep(&mut self, records: Vec<Record>) {
        records
            .into_iter()
            .for_each(|record| self.fanout.journal.push(record));
    }

    /// A single fact is to be kept.
    pub fn keep_meta(&mut self, key: &str, value: String) {
        self.fanout.journal.put(Table::Meta, key, value);
    }

    /// From now on everything that must outlive the process goes to a store.
    pub fn turn_on_journal(&mut self) {
        self.fanout.journal.turn_on();
    }

    /// What the store has yet to learn, of so many sessions at most.
    pub fn take_records(&mut self, now: Now, max_sessions: usize) -> Vec<Record> {
        self.end_rests(now.at);
        records::take_records(
            &mut self.directory,
            &mut self.broadcaster,
            &mut self.fanout,
            now,
            max_sessions,
        )
    }

    /// Whether an event was accepted before, as far as its id tells.
    pub fn is_known(&self, report: &Report) -> bool {
        let repeats = &self.broadcaster.repeats;
        let key = |id| repeats.key(id_scope(&report.event), id);
        report
            .id
            .as_deref()
            .is_some_and(|id| repeats.knows(key(id)))
    }

    /// Takes what a producer reports.
    pub fn ingest(&mut self, now: Now, report: Report, out: &mut dyn Outlet) -> Ingested {
        let Some(id) = report.id else {
            return self.handle_event(now, report.event, false, out);
        };
        let key = self.broadcaster.repeats.key(id_scope(&report.event), &id);
        let journal = &mut self.fanout.journal;
        if self.broadcaster.is_repeat(now, key, journal) {
            let subject = Subject::of(report.event);
            return Ingested::Dropped(Dropped {
                task: subject
                    .task()
                    .and_then(|task| self.broadcaster.tasks().find(task)),
                subject,
                reason: DropReason::Repeat,
            });
        }
        let ingested = self.handle_event(now, report.event, true, out);
        if let Ingested::Accepted(_) = &ingested {
            let journal = &mut self.fanout.journal;
            self.broadcaster.repeats.remember(now, key, journal);
        }
        ingested
    }

    /// Publishes a message to a room; tells how many it reached.
    pub fn publish(&mut self, now: Now, message: RoomMessage<'_>, out: &mut dyn Outlet) -> usize {
        let room = message.room;
        let delivered = self.fanout.publish(&mut self.directory, now, message, out);
        self.watch_log(room);
        delivered
    }

    /// The room of that name, made when there is none.
    pub fn find_or_create_room(&mut self, name: &str) -> Result<RoomKey, Full> {
        self.directory.find_or_create(name)
    }

    /// Sends a message to every client, or to those of one dialect; tells how many it reached.
    pub fn broadcast(&mut self, now: Now, message: Broadcast<'_>, out: &mut dyn Outlet) -> usize {
        let spread = self.fanout.broadcast(&self.directory, now, message, out);
        for client in spread.refused {
            self.keep_for(now, client, message);
        }
        spread.delivered
    }

    /// Records what a viewer asks of a task's worker.
    pub fn control(
        &mut self,
        now: Now,
        task: &str,
        control: Control,
        by: &str,
        out: &mut dyn Outlet,
    ) -> Result<(), ControlRefused> {
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.handle_control(&mut scope, task, control, by)
    }

    /// Forgets a task, also one whose row could not be read; `false` when there is none of that id.
    pub fn forget(&mut self, now: Now, task: &str, why: Removal, out: &mut dyn Outlet) -> bool {
        let (broadcaster, mut scope) = self.scope(now, out);
        match broadcaster.tasks().find(task) {
            Some(key) => broadcaster.forget(&mut scope, key, why).is_some(),
            None => broadcaster.forget_unread(&mut scope, task, why),
        }
    }

    /// What this turn has cost so far, and whose share of it waits for a later one.
    pub fn load(&mut self) -> &mut Workload {
        self.fanout.load()
    }

    /// Whether this turn has cost so much that further input waits for the next.
    pub fn is_turn_full(&self) -> bool {
        self.fanout.load_so_far().is_full()
    }

    /// The most that one turn has cost.
    pub fn peak(&self) -> Work {
        self.fanout.load_so_far().peak()
    }

    /// Puts encoded messages into frames.
    pub fn framer(&mut self) -> &mut Framer {
        self.fanout.framer()
    }

    /// A reminder's time has come.
    pub fn handle_timer(&mut self, now: Now, timer: Timer, out: &mut dyn Outlet) {
        match timer {
            Timer::Aging => self.age(now, out),
            Timer::Sessions => {
                self.sessions.disarm();
                self.expire_sessions(now);
            }
            Timer::Flush(key) => {
                let (broadcaster, mut scope) = self.scope(now, out);
                broadcaster.handle_flush_due(&mut scope, key);
            }
            Timer::Rests => {
                self.fanout.journal.rests.disarm();
                self.end_rests(now.at);
            }
        }
    }

    /// When time alone next does something to a task or a log.
    pub fn next_aging(&self) -> Option<Time> {
        let tasks = self.broadcaster.next_aging().into_iter();
        let due = tasks.chain(self.directory.next_aging()).min()?;
        Some(due.max(self.rested_at))
    }

    /// The turn's inputs are all in: what was marked goes out.
    pub fn settle(&mut self, now: Now, out: &mut dyn Outlet) {
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.settle(&mut scope);
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
        let rests = self.fanout.journal.rests.arm();
        let rests = rests.map(|at| (at, Timer::Rests));
        rests.or_else(|| self.timers.pop())
    }

    /// The broadcaster, and everything else that it works on.
    pub(in crate::hub) fn scope<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut dyn Outlet,
    ) -> (&'a mut Broadcaster, Scope<'a>) {
        let Self {
            directory,
            broadcaster,
            fanout,
            timers,
            ..
        } = self;
        (
            broadcaster,
            Scope {
                directory,
                fanout,
                timers,
                out,
                now,
            },
        )
    }

    fn handle_event(
        &mut self,
        now: Now,
        event: Event,
        has_id: bool,
        out: &mut dyn Outlet,
    ) -> Ingested {
        let (id, outcome) = match event {
            Event::Task {
                task_id,
                kind,
                patch,
            } => {
                let (broadcaster, mut scope) = self.scope(now, out);
                let outcome = broadcaster.handle_event(&mut scope, &task_id, kind, *patch, has_id);
                (task_id, outcome)
            }
            Event::Item {
                task_id,
                kind,
                payload,
            } => {
                let (broadcaster, mut scope) = self.scope(now, out);
                let outcome = broadcaster.handle_item(&mut scope, &task_id, kind.as_str(), payload);
                (task_id, outcome)
            }
            Event::Room {
                room,
                kind,
                payload,
            } => {
                let Ok(room) = self.directory.find_or_create(&room) else {
                    return Ingested::Refused(Refused::Limit("websocket.max_rooms"));
                };
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
                return Ingested::Accepted(Accepted::default());
            }
        };
        match outcome {
            Outcome::Accepted(key, truncated) => Ingested::Accepted(Accepted {
                task: Some(key),
                truncated,
            }),
            Outcome::Dropped(key, reason) => Ingested::Dropped(Dropped {
                task: key,
                subject: Subject::Task(id),
                reason,
            }),
            Outcome::Refused(refused) => Ingested::Refused(refused),
        }
    }

    /// Lets a room's log expire, unless it is a task's: that lives as long as the task.
    fn watch_log(&mut self, room: RoomKey) {
        let log = self.directory.room(room).log.as_ref();
        let log = log.filter(|log| log.aging.is_none());
        let until = log.and_then(|log| log.oldest_until());
        let has_ttl = !self.settings.broadcaster.keep_completed.is_zero();
        if let Some(until) = until.filter(|_| has_ttl)
            && self.broadcaster.task_of(&self.directory, room).is_none()
        {
            self.directory.age_log(room, until);
        }
    }

    /// Expires logs and looks at tasks that are due, a bounded number in one turn.
    fn age(&mut self, now: Now, out: &mut dyn Outlet) {
        let (broadcaster, mut scope) = self.scope(now, out);
        let has_more = broadcaster.age(&mut scope);
        for _ in 0..LOGS_AT_ONCE {
            let Some(room) = self.directory.poll_aging(now.at) else {
                break;
            };
            self.age_log(now, room);
        }
        if has_more || self.directory.next_aging().is_some_and(|at| at <= now.at) {
            self.rested_at = now.at + PAUSE;
        }
    }

    fn age_log(&mut self, now: Now, room: RoomKey) {
        if self.broadcaster.task_of(&self.directory, room).is_some() {
            return;
        }
        if let Some(log) = &mut self.directory.room_mut(room).log {
            log.expire(now.at);
        }
        self.fanout.keep_expiry(&mut self.directory, room);
        self.watch_log(room);
        self.directory.forget_if_idle(room);
    }
}
