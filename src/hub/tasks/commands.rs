//! Commands about tasks: reports and control requests in, changes applied, publications marked or logged.
//!
//! [`Broadcaster::apply`] is the way in for everything that happens to a task. Besides the task itself it touches what this process
//! alone keeps of it: when its progress goes out, when to look at it again, its mark for the store. What an event changes is decided in
//! [`decision`]. Owns nothing.

use crate::base::time::Time;
use crate::hub::change::Change;
use crate::hub::delivery::publication::Outlet;
use crate::hub::delivery::publishing::RoomMessage;
use crate::hub::keys::TaskKey;
use crate::hub::parts::Hub;
use crate::hub::rooms::directory::Full;
use crate::hub::scope::Scope;
use crate::hub::settings::Moment;
use crate::hub::tasks::broadcaster::{Broadcaster, set_flush};
use crate::hub::tasks::decision;
use crate::hub::tasks::outcome::{Accepted, Dropped, Ingested, Refused, Subject};
use crate::hub::tasks::pace::next_beat;
use crate::hub::tasks::state::{Flush, Pending, Task};
use crate::hub::tasks::step::{Removal, Step};
use crate::hub::tasks::verdict::{Announcement, ControlRefused, DropReason};
use crate::hub::timer::Timer;
use crate::wire::message::{Control, Event, Report, TaskEvent, TaskPatch};

/// Intervals for which movement below the threshold is held back at most (contract section 4).
const MAX_HELD_INTERVALS: u32 = 10;

/// What an event id is unique within, as a prefix and a name. Task ids and room names hold no line feed, so the prefix keeps a room
/// and a task of one name apart, and in two parts it costs no allocation.
fn id_scope<'a>(report: &'a Report<'_>) -> [&'a str; 2] {
    match report.event {
        Event::Task { .. } | Event::Item { .. } => ["", &report.subject],
        Event::Room { .. } => ["\n", &report.subject],
    }
}

impl Hub {
    /// Whether the report's id was accepted before. Unlike [`Hub::ingest`] it neither counts a drop nor expires ids, so that callers can
    /// look ahead.
    pub fn was_accepted(&self, report: &Report<'_>) -> bool {
        let event_ids = &self.broadcaster.event_ids;
        let key = |id| event_ids.key(id_scope(report), id);
        report
            .id
            .as_deref()
            .is_some_and(|id| event_ids.knows(key(id)))
    }

    /// Applies a report. Its id is remembered only when it is accepted: one that was refused may be sent again under the same id.
    pub fn ingest(
        &mut self,
        moment: Moment<'_>,
        report: Report<'_>,
        out: &mut dyn Outlet,
    ) -> Ingested {
        let Some(id) = &report.id else {
            return self.handle_event(moment, report, out);
        };
        // Hashed once, while the event still holds its names.
        let key = self.broadcaster.event_ids.key(id_scope(&report), id);
        let settings = &moment.settings.broadcaster;
        if let Some(serial) = self.broadcaster.event_ids.expired(moment.now.at, settings) {
            self.broadcaster.forget_ids(serial, &mut self.fanout);
        }
        if self.broadcaster.event_ids.knows(key) {
            self.broadcaster.dropped[DropReason::Repeat.index()] += 1;
            return Ingested::Dropped(self.repeat(report));
        }
        let ingested = self.handle_event(moment, report, out);
        if settings.deduplication_window > 0
            && let Ingested::Accepted(_) = &ingested
        {
            self.broadcaster.remember(moment.now, key, &mut self.fanout);
        }
        ingested
    }

    fn repeat(&self, report: Report<'_>) -> Dropped {
        let name = report.subject;
        let (task, subject) = match report.event {
            Event::Task { .. } | Event::Item { .. } => {
                let task = self.broadcaster.tasks().find(&name);
                (task, Subject::Task(name.into()))
            }
            Event::Room { .. } => (None, Subject::Room(name.into())),
        };
        let reason = DropReason::Repeat;
        Dropped {
            task,
            subject,
            reason,
        }
    }

    /// Records a control request, which viewers see as `requested`. `by`: the client's id, or `api`.
    pub fn control(
        &mut self,
        moment: Moment<'_>,
        task: &str,
        control: Control,
        by: &str,
        out: &mut dyn Outlet,
    ) -> Result<(), ControlRefused> {
        let (broadcaster, mut scope) = self.scope(moment, out);
        let found = broadcaster.tasks.find(task);
        let known = found.and_then(|key| Some((key, broadcaster.tasks.task(key)?)));
        let (key, task) = known.ok_or(ControlRefused::UnknownTask)?;
        let by = by.into();
        match decision::judge_request(task, control)? {
            true => broadcaster.apply(&mut scope, key, Step::Requested { control, by }),
            // Its answer promises that the request is kept, like that to the first.
            false => broadcaster.keep(&mut scope, key),
        }
        Ok(())
    }

