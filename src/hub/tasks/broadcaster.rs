//! Commands about tasks: events in, publications out, and the only way in for changes of a task ([`Broadcaster::apply`]).
//!
//! Owns the task table, the event ids, the pace and the tasks marked in this turn. Never builds or encodes a publication
//! ([`progress`](crate::hub::delivery::progress), [`fanout`](crate::hub::delivery::fanout)), and never decides what an event changes
//! ([`decision`]).
//!
//! A task's pending progress is a state and not a queue ([`Flush`]): `Idle -> Marked` (goes out at the end of this turn) or
//! `Idle -> Armed` (goes out with its timer) `-> Idle`. Invariants: `planned` counts the tasks that are not `Idle`; every `Marked` task
//! is in `marked`; nothing of a task's progress is pending when its lifecycle message goes out, so no subscriber sees `completed` before
//! the progress that led there.

use crate::base::time::{Now, Span, Time};
use crate::hub::change::Change;
use crate::hub::delivery::fanout::{Fanout, RoomMessage};
use crate::hub::durable::record::Table;
use crate::hub::durable::unread_rows::UnreadRows;
use crate::hub::keys::RoomKey;
use crate::hub::keys::TaskKey;
use crate::hub::rooms::directory::Directory;
use crate::hub::scope::Scope;
use crate::hub::tasks::decision;
use crate::hub::tasks::deduplication::{EventIds, IdKey};
use crate::hub::tasks::outcome::{ControlRefused, Outcome, Refused};
use crate::hub::tasks::pace::Pace;
use crate::hub::tasks::removal;
use crate::hub::tasks::state::{Flush, Pending, Task};
use crate::hub::tasks::step::{Removal, Step};
use crate::hub::tasks::table::{TaskTable, TooManyTasks};
use crate::hub::tasks::verdict::{Announcement, DropReason};
use crate::hub::timer::Timer;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use crate::wire::message::{Control, TaskEvent, TaskPatch};

/// The settings of contract section 8, `[broadcaster]`.
#[derive(Debug, Clone)]
pub struct BroadcasterSettings {
    /// Progress after the snapshot carries only what has changed.
    pub enable_incremental_updates: bool,
    /// Points of progress below which movement alone is held back.
    pub min_change_threshold: f64,
    /// The shortest time between two progress messages of a task.
    pub broadcast_interval: Span,
    /// Factor by which the interval may stretch under load.
    pub max_slowdown: f64,
    /// How long completed and cancelled tasks are kept, and the logs of rooms without a task (zero: for ever).
    pub keep_completed: Span,
    /// How long failed tasks are kept (zero: for ever).
    pub keep_failed: Span,
    /// Silence after which a task is lost (zero: never).
    pub lost_after: Span,
    /// Most tasks (0: no limit).
    pub max_tasks: usize,
    /// Most bytes that the fields of one task may take (0: no limit).
    pub max_task_size: usize,
    /// Silence after which a running task is stalled, unless its pace is slower (zero: never).
    pub stall_timeout: Span,
    /// How long event ids are remembered (zero: not at all).
    pub deduplication_window: Span,
    /// Most event ids remembered (0: no limit).
    pub max_deduplication_ids: usize,
}

/// Intervals for which movement below the threshold is held back at most (contract section 4).
const MAX_HELD_INTERVALS: u32 = 10;

#[derive(Debug)]
pub struct Broadcaster {
    pub(in crate::hub) settings: BroadcasterSettings,
    pub(in crate::hub) tasks: TaskTable,
    pub(in crate::hub) event_ids: EventIds,
    pub(in crate::hub) pace: Pace,
    /// Tasks to flush at the end of this turn.
    pub(in crate::hub) marked: Vec<TaskKey>,
    /// Tasks whose `flush` is not `Idle`.
    pub(in crate::hub) planned: usize,
    dropped: [u64; DropReason::ALL.len()],
    /// Scratch space for `task:<id>`, so that finding a task's room allocates nothing.
    room_name: String,
    /// Rows of tasks that this version cannot read.
    pub(in crate::hub) unread: UnreadRows,
    /// No task is lost before this moment, so that workers can find the server again after a restart.
    pub(in crate::hub) none_lost_before: Time,
}

