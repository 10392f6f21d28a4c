//! Seed 000's ProgressBroadcaster: takes task events, keeps each task's state, and sends what viewers lack, as seldom as
//! the pace allows.
//!
//! Owns the task cache, the window of repeated ids and the pace. A task's pending progress is a mark, not a queue; it
//! goes out at the end of a turn or with its timer, and always before a lifecycle message of the same task.

use super::cache::{TaskCache, TaskKey, TooManyTasks};
use super::client::ClientKey;
use super::directory::{Directory, RoomKey};
use super::fanout::RoomMessage;
use super::journal::{Journal, Restored, Table};
use super::pace::Pace;
use super::progress::{self, Stage};
use super::repeats::Repeats;
use super::rules::{self, Verdict};
use super::task::{Flush, Pending, Task};
use super::timer::Timer;
use crate::base::time::{Now, Span, Time};
use crate::wire::message::{Control, Status, TaskEvent, TaskPatch};
use smallvec::SmallVec;

/// How tasks are broadcast (contract section 8, `[broadcaster]`).
#[derive(Debug, Clone)]
pub struct BroadcasterSettings {
    /// Whether later progress messages carry only what has changed.
    pub enable_incremental_updates: bool,
    /// Points of progress below which movement waits.
    pub min_change_threshold: f64,
    /// The shortest time between two progress messages of a task.
    pub broadcast_interval: Span,
    /// How many times the interval may stretch under load.
    pub max_slowdown: f64,
    /// How long an ended task is remembered (zero: for ever).
    pub task_ttl: Span,
    /// How many tasks there may be (0: no limit).
    pub max_tasks: usize,
    /// How long a running task may be silent before it counts as stalled (zero: for ever).
    pub stall_timeout: Span,
    /// How long an event's id is remembered (zero: not at all).
    pub deduplication_window: Span,
    /// How many ids are remembered (0: without limit of number).
    pub max_deduplication_ids: usize,
}

/// Movement below the threshold waits this many intervals at most (contract section 4).
const MAX_HELD_INTERVALS: u32 = 10;

/// Task states and when they go out.
#[derive(Debug)]
pub struct Broadcaster {
    settings: BroadcasterSettings,
    tasks: TaskCache,
    repeats: Repeats,
    pace: Pace,
    marked: Vec<TaskKey>,
    planned: usize,
    dropped: u64,
    room_name: String,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It counted.
    Accepted(TaskKey),
    /// It was late, repeated or out of order.
    Dropped(TaskKey),
    /// The limit of that key forbids it.
    Refused(&'static str),
}

/// Why a control request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefused {
    /// No such task.
    UnknownTask,
    /// The task has ended.
    Ended(Status),
}

impl Broadcaster {
    /// No task yet.
    pub fn new(settings: BroadcasterSettings, seed: [u64; 2]) -> Self {
        Self {
            tasks: TaskCache::new(settings.max_tasks, seed),
            repeats: Repeats::new(
                settings.deduplication_window,
                settings.max_deduplication_ids,
                seed,
            ),
            pace: Pace::new(settings.broadcast_interval, settings.max_slowdown),
            marked: Vec::new(),
            planned: 0,
            dropped: 0,
            room_name: String::new(),
            settings,
        }
    }

    /// The known tasks.
    pub fn tasks(&self) -> &TaskCache {
        &self.tasks
    }

