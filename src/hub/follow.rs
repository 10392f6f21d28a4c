//! Leads a hub through the changes of another, so that both hold the same shared state; compares them by their rows; empties a hub.
//!
//! A hub that follows decides nothing: what expires, gives way or is evicted comes as a change. It only finds what a change names, and
//! has the change applied by the function that applied it where it was decided. Its own viewers hear of it, as anywhere.

use crate::base::time::Now;
use crate::hub::change::{Change, ClientChange};
use crate::hub::clients::shared;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::durable::record::Record;
use crate::hub::durable::records;
use crate::hub::keys::{ClientId, ConnectionId, RoomKey};
use crate::hub::parts::Hub;
use crate::hub::rooms::directory::Full;
use crate::hub::rooms::log::LogEntry;
use crate::hub::settings::{HubSettings, Moment};

/// A hub without viewers that follows another.
#[derive(Debug)]
pub struct Follower(Hub);

/// Nobody listens.
struct Silence;

impl Outlet for Silence {
    fn publish(
        &mut self,
        _: &Publication<'_>,
        readers: &[ConnectionId],
        _: Lane,
        _: &mut Vec<usize>,
    ) -> usize {
        debug_assert!(readers.is_empty(), "it has no viewers");
        0
    }

    fn log_broadcast(&self, _: &str) {}
}

impl Follower {
    /// Follows a hub that has just begun. Have it [led](Hub::lead) at least once a turn.
    pub fn of(hub: &mut Hub) -> Self {
        hub.fanout.changes.begin();
        hub.directory.record_removals();
        let mut new = Hub::new(hub.seed.clone());
        new.directory.follow();
        Self(new)
    }

    /// All shared state as rows of a store, in no order that means anything.
    pub fn shared_rows(&self, now: Now) -> Vec<Record> {
        self.0.shared_rows(now)
    }
}

impl Hub {
    /// Applies what has changed since the last call to a hub that follows this one.
    pub fn lead(&mut self, follower: &mut Follower, settings: &HubSettings) {
        while let Some(change) = self.poll_change() {
            follower.0.apply(change, settings, &mut Silence);
        }
    }

    /// The oldest change that was not polled yet. Removals of rooms come last: each names the epoch that it ends.
    fn poll_change(&mut self) -> Option<Change> {
        let change = self.fanout.changes.poll();
        change.or_else(|| self.directory.poll_removal())
    }

    /// Drops all state, as if the hub had just begun.
    pub fn empty(&mut self) {
        let mut new = Self::new(self.seed.clone());
        std::mem::swap(&mut new.fanout.changes, &mut self.fanout.changes);
        new.fanout.changes.record(|| Change::Emptied);
        new.directory.inherit(&self.directory);
        *self = new;
    }

    /// Applies a change of the hub that this one follows.
    pub fn apply(&mut self, change: Change, settings: &HubSettings, out: &mut dyn Outlet) {
        let moment = |now| Moment { now, settings };
        match change {
            Change::Task { at, id, step } => {
                let (broadcaster, mut scope) = self.scope(moment(at), out);
                let key = broadcaster.find_or_create(&mut scope, &id);
                broadcaster.apply(&mut scope, key, step);
            }
            Change::TaskRemoved { at, id, why } => {
                let (broadcaster, mut scope) = self.scope(moment(at), out);
                broadcaster.apply_removal(&mut scope, &id, why);
            }
            Change::Logged {
                at,
                room,
                epoch,
                entry,
                tells_task,
            } => {
                if let Ok(room) = self.enter_epoch(&room, epoch) {
                    self.apply_entry(moment(at), room, entry, tells_task, out);
                }
            }
            Change::LogExpired { room, offset } => {
                if let Some(room) = self.directory.find(&room) {
                    self.fanout.apply_expiry(&mut self.directory, room, offset);
                }
            }
            Change::Epoch { room, epoch } => {
                if let Some(room) = self.directory.find(&room) {
                    self.fanout.apply_epoch(&mut self.directory, room, epoch);
                }
            }
            Change::RoomRemoved { room, epoch } => {
                let room = self.directory.find(&room);
                let is_it = |room: &RoomKey| self.directory.room(*room).epoch == epoch;
                if let Some(room) = room.filter(is_it) {
                    self.directory.remove_log(room);
                }
            }
            Change::EventId { at, key } => self.broadcaster.remember(at, key, &mut self.fanout),
            Change::EventIdsForgotten { serial } => {
                self.broadcaster.forget_ids(serial, &mut self.fanout);
            }
            Change::Workspace(edit) => drop(self.edit_workspaces(edit)),
            Change::Emptied => self.empty(),
            Change::Rows { at, rows } => self.restore(moment(at), &rows, out),
            Change::RowsEnd { at } => self.end_rows(moment(at), out),
            Change::Client { client, what } => self.apply_to_client(client, what, settings, out),
        }
    }

    fn apply_to_client(
        &mut self,
        id: ClientId,
        what: ClientChange,
        settings: &HubSettings,
        out: &mut dyn Outlet,
    ) {
        let (directory, fanout) = (&mut self.directory, &mut self.fanout);
        if let ClientChange::Session { connected_at } = what {
            shared::apply_session(directory, fanout, id, connected_at);
        }
        let Some(client) = directory.living_client(id) else {
            return;
        };
        match what {
            ClientChange::Session { .. } => {}
            ClientChange::SessionEnded => {
                shared::apply_session_end(directory, fanout, client);
                if directory.client(client).is_away {
                    directory.detach(client);
                }
            }
            ClientChange::Direct(message) => {
                fanout.skip_serials(message.serial);
                // The message brings its own time.
                let now = Now::default();
                let (_, mut scope) = self.scope(Moment { now, settings }, out);
                scope.apply_direct(client, message, false);
            }
            ClientChange::Confirmed { serial } => {
                shared::apply_confirmation(directory, fanout, client, serial);
            }
        }
    }

    /// The room in that epoch; a room of that name in another one is over.
    fn enter_epoch(&mut self, name: &str, epoch: u64) -> Result<RoomKey, Full> {
        let mut room = self.directory.restore_room(name, epoch)?;
        if self.directory.room(room).epoch != epoch {
            self.directory.remove_log(room);
            room = self.directory.restore_room(name, epoch)?;
            self.directory.room_mut(room).epoch = epoch;
        }
        Ok(room)
    }

    fn apply_entry(
        &mut self,
        moment: Moment<'_>,
        room: RoomKey,
        entry: LogEntry,
        tells_task: bool,
        out: &mut dyn Outlet,
    ) {
        self.fanout.skip_serials(entry.serial);
        let task = self.broadcaster.task_of(&self.directory, room);
        let task = task.and_then(|task| self.broadcaster.tasks().task(task));
        let tells = task.filter(|_| tells_task).map(|task| task.version());
        self.directory.set_has_task(room, task.is_some());
        self.scope(moment, out).1.apply_entry(room, entry, tells);
        self.watch_log(room, moment.settings);
    }

    /// All shared state as rows of a store, in no order that means anything.
    pub fn shared_rows(&self, now: Now) -> Vec<Record> {
        let mut rows = self.workspaces.records();
        records::shared(&self.directory, &self.broadcaster, now, &mut rows);
        rows
    }
}