impl Broadcaster {
    pub fn new(settings: BroadcasterSettings, seed: [u64; 2]) -> Self {
        Self {
            tasks: TaskTable::new(settings.max_tasks, seed),
            event_ids: EventIds::new(
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

    pub fn tasks(&self) -> &TaskTable {
        &self.tasks
    }

    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    pub fn pace_mut(&mut self) -> &mut Pace {
        &mut self.pace
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Tasks whose progress waits to be sent, for statistics.
    pub fn queue_len(&self) -> usize {
        self.planned
    }

    /// A task event: it counts and is applied, is dropped, or is refused. `has_id`: the event carries an id that was not seen before.
    pub fn handle_event(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        event: (TaskEvent, Box<TaskPatch>),
        has_id: bool,
    ) -> Outcome {
        let max_task_size = self.settings.max_task_size;
        let decided = decision::decide(&self.tasks, max_task_size, id, event, scope.now, has_id);
        let draft = match decided {
            Ok(draft) => draft,
            Err(outcome) => {
                if let Outcome::Dropped(_, reason) = outcome {
                    self.dropped[reason.index()] += 1;
                }
                return outcome;
            }
        };
        if let Some(ended) = draft.gives_way {
            self.forget(scope, ended, Removal::Expired);
        }
        let key = match draft.key {
            Some(key) => key,
            None => self.find_or_create(scope, id),
        };
        if let Some(status) = draft.revival {
            self.carry_out(scope, key, Step::Revived { status });
        }
        self.carry_out(scope, key, draft.step);
        Outcome::Accepted(key, draft.truncated)
    }

    /// An item of a task. It is a sign of life and creates the task, but changes none of its fields.
    pub fn handle_item(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        kind: &str,
        payload: String,
    ) -> Outcome {
        // The room before the task: an ended task must not give way for an item that no room can log.
        let Some(room) = self.find_or_create_room(scope, id) else {
            return Outcome::Refused(Refused::Limit("websocket.max_rooms"));
        };
        if self.tasks.find(id).is_none() {
            match self.tasks.room_for_one() {
                Ok(None) => {}
                Ok(Some(ended)) => self.forget(scope, ended, Removal::Expired),
                Err(TooManyTasks) => {
                    scope.directory.forget_if_idle(room);
                    return Outcome::Refused(Refused::Limit("broadcaster.max_tasks"));
                }
            }
        }
        let key = self.find_or_create(scope, id);
        scope.directory.set_has_task(room, true);
        if let Some(status) = self.tasks.task(key).and_then(|task| task.lost) {
            self.carry_out(scope, key, Step::Revived { status });
        }
        scope.publish(RoomMessage {
            room,
            kind,
            payload,
            except: None,
            tells: None,
        });
        self.apply(scope, key, Step::Item);
        Outcome::Accepted(key, Vec::new())
    }

    /// Applies a step, and publishes the task's whole state if the step is announced by name.
    pub(in crate::hub) fn carry_out(&mut self, scope: &mut Scope<'_>, key: TaskKey, step: Step) {
        let (announcement, revives) = (step.announcement(), step.revives());
        self.apply(scope, key, step);
        let Announcement::Lifecycle(event) = announcement else {
            return;
        };
        let Some(task) = self.tasks.task(key) else {
            return;
        };
        let payload = match revives {
            true => task.revived(scope.now),
            false => task.whole_at(false, scope.now),
        };
        let (version, id) = (task.version(), task.id.clone());
        // Without a room, because there are too many, the state is all that viewers get.
        let Some(room) = self.find_or_create_room(scope, &id) else {
            return;
        };
        scope.directory.set_has_task(room, true);
        scope.publish(RoomMessage {
            room,
            kind: event.as_str(),
            payload,
            except: None,
            tells: Some(version),
        });
        if !scope.directory.room(room).members().is_empty() {
            self.watch_end(key, scope.now);
        }
    }

    /// Whether an event of this id was accepted before. Counts it as dropped if so.
    pub fn is_repeat(&mut self, now: Now, key: IdKey, fanout: &mut Fanout) -> bool {
        if let Some(serial) = self.event_ids.expired(now.at) {
            self.forget_ids(serial, fanout);
        }
        let repeat = self.event_ids.knows(key);
        self.dropped[DropReason::Repeat.index()] += u64::from(repeat);
        repeat
    }

    /// Forgets event ids up to a serial.
    pub fn forget_ids(&mut self, serial: u64, fanout: &mut Fanout) {
        fanout
            .changes
            .record(|| Change::EventIdsForgotten { serial });
        self.event_ids.forget_until(serial, &mut fanout.journal);
    }

    /// Remembers the id of an accepted event.
    pub fn remember(&mut self, now: Now, key: IdKey, fanout: &mut Fanout) {
        fanout.changes.record(|| Change::EventId { at: now, key });
        self.event_ids.remember(now, key, &mut fanout.journal);
    }

    /// Records a control request, which viewers see as `requested`.
    pub fn handle_control(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<(), ControlRefused> {
        let key = self.tasks.find(id).ok_or(ControlRefused::UnknownTask)?;
        let task = self.tasks.task(key).ok_or(ControlRefused::UnknownTask)?;
        let by = by.into();
        match decision::judge_request(task, control).map_err(ControlRefused::ByTask)? {
            true => self.apply(scope, key, Step::Requested { control, by }),
            // Its answer promises that the request is kept, like that to the first.
            false => self.keep(scope, key),
        }
        Ok(())
    }

    /// Removes a task for whose removal time or a limit is the reason.
    pub fn forget(&mut self, scope: &mut Scope<'_>, key: TaskKey, why: Removal) {
        if let Some(id) = self.tasks.task(key).map(|task| task.id.clone()) {
            self.remove(scope, &id, why);
        }
    }

    /// Removes a task, also one whose row could not be read; `false` when there is none.
    pub fn remove(&mut self, scope: &mut Scope<'_>, id: &str, why: Removal) -> bool {
        let is_there = self.apply_removal(scope, id, why);
        if is_there && let Some(room) = self.room_of(scope.directory, id) {
            scope.directory.forget_if_idle(room);
        }
        is_there
    }

    /// The task of that id, created by the change that is applied next if there is none.
    pub(in crate::hub) fn find_or_create(&mut self, scope: &mut Scope<'_>, id: &str) -> TaskKey {
        if let Some(key) = self.tasks.find(id) {
            return key;
        }
        self.unread.remove(id);
        if let Some(room) = self.room_of(scope.directory, id) {
            scope.directory.set_has_task(room, true);
        }
        self.tasks.insert(Task::new(id.into(), scope.now.at))
    }

    pub(in crate::hub) fn apply(&mut self, scope: &mut Scope<'_>, key: TaskKey, step: Step) {
        if let Some(task) = self.tasks.task(key) {
            scope.fanout.changes.record(|| Change::Task {
                at: scope.now,
                id: task.id.clone(),
                step: step.clone(),
            });
        }
        if step.follows_progress() {
            self.flush(scope, key);
        }
        let announcement = step.announcement();
        if let Some(task) = self.tasks.task_mut(key) {
            step.apply(task, scope.now);
        }
        if announcement == Announcement::Progress {
            self.plan_flush(scope, key);
        }
        self.watch(key);
        self.keep(scope, key);
    }

    /// Removes a task, or its unreadable row, and what is left of it outside the table: its entries, and what members have seen of it. They
    /// stay subscribed, and get a snapshot if the task is created again. `false`: there is none.
    pub(in crate::hub) fn apply_removal(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        why: Removal,
    ) -> bool {
        let key = self.tasks.find(id);
        if let Some(mut task) = key.and_then(|key| self.tasks.remove(key)) {
            set_flush(&mut self.planned, &mut task, Flush::Idle);
        } else if !self.unread.remove(id) {
            return false;
        }
        scope.fanout.changes.record(|| Change::TaskRemoved {
            at: scope.now,
            id: id.into(),
            why,
        });
        scope.fanout.journal.delete(Table::Task, id);
        if let Some(room) = self.room_of(scope.directory, id) {
            removal::announce(scope, room, id, why);
            for place in 0..scope.directory.room(room).members().len() {
                let member = scope.directory.room(room).members()[place];
                // A task created again starts at version 1, which an old `seen` could pass for.
                scope.directory.membership_mut(member).forget();
            }
            if let Some(log) = &mut scope.directory.room_mut(room).log {
                // Emptied, not dropped: for members that stay the log goes on counting offsets in its epoch, so their positions stay valid.
                log.drop_until(u64::MAX);
            }
            scope.fanout.keep_expiry(scope.directory, room);
            scope.directory.set_has_task(room, false);
        }
        true
    }

    /// The task of a room, by the room's name.
    pub fn task_of(&self, directory: &Directory, room: RoomKey) -> Option<TaskKey> {
        self.tasks
            .find(directory.room(room).name.strip_prefix(TASK_ROOM_PREFIX)?)
    }

    /// The room of a task, if one exists.
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

    /// Decides when a task's pending progress goes out: at the end of this turn, or by timer when less than an interval has passed since
    /// the last flush. Call it after each change.
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
            // A timer that fires early plans again. Only a change that is due sooner than the timer needs another one.
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

    /// Whether a task's room has members, connected or away.
    pub(in crate::hub) fn is_watched(&mut self, directory: &Directory, key: TaskKey) -> bool {
        let room = self.room_of_task(directory, key);
        room.is_some_and(|room| !directory.room(room).members().is_empty())
    }

    /// The room of a task, created if there is none: lifecycle messages and items are logged even without a subscriber.
    fn find_or_create_room(&mut self, scope: &mut Scope<'_>, id: &str) -> Option<RoomKey> {
        name_room(&mut self.room_name, id);
        scope.directory.find_or_create(&self.room_name).ok()
    }
}

fn name_room(name: &mut String, id: &str) {
    name.clear();
    name.push_str(TASK_ROOM_PREFIX);
    name.push_str(id);
}

/// The only writer of `Task::flush`, which keeps `planned` in step.
pub(in crate::hub) fn set_flush(planned: &mut usize, task: &mut Task, flush: Flush) {
    let was = std::mem::replace(&mut task.flush, flush);
    *planned = *planned + usize::from(flush != Flush::Idle) - usize::from(was != Flush::Idle);
}
