//! The hub's calls around its store: taking what must be written, and restoring at the start.
//!
//! A start goes [`Hub::restore`] for each slice, [`Hub::begin_epochs`] until there is nothing to keep, [`Hub::finish_restoring`];
//! nothing is served before. Afterwards the engine takes records for a batch at a time.

use crate::base::time::Now;
use crate::hub::change::Change;
use crate::hub::delivery::publication::Outlet;
use crate::hub::durable::record::{Record, Restored, Table};
use crate::hub::durable::records;
use crate::hub::durable::restore::{self, Restoring};
use crate::hub::keys::{ClientKey, RoomKey};
use crate::hub::parts::Hub;
use crate::hub::settings::Moment;

impl Hub {
    /// Whether the next batch would hold anything.
    pub fn has_records(&mut self) -> bool {
        // A log may have ended since they were told last.
        self.tell_ended_logs();
        self.has_marks()
    }

    /// Whether changes are marked for the next batch.
    pub fn has_marks(&self) -> bool {
        !self.fanout.journal.is_empty()
    }

    /// Whether sessions have changed whose rest is not over, so that they go with a later batch.
    pub fn has_resting_changes(&self) -> bool {
        self.fanout.journal.rests.is_awaited()
    }

    /// Restores a slice of the store, of any size.
    pub fn restore(&mut self, moment: Moment<'_>, restored: &Restored, out: &mut dyn Outlet) {
        self.fanout.changes.record(|| Change::Rows {
            at: moment.now,
            rows: Box::new(restored.clone()),
        });
        records::restore_meta(&mut self.directory, restored);
        // Taken out, because the scope borrows the hub.
        let mut restoring = std::mem::take(&mut self.restoring);
        let (broadcaster, mut scope) = self.scope(moment, out);
        restore::restore(&mut scope, broadcaster, &mut restoring, restored);
        self.restoring = restoring;
        self.workspaces.restore(&restored.rows);
    }

    /// Begins new epochs for at most `count` of the restored rooms that have a log, so that a start with many is spread over turns. The new
    /// epoch continues the old one: entries that were sent and not stored may have been received, so their offsets must not be used again
    /// under the old epoch. When all rooms have one, nothing is left to be kept.
    pub fn begin_epochs(&mut self, count: usize) {
        let directory = &mut self.directory;
        let rooms = &mut self.restoring.rooms;
        let rooms = rooms.get_or_insert_with(|| directory.rooms().map(|(key, _)| key).collect());
        let mut begun = 0;
        while begun < count
            && let Some(key) = rooms.pop()
        {
            let room = directory.find_room(key);
            if room.is_some_and(|room| room.log.is_some()) {
                begun += 1;
                let epoch = directory.fresh_epoch();
                self.fanout.apply_epoch(directory, key, epoch);
            }
        }
    }

    /// Ends restoring: tasks, logs and sessions age from now on.
    pub fn finish_restoring(&mut self, moment: Moment<'_>) {
        self.end_rows(moment);
        self.wake_up(moment);
    }

    /// The last slice was read: what could only be put in order as a whole is.
    pub(in crate::hub) fn end_rows(&mut self, Moment { now, settings }: Moment<'_>) {
        self.fanout.changes.record(|| Change::RowsEnd { at: now });
        self.restoring = Restoring::default();
        let (ids, journal) = (&mut self.broadcaster.event_ids, &mut self.fanout.journal);
        ids.finish_restoring(now.at, &settings.broadcaster, journal);
        self.workspaces.finish_restoring();
    }

    /// Starts the clocks of sessions and logs. Time that the server was down does not count for sessions: all of them left now.
    fn wake_up(&mut self, moment: Moment<'_>) {
        let away: Vec<ClientKey> = self.directory.all_clients().map(|(key, _)| key).collect();
        for client in away {
            self.departures
                .record(moment.now.at, client, &self.directory);
        }
        // The limits may be lower than those of the process that wrote the rows.
        self.shed_sessions(moment.settings);
        self.expire_sessions(moment, moment.now.at);
        let rooms: Vec<RoomKey> = self.directory.rooms().map(|(key, _)| key).collect();
        for room in rooms {
            self.watch_log(room, moment.settings);
            self.directory.forget_if_idle(room);
        }
    }

    /// Estimated bytes that have gathered for the store.
    pub fn gathered_bytes(&self) -> usize {
        self.fanout.journal.bytes()
    }

    /// Stops gathering, because no store will take it. What has gathered is dropped.
    pub fn turn_off_journal(&mut self, now: Now) {
        // Rests end first, so that what waits for their end is dropped as well.
        self.write_all_sessions_now();
        self.take_records(now, usize::MAX);
        self.fanout.journal.turn_off();
    }

    /// Adds records that were made outside the hub's own marks.
    pub fn keep(&mut self, records: Vec<Record>) {
        records
            .into_iter()
            .for_each(|record| self.fanout.journal.push(record));
    }

    pub fn keep_meta(&mut self, key: &str, value: String) {
        self.fanout.journal.put(Table::Meta, key, value);
    }

    pub fn turn_on_journal(&mut self) {
        self.fanout.journal.turn_on();
    }
}
