//! Seed 000's ProgressBroadcaster: takes task events, keeps each task's state, and sends what viewers lack, as seldom as
//! the pace allows.
//!
//! Owns the task cache, the window of repeated ids and the pace. A task's pending progress is a mark, not a queue; it
//! goes out at the end of a turn or with its timer, and always before a lifecycle message of the same task.

use crate::base::time::{Now, Span, Time};
use crate::hub::delivery::fanout::RoomMessage;
use crate::hub::delivery::progress::{self, Told};
use crate::hub::delivery::replay;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::Table;
use crate::hub::durable::unread_rows::UnreadRows;
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::keys::TaskKey;
use crate::hub::rooms::directory::Directory;
use crate::hub::scope::Scope;
use crate::hub::tasks::deduplication::{IdKey, Repeats};
use crate::hub::tasks::lost;
use crate::hub::tasks::outcome::{ControlRefused, Outcome, Refused};
use crate::hub::tasks::pace::Pace;
use crate::hub::tasks::removal::{self, Removal};
use crate::hub::tasks::rules::{self, DropReason, Turn, Verdict};
use crate::hub::tasks::size;
use crate::hub::tasks::state::{Flush, Pending, Task};
use crate::hub::tasks::table::{TaskCache, TooManyTasks};
use crate::hub::timer::Timer;
use crate::wire::message::{Control, TaskEvent, TaskPatch};
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
    /// How long a task that completed or was cancelled is remembered, and the log of a room (zero: for ever).
    pub keep_completed: Span,
    /// How long a failed task is remembered (zero: for ever).
    pub keep_failed: Span,
    /// How long a task may be silent before it is given up as lost (zero: for ever).
    pub lost_after: Span,
    /// How many tasks there may be (0: no limit).
    pub max_tasks: usize,
    /// How many bytes the fields of one task may take (0: no limit).
    pub max_task_size: usize,
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
    pub(in crate::hub) settings: BroadcasterSettings,
    pub(in crate::hub) tasks: TaskCache,
    pub(in crate::hub) repeats: Repeats,
    pace: Pace,
    marked: Vec<TaskKey>,
    planned: usize,
    dropped: [u64; DropReason::ALL.len()],
    room_name: String,
    pub(in crate::hub) unread: UnreadRows,
    /// No task counts as lost before: its worker may not know yet that the server is there again.
    pub(in crate::hub) none_lost_before: Time,
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
            dropped: [0; DropReason::ALL.len()],
            room_name: String::new(),
            unread: UnreadRows::new(settings.max_tasks),
            none_lost_before: Time::ZERO,
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

    /// How many events were dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Tasks whose progress waits to be sent.
    pub fn queue_len(&self) -> usize {
        self.planned
    }

    /// Takes a task event. `has_id`: it has an id of its own, and that is unknown.
    pub fn handle_event(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        kind: TaskEvent,
        mut patch: TaskPatch,
        has_id: bool,
    ) -> Outcome {
        let key = self.tasks.find(id);
        // A task that was not there is made only for an event that counts.
        let new = key.is_none().then(|| Task::new(id.into(), scope.now.at));
        let known = key.and_then(|key| self.tasks.task(key));
        let Some(task) = known.or(new.as_ref()) else {
            return Outcome::Refused(Refused::Limit("broadcaster.max_tasks"));
        };
        let verdict = match rules::judge(task, kind, &patch, scope.now, has_id) {
            Ok(verdict) => verdict,
            Err(reason) => {
                self.dropped[reason.index()] += 1;
                return Outcome::Dropped(key, reason);
            }
        };
        let revival = lost::revival(task, kind, verdict, &patch);
        let max_task_size = self.settings.max_task_size;
        let admitted = size::admit(task, &mut patch, kind, &verdict, max_task_size);
        let (size_bound, truncated) = match admitted {
            Ok(admitted) => admitted,
            Err(fault) => return Outcome::Refused(Refused::TooLarge(fault)),
        };
        let key = match new {
            None => key,
            Some(task) => self.insert(scope, task).ok(),
        };
        let Some(key) = key else {
            return Outcome::Refused(Refused::Limit("broadcaster.max_tasks"));
        };
        if let Some(status) = revival
            && verdict.turn != Turn::Lifecycle(TaskEvent::Started)
        {
            self.revive(scope, key, status);
        }
        self.change(key, |task| task.size_bound = size_bound);
        match verdict.turn {
            Turn::Progress => {
                let now = scope.now;
                self.change(key, |task| rules::apply(task, kind, verdict, patch, now));
                self.plan_flush(scope, key);
            }
            Turn::Lifecycle(_) => self.turn(scope, key, kind, verdict, patch),
        }
        self.watch(key);
        self.keep(scope, key);
        Outcome::Accepted(key, truncated)
    }

    /// Relays what a task brought forth; the event creates the task but does not move it.
    pub fn handle_item(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        kind: &str,
        payload: String,
    ) -> Outcome {
        let Some(room) = self.room_to_log(scope, id) else {
            return Outcome::Refused(Refused::Limit("websocket.max_rooms"));
        };
        let Ok(key) = self.find_or_create(scope, id) else {
            scope.directory.forget_if_idle(room);
            return Outcome::Refused(Refused::Limit("broadcaster.max_tasks"));
        };
        scope.directory.set_has_task(room, true);
        if let Some(status) = self.tasks.task(key).and_then(|task| task.lost) {
            self.revive(scope, key, status);
        }
        scope.fanout.publish(
            scope.directory,
            scope.now,
            RoomMessage {
                room,
                kind,
                payload,
                except: None,
            },
            scope.out,
        );
        self.change(key, |task| {
            if !task.view.status.is_terminal() {
                rules::wake(task, scope.now);
                task.last_event = scope.now.at;
                task.restarted_at = None;
            }
        });
        self.plan_flush(scope, key);
        self.watch(key);
        self.keep(scope, key);
        Outcome::Accepted(key, Vec::new())
    }

    /// Whether an event of this id was accepted before; counts it when so.
    pub fn is_repeat(&mut self, now: Now, key: IdKey, journal: &mut Journal) -> bool {
        let repeat = self.repeats.contains(now, key, journal);
        self.dropped[DropReason::Repeat.index()] += u64::from(repeat);
        repeat
    }

    /// Records what a viewer asks of the task's worker; viewers see it as `requested`.
    pub fn handle_control(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<(), ControlRefused> {
        let key = self.tasks.find(id).ok_or(ControlRefused::UnknownTask)?;
        let task = self
            .tasks
            .task_mut(key)
            .ok_or(ControlRefused::UnknownTask)?;
        rules::request(task, control, by, scope.now).map_err(ControlRefused::ByTask)?;
        self.plan_flush(scope, key);
        self.keep(scope, key);
        Ok(())
    }

    /// Forgets a task and its room's log. Watchers are told, and get a snapshot when a task of that id is made again.
    pub fn forget(&mut self, scope: &mut Scope<'_>, key: TaskKey, why: Removal) -> Option<Task> {
        let mut task = self.tasks.remove(key)?;
        set_flush(&mut self.planned, &mut task, Flush::Idle);
        self.forget_row(scope, &task.id, why);
        Some(task)
    }

    /// Forgets a task whose row could not be read; `false` when there is none.
    pub fn forget_unread(&mut self, scope: &mut Scope<'_>, id: &str, why: Removal) -> bool {
        let is_there = self.unread.remove(id);
        if is_there {
            self.forget_row(scope, id, why);
        }
        is_there
    }

    fn forget_row(&mut self, scope: &mut Scope<'_>, id: &str, why: Removal) {
        scope.fanout.journal.delete(Table::Task, id);
        if let Some(room) = self.room_of(scope.directory, id) {
            removal::announce(scope, room, id, why);
            for place in 0..scope.directory.room(room).members().len() {
                let member = scope.directory.room(room).members()[place];
                scope.directory.membership_mut(member).forget();
            }
            if let Some(log) = &mut scope.directory.room_mut(room).log {
                log.expire(Time::from_micros(u64::MAX));
            }
            scope.fanout.keep_expiry(scope.directory, room);
            scope.directory.set_has_task(room, false);
            scope.directory.forget_if_idle(room);
        }
    }

    /// Sends the progress that was marked in this turn.
    pub fn settle(&mut self, scope: &mut Scope<'_>) {
        let mut marked = std::mem::take(&mut self.marked);
        for key in marked.drain(..) {
            self.flush(scope, key);
        }
        self.marked = marked;
    }

    /// Sends a client that has just joined a task's room the whole state, if there is a task.
    pub fn send_snapshot(&mut self, scope: &mut Scope<'_>, client: ClientKey, room: RoomKey) {
        let Some(key) = self.task_of(scope.directory, room) else {
            return;
        };
        let alone = scope.directory.room(room).members().len() == 1;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        // Others who watch keep the estimate that they were sent until the next movement; whoever joins gets that of now.
        task.refresh_estimate(scope.now);
        if alone {
            task.commit();
        }
        self.send_state(scope, client, room);
    }

    /// Sends a client the newest state of a room's task, if it has not seen it.
    fn send_state(&mut self, scope: &mut Scope<'_>, client: ClientKey, room: RoomKey) -> Told {
        let Some(key) = self.task_of(scope.directory, room) else {
            return Told::Before;
        };
        self.watch_end(key, scope.now);
        let Some(task) = self.tasks.task(key) else {
            return Told::Before;
        };
        let incremental = self.settings.enable_incremental_updates;
        let before = scope.fanout.load.turn();
        let told = progress::send_newest(scope, task, client, room, incremental);
        scope.fanout.load.visit(1);
        scope.fanout.load.charge(before);
        told
    }

    /// Sends a client whose connection has drained the newest state of every task that has moved meanwhile. Whoever is
    /// behind again after some of them begins with the others the next time.
    pub fn catch_up(&mut self, scope: &mut Scope<'_>, client: ClientKey) {
        if scope.fanout.load.is_spent() {
            return replay::postpone(scope, client);
        }
        let rooms: SmallVec<[RoomKey; 8]> = scope.directory.client(client).rooms().collect();
        let begin = scope.directory.client(client).caught_up() % rooms.len().max(1);
        for (step, room) in rooms[begin..].iter().chain(&rooms[..begin]).enumerate() {
            let told = self.send_state(scope, client, *room);
            // While nothing is sent, looking through the other rooms costs less than beginning again.
            let is_spent = told == Told::Now && scope.fanout.load.is_spent();
            if is_spent {
                replay::postpone(scope, client);
            }
            if is_spent || told == Told::Later {
                let reader = scope.directory.client_mut(client);
                return reader.set_caught_up((begin + step) % rooms.len());
            }
        }
        let reader = scope.directory.client_mut(client);
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
        name_room(&mut self.room_name, id);
        directory.find(&self.room_name)
    }

    pub(in crate::hub) fn room_of_task(
        &mut self,
        directory: &Directory,
        key: TaskKey,
    ) -> Option<RoomKey> {
        let task = self.tasks.task(key)?;
        name_room(&mut self.room_name, &task.id);
        directory.find(&self.room_name)
    }

    fn find_or_create(&mut self, scope: &mut Scope<'_>, id: &str) -> Result<TaskKey, TooManyTasks> {
        if let Some(key) = self.tasks.find(id) {
            return Ok(key);
        }
        self.insert(scope, Task::new(id.into(), scope.now.at))
    }

    /// Adds a task; the one that ended first gives way where there are too many.
    fn insert(&mut self, scope: &mut Scope<'_>, task: Task) -> Result<TaskKey, TooManyTasks> {
        if let Some(ended) = self.tasks.room_for_one()? {
            self.forget(scope, ended, Removal::Expired);
        }
        self.unread.remove(&task.id);
        if let Some(room) = self.room_of(scope.directory, &task.id) {
            scope.directory.set_has_task(room, true);
        }
        Ok(self.tasks.insert(task))
    }

    fn change(&mut self, key: TaskKey, change: impl FnOnce(&mut Task)) {
        if let Some(task) = self.tasks.task_mut(key) {
            change(task);
        }
    }

    /// The task turns: what is pending goes out first, then the message that says so, with the whole state.
    fn turn(
        &mut self,
        scope: &mut Scope<'_>,
        key: TaskKey,
        kind: TaskEvent,
        verdict: Verdict,
        patch: TaskPatch,
    ) {
        let Turn::Lifecycle(event) = verdict.turn else {
            return;
        };
        self.flush(scope, key);
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        // A lost task that says that it has started is announced once.
        let revival = lost::revival(task, kind, verdict, &patch);
        let revival = revival.filter(|_| event == TaskEvent::Started);
        if let Some(status) = revival {
            lost::revive(task, status, scope.now);
        }
        rules::apply(task, kind, verdict, patch, scope.now);
        task.refresh_estimate(scope.now);
        task.commit();
        let payload = match revival {
            Some(_) => task.revived(scope.now),
            None => task.whole_at(false, scope.now),
        };
        self.announce(scope, key, event, payload);
    }

    /// Logs and sends a message with the whole state of a task.
    pub(in crate::hub) fn announce(
        &mut self,
        scope: &mut Scope<'_>,
        key: TaskKey,
        event: TaskEvent,
        payload: String,
    ) {
        let Some(task) = self.tasks.task(key) else {
            return;
        };
        let (version, id) = (task.version(), task.id.clone());
        if let Some(room) = self.room_to_log(scope, &id) {
            scope.directory.set_has_task(room, true);
            let message = RoomMessage {
                room,
                kind: event.as_str(),
                payload,
                except: None,
            };
            scope
                .fanout
                .publish(scope.directory, scope.now, message, scope.out);
            for place in 0..scope.directory.room(room).watchers() {
                let member = scope.directory.room(room).connected()[place];
                scope.directory.membership_mut(member).seen = version;
            }
            if !scope.directory.room(room).members().is_empty() {
                self.watch_end(key, scope.now);
            }
        }
    }

    pub(in crate::hub) fn plan_flush(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let interval = self.pace.interval(scope.now.at);
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
            Flush::Armed(at) if at <= due && at > scope.now.at => {}
            _ if due <= scope.now.at => {
                set_flush(&mut self.planned, task, Flush::Marked);
                self.marked.push(key);
            }
            _ => {
                let due = self.pace.next_beat(due);
                set_flush(&mut self.planned, task, Flush::Armed(due));
                scope.timers.push(due, Timer::Flush(key));
            }
        }
    }

    /// The time of a task's pending progress has come.
    pub fn handle_flush_due(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if matches!(task.flush, Flush::Armed(at) if at <= scope.now.at) {
            set_flush(&mut self.planned, task, Flush::Idle);
            self.plan_flush(scope, key);
        }
    }

    /// Sends a task's pending progress to every watcher whose connection keeps up.
    pub(in crate::hub) fn flush(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let threshold = self.settings.min_change_threshold;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        set_flush(&mut self.planned, task, Flush::Idle);
        if task.pending(threshold) == Pending::Nothing {
            return;
        }
        let room = self.room_of_task(scope.directory, key);
        let room = room.filter(|room| !scope.directory.room(*room).members().is_empty());
        let (Some(room), Some(task)) = (room, self.tasks.task_mut(key)) else {
            return;
        };
        let arrived = task.pending_since.unwrap_or(scope.now.at);
        task.refresh_estimate(scope.now);
        task.commit();
        task.last_flush = Some(scope.now.at);
        scope.fanout.tell(scope.directory, room);
        let delivered =
            progress::fan_out(scope, room, task, self.settings.enable_incremental_updates);
        scope.fanout.handle_broadcast(scope.now, arrived, delivered);
        self.watch_end(key, scope.now);
    }

    /// Whether anybody is in a task's room.
    pub(in crate::hub) fn is_watched(&mut self, directory: &Directory, key: TaskKey) -> bool {
        let room = self.room_of_task(directory, key);
        room.is_some_and(|room| !directory.room(room).members().is_empty())
    }

    /// The room of a task, made when there is none, so that its log can begin.
    fn room_to_log(&mut self, scope: &mut Scope<'_>, id: &str) -> Option<RoomKey> {
        name_room(&mut self.room_name, id);
        scope.directory.find_or_create(&self.room_name).ok()
    }
}

fn name_room(name: &mut String, id: &str) {
    name.clear();
    name.push_str("task:");
    name.push_str(id);
}

/// Changes when a task's progress will go out, and counts the tasks that wait.
fn set_flush(planned: &mut usize, task: &mut Task, flush: Flush) {
    let was = std::mem::replace(&mut task.flush, flush);
    *planned = *planned + usize::from(flush != Flush::Idle) - usize::from(was != Flush::Idle);
}
