//! The hub as a whole: its parts, and the calls that need several parts at once.
//!
//! It owns no rule of its own. Each folder beside this file adds an `impl Hub` that works on the parts it needs; what is here
//! only borrows several parts together and passes them on.

use crate::base::time::{Span, Time};
use crate::hub::budget::Workload;
use crate::hub::clients::expiry::Departures;
use crate::hub::delivery::fanout::{BroadcastCounts, Fanout};
use crate::hub::delivery::publication::Outlet;
use crate::hub::delivery::publishing::{Broadcast, RoomMessage};
use crate::hub::durable::restore::Restoring;
use crate::hub::keys::ClientKey;
use crate::hub::rooms::directory::{Directory, Full};
use crate::hub::scope::Scope;
use crate::hub::settings::{HubSettings, Moment};
use crate::hub::tasks::broadcaster::Broadcaster;
use crate::hub::timer::{Timer, Timers};
use crate::hub::workspaces::documents::Workspaces;

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
    /// What it was made from, so that another can be made.
    pub(in crate::hub) seed: HubSeed,
}

impl Hub {
    pub fn new(seed: HubSeed) -> Self {
        Self {
            directory: Directory::new(seed.hash),
            broadcaster: Broadcaster::new(seed.hash),
            fanout: Fanout::new(seed.message_prefix.clone()),
            timers: Timers::default(),
            aging_paused_until: Time::ZERO,
            departures: Departures::default(),
            workspaces: Workspaces::new(seed.hash),
            restoring: Restoring::default(),
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

    /// Publishes a message to a room, which is created even without members: its log serves clients that subscribe with `since` later.
    /// Returns how many connections took it. `sender`: does not receive it.
    pub fn publish(
        &mut self,
        moment: Moment<'_>,
        room: &str,
        (kind, payload): (&str, String),
        sender: Option<ClientKey>,
        out: &mut dyn Outlet,
    ) -> Result<usize, Full> {
        let room = self.directory.find_or_create(room, moment.settings)?;
        let message = RoomMessage {
            except: sender,
            ..RoomMessage::new(room, kind, payload)
        };
        let delivered = self.scope(moment, out).1.publish(message);
        // The first entry starts the clock of the log's expiry.
        self.watch_log(room, moment.settings);
        // A log that holds nothing keeps no room.
        if moment.settings.message_queue_size == 0 {
            self.directory.forget_if_idle(room);
        }
        Ok(delivered)
    }

    /// Sends a message to every client, or to those of one dialect; returns how many connections took it.
    pub fn broadcast(
        &mut self,
        moment: Moment<'_>,
        message: Broadcast<'_>,
        out: &mut dyn Outlet,
    ) -> usize {
        self.scope(moment, out).1.broadcast(message)
    }

    /// Sends a direct message; returns whether the client's connection took it.
    pub fn send(
        &mut self,
        moment: Moment<'_>,
        client: ClientKey,
        kind: &str,
        payload: &str,
        out: &mut dyn Outlet,
    ) -> bool {
        self.scope(moment, out).1.send(client, kind, payload)
    }

    pub fn load(&mut self) -> &mut Workload {
        &mut self.fanout.load
    }

    pub fn is_turn_full(&self) -> bool {
        self.fanout.load.is_full()
    }

    pub fn handle_timer(&mut self, moment: Moment<'_>, timer: Timer, out: &mut dyn Outlet) {
        match timer {
            Timer::Aging => self.age(moment, out),
            Timer::Sessions => {
                // Disarmed first, because expiring sets the timer for the next session.
                self.departures.disarm();
                self.expire_sessions(moment, moment.now.at);
            }
            Timer::Flush(key) => {
                let (broadcaster, mut scope) = self.scope(moment, out);
                broadcaster.handle_flush_due(&mut scope, key);
            }
            Timer::WriteDebounce => {
                self.fanout.journal.rests.disarm();
                self.end_rests(moment.now.at);
            }
        }
    }

    /// When a task or log next changes without any input.
    pub fn next_aging(&self, settings: &HubSettings) -> Option<Time> {
        let tasks = self.broadcaster.next_aging(settings).into_iter();
        let due = tasks.chain(self.directory.next_aging()).min()?;
        // What the last portion left over is due already: pause before it.
        Some(due.max(self.aging_paused_until))
    }

    /// Call once the inputs of the turn are all handled: encodes and sends the progress of the tasks that they marked.
    pub fn settle(&mut self, moment: Moment<'_>, out: &mut dyn Outlet) {
        // Once per turn, however many events a task had: viewers need its newest state only.
        let (broadcaster, mut scope) = self.scope(moment, out);
        broadcaster.settle(&mut scope);
        self.tell_ended_logs();
    }

    /// Call at the end of a turn, after the writes: resets the turn's budget and measures latency up to here.
    pub fn handle_turn_end(&mut self, moment: Moment<'_>, took: Span, backlogged_share: f64) {
        self.fanout.handle_turn_end(moment.now.at);
        let pace = &mut self.broadcaster.pace;
        pace.handle_turn(moment, took, backlogged_share);
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
        Moment { now, settings }: Moment<'a>,
        out: &'a mut dyn Outlet,
    ) -> (&'a mut Broadcaster, Scope<'a>) {
        let scope = Scope {
            directory: &mut self.directory,
            fanout: &mut self.fanout,
            timers: &mut self.timers,
            out,
            now,
            settings,
        };
        (&mut self.broadcaster, scope)
    }
}
