//! Whether the store holds what the engine holds.

use super::witness::Sim;
use super::world::World;
use joblight::internals::engine::ClientState;
use joblight::internals::hub::Table;
use serde_json::Value;
use std::collections::BTreeSet;

impl World<Sim> {
    /// Whether the store works, as far as the engine knows.
    pub(crate) fn is_good(&self) -> bool {
        self.engine.inspect().is_store_good()
    }

    /// Whether nothing is on its way to a store that works.
    pub(crate) fn is_everything_kept(&self) -> bool {
        !self.store().is_busy() && !self.engine.inspect().has_unstored_changes()
    }

    /// Whether nothing of a session is on its way, or waits for its turn.
    pub(crate) fn are_sessions_kept(&self) -> bool {
        self.is_everything_kept() && !self.engine.inspect().has_resting_changes()
    }

    /// A store that works and that nothing is on its way to holds what the engine holds.
    pub(crate) fn check_kept(&self) {
        let held = self.engine.inspect();
        if !self.is_good() || !self.is_everything_kept() {
            return;
        }
        self.check_sessions_kept();
        let tasks = held.task_ids().map(str::to_owned);
        assert_eq!(self.store().keys(Table::Task), tasks.collect());
        let ids = self.store().keys(Table::Workspace);
        let list: Value = serde_json::from_str(&held.workspace_list()).expect("JSON");
        let held_ids = list["workspaces"].as_array().expect("a list").iter();
        let held_ids = held_ids.filter_map(|workspace| workspace["id"].as_str());
        assert_eq!(ids, held_ids.map(str::to_owned).collect());
        for room in held.rooms() {
            for entry in held.entries(room) {
                assert!(
                    self.store().entries.contains_key(&entry.serial),
                    "entry {} of {room} is not kept",
                    entry.offset
                );
            }
        }
    }

    fn check_sessions_kept(&self) {
        let clients = self.engine.inspect().clients();
        let clients: Vec<ClientState> = clients.filter(|client| client.session.is_some()).collect();
        let keys: BTreeSet<String> = clients.iter().map(session_key).collect();
        assert_eq!(self.store().keys(Table::Session), keys);
        assert_eq!(self.store().keys(Table::Received), keys);
        if !self.engine.inspect().has_resting_changes() {
            self.check_positions_kept(&clients);
        }
        let letters = clients.iter().flat_map(|client| {
            let serials = client.direct_messages.iter();
            serials.map(|serial| format!("{}:{serial:016x}", session_key(client)))
        });
        assert_eq!(self.store().keys(Table::DirectMessage), letters.collect());
    }

    /// Where the clients of sessions stand.
    fn check_positions_kept(&self, clients: &[ClientState]) {
        let held = self.engine.inspect();
        let mut keys = BTreeSet::new();
        for client in clients {
            let received = self.store().row(Table::Received, &session_key(client));
            assert_eq!(received, Some(&*client.received.to_string()));
            for (room, position) in &client.positions {
                let key = format!("{}:{room}", session_key(client));
                let row = self.store().row(Table::Membership, &key);
                let kept = row.expect("a row").trim_matches('"');
                let is_same_place = held.offset(room, kept) == held.offset(room, position);
                let is_kept = kept == position || held.position(room).is_some() && is_same_place;
                assert!(is_kept, "{key}: {position} is kept as {kept}");
                keys.insert(key);
            }
        }
        assert_eq!(self.store().keys(Table::Membership), keys);
    }
}

/// By which key the store knows a client's session.
fn session_key(client: &ClientState) -> String {
    let number = client.id.strip_prefix("client_").expect("a client's name");
    format!("{number:0>16}")
}
