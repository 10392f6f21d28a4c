//! Leads a hub through the changes of another, so that both hold the same shared state; compares them by their rows; empties a hub.
//!
//! A hub that follows decides nothing: what expires, gives way or is evicted comes as a change. It only finds what a change names, and
//! has the change applied by the function that applied it where it was decided. What was said to viewers besides, it does not repeat.

use crate::base::time::Now;
use crate::hub::change::{Change, ClientChange};
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::durable::record::Record;
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
        let mut new = Hub::new(hub.seed.clone());
        new.directory.follows = true;
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
        self.tell_ended_logs();
        while let Some(change) = self.fanout.changes.poll() {
            follower.0.apply(change, settings, &mut Silence);
        }
        follower.0.tell_ended_logs();
    }

    /// Drops all state, as if the hub had just begun.
    pub fn empty(&mut self) {
        let mut new = Self::new(self.seed.clone());
        std::mem::swap(&mut new.fanout.changes, &mut self.fanout.changes);
        new.fanout.changes.record(|| Change::Emptied);
        new.directory.follows = self.directory.follows;
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
                let room = self.enter_epoch(&room, epoch);
                // The hub that leads had a key for it, and has no other rooms with logs than this one.
                debug_assert!(room.is_ok(), "a room for each log");
                if let Ok(room) = room {
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
            Change::RowsEnd { at } => self.end_rows(moment(at)),
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
        if let ClientChange::Session { connected_at } = what {
            self.apply_session(id, connected_at);
        }
        let Some(client) = self.directory.living_client(id) else {
            return;
        };
        match what {
            ClientChange::Session { .. } => {}
            ClientChange::SessionEnded => {
                self.end_session(client);
                if self.directory.client(client).is_away {
                    self.directory.detach(client);
                }
            }
            ClientChange::Direct(message) => {
                self.fanout.skip_serials(message.serial);
                // The message brings its own time.
                let now = Now::default();
                let (_, mut scope) = self.scope(Moment { now, settings }, out);
                scope.apply_direct(client, message, false);
            }
            ClientChange::Confirmed { serial } => self.apply_confirmation(client, serial),
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
}
