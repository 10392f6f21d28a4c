//! What time alone does to tasks: the end of a late one moves away, a silent one is stalled and then lost, an ended one is removed
//! when it has been kept long enough.
//!
//! Owns the deadlines of tasks and when they are examined; what becomes of the fields is in [`Step`]. One timer for all:
//! [`Broadcaster::next_aging`] is the earliest deadline in any list, and [`Broadcaster::age`] does a bounded number per turn, because
//! after a restart thousands may be due at the same moment.
//!
//! A live task is listed by when to look at it, not by when something will happen. Events only move its deadlines later, so most of
//! them leave the list alone; a look that comes too early changes nothing and lists the task anew.

use crate::base::time::{Now, Span, Time};
use crate::hub::keys::TaskKey;
use crate::hub::scope::Scope;
use crate::hub::settings::{BroadcasterConfig, HubSettings, Moment};
use crate::hub::tasks::broadcaster::Broadcaster;
use crate::hub::tasks::state::{Listing, Task};
use crate::hub::tasks::step::{Removal, Step};
use crate::wire::message::Status;

/// Most tasks examined or removed in one turn.
const AGED_AT_ONCE: usize = 256;
/// After a restart no task is lost for this long (or for `lost_after`, if shorter): its worker must find the server again first.
const FAIR_CHANCE: Span = Span::from_secs(60);

impl Broadcaster {
    /// When time alone next changes or removes a task.
    pub fn next_aging(&self, settings: &HubSettings) -> Option<Time> {
        let settings = &settings.broadcaster;
        if self.tasks.is_over_full(settings.max_tasks) && self.tasks.first_to_go().is_some() {
            return Some(Time::ZERO);
        }
        let alive = self.tasks.first_alive().map(|(at, _)| at);
        let ended = self.first_expiring(settings).map(|(at, _)| at);
        alive.into_iter().chain(ended).min()
    }

    /// Does what is due, up to the measure of one turn; `true` when more may be due.
    pub fn age(&mut self, scope: &mut Scope<'_>) -> bool {
        let settings = &scope.settings.broadcaster;
        for _ in 0..AGED_AT_ONCE {
            let is_due = |(at, _): &(Time, TaskKey)| *at <= scope.now.at;
            if let Some((_, key)) = self.tasks.first_alive().filter(is_due) {
                self.look_at(scope, key);
            } else if let Some((_, key)) = self.first_expiring(settings).filter(is_due) {
                self.forget(scope, key, Removal::Expired);
            } else if let Some(key) = self.tasks.first_to_go()
                && self.tasks.is_over_full(settings.max_tasks)
            {
                self.forget(scope, key, Removal::Expired);
            } else {
                return false;
            }
        }
        true
    }

    /// Lists a task for its next deadline. Call it after each event that counts.
    pub(in crate::hub) fn watch(&mut self, key: TaskKey, settings: &HubSettings) {
        let task = self.tasks.task(key);
        if let Some(listing) = task.map(|task| self.next_listing(task, &settings.broadcaster)) {
            self.tasks.list(key, listing);
        }
    }

    fn next_listing(&self, task: &Task, settings: &BroadcasterConfig) -> Listing {
        let due = self.look_due(task, settings);
        match (task.view.status, due, task.listing) {
            (Status::Completed | Status::Cancelled, ..) => Listing::Completed(task.last_event),
            (Status::Failed, ..) => Listing::Failed(task.last_event),
            // Moving the entry with each event would cost two tree operations on the hottest path.
            (_, Some(due), listing @ Listing::Alive(at)) if at <= due => listing,
            (_, Some(due), _) => Listing::Alive(due),
            (_, None, _) => Listing::Unlisted,
        }
    }

    /// Gives workers time to report again after a restart.
    pub(in crate::hub) fn spare_the_silent(&mut self, now: Now, settings: &HubSettings) {
        let lost_after = Span::from_millis(settings.broadcaster.lost_after);
        self.none_lost_before = now.at + FAIR_CHANCE.min(lost_after);
    }

