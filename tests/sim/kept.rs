//! Whether the store holds what the engine holds.

use super::world::World;
use joblight::internals::engine::Condition;
use joblight::internals::hub::Table;
use joblight::internals::hub::{Client, saved};
use std::collections::BTreeSet;

impl World {
    /// Whether the store works, as far as the engine knows.
    pub(crate) fn is_good(&self) -> bool {
        *self.engine.state().durability.condition() == Condition::Good
    }

    /// Whether nothing is on its way to a store that works.
    pub(crate) fn is_everything_kept(&self) -> bool {
        !self.store.is_busy() && !self.engine.state().hub.has_records()
    }

    /// Whether nothing of a session is on its way, or waits for its turn.
    pub(crate) fn are_sessions_kept(&self) -> bool {
        self.is_everything_kept() && !self.engine.state().hub.has_resting_changes()
    }

    /// A store that works and that nothing is on its way to holds what the engine holds.
    pub(crate) fn check_kept(&self) {
        let state = self.engine.state();
        if !self.is_good() || !self.is_everything_kept() {
            return;
        }
        self.check_sessions_kept();
        let cache = state.hub.broadcaster().tasks();
        let tasks = cache.keys().into_iter().filter_map(|key| cache.task(key));
        let tasks = tasks.map(|task| task.id.to_string());
        assert_eq!(self.store.keys(Table::Task), tasks.collect());
        let (ids, workspaces) = (self.store.keys(Table::Workspace), state.hub.workspaces());
        let are_known = ids.iter().all(|id| workspaces.document(id).is_some());
        assert!(are_known && ids.len() == workspaces.len(), "{ids:?}");
        for (_, room) in state.hub.directory().rooms() {
            for entry in room.log.iter().flat_map(|log| log.after(0).entries) {
                assert!(
                    self.store.has_entry(entry.serial),
                    "{} is not kept",
                    entry.id
                );
            }
        }
    }

    fn check_sessions_kept(&self) {
        let clients = self.engine.state().hub.directory().all_clients();
        let clients: Vec<_> = clients
            .map(|(_, client)| client)
            .filter(|client| client.has_session)
            .collect();
        let keys = clients.iter().map(|client| saved::session_key(client.id));
        let keys: BTreeSet<String> = keys.collect();
        assert_eq!(self.store.keys(Table::Session), keys);
        assert_eq!(self.store.keys(Table::Received), keys);
        if !self.engine.state().hub.has_resting_changes() {
            self.check_places_kept(&clients);
        }
        let letters = clients.iter().flat_map(|client| {
            let direct = client.direct().into_iter();
            let letters = direct.flat_map(|direct| direct.letters());
            letters.map(|letter| saved::direct_key(client.id, letter.serial))
        });
        assert_eq!(self.store.keys(Table::DirectMessage), letters.collect());
    }

    /// Where the clients of sessions stand.
    fn check_places_kept(&self, clients: &[&Client]) {
        let directory = self.engine.state().hub.directory();
        let mut keys = BTreeSet::new();
        for client in clients {
            let received = self
                .store
                .row(Table::Received, &saved::session_key(client.id));
            assert_eq!(received, Some(&*client.received.to_string()));
            for membership in client.memberships() {
                let room = directory.room(membership.room);
                let key = saved::membership_key(client.id, &room.name);
                let row = self.store.row(Table::Membership, &key);
                let place = row.and_then(saved::membership_position);
                let [kept, now] = [
                    place,
                    saved::membership_position(&saved::membership(room, membership)),
                ]
                .map(|place| place.and_then(|place| room.resolve(place)));
                assert_eq!(kept, now, "{key}: {row:?}");
                keys.insert(key);
            }
            for name in client.names() {
                let key = saved::membership_key(client.id, &name.name);
                let row = self.store.row(Table::Membership, &key);
                let place = row.and_then(saved::membership_position);
                assert_eq!(place, Some(name.position), "{key}: {row:?}");
                keys.insert(key);
            }
        }
        assert_eq!(self.store.keys(Table::Membership), keys);
    }
}
