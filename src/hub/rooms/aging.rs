//! Expiry of logs and aging of tasks, a bounded amount per turn. A task's log is left alone: it lives as long as the task.

use crate::hub::budget::PAUSE;
use crate::hub::delivery::publication::Outlet;
use crate::hub::keys::RoomKey;
use crate::hub::parts::Hub;
use crate::hub::settings::{HubSettings, Moment};

/// Most logs checked per turn: after a restart many may be due together.
const LOGS_AT_ONCE: usize = 256;

impl Hub {
    /// Schedules the expiry of a room's log, unless it is a task's.
    pub(in crate::hub) fn watch_log(&mut self, room: RoomKey, settings: &HubSettings) {
        let log = self.directory.room(room).log.as_ref();
        let log = log.filter(|log| log.aging.is_none());
        let until = log.and_then(|log| log.oldest_until());
        // Zero: logs never expire.
        let has_ttl = settings.broadcaster.keep_completed > 0;
        if let Some(until) = until.filter(|_| has_ttl)
            && self.broadcaster.task_of(&self.directory, room).is_none()
        {
            self.directory.age_log(room, until);
        }
    }

    /// Expires logs and ages tasks that are due.
    pub(in crate::hub) fn age(&mut self, moment: Moment<'_>, out: &mut dyn Outlet) {
        let now = moment.now.at;
        let (broadcaster, mut scope) = self.scope(moment, out);
        let has_more = broadcaster.age(&mut scope);
        for _ in 0..LOGS_AT_ONCE {
            let Some(room) = self.directory.poll_aging(now) else {
                break;
            };
            self.age_log(moment, room);
        }
        if has_more || self.directory.next_aging().is_some_and(|at| at <= now) {
            self.aging_paused_until = now + PAUSE;
        }
    }

    fn age_log(&mut self, moment: Moment<'_>, room: RoomKey) {
        // A task was created in this room after its expiry was scheduled.
        if self.broadcaster.task_of(&self.directory, room).is_some() {
            return;
        }
        let log = self.directory.room(room).log.as_ref();
        // The setting may have been assigned since the expiry was scheduled.
        let log = log.filter(|_| moment.settings.broadcaster.keep_completed > 0);
        if let Some(offset) = log.and_then(|log| log.expired(moment.now.at)) {
            self.fanout.apply_expiry(&mut self.directory, room, offset);
        }
        self.watch_log(room, moment.settings);
        self.directory.forget_if_idle(room);
    }
}