    /// Removes a task, also one whose row in the store could not be read; `false` when there is none of that id.
    pub fn forget(
        &mut self,
        moment: Moment<'_>,
        task: &str,
        why: Removal,
        out: &mut dyn Outlet,
    ) -> bool {
        let (broadcaster, mut scope) = self.scope(moment, out);
        // A row may be unreadable and its id not, so an operator can still delete it.
        broadcaster.remove(&mut scope, task, why)
    }

    pub(in crate::hub) fn handle_event(
        &mut self,
        moment: Moment<'_>,
        report: Report<'_>,
        out: &mut dyn Outlet,
    ) -> Ingested {
        let (name, has_id) = (&*report.subject, report.id.is_some());
        let (broadcaster, mut scope) = self.scope(moment, out);
        match report.event {
            Event::Task { kind, patch } => {
                broadcaster.handle_event(&mut scope, name, (kind, patch), has_id)
            }
            Event::Item { kind, payload } => {
                broadcaster.handle_item(&mut scope, name, kind.as_str(), payload)
            }
            Event::Room { kind, payload } => {
                // A producer is no subscriber, so there is no sender to leave out.
                match self.publish(moment, name, (&kind, payload), None, out) {
                    Ok(_) => Ingested::Accepted(Accepted::default()),
                    Err(full) => Ingested::Refused(Refused::Limit(full.key())),
                }
            }
        }
    }
}

impl Broadcaster {
    /// A task event: it counts and is applied, is dropped, or is refused. `has_id`: the event carries an id that was not seen before.
    pub fn handle_event(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        event: (TaskEvent, Box<TaskPatch>),
        has_id: bool,
    ) -> Ingested {
        let limits = &scope.settings.broadcaster;
        let draft = match decision::decide(&self.tasks, limits, id, event, scope.now, has_id) {
            Ok(draft) => draft,
            Err(ingested) => {
                if let Ingested::Dropped(dropped) = &ingested {
                    self.dropped[dropped.reason.index()] += 1;
                }
                return ingested;
            }
        };
        if let Some(ended) = draft.gives_way {
            self.forget(scope, ended, Removal::Expired);
        }
        let key = match draft.key {
            Some(key) => key,
            None => self.find_or_create(scope, id),
        };
        if let Some(status) = draft.outcome.revival {
            self.carry_out(scope, key, Step::Revived { status });
        }
        self.carry_out(scope, key, draft.outcome.step);
        Ingested::Accepted(Accepted {
            task: Some(key),
            truncated: draft.outcome.truncated,
        })
    }

    /// An item of a task. It is a sign of life and creates the task, but changes none of its fields.
    pub fn handle_item(
        &mut self,
        scope: &mut Scope<'_>,
        id: &str,
        kind: &str,
        payload: String,
    ) -> Ingested {
        // Neither a task nor a viewers' room gives way to an item that is then refused.
        let gives_way = match self.tasks.find(id) {
            Some(_) => Ok(None),
            None => self
                .tasks
                .room_for_one(scope.settings.broadcaster.max_tasks),
        };
        let Ok(gives_way) = gives_way else {
            return Ingested::Refused(Refused::Limit("broadcaster.max_tasks"));
        };
        let Some(room) = self.find_or_create_room(scope, id) else {
            return Ingested::Refused(Refused::Limit(Full::Rooms.key()));
        };
        if let Some(ended) = gives_way {
            self.forget(scope, ended, Removal::Expired);
        }
        let key = self.find_or_create(scope, id);
        scope.directory.set_has_task(room, true);
        if let Some(status) = self
            .tasks
            .task(key)
            .and_then(|task| task.status_before_lost)
        {
            self.carry_out(scope, key, Step::Revived { status });
        }
        scope.publish(RoomMessage::new(room, kind, payload));
        self.apply(scope, key, Step::Item);
        Ingested::Accepted(Accepted {
            task: Some(key),
            truncated: Vec::new(),
        })
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
            tells: Some(version),
            ..RoomMessage::new(room, event.as_str(), payload)
        });
        if !scope.directory.room(room).members().is_empty() {
            self.watch_end(key, scope.moment());
        }
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
        self.watch(key, scope.settings);
        self.keep(scope, key);
    }

    /// Decides when a task's pending progress goes out: at the end of this turn, or by timer when less than an interval has passed since
    /// the last flush. Call it after each change.
    pub(in crate::hub) fn plan_flush(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let interval = self.pace.interval(scope.moment());
        let threshold = scope.settings.broadcaster.min_change_threshold;
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
                let due = next_beat(due, scope.settings);
                set_flush(&mut self.planned, task, Flush::Armed(due));
                scope.timers.push((due, Timer::Flush(key)));
            }
        }
    }
}