    /// Examines a live task whose look is due, and lists it for the next.
    fn look_at(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let (now, settings) = (scope.now.at, &scope.settings.broadcaster);
        let Some(task) = self.tasks.task(key) else {
            return;
        };
        // With both due only the failure is news.
        if self.lost_due(task, settings).is_some_and(|due| due <= now) {
            let message = scope.settings.lost_message.clone();
            return self.carry_out(scope, key, Step::Lost { message });
        }
        if stall_due(task, settings).is_some_and(|due| due <= now) {
            self.apply(scope, key, Step::Stalled);
        }
        // Here the estimator's patience counts (`stall_due`), which `look_due` leaves out: this is where an early look is put off.
        self.look_late(scope, key);
        let due = self.tasks.task(key).and_then(|task| {
            let due = stall_due(task, settings).into_iter();
            due.chain(self.lost_due(task, settings))
                .chain(task.late_look)
                .min()
        });
        self.tasks
            .list(key, due.map_or(Listing::Unlisted, Listing::Alive));
    }

    /// Plans a look at a task whose `estimatedEndAt` has just been sent, for when it is late. An earlier look that is planned stays;
    /// without an end that can move there is none.
    pub(in crate::hub) fn watch_end(&mut self, key: TaskKey, Moment { now, settings }: Moment<'_>) {
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if task.plan_late_look(now.at) {
            self.watch(key, settings);
        }
    }

    /// Plans a flush when the end of a late task has moved noticeably since it was last sent.
    fn look_late(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let now = scope.now;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if task.late_look.is_none_or(|due| due > now.at) {
            return;
        }
        task.late_look = None;
        // No look is planned again either: sending the state to a client that joins plans one.
        if !self.is_watched(scope.directory, key) {
            return;
        }
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        task.late_look = task.next_late_look(now.at);
        if task.is_late(now.at) && task.look_late(now) {
            task.pending_since.get_or_insert(now.at);
            self.plan_flush(scope, key);
        }
    }

    /// When to look at a task next. Its pace may allow a longer silence, but finding that out with each event costs more than one look
    /// in vain.
    fn look_due(&self, task: &Task, settings: &BroadcasterConfig) -> Option<Time> {
        let timeout = Span::from_millis(settings.stall_timeout);
        let stall = may_stall(task, settings).then(|| task.last_event + timeout);
        let late = task.late_look.filter(|_| task.may_be_late());
        let due = stall.into_iter().chain(self.lost_due(task, settings));
        due.chain(late).min()
    }

    fn lost_due(&self, task: &Task, settings: &BroadcasterConfig) -> Option<Time> {
        let timeout = Span::from_millis(settings.lost_after);
        // A paused task is silent on purpose.
        let may_be_lost = matches!(task.view.status, Status::Pending | Status::Running);
        (may_be_lost && !timeout.is_zero())
            .then(|| (task.last_event + timeout).max(self.none_lost_before))
    }

    /// The ended task that expires first, and when.
    fn first_expiring(&self, settings: &BroadcasterConfig) -> Option<(Time, TaskKey)> {
        let keep = |ended: Option<(Time, TaskKey)>, ttl_ms: u64| {
            let ended = ended.filter(|_| ttl_ms > 0);
            ended.map(|(at, key)| (at + Span::from_millis(ttl_ms), key))
        };
        let completed = keep(self.tasks.first_completed(), settings.keep_completed);
        let failed = keep(self.tasks.first_failed(), settings.keep_failed);
        completed.into_iter().chain(failed).min()
    }
}

fn stall_due(task: &Task, settings: &BroadcasterConfig) -> Option<Time> {
    let timeout = Span::from_millis(settings.stall_timeout);
    may_stall(task, settings).then(|| task.last_event + task.estimator.patience(timeout))
}

fn may_stall(task: &Task, settings: &BroadcasterConfig) -> bool {
    settings.stall_timeout > 0 && task.view.status == Status::Running && !task.view.stalled
}
