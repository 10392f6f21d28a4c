//! What the hub is made of. The folders beside this file are what it does, each in a file of `impl Hub` that works on the parts
//! it needs.

use crate::base::time::{Now, Span, Time};
use crate::hub::budget::{Work, Workload};
use crate::hub::clients::expiry::{SessionSettings, Sessions};
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

/// What the hub must know of the configuration (contract section 8).
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// The language of log lines.
    pub locale: Locale,
    /// How tasks are broadcast.
    pub broadcaster: BroadcasterSettings,
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
    pub(in crate::hub) rested_at: Time,
    pub(in crate::hub) sessions: Sessions,
    pub(in crate::hub) workspaces: Workspaces,
    pub(in crate::hub) restoring: Restoring,
    pub(in crate::hub) settings: HubSettings,
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

    /// What this turn has cost so far, and whose share of it waits for a later one.
    pub fn load(&mut self) -> &mut Workload {
        &mut self.fanout.load
    }

    /// Whether this turn has cost so much that further input waits for the next.
    pub fn is_turn_full(&self) -> bool {
        self.fanout.load.is_full()
    }

    /// The most that one turn has cost.
    pub fn peak(&self) -> Work {
        self.fanout.load.peak()
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
}
