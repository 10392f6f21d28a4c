//! Expiry of logs and aging of tasks, a bounded amount per turn. A task's log is left alone: it lives as long as the task.

use crate::base::time::{Now, Span};
use crate::hub::delivery::publication::Outlet;
use crate::hub::keys::RoomKey;
use crate::hub::parts::Hub;

/// Most logs checked per turn: after a restart many may be due together.
const LOGS_AT_ONCE: usize = 256;
/// Pause before the next portion, in which input is handled.
const PAUSE: Span = Span::from_millis(1);

impl Hub {
    /// Schedules the expiry of a room's log, unless it is a task's.
    pub(in crate::hub) fn watch_log(&mut self, room: RoomKey) {
        let log = self.directory.room(room).log.as_ref();
        let log = log.filter(|log| log.aging.is_none());
        let until = log.and_then(|log| log.oldest_until());
        // Zero: logs never expire.
        let has_ttl = !self.settings.broadcaster.keep_completed.is_zero();
        if let Some(until) = until.filter(|_| has_ttl)
            && self.broadcaster.task_of(&self.directory, room).is_none()
        {
            self.directory.age_log(room, until);
        }
    }

    /// Expires logs and ages tasks that are due.
    pub(in crate::hub) fn age(&mut self, now: Now, out: &mut dyn Outlet) {
        let (broadcaster, mut scope) = self.scope(now, out);
        let has_more = broadcaster.age(&mut scope);
        for _ in 0..LOGS_AT_ONCE {
            let Some(room) = self.directory.poll_aging(now.at) else {
                break;
            };
            self.age_log(now, room);
        }
        if has_more || self.directory.next_aging().is_some_and(|at| at <= now.at) {
            self.aging_paused_until = now.at + PAUSE;
        }
    }

    pub(in crate::hub) fn age_log(&mut self, now: Now, room: RoomKey) {
        // A task was created in this room after its expiry was scheduled.
        if self.broadcaster.task_of(&self.directory, room).is_some() {
            return;
        }
        let log = self.directory.room(room).log.as_ref();
        if let Some(offset) = log.and_then(|log| log.expired(now.at)) {
            self.fanout.apply_expiry(&mut self.directory, room, offset);
        }
        self.watch_log(room);
        self.directory.forget_if_idle(room);
    }
}
