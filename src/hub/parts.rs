//! The hub as a whole: its parts, its settings, and the calls that need several parts at once.
//!
//! It owns no rule of its own. Each folder beside this file adds an `impl Hub` that works on the parts it needs; what is here
//! only borrows several parts together and passes them on.

use crate::base::time::{Now, Span, Time};
use crate::hub::budget::{Work, Workload};
use crate::hub::clients::expiry::{Departures, SessionSettings};
use crate::hub::delivery::fanout::{Broadcast, BroadcastCounts, Fanout, RoomMessage};
use crate::hub::delivery::publication::Outlet;
use crate::hub::durable::restore::Restoring;
use crate::hub::keys::RoomKey;
use crate::hub::rooms::directory::{Directory, Full};
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::{Broadcaster, BroadcasterSettings};
use crate::hub::timer::{Timer, Timers};
use crate::hub::workspaces::documents::{WorkspaceSettings, Workspaces};
use crate::wire::locale::Locale;

/// The part of the configuration that the hub reads (contract section 8).
#[derive(Debug, Clone)]
pub struct HubSettings {
    pub locale: Locale,
    pub broadcaster: BroadcasterSettings,
    /// Most entries in one room's log, and most direct messages queued for one client.
    pub message_queue_size: usize,
    pub sessions: SessionSettings,
    /// Most rooms (0: no limit).
    pub max_rooms: usize,
    /// Most rooms that exist only because viewers asked for them (0: no limit).
    pub max_viewer_rooms: usize,
    /// Most rooms per client (0: no limit); it binds API calls as well.
    pub max_rooms_per_client: usize,
    pub workspaces: WorkspaceSettings,
}

/// Randomness, which the hub takes as an input so that a seed reproduces a run.
#[derive(Debug, Clone)]
pub struct HubSeed {
    /// Keys of the hash tables: names come from outside, and known keys would let a client craft collisions.
    pub hash: [u64; 2],
    /// Prefix of every message id of this process.
    pub message_prefix: String,
}

/// All state of clients, rooms, tasks and workspaces.
#[derive(Debug)]
pub struct Hub {
    pub(in crate::hub) directory: Directory,
    pub(in crate::hub) broadcaster: Broadcaster,
    pub(in crate::hub) fanout: Fanout,
    pub(in crate::hub) timers: Timers,
    /// Aging work that is due waits until then, so that a large backlog of it does not hold the loop.
    pub(in crate::hub) aging_paused_until: Time,
    pub(in crate::hub) departures: Departures,
    pub(in crate::hub) workspaces: Workspaces,
    pub(in crate::hub) restoring: Restoring,
    pub(in crate::hub) settings: HubSettings,
    /// What it was made from, so that another can be made.
    pub(in crate::hub) seed: HubSeed,
}

/// The outcome of joining a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    pub room: RoomKey,
    /// Whether the client was not in it before.
    pub is_new: bool,
}

impl Hub {
    pub fn new(settings: HubSettings, seed: HubSeed) -> Self {
        Self {
            directory: Directory::new(settings.max_rooms, settings.max_viewer_rooms, seed.hash),
            broadcaster: Broadcaster::new(settings.broadcaster.clone(), seed.hash),
            fanout: Fanout::new(
                seed.message_prefix.clone(),
                settings.message_queue_size,
                settings.broadcaster.keep_completed,
                settings.locale,
            ),
            timers: Timers::default(),
            aging_paused_until: Time::ZERO,
            departures: Departures::new(settings.sessions),
            workspaces: Workspaces::new(settings.workspaces, seed.hash),
            restoring: Restoring::default(),
            settings,
            seed,
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    pub fn broadcaster(&self) -> &Broadcaster {
        &self.broadcaster
    }

    pub fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    pub fn counts(&self) -> &BroadcastCounts {
        self.fanout.counts()
    }

    /// Publishes a message to a room; returns how many connections took it.
    pub fn publish(&mut self, now: Now, message: RoomMessage<'_>, out: &mut dyn Outlet) -> usize {
        let room = message.room;
        let delivered = self.fanout.publish(&mut self.directory, now, message, out);
        // The first entry starts the clock of the log's expiry.
        self.watch_log(room);
        // A log that holds nothing keeps no room.
        if self.settings.message_queue_size == 0 {
            self.directory.forget_if_idle(room);
        }
        delivered
    }

    pub fn find_or_create_room(&mut self, name: &str) -> Result<RoomKey, Full> {
        self.directory.find_or_create(name)
    }

    /// Sends a message to every client, or to those of one dialect; returns how many connections took it. Clients of the payload dialect
    /// that did not take it find it in their direct queues.
    pub fn broadcast(&mut self, now: Now, message: Broadcast<'_>, out: &mut dyn Outlet) -> usize {
        let spread = self.fanout.broadcast(&self.directory, now, message, out);
        // After the walk, which borrows the directory.
        for client in spread.refused {
            self.keep_for(now, client, message);
        }
        spread.delivered
    }

    pub fn load(&mut self) -> &mut Workload {
        &mut self.fanout.load
    }

    pub fn is_turn_full(&self) -> bool {
        self.fanout.load.is_full()
    }

    pub fn peak(&self) -> Work {
        self.fanout.load.peak()
    }

    pub fn handle_timer(&mut self, now: Now, timer: Timer, out: &mut dyn Outlet) {
        match timer {
            Timer::Aging => self.age(now, out),
            Timer::Sessions => {
                // Disarmed first, because expiring sets the timer for the next session.
                self.departures.disarm();
                self.expire_sessions(now.at, now.at);
            }
            Timer::Flush(key) => {
                let (broadcaster, mut scope) = self.scope(now, out);
                broadcaster.handle_flush_due(&mut scope, key);
            }
            Timer::WriteDebounce => {
                self.fanout.journal.rests.disarm();
                self.end_rests(now.at);
            }
        }
    }

    /// When a task or log next changes without any input.
    pub fn next_aging(&self) -> Option<Time> {
        let tasks = self.broadcaster.next_aging().into_iter();
        let due = tasks.chain(self.directory.next_aging()).min()?;
        // What the last portion left over is due already: pause before it.
        Some(due.max(self.aging_paused_until))
    }

    /// Call once the inputs of the turn are all handled: encodes and sends the progress of the tasks that they marked.
    pub fn settle(&mut self, now: Now, out: &mut dyn Outlet) {
        // Once per turn, however many events a task had: viewers need its newest state only.
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.settle(&mut scope);
    }

    /// Call at the end of a turn, after the writes: resets the turn's budget and measures latency up to here.
    pub fn handle_turn_end(&mut self, now: Now, took: Span, backlogged_share: f64) {
        self.fanout.handle_turn_end(now.at);
        self.broadcaster
            .pace_mut()
            .handle_turn(now.at, took, backlogged_share);
    }

    pub fn poll_timer(&mut self) -> Option<(Time, Timer)> {
        // Rests keep their own queue in order of time, so that only their earliest end needs a timer.
        let rests = self.fanout.journal.rests.arm();
        let rests = rests.map(|at| (at, Timer::WriteDebounce));
        rests.or_else(|| self.timers.pop())
    }

    /// Splits the hub into the broadcaster and the parts that it works on, which a method of `Hub` could not borrow together.
    pub(in crate::hub) fn scope<'a>(
        &'a mut self,
        now: Now,
        out: &'a mut dyn Outlet,
    ) -> (&'a mut Broadcaster, Scope<'a>) {
        let scope = Scope {
            directory: &mut self.directory,
            fanout: &mut self.fanout,
            timers: &mut self.timers,
            out,
            now,
        };
        (&mut self.broadcaster, scope)
    }
}