    /// How often progress goes out.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The pace, to be told of the load.
    pub fn pace_mut(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Events that were late, repeated or out of order.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Tasks whose progress waits to be sent.
    pub fn queue_len(&self) -> usize {
        self.planned
    }

    /// Takes a task event.
    pub fn handle_event(
        &mut self,
        stage: &mut Stage<'_>,
        id: &str,
        kind: TaskEvent,
        patch: TaskPatch,
    ) -> Outcome {
        let Ok(key) = self.find_or_create(stage, id) else {
            return Outcome::Refused("broadcaster.max_tasks");
        };
        let Some(task) = self.tasks.task(key) else {
            return Outcome::Refused("broadcaster.max_tasks");
        };
        match rules::judge(task, kind, &patch) {
            Verdict::Dropped(_) => {
                self.dropped += 1;
                return Outcome::Dropped(key);
            }
            Verdict::Progress => {
                self.change(key, |task| {
                    rules::apply(task, Verdict::Progress, patch, stage.now)
                });
                self.plan_flush(stage, key);
            }
            Verdict::Lifecycle(event) => self.turn(stage, key, event, patch),
        }
        self.watch_silence(stage, key);
        self.keep(stage, key);
        Outcome::Accepted(key)
    }

    /// Relays what a task brought forth; the event creates the task but does not move it.
    pub fn handle_item(
        &mut self,
        stage: &mut Stage<'_>,
        id: &str,
        kind: &str,
        payload: String,
    ) -> Outcome {
        let Some(room) = self.room_to_log(stage, id) else {
            return Outcome::Refused("websocket.max_rooms");
        };
        let Ok(key) = self.find_or_create(stage, id) else {
            stage.directory.forget_if_idle(room);
            return Outcome::Refused("broadcaster.max_tasks");
        };
        stage.fanout.publish(
            stage.directory,
            stage.now,
            RoomMessage {
                room,
                kind,
                payload,
                except: None,
            },
            stage.out,
        );
        stage
            .timers
            .expire_log(stage.directory, room, stage.now.at, self.settings.task_ttl);
        self.change(key, |task| {
            if !task.view.status.is_terminal() {
                task.last_event = stage.now.at;
                rules::set_stalled(task, false);
            }
        });
        self.plan_flush(stage, key);
        self.watch_silence(stage, key);
        self.keep(stage, key);
        Outcome::Accepted(key)
    }

    /// Whether an event of this id was accepted before; counts it when so.
    pub fn is_repeat(&mut self, now: Now, scope: &str, id: &str, journal: &mut Journal) -> bool {
        let repeat = self.repeats.contains(now, scope, id, journal);
        self.dropped += u64::from(repeat);
        repeat
    }

    /// Remembers the id of an accepted event.
    pub fn remember(&mut self, now: Now, scope: &str, id: &str, journal: &mut Journal) {
        self.repeats.remember(now, scope, id, journal);
    }

    /// Records what a viewer asks of the task's worker; viewers see it as `requested`.
    pub fn handle_control(
        &mut self,
        stage: &mut Stage<'_>,
        id: &str,
        control: Control,
    ) -> Result<(), ControlRefused> {
        let key = self.tasks.find(id).ok_or(ControlRefused::UnknownTask)?;
        let task = self
            .tasks
            .task_mut(key)
            .ok_or(ControlRefused::UnknownTask)?;
        if task.view.status.is_terminal() {
            return Err(ControlRefused::Ended(task.view.status));
        }
        rules::request(task, control, stage.now);
        self.plan_flush(stage, key);
        self.keep(stage, key);
        Ok(())
    }

    /// Forgets a task and its room's log. Whoever still watches will get a snapshot of a task that comes anew.
    pub fn forget(&mut self, stage: &mut Stage<'_>, key: TaskKey) -> Option<Task> {
        let mut task = self.tasks.remove(key)?;
        set_flush(&mut self.planned, &mut task, Flush::Idle);
        stage.fanout.journal.delete(Table::Task, &task.id);
        if let Some(room) = self.room_of(stage.directory, &task.id) {
            for place in 0..stage.directory.room(room).members().len() {
                let member = stage.directory.room(room).members()[place];
                stage.directory.membership_mut(member).forget();
            }
            if let Some(log) = &mut stage.directory.room_mut(room).log {
                log.expire(Time::from_micros(u64::MAX));
            }
            stage.fanout.keep_expiry(stage.directory, room);
            stage.directory.forget_if_idle(room);
        }
        Some(task)
    }

    /// A timer has fired.
    pub fn handle_timer(&mut self, stage: &mut Stage<'_>, timer: Timer) {
        match timer {
            Timer::Flush(key) => self.handle_flush_due(stage, key),
            Timer::Stall(key) => self.handle_silence(stage, key),
            Timer::Forget(key) => self.handle_forget_due(stage, key),
            Timer::ExpireLog { .. } | Timer::Sessions | Timer::Rests => {}
        }
    }

    /// Sends the progress that was marked in this turn.
    pub fn settle(&mut self, stage: &mut Stage<'_>) {
        let mut marked = std::mem::take(&mut self.marked);
        for key in marked.drain(..) {
            self.flush(stage, key);
        }
        self.marked = marked;
    }

    /// Sends a client that has just joined a task's room the whole state, if there is a task.
    pub fn send_snapshot(&mut self, stage: &mut Stage<'_>, client: ClientKey, room: RoomKey) {
        let Some(key) = self.task_of(stage.directory, room) else {
            return;
        };
        let alone = stage.directory.room(room).members().len() == 1;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        // Others who watch keep the estimate that they were sent, and whoever joins them is sent the same.
        if alone {
            task.refresh_estimate(stage.now.at);
            task.commit();
        }
        let Some(task) = self.tasks.task(key) else {
            return;
        };
        progress::send_newest(
            stage,
            task,
            client,
            room,
            self.settings.enable_incremental_updates,
        );
    }

    /// Sends a client whose connection has drained the newest state of every task that has moved meanwhile. Whoever is
    /// behind again after some of them begins with the others the next time.
    pub fn catch_up(&mut self, stage: &mut Stage<'_>, client: ClientKey) {
        let rooms: SmallVec<[RoomKey; 8]> = stage.directory.client(client).rooms().collect();
        let begin = stage.directory.client(client).caught_up() % rooms.len().max(1);
        for (step, room) in rooms[begin..].iter().chain(&rooms[..begin]).enumerate() {
            let task = self
                .task_of(stage.directory, *room)
                .and_then(|key| self.tasks.task(key));
            let Some(task) = task else { continue };
            let sent = progress::send_newest(
                stage,
                task,
                client,
                *room,
                self.settings.enable_incremental_updates,
            );
            if !sent {
                let reader = stage.directory.client_mut(client);
                return reader.set_caught_up((begin + step) % rooms.len());
            }
        }
        let reader = stage.directory.client_mut(client);
        reader.set_caught_up(0);
        reader.trim();
    }

    /// The task that a room is about.
    pub fn task_of(&self, directory: &Directory, room: RoomKey) -> Option<TaskKey> {
        self.tasks
            .find(directory.room(room).name.strip_prefix("task:")?)
    }

    /// The room of a task, if there is one.
    pub fn room_of(&mut self, directory: &Directory, id: &str) -> Option<RoomKey> {
        self.name_room(id);
        directory.find(&self.room_name)
    }

    /// Sees to it that the next batch for the store holds the task.
    fn keep(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let journal = &mut stage.fanout.journal;
        if let Some(task) = self.tasks.task_mut(key).filter(|_| journal.is_on())
            && !std::mem::replace(&mut task.is_unsaved, true)
        {
            journal.tasks.push(key);
        }
    }

    /// Sees to it that the next batch for the store holds every task.
    pub fn mark_all(&mut self, journal: &mut Journal) {
        for key in self.tasks.keys() {
            if let Some(task) = self.tasks.task_mut(key)
                && !std::mem::replace(&mut task.is_unsaved, true)
            {
                journal.tasks.push(key);
            }
        }
    }

    /// Sees to it that the next batch for the store holds every remembered id.
    pub fn keep_ids(&self, journal: &mut Journal) {
        self.repeats.keep_all(journal);
    }

    /// Takes back the ids that a store has kept.
    pub fn restore_ids(&mut self, stage: &mut Stage<'_>, restored: &Restored) {
        self.repeats.restore(stage.now, restored);
    }

    /// All that a store has kept is there.
    pub fn finish_restoring(&mut self, stage: &mut Stage<'_>) {
        self.repeats
            .finish_restoring(stage.now.at, &mut stage.fanout.journal);
    }

    /// Takes back a task that a store has kept.
    pub fn restore(
        &mut self,
        stage: &mut Stage<'_>,
        id: &str,
        row: &str,
    ) -> Result<(), serde_json::Error> {
        let task = Task::restored(id, row, stage.now)?;
        let ended = task.view.status.is_terminal();
        let key = self.tasks.insert(task);
        match ended {
            true => {
                self.tasks.handle_ended(key);
                self.watch_end(stage, key);
            }
            false => self.watch_silence(stage, key),
        }
        Ok(())
    }

    /// The row of a task that the store has yet to learn of.
    pub fn save(&mut self, key: TaskKey) -> Option<(&str, String)> {
        let task = self.tasks.task_mut(key)?;
        task.is_unsaved = false;
        Some((&task.id, task.saved()))
    }

    fn find_or_create(&mut self, stage: &mut Stage<'_>, id: &str) -> Result<TaskKey, TooManyTasks> {
        if let Some(key) = self.tasks.find(id) {
            return Ok(key);
        }
        if let Some(ended) = self.tasks.room_for_one()? {
            self.forget(stage, ended);
        }
        Ok(self.tasks.create(id, stage.now))
    }

    fn change(&mut self, key: TaskKey, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.task_mut(key) {
            change(task);
        }
    }

    /// The task turns: what is pending goes out first, then the message that says so, with the whole state.
    fn turn(&mut self, stage: &mut Stage<'_>, key: TaskKey, event: TaskEvent, patch: TaskPatch) {
        self.flush(stage, key);
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        rules::apply(task, Verdict::Lifecycle(event), patch, stage.now);
        task.refresh_estimate(stage.now.at);
        task.commit();
        let (payload, version, id) = (task.whole(false), task.version(), task.id.clone());
        let ended = task.view.status.is_terminal();
        if let Some(room) = self.room_to_log(stage, &id) {
            let message = RoomMessage {
                room,
                kind: event.as_str(),
                payload,
                except: None,
            };
            stage
                .fanout
                .publish(stage.directory, stage.now, message, stage.out);
            stage
                .timers
                .expire_log(stage.directory, room, stage.now.at, self.settings.task_ttl);
            for place in 0..stage.directory.room(room).watchers() {
                let member = stage.directory.room(room).connected()[place];
                stage.directory.membership_mut(member).seen = version;
            }
        }
        if ended {
            self.tasks.handle_ended(key);
            self.watch_end(stage, key);
        }
    }

    /// Sees to it that an ended task is forgotten when its time has come.
    fn watch_end(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let ttl = self.settings.task_ttl;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if ttl.is_zero() || task.forget_armed {
            return;
        }
        if let Some(at) = task.forget_at(ttl) {
            task.forget_armed = true;
            stage.timers.push(at, Timer::Forget(key));
        }
    }

    fn handle_forget_due(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let ttl = self.settings.task_ttl;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        task.forget_armed = false;
        if task.forget_at(ttl).is_some_and(|at| at <= stage.now.at) {
            self.forget(stage, key);
        } else {
            self.watch_end(stage, key);
        }
    }

    fn plan_flush(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let interval = self.pace.interval(stage.now.at);
        let threshold = self.settings.min_change_threshold;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        let held = match task.pending(threshold) {
            Pending::Nothing => return,
            Pending::Significant => interval,
            Pending::Small => interval * MAX_HELD_INTERVALS,
        };
        let due = task.last_flush.map_or(Time::ZERO, |last| last + held);
        match task.flush {
            Flush::Marked => {}
            Flush::Armed(at) if at <= due && at > stage.now.at => {}
            _ if due <= stage.now.at => {
                set_flush(&mut self.planned, task, Flush::Marked);
                self.marked.push(key);
            }
            _ => {
                let due = self.pace.next_beat(due);
                set_flush(&mut self.planned, task, Flush::Armed(due));
                stage.timers.push(due, Timer::Flush(key));
            }
        }
    }

    fn handle_flush_due(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if matches!(task.flush, Flush::Armed(at) if at <= stage.now.at) {
            set_flush(&mut self.planned, task, Flush::Idle);
            self.plan_flush(stage, key);
        }
    }

    /// Sends a task's pending progress to every watcher whose connection keeps up.
    fn flush(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let threshold = self.settings.min_change_threshold;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        set_flush(&mut self.planned, task, Flush::Idle);
        if task.pending(threshold) == Pending::Nothing {
            return;
        }
        let id = std::mem::take(&mut task.id);
        let room = self.room_of(stage.directory, &id);
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        task.id = id;
        task.refresh_estimate(stage.now.at);
        let Some(room) = room.filter(|room| !stage.directory.room(*room).members().is_empty())
        else {
            return;
        };
        let arrived = task.pending_since.unwrap_or(stage.now.at);
        task.commit();
        task.last_flush = Some(stage.now.at);
        stage.fanout.tell(stage.directory, room);
        let delivered =
            progress::fan_out(stage, room, task, self.settings.enable_incremental_updates);
        stage.fanout.handle_broadcast(stage.now, arrived, delivered);
    }

    fn watch_silence(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let timeout = self.settings.stall_timeout;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if !timeout.is_zero() && !task.stall_armed && task.view.status == Status::Running {
            task.stall_armed = true;
            stage
                .timers
                .push(task.last_event + timeout, Timer::Stall(key));
        }
    }

    fn handle_silence(&mut self, stage: &mut Stage<'_>, key: TaskKey) {
        let timeout = self.settings.stall_timeout;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        task.stall_armed = false;
        if task.view.status != Status::Running {
            return;
        }
        if task.last_event + timeout > stage.now.at {
            return self.watch_silence(stage, key);
        }
        task.pending_since.get_or_insert(stage.now.at);
        rules::set_stalled(task, true);
        self.plan_flush(stage, key);
    }

    /// The room of a task, made when there is none, so that its log can begin.
    fn room_to_log(&mut self, stage: &mut Stage<'_>, id: &str) -> Option<RoomKey> {
        self.name_room(id);
        stage.directory.find_or_create(&self.room_name).ok()
    }

    fn name_room(&mut self, id: &str) {
        self.room_name.clear();
        self.room_name.push_str("task:");
        self.room_name.push_str(id);
    }
}

/// Changes when a task's progress will go out, and counts the tasks that wait.
fn set_flush(planned: &mut usize, task: &mut Task, flush: Flush) {
    let was = std::mem::replace(&mut task.flush, flush);
    *planned = *planned + usize::from(flush != Flush::Idle) - usize::from(was != Flush::Idle);
}
