//! The hub and its store: what is to be kept, and what comes back at the start.

use crate::base::time::Now;
use crate::hub::delivery::publication::Outlet;
use crate::hub::durable::record::{Record, Restored, Table};
use crate::hub::durable::records;
use crate::hub::durable::restore::{self, Restoring};
use crate::hub::keys::{ClientKey, RoomKey};
use crate::hub::parts::Hub;

impl Hub {
    /// Whether anything is to go to the store with the next batch.
    pub fn has_records(&self) -> bool {
        !self.fanout.journal.is_empty()
            || self.fanout.journal.is_on() && self.directory.has_forgotten()
    }

    /// Whether sessions have changed that were written less than a second ago, so that they go with a later batch.
    pub fn has_resting_changes(&self) -> bool {
        self.fanout.journal.rests.is_awaited()
    }

    /// A store has missed some of what it was told: all that there is goes to it again.
    pub fn mark_everything(&mut self) {
        self.keep(self.workspaces.records());
        records::mark_everything(&mut self.directory, &mut self.broadcaster, &mut self.fanout);
    }

    /// Takes back a slice of what a store has kept, before anything happens. The last is followed by [`Hub::begin_epochs`]
    /// and [`Hub::finish_restoring`].
    pub fn restore(&mut self, now: Now, restored: &Restored, out: &mut dyn Outlet) {
        records::restore_meta(&mut self.directory, restored);
        let limit = self.settings.message_queue_size;
        let mut restoring = std::mem::take(&mut self.restoring);
        let (broadcaster, mut scope) = self.scope(now, out);
        restore::restore(&mut scope, broadcaster, &mut restoring, limit, restored);
        self.restoring = restoring;
        self.workspaces.restore(&restored.rows);
    }

    /// So many rooms that were restored begin their new epoch; `false`: all have.
    pub fn begin_epochs(&mut self, now: Now, count: usize, out: &mut dyn Outlet) -> bool {
        let mut restoring = std::mem::take(&mut self.restoring);
        let (_, mut scope) = self.scope(now, out);
        let more = restore::begin_epochs(&mut scope, &mut restoring, count);
        self.restoring = restoring;
        more
    }

    /// Everything is restored and has its epoch: it grows old from now on.
    pub fn finish_restoring(&mut self, now: Now, out: &mut dyn Outlet) {
        self.restoring = Restoring::default();
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.finish_restoring(&mut scope);
        self.workspaces.finish_restoring();
        self.wake_up(now);
    }

    /// Everybody who was here is away, and every log grows old.
    pub(in crate::hub) fn wake_up(&mut self, now: Now) {
        let away: Vec<ClientKey> = self.directory.all_clients().map(|(key, _)| key).collect();
        for client in away {
            self.sessions
                .record(now.at, self.directory.client(client), &self.directory);
        }
        self.shed_sessions();
        self.expire_sessions(now);
        let rooms: Vec<RoomKey> = self.directory.rooms().map(|(key, _)| key).collect();
        for room in rooms {
            self.watch_log(room);
            self.directory.forget_if_idle(room);
        }
    }

    /// How much has gathered for the store, in bytes.
    pub fn gathered_bytes(&self) -> usize {
        self.fanout.journal.bytes()
    }

    /// Changes are not to be kept: there is nobody to take them.
    pub fn turn_off_journal(&mut self, now: Now) {
        self.write_all_sessions_now();
        self.take_records(now, usize::MAX);
        self.fanout.journal.turn_off();
    }

    /// Records of somebody else's are to be kept.
    pub fn keep(&mut self, records: Vec<Record>) {
        records
            .into_iter()
            .for_each(|record| self.fanout.journal.push(record));
    }

    /// A single fact is to be kept.
    pub fn keep_meta(&mut self, key: &str, value: String) {
        self.fanout.journal.put(Table::Meta, key, value);
    }

    /// From now on everything that must outlive the process goes to a store.
    pub fn turn_on_journal(&mut self) {
        self.fanout.journal.turn_on();
    }

    /// What the store has yet to learn, of so many sessions at most.
    pub fn take_records(&mut self, now: Now, max_sessions: usize) -> Vec<Record> {
        self.end_rests(now.at);
        records::take_records(
            &mut self.directory,
            &mut self.broadcaster,
            &mut self.fanout,
            now,
            max_sessions,
        )
    }
}
